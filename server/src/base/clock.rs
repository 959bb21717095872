//! Time and identity, injected so that tests can set them.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

use super::lock::lock;

/// Where the server's wall-clock time comes from.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now, UTC.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// The longest step back of a clock that recorded times do not follow. It covers the corrections of a time service and
/// the differences between the clocks of several nodes.
pub const STEP_BACK_TOLERANCE: TimeDelta = TimeDelta::seconds(5);

/// Returns the time to record after `last` when the clock reads `now`: `last` if `now` is earlier by at most
/// [`STEP_BACK_TOLERANCE`], otherwise `now`.
///
/// This is the only rule by which recorded times are kept from running backwards. A larger step back means that `last`
/// was taken from a clock that was wrong; holding on to it would stamp everything with that wrong time until the clock
/// has caught up, which may take years. The result is never earlier than `now`, and never later than `now` by more than
/// the tolerance.
pub fn next_time(last: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    if now < last && last - now <= STEP_BACK_TOLERANCE { last } else { now }
}

/// The time by which expired rows are deleted: the earlier of the last two readings of the clock, so that a clock that is
/// far ahead at one of them deletes nothing that is still needed. The first reading has none before it and is taken as
/// it is.
#[derive(Debug, Default)]
pub(crate) struct DeletionTime(Option<DateTime<Utc>>);

impl DeletionTime {
    /// Returns the time to delete by when the clock reads `now`.
    pub(crate) fn at(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.0.replace(now).map_or(now, |earlier| earlier.min(now))
    }
}

/// Makes an identifier and the moment of its creation together, so that ordering by the identifier is ordering by the
/// moment, and an index on identifiers serves both.
///
/// Three things make that hold. The moment is cut to whole microseconds before the identifier is made of it, and the
/// identifier resolves a quarter of one, so moments that differ give identifiers that differ the same way, on all nodes.
/// One counter for the process orders those of one microsecond. And the identifier is made of the moment that is
/// recorded: on one node moments do not run backwards while the clock steps back by no more than
/// [`STEP_BACK_TOLERANCE`], and when it steps back further, both the moment and the identifier follow it.
#[derive(Clone)]
pub struct Moments {
    clock: Arc<dyn Clock>,
    sequence: Arc<Mutex<Sequence>>,
}

struct Sequence {
    counter: ContextV7,
    last: DateTime<Utc>,
}

impl Moments {
    /// Takes time from `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, sequence: Arc::new(Mutex::new(Sequence { counter: counter(), last: DateTime::UNIX_EPOCH })) }
    }

    /// The time now in whole microseconds, the resolution that is stored and answered.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now().trunc_subsecs(6)
    }

    /// A new time-ordered id (UUID version 7, RFC 9562) and its moment.
    pub fn next(&self) -> (Uuid, DateTime<Utc>) {
        let mut sequence = lock(&self.sequence);
        let mut now = self.now();
        if now < sequence.last {
            now = sequence.after_step_back(now);
        }
        sequence.last = now;
        // Not before 1970, where the sequence begins.
        let seconds = now.timestamp().unsigned_abs();
        let timestamp = Timestamp::from_unix(&sequence.counter, seconds, now.timestamp_subsec_nanos());
        (Uuid::new_v7(timestamp), now)
    }
}

impl Sequence {
    /// Returns the moment to give out when the clock reads `now`, which is earlier than the last one.
    #[cold]
    fn after_step_back(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        let moment = next_time(self.last, now).max(DateTime::UNIX_EPOCH);
        if moment < self.last {
            // The old counter never returns to a time before its last one.
            self.counter = counter();
            tracing::warn!(last = %self.last, now = %moment, "the clock went back; following it");
        }
        moment
    }
}

fn counter() -> ContextV7 {
    ContextV7::new().with_additional_precision()
}

impl fmt::Debug for Moments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moments").field("clock", &self.clock).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    #[derive(Debug)]
    struct Stopped(DateTime<Utc>);

    impl Clock for Stopped {
        fn now(&self) -> DateTime<Utc> {
            self.0
        }
    }

    #[test]
    fn ids_of_one_instant_are_distinct_and_keep_their_order() {
        let moments = Moments::new(Arc::new(Stopped(DateTime::UNIX_EPOCH + chrono::Duration::days(20_000))));
        let ids: Vec<Uuid> = (0..10_000).map(|_| moments.next().0).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }

    /// A clock that gives out one reading after the other.
    #[derive(Debug)]
    struct Script(Mutex<VecDeque<DateTime<Utc>>>);

    impl Clock for Script {
        fn now(&self) -> DateTime<Utc> {
            self.0.lock().unwrap().pop_front().expect("a reading is left")
        }
    }

    /// What a node gives out at these readings of its clock.
    fn given(readings: &[DateTime<Utc>]) -> Vec<(Uuid, DateTime<Utc>)> {
        let moments = Moments::new(Arc::new(Script(Mutex::new(readings.iter().copied().collect()))));
        readings.iter().map(|_| moments.next()).collect()
    }

    /// Readings of a clock that runs, stands, and steps in both directions, by microseconds up to a year.
    fn readings(random: &mut StdRng) -> Vec<DateTime<Utc>> {
        let mut now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let reading = |_| {
            let largest = [1, 1_000, 1_000_000, 5_000_000, 10_000_000, 31_536_000_000_000][random.random_range(0..6)];
            let step = TimeDelta::microseconds(random.random_range(0..=largest));
            now += if random.random_bool(0.3) { -step } else { step };
            now
        };
        (0..200).map(reading).collect()
    }

    #[test]
    fn recorded_times_hold_over_small_steps_back_and_follow_large_ones() {
        for seed in 0..200 {
            let readings = readings(&mut StdRng::seed_from_u64(seed));
            let mut last = readings[0];
            for now in readings {
                let recorded = next_time(last, now);
                assert!(now <= recorded && recorded <= now + STEP_BACK_TOLERANCE, "seed {seed}: {last} {now}");
                let is_small = last - now <= STEP_BACK_TOLERANCE;
                assert_eq!(recorded, if is_small { last.max(now) } else { now }, "seed {seed}: {last} {now}");
                last = recorded;
            }
        }
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        assert_eq!(next_time(now + STEP_BACK_TOLERANCE, now), now + STEP_BACK_TOLERANCE);
        assert_eq!(next_time(now + STEP_BACK_TOLERANCE + TimeDelta::microseconds(1), now), now);
        assert_eq!(next_time(DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC), DateTime::<Utc>::MIN_UTC);
    }

    #[test]
    fn ids_are_ordered_like_moments_over_nodes_and_over_any_steps_of_their_clocks() {
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut all = Vec::new();
            for _ in 0..2 {
                let readings = readings(&mut random);
                let node = given(&readings);
                let mut last = DateTime::UNIX_EPOCH;
                for ((_, moment), now) in node.iter().zip(readings) {
                    assert_eq!(*moment, next_time(last, now), "seed {seed}");
                    last = *moment;
                }
                // What a node gives out later is greater, unless the clock has stepped back beyond the tolerance.
                let in_order = |pair: &[(Uuid, DateTime<Utc>)]| pair[1].1 < pair[0].1 || pair[0].0 < pair[1].0;
                assert!(node.windows(2).all(in_order), "seed {seed}: {node:?}");
                all.extend(node);
            }
            all.sort();
            assert!(all.windows(2).all(|pair| pair[0].1 <= pair[1].1), "seed {seed}: {all:?}");
            assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0), "seed {seed}: an id is given out twice");
            for (id, moment) in all {
                // By its first 48 bits an index finds a moment.
                assert_eq!(i64::try_from(id.as_u128() >> 80), Ok(moment.timestamp_millis()), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_clock_before_1970_gives_ids_of_1970() {
        let given = given(&[DateTime::UNIX_EPOCH + TimeDelta::days(1), DateTime::UNIX_EPOCH - TimeDelta::days(1)]);
        assert_eq!(given[1].1, DateTime::UNIX_EPOCH);
        assert!(given[1].0 < given[0].0);
    }

    #[test]
    fn a_clock_that_is_wrong_once_deletes_nothing_that_had_not_expired() {
        for error in [TimeDelta::days(365), TimeDelta::days(-365)] {
            for wrong in 1..20 {
                let mut times = DeletionTime::default();
                let mut largest = DateTime::UNIX_EPOCH;
                for sweep in 0..20 {
                    let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(10 * sweep);
                    let time = times.at(if sweep == wrong { now + error } else { now });
                    assert!(time <= now, "sweep {sweep} of a clock that is wrong at {wrong}");
                    largest = largest.max(time);
                }
                assert!(largest >= DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(160));
            }
        }
    }

    #[test]
    fn a_moment_has_whole_microseconds() {
        let odd = DateTime::UNIX_EPOCH + chrono::Duration::nanoseconds(1_234_567_891);
        assert_eq!(Moments::new(Arc::new(Stopped(odd))).now().timestamp_subsec_nanos(), 234_567_000);
    }
}

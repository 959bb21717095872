//! Time and identity, injected so that tests can set them.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, SubsecRound as _, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::lock::lock;

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

/// Makes an identifier and the moment of its creation together, so that ordering by the identifier is ordering by the
/// moment, and an index on identifiers serves both.
///
/// Three things make that hold. The moment is cut to whole microseconds before the identifier is made of it, and the
/// identifier resolves a quarter of one, so moments that differ give identifiers that differ the same way, on all nodes.
/// One counter for the process orders those of one microsecond. And on one node moments do not run backwards, even when
/// the machine's clock does.
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
        let counter = ContextV7::new().with_additional_precision();
        Self { clock, sequence: Arc::new(Mutex::new(Sequence { counter, last: DateTime::UNIX_EPOCH })) }
    }

    /// The time now in whole microseconds, the resolution that is stored and answered.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now().trunc_subsecs(6)
    }

    /// A new time-ordered id (UUID version 7, RFC 9562) and its moment.
    pub fn next(&self) -> (Uuid, DateTime<Utc>) {
        let mut sequence = lock(&self.sequence);
        let now = self.now().max(sequence.last);
        sequence.last = now;
        // Not before 1970, where the sequence begins.
        let seconds = now.timestamp().unsigned_abs();
        let timestamp = Timestamp::from_unix(&sequence.counter, seconds, now.timestamp_subsec_nanos());
        (Uuid::new_v7(timestamp), now)
    }
}

impl fmt::Debug for Moments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moments").field("clock", &self.clock).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn ids_are_ordered_like_moments_over_nodes_and_over_a_clock_that_goes_back() {
        #[derive(Debug)]
        struct Script(Mutex<Vec<i64>>);

        impl Clock for Script {
            fn now(&self) -> DateTime<Utc> {
                let micros = self.0.lock().unwrap().pop().unwrap();
                DateTime::UNIX_EPOCH + chrono::Duration::days(20_000) + chrono::Duration::microseconds(micros)
            }
        }

        let node = |micros: &[i64]| {
            let script = Script(Mutex::new(micros.iter().rev().copied().collect()));
            let moments = Moments::new(Arc::new(script));
            micros.iter().map(|_| moments.next()).collect::<Vec<_>>()
        };
        let one = node(&[0, 1, 2, 999, 1_000, 1_001, 1_001, 700, 5_000, 4_999]);
        assert!(one.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1), "{one:?}");
        let mut all: Vec<_> = one.into_iter().chain(node(&[0, 1, 3, 998, 1_000, 4_998])).collect();
        all.sort();
        assert!(all.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{all:?}");
    }

    #[test]
    fn a_moment_has_whole_microseconds() {
        let odd = DateTime::UNIX_EPOCH + chrono::Duration::nanoseconds(1_234_567_891);
        assert_eq!(Moments::new(Arc::new(Stopped(odd))).now().timestamp_subsec_nanos(), 234_567_000);
    }
}

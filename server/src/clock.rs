//! Time and identity, injected so that tests can set them.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, SubsecRound as _, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

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

/// Makes an identifier and the moment of its creation together, so that ordering by either is ordering by both.
#[derive(Clone)]
pub struct Moments {
    clock: Arc<dyn Clock>,
    // One counter for the process: two ids of the same millisecond keep the order in which they were made.
    sequence: Arc<Mutex<ContextV7>>,
}

impl Moments {
    /// Takes time from `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, sequence: Arc::new(Mutex::new(ContextV7::new().with_additional_precision())) }
    }

    /// The time now in whole microseconds, the resolution that is stored and answered.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now().trunc_subsecs(6)
    }

    /// A new time-ordered id (UUID version 7, RFC 9562) and its moment.
    pub fn next(&self) -> (Uuid, DateTime<Utc>) {
        let now = self.now();
        // Before 1970 there is no version 7; a clock that far off still gives unique ids.
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        let timestamp = Timestamp::from_unix(&*self.sequence, seconds, now.timestamp_subsec_nanos());
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
    fn a_moment_has_whole_microseconds() {
        let odd = DateTime::UNIX_EPOCH + chrono::Duration::nanoseconds(1_234_567_891);
        assert_eq!(Moments::new(Arc::new(Stopped(odd))).now().timestamp_subsec_nanos(), 234_567_000);
    }
}

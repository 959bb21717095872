use std::sync::{Arc, Mutex};

use chrono::{DateTime, Duration, TimeZone as _, Utc};
use parlor_server::clock::Clock;

/// A clock that moves only when it is told to.
#[derive(Debug, Clone)]
pub(crate) struct ManualClock(Arc<Mutex<DateTime<Utc>>>);

impl ManualClock {
    /// Stands at 15 January 2024, 10:30, the seed's example.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Utc.with_ymd_and_hms(2024, 1, 15, 10, 30, 0).unwrap())))
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }

    /// Steps back, as a machine's clock does when it was ahead and is corrected.
    pub(crate) fn turn_back(&self, by: Duration) {
        *self.0.lock().unwrap() -= by;
    }

    /// Reads `time` from now on, whatever it has read before.
    pub(crate) fn set(&self, time: DateTime<Utc>) {
        *self.0.lock().unwrap() = time;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

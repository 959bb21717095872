//! Conclusions from the failure of one connection about the others.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared by all connections to one database.
///
/// Time is counted in ticks. A connection remembers the tick before it was opened, or was last found well.
#[derive(Debug, Default)]
pub(in crate::store) struct Health {
    ticks: AtomicU64,
    /// Connections found well before this tick are asked again before they are used.
    suspect_before: AtomicU64,
    /// Connections found well before this tick are closed unasked.
    dead_before: AtomicU64,
    /// Whether SQLite has called the file malformed since it was last checked as a whole.
    malformed: AtomicBool,
}

/// Action on an idle connection before its next use.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Use,
    Ask,
    Close,
}

impl Health {
    /// The next tick.
    pub(super) fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::Relaxed)
    }

    /// A statement has failed for a reason outside, or took too long: other connections may be broken too.
    pub(super) fn suspect(&self) {
        self.suspect_before.fetch_max(self.tick() + 1, Ordering::Relaxed);
    }

    /// No connection opened so far is of use: the database is gone, or what they have prepared is out of date.
    pub(in crate::store) fn replace_all(&self) {
        self.dead_before.fetch_max(self.tick() + 1, Ordering::Relaxed);
    }

    /// The action on a connection last found well at the tick `verified`.
    pub(super) fn verdict(&self, verified: u64) -> Verdict {
        if verified < self.dead_before.load(Ordering::Relaxed) {
            Verdict::Close
        } else if verified < self.suspect_before.load(Ordering::Relaxed) {
            Verdict::Ask
        } else {
            Verdict::Use
        }
    }

    /// SQLite has called the file malformed, or no database.
    pub(in crate::store) fn found_malformed(&self) {
        self.malformed.store(true, Ordering::Relaxed);
    }

    /// A check of the whole file found nothing wrong.
    pub(in crate::store) fn found_well_formed(&self) {
        self.malformed.store(false, Ordering::Relaxed);
    }

    pub(in crate::store) fn is_malformed(&self) -> bool {
        self.malformed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_concerns_connections_opened_before_it_and_no_later_ones() {
        let health = Health::default();
        let old = health.tick();
        assert_eq!(health.verdict(old), Verdict::Use);
        health.suspect();
        assert_eq!(health.verdict(old), Verdict::Ask);
        let asked = health.tick();
        assert_eq!(health.verdict(asked), Verdict::Use);
        health.replace_all();
        assert_eq!(health.verdict(asked), Verdict::Close);
        assert_eq!(health.verdict(health.tick()), Verdict::Use);
    }
}

//! How long a request's body may take to arrive.

use std::time::Duration;

use tokio::time::Instant;

use super::{field_error::FieldError, limits::HttpLimits, problem::Problem};

/// The time that is left for a body. It has a bound on the whole and one on pauses; each byte that arrives prolongs the
/// latter at the lowest rate, so that a peer which sends a byte now and then does not hold its connection until the former.
#[derive(Debug)]
pub(super) struct BodyTime {
    total: Duration,
    pause: Duration,
    /// Bytes per second, at least one.
    rate: u32,
    /// When the whole must be there.
    end: Instant,
    /// When the next bytes must be there.
    next: Instant,
}

impl BodyTime {
    /// The time of a body that is awaited from `now` on.
    pub(super) fn start(limits: &HttpLimits, now: Instant) -> Self {
        let HttpLimits { body: total, body_pause: pause, body_rate: rate, .. } = *limits;
        Self { total, pause, rate: rate.max(1), end: now + total, next: now + pause }
    }

    /// When to stop waiting.
    pub(super) fn deadline(&self) -> Instant {
        self.next.min(self.end)
    }

    /// Prolongs the time by what `bytes` are worth, to at most the longest pause after `now`.
    pub(super) fn arrived(&mut self, bytes: usize, now: Instant) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let worth = Duration::from_secs(bytes.into()) / self.rate;
        self.next = (self.next + worth).min(now + self.pause);
    }

    /// What the peer is told when the time is over.
    pub(super) fn exceeded(&self) -> Problem {
        let detail = if self.next < self.end {
            let (rate, pause) = (self.rate, self.pause.as_secs_f64());
            format!(
                "arrived too slowly: at least {rate} bytes per second are expected, and a pause of {pause} seconds at most"
            )
        } else {
            format!("did not arrive within {} seconds", self.total.as_secs_f64())
        };
        Problem::invalid(vec![FieldError::new("", detail)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(now: Instant) -> BodyTime {
        let limits = HttpLimits {
            body: Duration::from_secs(30),
            body_pause: Duration::from_secs(10),
            body_rate: 1_000,
            ..HttpLimits::default()
        };
        BodyTime::start(&limits, now)
    }

    /// Seconds from `start` to the time's end if `bytes` arrive every `every` seconds.
    fn lasts(bytes: usize, every: u64) -> u64 {
        let start = Instant::now();
        let (mut time, mut now) = (started(start), start);
        loop {
            now += Duration::from_secs(every);
            if now > time.deadline() {
                return (time.deadline() - start).as_secs();
            }
            time.arrived(bytes, now);
        }
    }

    #[test]
    fn a_body_has_time_as_long_as_its_rate_suffices_and_within_the_bound_of_the_whole() {
        // (bytes, every so many seconds, seconds until the end)
        let cases = [
            (0, 1, 10),        // nothing
            (1, 1, 10),        // a byte a second buys next to nothing
            (500, 1, 20),      // half the rate: twice the pause
            (1_000, 1, 30),    // the rate
            (100_000, 9, 30),  // pauses below the bound
            (100_000, 11, 10), // one above it
            (1_000_000, 1, 30),
        ];
        for (bytes, every, expected) in cases {
            let seconds = lasts(bytes, every);
            assert!(seconds.abs_diff(expected) <= 1, "{bytes} bytes every {every} s: {seconds} s, not {expected}");
        }
    }

    #[test]
    fn much_at_once_buys_no_longer_pause() {
        let start = Instant::now();
        let mut time = started(start);
        time.arrived(usize::MAX, start);
        assert_eq!(time.deadline(), start + Duration::from_secs(10));
    }
}

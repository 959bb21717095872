//! When to try again, and how long to wait before.

use std::fmt;
use std::time::Duration;

/// When a client repeats a request that failed.
///
/// **What is repeated.** A failure that may pass by itself:
///
/// | failure | may the server have acted? |
/// |---|---|
/// | no connection, or none within the connect time-out | no |
/// | the connection breaks, or the attempt runs out of time | yes |
/// | 408 (the server gave up waiting for the request), 429 | no |
/// | 409 with the code `idempotency_in_progress`: the first attempt is still being carried out | yes |
/// | 500, 502, 503, 504 | yes |
///
/// A request that the server may have acted on is repeated only when that is safe. A `GET` changes nothing. A `POST`
/// carries an `Idempotency-Key`, unless what it creates expires by itself, as a ticket does: the server carries it out
/// once and answers the repetition with the first answer. 500 is in the list because the server keeps the key together
/// with what it creates, so after a failure there is neither. Every `PATCH` of the API is a JSON merge patch, which
/// gives the same result however often it is applied (RFC 7396). A repeated `DELETE` may find that the first attempt
/// has done it, which counts as success: see [`Client::delete_chat`](crate::Client::delete_chat). Nothing else is
/// repeated: another 4xx would be refused again, and an answer that cannot be understood would be the same again. Nor is
/// a connection that cannot be opened as it is configured: a certificate that is refused, a TLS alert, a server that does
/// not speak TLS, a proxy that wants credentials (407).
///
/// **How often.** At most [`max_attempts`](RetryPolicy::max_attempts), within the call's total time: a pause that
/// would last to the deadline or longer is not begun, the last error is returned instead. And only while the client's
/// retry *budget* lasts: it starts with [`budget`](RetryPolicy::budget) tokens, a retry costs one, a call that succeeds
/// gives back what its own retries cost and a tenth more, never above the start. The clones of a client share it. So a
/// server that fails now and then is retried as if there were no budget, and one that is down is not met with three times
/// its usual traffic.
///
/// [`Error::retry_stop`](crate::Error::retry_stop) and the error's text say which of these ended a call.
///
/// **After what pause.** A random one between 0 and `base · 2ⁿ⁻¹` after the *n*-th attempt, at most `max` ("full
/// jitter"). When the answer has a `Retry-After`, that much more: clients that are told the same second come back
/// spread out, and none too early. An answer that asks for more than [`max_retry_after`](RetryPolicy::max_retry_after)
/// is not waited for: the error is returned at once, with [`Error::retry_after`](crate::Error::retry_after).
///
/// ```
/// use std::time::Duration;
/// use parlor_sdk::{Client, RetryPolicy};
///
/// let patient = RetryPolicy::default()
///     .max_attempts(5)
///     .backoff(Duration::from_millis(500), Duration::from_secs(10));
/// let client = Client::builder("http://localhost:8000", "your-tenant-api-key").retry(patient).build()?;
/// # Ok::<(), parlor_sdk::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct RetryPolicy {
    pub(crate) max_attempts: u32,
    pub(crate) base: Duration,
    pub(crate) max: Duration,
    pub(crate) max_retry_after: Duration,
    pub(crate) budget: u32,
}

impl Default for RetryPolicy {
    /// 3 attempts, pauses of at most 0.5 s, 1 s, 2 s, … 5 s, `Retry-After` up to 30 s, a budget of 100 retries.
    fn default() -> Self {
        Self {
            max_attempts: 3,
            base: Duration::from_millis(500),
            max: Duration::from_secs(5),
            max_retry_after: Duration::from_secs(30),
            budget: 100,
        }
    }
}

impl RetryPolicy {
    /// One attempt, no retries.
    ///
    /// ```
    /// # use parlor_sdk::RetryPolicy;
    /// assert_eq!(RetryPolicy::never(), RetryPolicy::default().max_attempts(1));
    /// ```
    pub fn never() -> Self {
        Self::default().max_attempts(1)
    }

    /// How often a request is sent at most, the first time included. 0 means the same as 1.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// The bound of the pause after the first attempt, which doubles with each further one, and its largest value.
    pub fn backoff(mut self, base: Duration, max: Duration) -> Self {
        self.base = base;
        self.max = max;
        self
    }

    /// The longest `Retry-After` that is waited for.
    pub fn max_retry_after(mut self, max: Duration) -> Self {
        self.max_retry_after = max;
        self
    }

    /// How many retries the client and its clones have in stock. 0 is none at all, ever.
    pub fn budget(mut self, retries: u32) -> Self {
        self.budget = retries;
        self
    }

    /// The pause before the next attempt, or why there is none. Pure: `random` is in `0.0..1.0`.
    pub(crate) fn pause(&self, failed: &Failed, random: f64) -> Result<Duration, RetryStop> {
        if !failed.repeatable {
            return Err(RetryStop::NotRetryable);
        }
        if failed.attempts >= self.max_attempts {
            return Err(RetryStop::AttemptsExhausted);
        }
        let asked = failed.retry_after.unwrap_or(Duration::ZERO);
        if asked > self.max_retry_after {
            return Err(RetryStop::RetryAfterTooLong);
        }
        let pause = asked.saturating_add(backoff(self.base, self.max, failed.attempts, random));
        match failed.remaining {
            Some(remaining) if pause >= remaining => Err(RetryStop::DeadlineReached),
            _ => Ok(pause),
        }
    }
}

/// Why a call was not sent again: [`Error::retry_stop`](crate::Error::retry_stop).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryStop {
    /// The failure would be the same again, or repeating the call is not safe.
    NotRetryable,
    /// All [attempts](RetryPolicy::max_attempts) were made.
    AttemptsExhausted,
    /// The client's [retry budget](RetryPolicy::budget) is used up: too many calls of this client fail.
    BudgetExhausted,
    /// The pause would last to the call's deadline or longer.
    DeadlineReached,
    /// The server asks for a wait above [`max_retry_after`](RetryPolicy::max_retry_after).
    RetryAfterTooLong,
}

impl fmt::Display for RetryStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRetryable => "not retryable",
            Self::AttemptsExhausted => "no attempts left",
            Self::BudgetExhausted => "the client's retry budget is exhausted",
            Self::DeadlineReached => "no time left for a retry",
            Self::RetryAfterTooLong => "the server asks for a longer wait than the retry policy allows",
        })
    }
}

/// A random pause after so many attempts: between nothing and a ceiling that doubles from `base` to `max`.
pub(crate) fn backoff(base: Duration, max: Duration, attempts: u32, random: f64) -> Duration {
    let factor = 2_u32.saturating_pow(attempts.saturating_sub(1));
    part(base.saturating_mul(factor).min(max), random)
}

/// A part of the whole, at least none of it and at most all; all of it, if the randomness is no number.
/// `Duration::mul_f64` would panic over that, and near its maximum.
pub(crate) fn part(whole: Duration, random: f64) -> Duration {
    Duration::try_from_secs_f64(whole.as_secs_f64() * random.clamp(0.0, 1.0)).map_or(whole, |part| part.min(whole))
}

/// What the decision depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed {
    /// Attempts made so far.
    pub(crate) attempts: u32,
    /// Whether the failure may pass and the request may be sent again.
    pub(crate) repeatable: bool,
    /// What the server asked for.
    pub(crate) retry_after: Option<Duration>,
    /// Until the deadline; none without one.
    pub(crate) remaining: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Failed = Failed { attempts: 1, repeatable: true, retry_after: None, remaining: None };
    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn policy() -> RetryPolicy {
        RetryPolicy::default().max_attempts(10).backoff(MS(100), MS(1_000)).max_retry_after(MS(30_000))
    }

    #[test]
    fn the_ceiling_doubles_up_to_the_largest_pause() {
        let pauses: Vec<_> =
            (1..=6).map(|attempts| policy().pause(&Failed { attempts, ..FAILED }, 1.0).unwrap()).collect();
        assert_eq!(pauses, [MS(100), MS(200), MS(400), MS(800), MS(1_000), MS(1_000)]);
    }

    #[test]
    fn the_jitter_is_full() {
        assert_eq!(policy().pause(&FAILED, 0.0), Ok(MS(0)));
        assert_eq!(policy().pause(&FAILED, 0.5), Ok(MS(50)));
    }

    #[test]
    fn randomness_outside_its_range_does_no_harm() {
        assert_eq!(policy().pause(&FAILED, -3.0), Ok(MS(0)));
        assert_eq!(policy().pause(&FAILED, 7.0), Ok(MS(100)));
        assert_eq!(policy().pause(&FAILED, f64::NAN), Ok(MS(100)));
    }

    #[test]
    fn attempts_are_counted() {
        let twice = policy().max_attempts(2);
        assert!(twice.pause(&FAILED, 0.0).is_ok());
        assert_eq!(twice.pause(&Failed { attempts: 2, ..FAILED }, 0.0), Err(RetryStop::AttemptsExhausted));
        assert_eq!(RetryPolicy::never().pause(&FAILED, 0.0), Err(RetryStop::AttemptsExhausted));
        assert_eq!(policy().max_attempts(0), policy().max_attempts(1));
    }

    #[test]
    fn what_may_not_be_repeated_is_not() {
        assert_eq!(policy().pause(&Failed { repeatable: false, ..FAILED }, 0.0), Err(RetryStop::NotRetryable));
    }

    #[test]
    fn no_pause_is_shorter_than_the_server_asked_for_and_jitter_comes_on_top() {
        let failed = Failed { retry_after: Some(MS(7_000)), ..FAILED };
        assert_eq!(policy().pause(&failed, 0.0), Ok(MS(7_000)));
        assert_eq!(policy().pause(&failed, 0.5), Ok(MS(7_050)));
    }

    #[test]
    fn more_than_the_cap_is_not_waited_for() {
        let asked = |retry_after| policy().pause(&Failed { retry_after: Some(retry_after), ..FAILED }, 0.0);
        assert_eq!(asked(MS(30_000)), Ok(MS(30_000)));
        assert_eq!(asked(MS(30_001)), Err(RetryStop::RetryAfterTooLong));
        assert_eq!(asked(Duration::MAX), Err(RetryStop::RetryAfterTooLong));
    }

    #[test]
    fn a_pause_that_would_reach_the_deadline_is_not_begun() {
        let remaining = |remaining| policy().pause(&Failed { remaining: Some(remaining), ..FAILED }, 0.5);
        assert_eq!(remaining(MS(51)), Ok(MS(50)));
        assert_eq!(remaining(MS(50)), Err(RetryStop::DeadlineReached));
        assert_eq!(remaining(MS(0)), Err(RetryStop::DeadlineReached));
    }

    #[test]
    fn absurd_settings_do_not_overflow() {
        let absurd = RetryPolicy::default()
            .max_attempts(u32::MAX)
            .backoff(Duration::MAX, Duration::MAX)
            .max_retry_after(Duration::MAX);
        let failed = Failed { attempts: u32::MAX - 1, retry_after: Some(Duration::MAX), ..FAILED };
        assert_eq!(absurd.pause(&failed, 0.0), Ok(Duration::MAX));
        assert_eq!(absurd.pause(&failed, 1.0), Ok(Duration::MAX));
    }
}

//! The retry policy: whether to retry, and after which delay.

use std::fmt;
use std::time::Duration;

/// Rules for retrying a failed request.
///
/// **Retried failures.** Failures that may be temporary:
///
/// | failure | may the server have processed it? |
/// |---|---|
/// | no connection, or none within the connect timeout | no |
/// | the connection breaks, or the attempt times out | yes |
/// | 408 (the server timed out waiting for the request), 429 | no |
/// | 409 with the code `idempotency_in_progress`: the first attempt is still running | yes |
/// | 500, 502, 503, 504 | yes |
///
/// A request that the server may have processed is retried only if that is safe:
///
/// - A `GET` changes nothing.
/// - A `POST` carries an `Idempotency-Key`: the server executes it once and returns the first response again. 500 is
///   retried because the server stores the key in the same transaction as the result, so a failure leaves neither.
///   `create_ticket` has no key, but a duplicate ticket expires by itself.
/// - Every `PATCH` of the API is a JSON merge patch, which has the same result however often it is applied (RFC 7396).
/// - A retried `DELETE` may find that the first attempt succeeded, which counts as success: see
///   [`Client::delete_chat`](crate::Client::delete_chat).
///
/// Other failures are not retried: any other 4xx, responses that cannot be decoded, and connections that fail because
/// of their configuration (a rejected certificate, a TLS alert, a server that does not speak TLS, a proxy that requires
/// credentials with 407).
///
/// **Number of retries.** At most [`max_attempts`](RetryPolicy::max_attempts) attempts, within the call's total time:
/// if a delay would reach the deadline, the last error is returned instead. The client also has a retry *budget*,
/// shared by its clones. It starts with [`budget`](RetryPolicy::budget) tokens; a retry costs one, and a successful
/// call refunds the cost of its own retries plus a tenth of a token, up to the initial number. A server that fails
/// occasionally is retried as if there were no budget; a server that is down does not receive three times its usual
/// traffic.
///
/// [`Error::retry_stop`](crate::Error::retry_stop) and the error message report which limit stopped a call.
///
/// **Delay.** Random between 0 and `base · 2ⁿ⁻¹` after the *n*-th attempt, at most `max` ("full jitter"). A
/// `Retry-After` is added to it, so that clients which received the same value spread out and none retries too early.
/// If `Retry-After` exceeds [`max_retry_after`](RetryPolicy::max_retry_after), the error is returned at once, with
/// [`Error::retry_after`](crate::Error::retry_after).
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
    /// 3 attempts, delays of at most 0.5 s, 1 s, 2 s, … 5 s, `Retry-After` up to 30 s, a budget of 100 retries.
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
    /// Returns a policy of one attempt without retries.
    ///
    /// ```
    /// # use parlor_sdk::RetryPolicy;
    /// assert_eq!(RetryPolicy::never(), RetryPolicy::default().max_attempts(1));
    /// ```
    pub fn never() -> Self {
        Self::default().max_attempts(1)
    }

    /// Sets the maximum number of attempts, including the first. 0 is treated as 1.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// Sets the maximum delay after the first attempt, which doubles with each further attempt, and its upper bound.
    pub fn backoff(mut self, base: Duration, max: Duration) -> Self {
        self.base = base;
        self.max = max;
        self
    }

    /// Sets the longest `Retry-After` that is waited for.
    pub fn max_retry_after(mut self, max: Duration) -> Self {
        self.max_retry_after = max;
        self
    }

    /// Sets the number of retries in the initial budget of the client and its clones. 0 disables retries.
    pub fn budget(mut self, retries: u32) -> Self {
        self.budget = retries;
        self
    }

    /// Returns the delay before the next attempt, or the reason not to retry. Pure: `random` is in `0.0..1.0`.
    pub(crate) fn delay(&self, failed: &FailedAttempt, random: f64) -> Result<Duration, RetryStop> {
        if !failed.is_retryable {
            return Err(RetryStop::NotRetryable);
        }
        if failed.attempts >= self.max_attempts {
            return Err(RetryStop::AttemptsExhausted);
        }
        let retry_after = failed.retry_after.unwrap_or(Duration::ZERO);
        if retry_after > self.max_retry_after {
            return Err(RetryStop::RetryAfterTooLong);
        }
        let delay = retry_after.saturating_add(backoff(self.base, self.max, failed.attempts, random));
        match failed.remaining {
            Some(remaining) if delay >= remaining => Err(RetryStop::DeadlineReached),
            _ => Ok(delay),
        }
    }
}

/// The reason a call was not retried: [`Error::retry_stop`](crate::Error::retry_stop).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryStop {
    /// The failure is permanent, or retrying the call is not safe.
    NotRetryable,
    /// The maximum number of [attempts](RetryPolicy::max_attempts) was reached.
    AttemptsExhausted,
    /// The client's [retry budget](RetryPolicy::budget) is exhausted: too many of its calls fail.
    BudgetExhausted,
    /// The delay would reach or exceed the call's deadline.
    DeadlineReached,
    /// The server's `Retry-After` exceeds [`max_retry_after`](RetryPolicy::max_retry_after).
    RetryAfterTooLong,
}

impl fmt::Display for RetryStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRetryable => "not retryable",
            Self::AttemptsExhausted => "no attempts left",
            Self::BudgetExhausted => "the client's retry budget is exhausted",
            Self::DeadlineReached => "no time left for a retry",
            Self::RetryAfterTooLong => "the server's Retry-After exceeds the retry policy's maximum",
        })
    }
}

/// Returns a random delay after this many attempts, between zero and a ceiling that doubles from `base` to `max`.
pub(crate) fn backoff(base: Duration, max: Duration, attempts: u32, random: f64) -> Duration {
    let factor = 2_u32.saturating_pow(attempts.saturating_sub(1));
    fraction(base.saturating_mul(factor).min(max), random)
}

/// Returns a fraction of the duration, clamped to `0..=whole`; the whole duration if `random` is NaN.
/// `Duration::mul_f64` would panic for NaN and near `Duration::MAX`.
pub(crate) fn fraction(whole: Duration, random: f64) -> Duration {
    Duration::try_from_secs_f64(whole.as_secs_f64() * random.clamp(0.0, 1.0))
        .map_or(whole, |fraction| fraction.min(whole))
}

/// The inputs of a retry decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FailedAttempt {
    /// Attempts made so far.
    pub(crate) attempts: u32,
    /// Whether the failure may be temporary and the request may be sent again.
    pub(crate) is_retryable: bool,
    /// The server's `Retry-After`.
    pub(crate) retry_after: Option<Duration>,
    /// The time until the deadline; none without one.
    pub(crate) remaining: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: FailedAttempt = FailedAttempt { attempts: 1, is_retryable: true, retry_after: None, remaining: None };
    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn policy() -> RetryPolicy {
        RetryPolicy::default().max_attempts(10).backoff(MS(100), MS(1_000)).max_retry_after(MS(30_000))
    }

    #[test]
    fn the_ceiling_doubles_up_to_the_maximum() {
        let delays: Vec<_> =
            (1..=6).map(|attempts| policy().delay(&FailedAttempt { attempts, ..FAILED }, 1.0).unwrap()).collect();
        assert_eq!(delays, [MS(100), MS(200), MS(400), MS(800), MS(1_000), MS(1_000)]);
    }

    #[test]
    fn the_jitter_is_full() {
        assert_eq!(policy().delay(&FAILED, 0.0), Ok(MS(0)));
        assert_eq!(policy().delay(&FAILED, 0.5), Ok(MS(50)));
    }

    #[test]
    fn randomness_outside_its_range_is_clamped() {
        assert_eq!(policy().delay(&FAILED, -3.0), Ok(MS(0)));
        assert_eq!(policy().delay(&FAILED, 7.0), Ok(MS(100)));
        assert_eq!(policy().delay(&FAILED, f64::NAN), Ok(MS(100)));
    }

    #[test]
    fn attempts_are_counted() {
        let twice = policy().max_attempts(2);
        assert!(twice.delay(&FAILED, 0.0).is_ok());
        assert_eq!(twice.delay(&FailedAttempt { attempts: 2, ..FAILED }, 0.0), Err(RetryStop::AttemptsExhausted));
        assert_eq!(RetryPolicy::never().delay(&FAILED, 0.0), Err(RetryStop::AttemptsExhausted));
        assert_eq!(policy().max_attempts(0), policy().max_attempts(1));
    }

    #[test]
    fn permanent_failures_are_not_retried() {
        assert_eq!(policy().delay(&FailedAttempt { is_retryable: false, ..FAILED }, 0.0), Err(RetryStop::NotRetryable));
    }

    #[test]
    fn jitter_is_added_to_retry_after() {
        let failed = FailedAttempt { retry_after: Some(MS(7_000)), ..FAILED };
        assert_eq!(policy().delay(&failed, 0.0), Ok(MS(7_000)));
        assert_eq!(policy().delay(&failed, 0.5), Ok(MS(7_050)));
    }

    #[test]
    fn a_retry_after_above_the_maximum_is_not_waited_for() {
        let retry_after =
            |retry_after| policy().delay(&FailedAttempt { retry_after: Some(retry_after), ..FAILED }, 0.0);
        assert_eq!(retry_after(MS(30_000)), Ok(MS(30_000)));
        assert_eq!(retry_after(MS(30_001)), Err(RetryStop::RetryAfterTooLong));
        assert_eq!(retry_after(Duration::MAX), Err(RetryStop::RetryAfterTooLong));
    }

    #[test]
    fn a_delay_that_would_reach_the_deadline_is_not_started() {
        let remaining = |remaining| policy().delay(&FailedAttempt { remaining: Some(remaining), ..FAILED }, 0.5);
        assert_eq!(remaining(MS(51)), Ok(MS(50)));
        assert_eq!(remaining(MS(50)), Err(RetryStop::DeadlineReached));
        assert_eq!(remaining(MS(0)), Err(RetryStop::DeadlineReached));
    }

    #[test]
    fn extreme_settings_do_not_overflow() {
        let absurd = RetryPolicy::default()
            .max_attempts(u32::MAX)
            .backoff(Duration::MAX, Duration::MAX)
            .max_retry_after(Duration::MAX);
        let failed = FailedAttempt { attempts: u32::MAX - 1, retry_after: Some(Duration::MAX), ..FAILED };
        assert_eq!(absurd.delay(&failed, 0.0), Ok(Duration::MAX));
        assert_eq!(absurd.delay(&failed, 1.0), Ok(Duration::MAX));
    }
}

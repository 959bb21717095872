//! The retry loop: attempts and the delays between them.

use std::future::Future;
use std::time::Instant;

use crate::client::ClientInner;
use crate::clock;
use crate::error::Error;
use crate::operation::Operation;
use crate::prepared_call::PreparedCall;
use crate::problem::Code;
use crate::raw_response::{self, RawResponse};
use crate::redact::Secrets;
use crate::retry_policy::{FailedAttempt, RetryStop};

/// Sends the request, retrying as the policy allows. Returns the response and the number of attempts.
pub(crate) async fn execute(client: &ClientInner, call: &PreparedCall) -> Result<(RawResponse, u32), Error> {
    let deadline = call.deadline(client.settings.clock.now());
    run(client, call.operation, call.key(), deadline, |maybe_processed| {
        attempt(client, call, deadline, maybe_processed)
    })
    .await
}

/// Runs attempts until one succeeds or the policy, the budget or the deadline stops. Each attempt is passed whether the
/// server may have processed an earlier one. Returns the result and the number of attempts.
pub(crate) async fn run<T, A>(
    client: &ClientInner,
    operation: Operation,
    key: Option<&str>,
    deadline: Option<Instant>,
    mut attempt: impl FnMut(bool) -> A,
) -> Result<(T, u32), Error>
where
    A: Future<Output = Result<T, Error>>,
{
    let clock = &*client.settings.clock;
    let mut maybe_processed = false;
    let mut attempts = 0;
    loop {
        if deadline.is_some_and(|deadline| deadline <= clock.now()) {
            let error = deadline_error().with_call(operation, attempts, key, maybe_processed);
            return Err(error.with_retry_stop(RetryStop::DeadlineReached));
        }
        attempts += 1;
        let error = match attempt(maybe_processed).await {
            Ok(value) => {
                client.retry_budget.record_success(attempts - 1);
                return Ok((value, attempts));
            }
            Err(error) => error,
        };
        maybe_processed |= error.was_maybe_processed();
        let error = error.with_call(operation, attempts, key, maybe_processed);
        let failed = FailedAttempt {
            attempts,
            is_retryable: error.is_retryable(),
            retry_after: error.retry_after(),
            remaining: deadline.map(|deadline| deadline.saturating_duration_since(clock.now())),
        };
        let delay = client.settings.retry.delay(&failed, (client.settings.randomness)());
        match delay {
            // The budget is checked last so that it is charged only for requests that are sent.
            Ok(delay) if client.retry_budget.withdraw() => clock.sleep(delay).await,
            Ok(_) => return Err(error.with_retry_stop(RetryStop::BudgetExhausted)),
            Err(stop) => return Err(error.with_retry_stop(stop)),
        }
    }
}

/// Sends the request once. `maybe_processed` is whether the server may have processed an earlier attempt.
async fn attempt(
    client: &ClientInner,
    call: &PreparedCall,
    deadline: Option<Instant>,
    maybe_processed: bool,
) -> Result<RawResponse, Error> {
    let clock = &*client.settings.clock;
    let redact = |error: Error| error.redact(&Secrets::of(&call.request.headers));
    let response =
        with_attempt_timeout(client, deadline, client.transport.send(&call.request)).await.map_err(redact)?;
    if maybe_processed && call.operation.is_deletion() && response.has_problem_code(&Code::ChatNotFound) {
        return Ok(response);
    }
    raw_response::check_status(response, &call.request.url, clock.system_time()).map_err(redact)
}

/// Runs `work` for at most the attempt timeout, and not beyond the deadline.
pub(crate) async fn with_attempt_timeout<T>(
    client: &ClientInner,
    deadline: Option<Instant>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let clock = &*client.settings.clock;
    let own_end = clock.now().checked_add(client.settings.attempt_timeout);
    let end = own_end.into_iter().chain(deadline).min();
    match clock::with_deadline(end, clock, work).await {
        Some(outcome) => outcome,
        None if end == deadline => Err(deadline_error()),
        None => Err(Error::timeout(format!(
            "no complete response within the attempt timeout of {:?}",
            client.settings.attempt_timeout
        ))),
    }
}

fn deadline_error() -> Error {
    Error::timeout("no complete response before the call's deadline")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::{Duration, SystemTime};

    use http::StatusCode;

    use super::*;
    use crate::client::Client;
    use crate::clock::{Clock, SleepFuture};
    use crate::error::ErrorResponse;
    use crate::operation::CREATE_CHAT;

    /// A clock that stands still and never waits.
    #[derive(Debug)]
    struct FrozenClock(Instant);

    impl Clock for FrozenClock {
        fn now(&self) -> Instant {
            self.0
        }

        fn system_time(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }

        fn sleep(&self, _: Duration) -> SleepFuture {
            Box::pin(std::future::ready(()))
        }

        fn sleep_until(&self, _: Instant) -> SleepFuture {
            Box::pin(std::future::pending())
        }
    }

    const CALLS: u32 = 100_000;

    /// Totals of many calls to a server that answers a share of the attempts with 503.
    struct Simulation {
        failed: u32,
        attempts: u32,
        stopped_by_budget: u32,
    }

    /// Uses xorshift64 with a fixed seed so that every run is the same.
    async fn simulate(failing_share: f64) -> Simulation {
        let clock = FrozenClock(Instant::now());
        let client =
            Client::builder("http://localhost:1", "simulated").clock(clock).randomness(|| 0.5).build().unwrap();
        let state = Cell::new(0x9E37_79B9_7F4A_7C15_u64);
        let attempts = Cell::new(0);
        let attempt = |_| {
            let mut next = state.get();
            next ^= next << 13;
            next ^= next >> 7;
            next ^= next << 17;
            state.set(next);
            attempts.set(attempts.get() + 1);
            let drawn = f64::from(u32::try_from(next >> 32).unwrap()) / f64::from(u32::MAX);
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let failure = || Error::status_code("unavailable", ErrorResponse { status, ..ErrorResponse::default() });
            std::future::ready(if drawn < failing_share { Err(failure()) } else { Ok(()) })
        };
        let (mut failed, mut stopped_by_budget) = (0, 0);
        for _ in 0..CALLS {
            if let Err(error) = run(&client.inner, CREATE_CHAT, None, None, attempt).await {
                failed += 1;
                stopped_by_budget += u32::from(error.retry_stop() == Some(RetryStop::BudgetExhausted));
            }
        }
        Simulation { failed, attempts: attempts.get(), stopped_by_budget }
    }

    #[tokio::test]
    async fn the_budget_does_not_limit_retries_of_a_server_that_fails_occasionally() {
        let simulation = simulate(0.12).await;
        // 0.12³ of 100,000 calls is 173.
        assert!((100..=250).contains(&simulation.failed), "{} of {CALLS} failed", simulation.failed);
        assert_eq!(simulation.stopped_by_budget, 0);
    }

    #[tokio::test]
    async fn the_budget_limits_requests_to_a_server_that_is_down() {
        let simulation = simulate(1.0).await;
        assert_eq!(simulation.failed, CALLS);
        assert_eq!(simulation.attempts, CALLS + 100, "one attempt a call, plus the initial budget of retries");
        assert!(simulation.stopped_by_budget > CALLS / 2);
    }
}

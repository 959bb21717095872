//! The retry loop: attempts and the delays between them.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use crate::answer::{self, Answer};
use crate::call::Prepared;
use crate::client::Inner;
use crate::clock::Clock;
use crate::error::Error;
use crate::operation::Operation;
use crate::problem::Code;
use crate::redact::Secrets;
use crate::retry::{Failed, RetryStop};

/// Sends the request, retrying as the policy allows. Returns the response and the number of attempts.
pub(crate) async fn make(client: &Inner, call: &Prepared) -> Result<(Answer, u32), Error> {
    let deadline = call.deadline(client.settings.clock.now());
    repeat(client, call.operation, call.key(), deadline, |repeats| attempt(client, call, deadline, repeats)).await
}

/// Runs attempts until one succeeds or the policy, the budget or the deadline stops. Each attempt is passed whether the
/// server may have processed an earlier one. Returns the result and the number of attempts.
pub(crate) async fn repeat<T, A>(
    client: &Inner,
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
            let error = out_of_time().in_call(operation, attempts, key, maybe_processed);
            return Err(error.stopped_by(RetryStop::DeadlineReached));
        }
        attempts += 1;
        let error = match attempt(maybe_processed).await {
            Ok(value) => {
                client.budget.succeeded(attempts - 1);
                return Ok((value, attempts));
            }
            Err(error) => error,
        };
        maybe_processed |= error.was_maybe_processed();
        let error = error.in_call(operation, attempts, key, maybe_processed);
        let failed = Failed {
            attempts,
            repeatable: error.is_retryable(),
            retry_after: error.retry_after(),
            remaining: deadline.map(|deadline| deadline.saturating_duration_since(clock.now())),
        };
        let pause = client.settings.retry.pause(&failed, (client.settings.randomness)());
        match pause {
            // The budget is checked last so that it is charged only for requests that are sent.
            Ok(pause) if client.budget.withdraw() => clock.sleep(pause).await,
            Ok(_) => return Err(error.stopped_by(RetryStop::BudgetExhausted)),
            Err(stop) => return Err(error.stopped_by(stop)),
        }
    }
}

/// Sends the request once. `maybe_processed` is whether the server may have processed an earlier attempt.
async fn attempt(client: &Inner, call: &Prepared, deadline: Option<Instant>, repeats: bool) -> Result<Answer, Error> {
    let clock = &*client.settings.clock;
    let redact = |error: Error| error.redact(&Secrets::of(&call.request.headers));
    let answer = in_time(client, deadline, client.transport.send(&call.request)).await.map_err(redact)?;
    if repeats && call.operation.deletes() && answer.says(&Code::ChatNotFound) {
        return Ok(answer);
    }
    answer::judge(answer, &call.request.url, clock.system_time()).map_err(redact)
}

/// Runs `work` for at most the attempt timeout, and not beyond the deadline.
pub(crate) async fn in_time<T>(
    client: &Inner,
    deadline: Option<Instant>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let clock = &*client.settings.clock;
    let own_end = clock.now().checked_add(client.settings.attempt_timeout);
    let end = own_end.into_iter().chain(deadline).min();
    match before(end, clock, work).await {
        Some(outcome) => outcome,
        None if end == deadline => Err(out_of_time()),
        None => Err(Error::timeout(format!(
            "no complete response within the attempt timeout of {:?}",
            client.settings.attempt_timeout
        ))),
    }
}

fn out_of_time() -> Error {
    Error::timeout("no complete response before the call's deadline")
}

/// Runs `work`, and returns none if `end` is reached first.
pub(crate) async fn before<W: Future>(end: Option<Instant>, clock: &dyn Clock, work: W) -> Option<W::Output> {
    let Some(end) = end else { return Some(work.await) };
    let mut work = pin!(work);
    let mut reached = clock.reached(end);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => reached.as_mut().poll(context).map(|()| None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::{Duration, SystemTime};

    use http::StatusCode;

    use super::*;
    use crate::client::Client;
    use crate::clock::Pause;
    use crate::error::Refusal;
    use crate::operation::CREATE_CHAT;

    /// A clock that stands still and never waits.
    #[derive(Debug)]
    struct NoWaiting(Instant);

    impl Clock for NoWaiting {
        fn now(&self) -> Instant {
            self.0
        }

        fn system_time(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }

        fn sleep(&self, _: Duration) -> Pause {
            Box::pin(std::future::ready(()))
        }

        fn reached(&self, _: Instant) -> Pause {
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
        let clock = NoWaiting(Instant::now());
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
            let failure = || Error::status_code("unavailable", Refusal { status, ..Refusal::default() });
            std::future::ready(if drawn < failing_share { Err(failure()) } else { Ok(()) })
        };
        let (mut failed, mut stopped_by_budget) = (0, 0);
        for _ in 0..CALLS {
            if let Err(error) = repeat(&client.inner, CREATE_CHAT, None, None, attempt).await {
                failed += 1;
                stopped_by_budget += u32::from(error.retry_stop() == Some(RetryStop::BudgetExhausted));
            }
        }
        Simulation { failed, attempts: attempts.get(), stopped_by_budget }
    }

    #[tokio::test]
    async fn a_server_that_fails_now_and_then_costs_no_more_calls_than_three_tries_would() {
        let simulation = simulate(0.12).await;
        // 0.12³ of 100,000 calls is 173.
        assert!((100..=250).contains(&simulation.failed), "{} of {CALLS} failed", simulation.failed);
        assert_eq!(simulation.stopped_by_budget, 0);
    }

    #[tokio::test]
    async fn a_server_that_is_down_gets_hardly_more_requests_than_calls() {
        let simulation = simulate(1.0).await;
        assert_eq!(simulation.failed, CALLS);
        assert_eq!(simulation.attempts, CALLS + 100, "one attempt a call, plus the initial budget of retries");
        assert!(simulation.stopped_by_budget > CALLS / 2);
    }
}

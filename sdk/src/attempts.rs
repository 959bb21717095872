//! Carrying out a call: attempts, and the pauses between them.

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
use crate::retry::Failed;

/// Sends the request until there is a success, no hope or no time. Returns the answer and the number of attempts.
pub(crate) async fn make(client: &Inner, call: &Prepared) -> Result<(Answer, u32), Error> {
    let deadline = call.deadline(client.settings.clock.now());
    repeat(client, call.operation, call.key(), deadline, |repeats| attempt(client, call, deadline, repeats)).await
}

/// Makes attempts until one succeeds, or there is no hope or no time. An attempt is told whether an earlier one may have
/// been carried out. Returns what it came to and the number of attempts.
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
            return Err(out_of_time().in_call(operation, attempts, key, maybe_processed));
        }
        attempts += 1;
        let error = match attempt(maybe_processed).await {
            Ok(value) => {
                client.budget.deposit();
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
            // The budget is asked last, so that it pays only for what is really sent again.
            Some(pause) if client.budget.withdraw() => clock.sleep(pause).await,
            _ => return Err(error),
        }
    }
}

/// `repeats` tells whether an earlier attempt of the call may have been carried out.
async fn attempt(client: &Inner, call: &Prepared, deadline: Option<Instant>, repeats: bool) -> Result<Answer, Error> {
    let clock = &*client.settings.clock;
    let answer = in_time(client, deadline, client.transport.send(&call.request)).await?;
    if repeats && call.operation.deletes() && answer.says(&Code::ChatNotFound) {
        return Ok(answer);
    }
    answer::judge(answer, &call.request.url, clock.system_time())
}

/// What `work` comes to in the time of an attempt, or before the deadline if that is earlier.
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
            "no complete answer within {:?}, the time of an attempt",
            client.settings.attempt_timeout
        ))),
    }
}

fn out_of_time() -> Error {
    Error::timeout("no complete answer before the call's time was over")
}

/// What `work` comes to; none when `end` comes first.
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

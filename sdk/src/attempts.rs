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
use crate::problem::Code;
use crate::retry::Failed;

/// Sends the request until there is a success, no hope or no time. Returns the answer and the number of attempts.
pub(crate) async fn make(client: &Inner, call: &Prepared) -> Result<(Answer, u32), Error> {
    let clock = &*client.settings.clock;
    let deadline = call.deadline(clock.now());
    let mut maybe_processed = false;
    let mut attempts = 0;
    loop {
        if deadline.is_some_and(|deadline| deadline <= clock.now()) {
            return Err(out_of_time().in_call(call.operation, attempts, call.key(), maybe_processed));
        }
        attempts += 1;
        let error = match attempt(client, call, deadline, maybe_processed).await {
            Ok(answer) => {
                client.budget.deposit();
                return Ok((answer, attempts));
            }
            Err(error) => error,
        };
        maybe_processed |= error.was_maybe_processed();
        let error = error.in_call(call.operation, attempts, call.key(), maybe_processed);
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
    let own_end = clock.now().checked_add(client.settings.attempt_timeout);
    let end = own_end.into_iter().chain(deadline).min();
    match before(end, clock, client.transport.send(&call.request)).await {
        Some(answer) => {
            let answer = answer?;
            if repeats && call.operation.deletes() && answer.says(&Code::ChatNotFound) {
                return Ok(answer);
            }
            answer::judge(answer, &call.request.url, clock.system_time())
        }
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
async fn before<W: Future>(end: Option<Instant>, clock: &dyn Clock, work: W) -> Option<W::Output> {
    let Some(end) = end else { return Some(work.await) };
    let mut work = pin!(work);
    let mut reached = clock.reached(end);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => reached.as_mut().poll(context).map(|()| None),
    })
    .await
}

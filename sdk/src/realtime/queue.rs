//! Events on their way from the connection to the application.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use crate::error::Error;
use crate::realtime::event::Event;

/// What an event takes in memory beside its text, roughly, in bytes.
const OVERHEAD: usize = 256;

/// A queue that counts bytes. It takes whatever it is given: the bound is kept by who asks [`has_room`](Writer::has_room)
/// before it reads more.
pub(crate) fn queue(limit: usize) -> (Writer, Reader) {
    let shared = Arc::new(Shared { limit, state: Mutex::default(), changed: Notify::new() });
    (Writer(Arc::clone(&shared)), Reader(shared))
}

struct Shared {
    limit: usize,
    state: Mutex<State>,
    /// There is room again, or nobody reads any more.
    changed: Notify,
}

#[derive(Default)]
struct State {
    events: VecDeque<(Event, usize)>,
    bytes: usize,
    end: Option<Result<(), Error>>,
    is_abandoned: bool,
    reader: Option<Waker>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of the application runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection's end.
pub(crate) struct Writer(Arc<Shared>);

impl Writer {
    /// `bytes` is the length of the event's text.
    pub(crate) fn push(&self, event: Event, bytes: usize) {
        let mut state = self.0.lock();
        if state.is_abandoned {
            return;
        }
        // A server that is away for days must not fill the queue with the news that it is still away.
        let repeats =
            matches!(event, Event::Disconnected(_)) && matches!(state.events.back(), Some((Event::Disconnected(_), _)));
        if repeats && let Some((_, bytes)) = state.events.pop_back() {
            state.bytes -= bytes;
        }
        let bytes = bytes + OVERHEAD;
        state.bytes += bytes;
        state.events.push_back((event, bytes));
        wake(state);
    }

    /// The events end here, with an error or without.
    pub(crate) fn end(&self, outcome: Result<(), Error>) {
        let mut state = self.0.lock();
        if state.end.is_none() {
            state.end = Some(outcome);
        }
        wake(state);
    }

    /// Whether less is waiting than the limit. It is, when nobody reads any more.
    pub(crate) fn has_room(&self) -> bool {
        self.0.lock().bytes < self.0.limit
    }

    /// Whether enough has been taken for a new connection to be worth its while.
    pub(crate) fn has_plenty_of_room(&self) -> bool {
        self.0.lock().bytes <= self.0.limit / 2
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.lock().is_abandoned
    }

    /// Waits until there is room again, or nobody reads any more; it may be ready without a reason.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }
}

impl Drop for Writer {
    /// Also when the task is torn down together with its runtime.
    fn drop(&mut self) {
        self.end(Err(Error::closed("the runtime of the session is gone", None)));
    }
}

/// The application's end.
pub(crate) struct Reader(Arc<Shared>);

impl Reader {
    /// The next event; an error once, if the events end in one; then none.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        let mut state = self.0.lock();
        if let Some((event, bytes)) = state.events.pop_front() {
            let before = state.bytes;
            state.bytes -= bytes;
            let after = state.bytes;
            drop(state);
            let comes_below = |mark: usize| before >= mark && after < mark;
            if comes_below(self.0.limit) || comes_below(self.0.limit / 2 + 1) {
                self.0.changed.notify_one();
            }
            return Poll::Ready(Some(Ok(event)));
        }
        match &mut state.end {
            Some(end) => Poll::Ready(std::mem::replace(end, Ok(())).err().map(Err)),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_abandoned = true;
        state.bytes = 0;
        let events = std::mem::take(&mut state.events);
        drop(state);
        drop(events);
        self.0.changed.notify_one();
    }
}

/// Wakes the reader after the lock is released.
fn wake(mut state: MutexGuard<'_, State>) {
    let reader = state.reader.take();
    drop(state);
    if let Some(reader) = reader {
        reader.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(reader: &Reader) -> Poll<Option<Result<Event, Error>>> {
        reader.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn event(name: &str) -> Event {
        Event::from_json(&format!(r#"{{"event_type":"{name}"}}"#))
    }

    fn disconnected(detail: &str) -> Event {
        use crate::realtime::event::{DisconnectReason, Disconnected};
        let retry_in = std::time::Duration::ZERO;
        Event::Disconnected(Disconnected { reason: DisconnectReason::Broken, detail: detail.to_owned(), retry_in })
    }

    #[test]
    fn events_come_in_order_and_then_the_end() {
        let (writer, reader) = queue(1_000);
        assert!(poll(&reader).is_pending());
        writer.push(event("a"), 1);
        writer.push(event("b"), 1);
        writer.end(Err(Error::closed("over", Some(4004))));
        drop(writer);
        for name in ["a", "b"] {
            assert!(matches!(poll(&reader), Poll::Ready(Some(Ok(found))) if found == event(name)));
        }
        assert!(matches!(poll(&reader), Poll::Ready(Some(Err(error))) if error.close_code() == Some(4004)));
        assert!(matches!(poll(&reader), Poll::Ready(None)));
        assert!(matches!(poll(&reader), Poll::Ready(None)));
    }

    #[test]
    fn bytes_are_counted_until_they_are_taken() {
        let (writer, reader) = queue(1_000);
        writer.push(event("a"), 700);
        assert!(writer.has_room());
        writer.push(event("b"), 700);
        assert!(!writer.has_room());
        assert!(poll(&reader).is_ready());
        assert!(writer.has_room());
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let (writer, reader) = queue(1);
        writer.push(event("a"), 700);
        drop(reader);
        assert!(writer.has_room() && writer.is_abandoned());
        writer.push(event("b"), 700);
        assert!(writer.has_room());
    }

    #[test]
    fn only_the_last_of_several_failures_is_kept() {
        let (writer, reader) = queue(1_000);
        for detail in ["first", "second", "third"] {
            writer.push(disconnected(detail), 0);
        }
        assert!(matches!(poll(&reader), Poll::Ready(Some(Ok(found))) if found == disconnected("third")));
        assert!(poll(&reader).is_pending());
    }
}

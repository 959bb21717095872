//! The queue of events between the connection and the application.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use crate::error::Error;
use crate::realtime::event::Event;

/// Approximate memory of an event in addition to its text, in bytes.
const EVENT_OVERHEAD: usize = 256;

/// Creates a queue that counts bytes. It never rejects an event: the writer keeps the limit by checking
/// [`has_room`](EventWriter::has_room) before it reads more from the connection.
pub(crate) fn event_queue(limit: usize) -> (EventWriter, EventReader) {
    let shared = Arc::new(SharedQueue { limit, state: Mutex::default(), changed: Notify::new() });
    (EventWriter(Arc::clone(&shared)), EventReader(shared))
}

struct SharedQueue {
    limit: usize,
    state: Mutex<QueueState>,
    /// Notified when there is room again, or the reader was dropped.
    changed: Notify,
}

#[derive(Default)]
struct QueueState {
    events: VecDeque<(Event, usize)>,
    bytes: usize,
    end: Option<Result<(), Error>>,
    is_reader_dropped: bool,
    reader: Option<Waker>,
}

impl SharedQueue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // No application code runs while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection's end of the queue.
pub(crate) struct EventWriter(Arc<SharedQueue>);

impl EventWriter {
    /// Appends an event. `bytes` is the length of its text.
    pub(crate) fn push(&self, event: Event, bytes: usize) {
        let mut state = self.0.lock();
        if state.is_reader_dropped {
            return;
        }
        // Consecutive disconnects are merged so that a server that is down for days does not fill the queue.
        let repeats =
            matches!(event, Event::Disconnected(_)) && matches!(state.events.back(), Some((Event::Disconnected(_), _)));
        if repeats && let Some((_, bytes)) = state.events.pop_back() {
            state.bytes -= bytes;
        }
        let bytes = bytes + EVENT_OVERHEAD;
        state.bytes += bytes;
        state.events.push_back((event, bytes));
        wake(state);
    }

    /// Ends the events, with or without an error. Only the first call has an effect.
    pub(crate) fn end(&self, outcome: Result<(), Error>) {
        let mut state = self.0.lock();
        if state.end.is_none() {
            state.end = Some(outcome);
        }
        wake(state);
    }

    /// Returns whether fewer bytes than the limit are queued. Always true after the reader was dropped.
    pub(crate) fn has_room(&self) -> bool {
        self.0.lock().bytes < self.0.limit
    }

    /// Returns whether the application has read enough to reconnect.
    pub(crate) fn is_half_empty(&self) -> bool {
        self.0.lock().bytes <= self.0.limit / 2
    }

    pub(crate) fn is_reader_dropped(&self) -> bool {
        self.0.lock().is_reader_dropped
    }

    /// Waits until there is room again, or the reader was dropped. May return spuriously.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }
}

impl Drop for EventWriter {
    /// Also runs when the task is dropped together with its runtime.
    fn drop(&mut self) {
        self.end(Err(Error::closed("the runtime of the session was shut down", None)));
    }
}

/// The application's end of the queue.
pub(crate) struct EventReader(Arc<SharedQueue>);

impl EventReader {
    /// Polls for the next event, then for the final error, if any, then none.
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

impl Drop for EventReader {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_reader_dropped = true;
        state.bytes = 0;
        let events = std::mem::take(&mut state.events);
        drop(state);
        drop(events);
        self.0.changed.notify_one();
    }
}

/// Wakes the reader after releasing the lock.
fn wake(mut state: MutexGuard<'_, QueueState>) {
    let reader = state.reader.take();
    drop(state);
    if let Some(reader) = reader {
        reader.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(reader: &EventReader) -> Poll<Option<Result<Event, Error>>> {
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
    fn events_are_in_order_and_followed_by_the_end() {
        let (writer, reader) = event_queue(1_000);
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
    fn bytes_are_counted_until_the_event_is_read() {
        let (writer, reader) = event_queue(1_000);
        writer.push(event("a"), 700);
        assert!(writer.has_room());
        writer.push(event("b"), 700);
        assert!(!writer.has_room());
        assert!(poll(&reader).is_ready());
        assert!(writer.has_room());
    }

    #[test]
    fn nothing_is_kept_without_a_reader() {
        let (writer, reader) = event_queue(1);
        writer.push(event("a"), 700);
        drop(reader);
        assert!(writer.has_room() && writer.is_reader_dropped());
        writer.push(event("b"), 700);
        assert!(writer.has_room());
    }

    #[test]
    fn consecutive_disconnects_are_merged() {
        let (writer, reader) = event_queue(1_000);
        for detail in ["first", "second", "third"] {
            writer.push(disconnected(detail), 0);
        }
        assert!(matches!(poll(&reader), Poll::Ready(Some(Ok(found))) if found == disconnected("third")));
        assert!(poll(&reader).is_pending());
    }
}

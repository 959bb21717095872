//! When each request was sent, how long it took, and how it was answered.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// Creates a chat, with an idempotency key.
    Create,
    /// Sends a message by REST.
    Send,
    /// Sends a message by WebSocket.
    SendLive,
    /// Changes a title.
    Update,
    /// Deletes a chat.
    Delete,
    /// Makes a ticket.
    Ticket,
    /// Repeats an acknowledged creation with its idempotency key.
    Repeat,
    /// Reads a chat.
    Get,
    /// Reads messages.
    List,
    /// Asks `/readyz`.
    Ready,
    /// A write that the fault itself blocks; only its time is judged.
    Blocked,
}

impl Operation {
    /// All that change something.
    pub(super) const WRITES: [Self; 6] =
        [Self::Create, Self::Send, Self::SendLive, Self::Update, Self::Delete, Self::Ticket];

    /// Whether it is part of the load, rather than a look at the server's state.
    fn is_load(self) -> bool {
        !matches!(self, Self::Ready | Self::Blocked)
    }
}

/// A request and its outcome.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    /// When it was sent.
    pub(super) began: Instant,
    /// The time until its answer, or until it was given up.
    pub(super) took: Duration,
    /// What it does.
    pub(super) operation: Operation,
    /// The answer's status; 0: there was no answer.
    pub(super) status: u16,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            0 => write!(f, "{:?} had no answer after {:.1?}", self.operation, self.took),
            status => write!(f, "{:?} was answered {status} after {:.1?}", self.operation, self.took),
        }
    }
}

impl Event {
    fn ended(&self) -> Instant {
        self.began + self.took
    }

    fn is_failure(&self) -> bool {
        self.status == 0 || self.status >= 500
    }
}

/// All requests of one case.
#[derive(Debug, Default)]
pub(super) struct Timeline(Mutex<Vec<Event>>);

impl Timeline {
    /// Adds a request that has just ended.
    pub(super) fn add(&self, operation: Operation, began: Instant, status: u16) {
        self.events().push(Event { began, took: began.elapsed(), operation, status });
    }

    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn first(&self, after: Instant, wanted: impl Fn(&Event) -> bool) -> Option<Duration> {
        let events = self.events();
        let matching = events.iter().filter(|event| event.ended() >= after && wanted(event));
        matching.map(|event| event.ended().duration_since(after)).min()
    }

    /// The time from `after` to the first 503 of the load.
    pub(super) fn refused(&self, after: Instant) -> Option<Duration> {
        self.first(after, |event| event.operation.is_load() && event.status == 503)
    }

    /// The time from `after` to the first answer of `/readyz` that is not 200.
    pub(super) fn unready(&self, after: Instant) -> Option<Duration> {
        self.first(after, |event| event.operation == Operation::Ready && event.status != 200)
    }

    /// The time from `after` until `/readyz`, asked later, answers 200.
    pub(super) fn ready(&self, after: Instant) -> Option<Duration> {
        self.first(after, |event| event.operation == Operation::Ready && event.began >= after && event.status == 200)
    }

    /// The time from `after` until every kind of write, sent later, has succeeded once.
    pub(super) fn writes(&self, after: Instant) -> Option<Duration> {
        let succeeded = |operation| {
            self.first(after, |event| {
                event.operation == operation && event.began >= after && (200..300).contains(&event.status)
            })
        };
        Operation::WRITES.into_iter().map(succeeded).try_fold(Duration::ZERO, |most, time| Some(most.max(time?)))
    }

    /// The longest time that a request took.
    pub(super) fn longest(&self) -> Option<Event> {
        self.events().iter().copied().max_by_key(|event| event.took)
    }

    /// Requests of the load, sent between the two times, that had no answer or a 5xx.
    pub(super) fn failures(&self, from: Instant, to: Instant) -> Vec<Event> {
        let failed =
            |event: &&Event| (from..to).contains(&event.began) && event.operation.is_load() && event.is_failure();
        self.events().iter().filter(failed).copied().collect()
    }

    /// Writes that were sent and acknowledged between the two times.
    pub(super) fn acknowledged(&self, from: Instant, to: Instant) -> usize {
        let acknowledged = |event: &&Event| {
            event.began >= from
                && event.ended() < to
                && Operation::WRITES.contains(&event.operation)
                && (200..300).contains(&event.status)
        };
        self.events().iter().filter(acknowledged).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_from_the_fault_on() {
        let start = Instant::now();
        let timeline = Timeline::default();
        let add = |operation, at: u64, took: u64, status| {
            let (began, took) = (start + Duration::from_millis(at), Duration::from_millis(took));
            timeline.events().push(Event { began, took, operation, status });
        };
        add(Operation::Create, 0, 10, 503);
        add(Operation::Create, 90, 210, 503);
        add(Operation::Ready, 100, 50, 200);
        add(Operation::Ready, 150, 50, 503);
        add(Operation::Get, 160, 700, 0);
        for operation in Operation::WRITES {
            assert_eq!(timeline.writes(start + Duration::from_millis(900)), None);
            add(operation, 1_000, 5, 200);
        }
        let at = start + Duration::from_millis(100);
        assert_eq!(timeline.refused(at), Some(Duration::from_millis(200)));
        assert_eq!(timeline.unready(at), Some(Duration::from_millis(100)));
        assert_eq!(timeline.ready(at), Some(Duration::from_millis(50)));
        assert_eq!(timeline.writes(at), Some(Duration::from_millis(905)));
        assert_eq!(timeline.longest().map(|event| event.operation), Some(Operation::Get));
        assert_eq!(timeline.failures(at, start + Duration::from_secs(2)).len(), 1);
        assert_eq!(timeline.acknowledged(start, start + Duration::from_secs(2)), 6);
        assert_eq!(timeline.acknowledged(start, start + Duration::from_millis(1_002)), 0);
    }
}

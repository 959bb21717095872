//! The state machine of a session, without I/O and clock: inputs go in with the current time, effects come out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::error::{Error, ErrorKind};
use crate::realtime::connection_loss::{self, ConnectionLoss};
use crate::realtime::event::{Connected, DisconnectReason, Disconnected, ErrorEvent, Event};
use crate::realtime::outbox::{Outbox, QueuedMessage};
use crate::realtime::stream_position::{Admission, StreamPosition};
use crate::retry_policy::{backoff, fraction};

/// The maximum delay before the first reconnect; it doubles with each consecutive failure.
const INITIAL_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// The upper bound on `Retry-After` that the session honours.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// A connection that lasts this long resets the delay.
const STABLE_AFTER: Duration = Duration::from_secs(3);
/// The maximum time between two pings; the minimum is four fifths of it.
const PING_INTERVAL: Duration = Duration::from_secs(25);
/// Maximum time without any data from the server.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum time that the connection is left unread because the application reads no events. Short enough that the
/// server does not time out first.
const STALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time that `close` waits for outstanding acknowledgements and the server's close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// An action for the session task.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "effects are short-lived")]
pub(crate) enum Effect {
    /// Open a connection, then call `opened` or `open_failed`.
    Open { after_seq: Option<u64> },
    /// Write a text frame.
    Write(String),
    /// Write a ping.
    Ping,
    /// Write a close frame and continue reading.
    SendClose,
    /// Drop the connection, after a close frame if a code is given.
    Disconnect(Option<u16>),
    /// Wait, then call `backoff_elapsed`.
    BackOff(Duration),
    /// Pass the event to the application. The second field is the length of its text in bytes.
    Deliver(Event, usize),
    /// End the session.
    End(Result<(), Error>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A connection is being opened.
    Opening,
    /// The connection is open.
    Open(OpenConnection),
    /// The close frame is written; the server may respond until then.
    Closing {
        until: Instant,
    },
    /// Waiting before the next connection.
    BackingOff,
    /// Waiting for the application to read events before the next connection.
    Overflowed,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OpenConnection {
    since: Instant,
    /// When the server last sent data.
    last_received: Instant,
    next_ping: Instant,
    /// Since when the connection is not read.
    stalled_since: Option<Instant>,
    /// The deadline of a session that is being closed.
    close_deadline: Option<Instant>,
}

pub(crate) struct Machine {
    state: State,
    position: StreamPosition,
    outbox: Outbox,
    /// Consecutive connections that could not be opened or did not last.
    failures: u32,
    randomness: Arc<dyn Fn() -> f64 + Send + Sync>,
    effects: VecDeque<Effect>,
}

impl Machine {
    /// Creates a session whose first connection is open.
    pub(crate) fn new(
        now: Instant,
        after_seq: Option<u64>,
        connected: Connected,
        randomness: Arc<dyn Fn() -> f64 + Send + Sync>,
    ) -> Self {
        let mut machine = Self {
            state: State::Opening,
            position: StreamPosition::new(after_seq),
            outbox: Outbox::new(connected.user_id.clone()),
            failures: 0,
            randomness,
            effects: VecDeque::new(),
        };
        machine.opened(now, connected);
        machine
    }

    /// Returns the next effect.
    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Returns when to call `deadline_reached`.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Open(open) => {
                let times = [Some(open.next_ping), open.timeout_at(), open.close_deadline, self.outbox.next_due()];
                times.into_iter().flatten().min()
            }
            State::Closing { until } => Some(until),
            State::Opening | State::BackingOff | State::Overflowed | State::Ended => None,
        }
    }

    /// Returns whether `send` may be called.
    pub(crate) fn accepts_messages(&mut self) -> bool {
        if self.outbox.is_full() {
            self.outbox.remove_abandoned();
        }
        !self.outbox.is_full()
    }

    /// Ready when the caller of a pending message has stopped waiting for it.
    pub(crate) fn poll_caller_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.outbox.poll_caller_gone(context)
    }

    /// Returns whether the session waits for the application to read events.
    pub(crate) fn is_overflowed(&self) -> bool {
        self.state == State::Overflowed
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    pub(crate) fn opened(&mut self, now: Instant, connected: Connected) {
        let gap = self.position.connected(&connected);
        self.deliver(Event::Connected(connected), 0);
        if let Some(gap) = gap {
            self.deliver(Event::Gap(gap), 0);
        }
        let next_ping = now + self.ping_interval();
        self.state = State::Open(OpenConnection {
            since: now,
            last_received: now,
            next_ping,
            stalled_since: None,
            close_deadline: None,
        });
        self.write_due(now);
    }

    pub(crate) fn open_failed(&mut self, error: Error) {
        // Only the server itself ends the session. An intermediary, such as a captive portal, may respond with anything
        // for a while.
        let is_rejected =
            error.kind() == ErrorKind::Status && error.status().is_some_and(|status| status.is_client_error());
        let is_final_kind = matches!(error.kind(), ErrorKind::Closed | ErrorKind::TooLarge | ErrorKind::InvalidCall);
        if is_final_kind || is_rejected && !error.is_retryable() && error.status() != Some(StatusCode::TOO_EARLY) {
            return self.end(Err(error));
        }
        let retry_after = error.retry_after().unwrap_or_default().min(MAX_RETRY_AFTER);
        self.back_off(DisconnectReason::Unreachable, describe(&error), retry_after);
    }

    /// Handles any data from the connection.
    pub(crate) fn data_received(&mut self, now: Instant) {
        if let State::Open(open) = &mut self.state {
            open.last_received = now;
        }
    }

    /// Handles an event from the connection. `bytes` is the length of its text.
    pub(crate) fn event_received(&mut self, now: Instant, event: Event, bytes: usize) {
        self.data_received(now);
        match &event {
            Event::MessageReceived(received) => self.outbox.received(received),
            Event::MessageCreated(created) => self.outbox.created(&created.message),
            Event::Error(error) if self.message_rejected(now, error) => return self.close_when_drained(now),
            Event::Unknown(unknown) if unknown.event_type == "pong" => return,
            _ => {}
        }
        let may_reconnect = matches!(self.state, State::Open(OpenConnection { close_deadline: None, .. }));
        match event.seq().map_or(Admission::Next, |seq| self.position.admit(seq, may_reconnect)) {
            Admission::Next => self.deliver(event, bytes),
            Admission::Duplicate => {}
            Admission::OutOfOrder => return self.reconnect_for_skipped(now),
            Admission::AfterGap(gap) => {
                self.deliver(Event::Gap(gap), 0);
                self.deliver(event, bytes);
            }
        }
        self.close_when_drained(now);
    }

    /// Reconnects because the server skipped a message.
    fn reconnect_for_skipped(&mut self, now: Instant) {
        let State::Open(open) = self.state else { return };
        self.reset_failures_if_stable(now, open);
        self.effects.push_back(Effect::Disconnect(Some(connection_loss::GOING_AWAY)));
        let reason = DisconnectReason::Incomplete;
        self.back_off(reason, reason.to_string(), Duration::ZERO);
    }

    fn message_rejected(&mut self, now: Instant, error: &ErrorEvent) -> bool {
        let randomness = Arc::clone(&self.randomness);
        self.outbox
            .message_rejected(error, now, |rejections| backoff(INITIAL_BACKOFF, MAX_BACKOFF, rejections, randomness()))
    }

    /// Handles the loss of the connection.
    pub(crate) fn connection_lost(&mut self, now: Instant, loss: &ConnectionLoss) {
        let State::Open(open) = self.state else {
            if matches!(self.state, State::Closing { .. }) {
                self.end(Ok(()));
            }
            return;
        };
        self.effects.push_back(Effect::Disconnect(None));
        if open.close_deadline.is_some() {
            return self.end(Ok(()));
        }
        if let Some(error) = loss.fatal_error() {
            return self.end(Err(error));
        }
        self.reset_failures_if_stable(now, open);
        self.back_off(loss.reason(), loss.to_string(), Duration::ZERO);
    }

    /// Handles the end of the delay before a reconnect.
    pub(crate) fn backoff_elapsed(&mut self) {
        if self.state == State::BackingOff {
            self.open();
        }
    }

    /// Handles a full event queue: the connection is not read.
    pub(crate) fn reader_stalled(&mut self, now: Instant) {
        if let State::Open(open) = &mut self.state {
            open.stalled_since.get_or_insert(now);
        }
    }

    /// Handles an event queue that has room again.
    pub(crate) fn reader_caught_up(&mut self, now: Instant) {
        match &mut self.state {
            State::Open(open) if open.stalled_since.is_some() => {
                open.stalled_since = None;
                open.last_received = now;
            }
            State::Overflowed => self.open(),
            _ => {}
        }
    }

    /// Handles a reached deadline.
    pub(crate) fn deadline_reached(&mut self, now: Instant) {
        let mut open = match self.state {
            State::Open(open) => open,
            State::Closing { until } if until <= now => {
                self.effects.push_back(Effect::Disconnect(None));
                return self.end(Ok(()));
            }
            _ => return,
        };
        if open.close_deadline.is_some_and(|deadline| deadline <= now) {
            self.effects.push_back(Effect::Disconnect(Some(connection_loss::NORMAL_CLOSURE)));
            return self.end(Ok(()));
        }
        if open.timeout_at().is_some_and(|instant| instant <= now) {
            return self.connection_timed_out(now, open);
        }
        if open.next_ping <= now {
            open.next_ping = now + self.ping_interval();
            self.state = State::Open(open);
            self.effects.push_back(Effect::Ping);
        }
        self.write_due(now);
    }

    fn connection_timed_out(&mut self, now: Instant, open: OpenConnection) {
        self.reset_failures_if_stable(now, open);
        if open.close_deadline.is_some() {
            self.effects.push_back(Effect::Disconnect(None));
            return self.end(Ok(()));
        }
        if open.stalled_since.is_none() {
            self.effects.push_back(Effect::Disconnect(None));
            let detail = format!("the server sent nothing for {} seconds", SILENCE_TIMEOUT.as_secs());
            return self.back_off(DisconnectReason::Silent, detail, Duration::ZERO);
        }
        self.effects.push_back(Effect::Disconnect(Some(connection_loss::GOING_AWAY)));
        self.outbox.disconnected();
        let reason = DisconnectReason::Overflow;
        let detail = reason.to_string();
        self.deliver(Event::Disconnected(Disconnected { reason, detail, retry_in: Duration::ZERO }), 0);
        self.state = State::Overflowed;
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, now: Instant, outgoing: QueuedMessage) {
        self.outbox.push(outgoing);
        self.write_due(now);
    }

    /// Writes a frame that is useless later. Returns false if there is no connection.
    pub(crate) fn signal(&mut self, frame: &str) -> bool {
        let is_open = matches!(self.state, State::Open(_));
        if is_open {
            self.effects.push_back(Effect::Write(frame.to_owned()));
        }
        is_open
    }

    /// Closes the session.
    pub(crate) fn close(&mut self, now: Instant) {
        match &mut self.state {
            State::Open(open) => {
                open.close_deadline.get_or_insert(now + CLOSE_TIMEOUT);
                self.close_when_drained(now);
            }
            State::Opening | State::BackingOff | State::Overflowed => self.end(Ok(())),
            State::Closing { .. } | State::Ended => {}
        }
    }

    /// Ends the session after all its handles were dropped.
    pub(crate) fn handles_dropped(&mut self) {
        if matches!(self.state, State::Open(_)) {
            self.effects.push_back(Effect::Disconnect(Some(connection_loss::NORMAL_CLOSURE)));
        }
        self.end(Ok(()));
    }

    fn close_when_drained(&mut self, now: Instant) {
        let State::Open(OpenConnection { close_deadline: Some(until), .. }) = self.state else { return };
        self.outbox.remove_abandoned();
        if self.outbox.is_empty() {
            self.effects.push_back(Effect::SendClose);
            self.state = State::Closing { until: until.max(now) };
        }
    }

    fn write_due(&mut self, now: Instant) {
        if matches!(self.state, State::Open(_)) {
            self.effects.extend(self.outbox.take_due(now).into_iter().map(Effect::Write));
        }
    }

    fn reset_failures_if_stable(&mut self, now: Instant, open: OpenConnection) {
        if now.saturating_duration_since(open.since) >= STABLE_AFTER {
            self.failures = 0;
        }
    }

    fn back_off(&mut self, reason: DisconnectReason, detail: String, retry_after: Duration) {
        self.outbox.disconnected();
        self.failures = self.failures.saturating_add(1);
        let retry_in = retry_after + backoff(INITIAL_BACKOFF, MAX_BACKOFF, self.failures, (self.randomness)());
        self.deliver(Event::Disconnected(Disconnected { reason, detail, retry_in }), 0);
        self.effects.push_back(Effect::BackOff(retry_in));
        self.state = State::BackingOff;
    }

    fn open(&mut self) {
        self.effects.push_back(Effect::Open { after_seq: self.position.after_seq() });
        self.state = State::Opening;
    }

    fn end(&mut self, outcome: Result<(), Error>) {
        let (why, code) = match &outcome {
            Ok(()) => ("the session was closed before the message was acknowledged".to_owned(), None),
            Err(error) => (format!("the session has ended: {error}"), error.close_code()),
        };
        self.outbox.fail(|| Error::closed(why.clone(), code));
        self.effects.push_back(Effect::End(outcome));
        self.state = State::Ended;
    }

    fn deliver(&mut self, event: Event, bytes: usize) {
        self.effects.push_back(Effect::Deliver(event, bytes));
    }

    fn ping_interval(&self) -> Duration {
        PING_INTERVAL * 4 / 5 + fraction(PING_INTERVAL / 5, (self.randomness)())
    }
}

impl OpenConnection {
    /// Returns when the connection times out.
    fn timeout_at(&self) -> Option<Instant> {
        match self.stalled_since {
            Some(stalled) => stalled.checked_add(STALL_TIMEOUT),
            None => self.last_received.checked_add(SILENCE_TIMEOUT),
        }
    }
}

/// Formats the error with its causes on one line.
fn describe(error: &Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests;

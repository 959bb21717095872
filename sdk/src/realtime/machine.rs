//! The state machine of a session, without I/O and clock: inputs go in with the current time, effects come out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::error::{Error, ErrorKind};
use crate::realtime::close_code::{self, Loss};
use crate::realtime::event::{Connected, DisconnectReason, Disconnected, ErrorEvent, Event};
use crate::realtime::outbox::{Outbox, Outgoing};
use crate::realtime::position::{Admission, Position};
use crate::retry::{backoff, part};

/// The maximum delay before the first reconnect; it doubles with each consecutive failure.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The upper bound on `Retry-After` that the session honours.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
/// A connection that lasts this long resets the delay.
const HEALTHY: Duration = Duration::from_secs(3);
/// The maximum time between two pings; the minimum is four fifths of it.
const PING_INTERVAL: Duration = Duration::from_secs(25);
/// Maximum time without any data from the server.
const SILENCE: Duration = Duration::from_secs(60);
/// Maximum time that the connection is left unread because the application reads no events. Short enough that the
/// server does not time out first.
const STALL: Duration = Duration::from_secs(5);
/// Maximum time that `close` waits for outstanding acknowledgements and the server's close frame.
const FAREWELL: Duration = Duration::from_secs(5);

/// An action for the session task.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "an effect is carried out at once")]
pub(crate) enum Effect {
    /// Open a connection, then call `opened` or `open_failed`.
    Open { after_seq: Option<u64> },
    /// Write a text frame.
    Write(String),
    /// Write a ping.
    Ping,
    /// Write a close frame and continue reading.
    SayGoodbye,
    /// Drop the connection, after a close frame if a code is given.
    HangUp(Option<u16>),
    /// Wait, then call `paused`.
    Pause(Duration),
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
    Open(Open),
    /// The close frame is written; the server may respond until then.
    Leaving {
        until: Instant,
    },
    /// Waiting before the next connection.
    Pausing,
    /// Waiting for the application to read events before the next connection.
    Overflowed,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    since: Instant,
    /// When the server last sent data.
    heard: Instant,
    next_ping: Instant,
    /// Since when the connection is not read.
    stalled: Option<Instant>,
    /// The deadline of a session that is being closed.
    closing: Option<Instant>,
}

pub(crate) struct Machine {
    state: State,
    position: Position,
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
            position: Position::new(after_seq),
            outbox: Outbox::new(connected.user_id.clone()),
            failures: 0,
            randomness,
            effects: VecDeque::new(),
        };
        machine.opened(now, connected);
        machine
    }

    /// Returns the next effect.
    pub(crate) fn effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Returns when to call `reached`.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Open(open) => {
                let times = [Some(open.next_ping), open.gives_up(), open.closing, self.outbox.next_due()];
                times.into_iter().flatten().min()
            }
            State::Leaving { until } => Some(until),
            State::Opening | State::Pausing | State::Overflowed | State::Ended => None,
        }
    }

    /// Returns whether `send` may be called.
    pub(crate) fn takes_messages(&mut self) -> bool {
        if self.outbox.is_full() {
            self.outbox.tidy();
        }
        !self.outbox.is_full()
    }

    /// Ready when the caller of a pending message has stopped waiting for it.
    pub(crate) fn poll_given_up(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.outbox.poll_given_up(context)
    }

    /// Returns whether the session waits for the application to read events.
    pub(crate) fn waits_for_the_reader(&self) -> bool {
        self.state == State::Overflowed
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Ended
    }

    pub(crate) fn opened(&mut self, now: Instant, connected: Connected) {
        let gap = self.position.connected(&connected);
        self.deliver(Event::Connected(connected), 0);
        if let Some(gap) = gap {
            self.deliver(Event::Gap(gap), 0);
        }
        let next_ping = now + self.ping_interval();
        self.state = State::Open(Open { since: now, heard: now, next_ping, stalled: None, closing: None });
        self.write_due(now);
    }

    pub(crate) fn open_failed(&mut self, error: Error) {
        // Only the server itself ends the session. An intermediary, such as a captive portal, may respond with anything
        // for a while.
        let refused =
            error.kind() == ErrorKind::Status && error.status().is_some_and(|status| status.is_client_error());
        let final_kind = matches!(error.kind(), ErrorKind::Closed | ErrorKind::TooLarge | ErrorKind::InvalidCall);
        if final_kind || refused && !error.is_retryable() && error.status() != Some(StatusCode::TOO_EARLY) {
            return self.end(Err(error));
        }
        let asked = error.retry_after().unwrap_or_default().min(LONGEST_RETRY_AFTER);
        self.pause(DisconnectReason::Unreachable, describe(&error), asked);
    }

    /// Handles any data from the connection.
    pub(crate) fn heard(&mut self, now: Instant) {
        if let State::Open(open) = &mut self.state {
            open.heard = now;
        }
    }

    /// Handles an event from the connection. `bytes` is the length of its text.
    pub(crate) fn received(&mut self, now: Instant, event: Event, bytes: usize) {
        self.heard(now);
        match &event {
            Event::MessageReceived(received) => self.outbox.received(received),
            Event::MessageCreated(created) => self.outbox.created(&created.message),
            Event::Error(error) if self.refused(now, error) => return self.leave_when_settled(now),
            Event::Unknown(unknown) if unknown.event_type == "pong" => return,
            _ => {}
        }
        let may_ask_again = matches!(self.state, State::Open(Open { closing: None, .. }));
        match event.seq().map_or(Admission::Next, |seq| self.position.admit(seq, may_ask_again)) {
            Admission::Next => self.deliver(event, bytes),
            Admission::Repeated => {}
            Admission::Early => return self.ask_again(now),
            Admission::After(gap) => {
                self.deliver(Event::Gap(gap), 0);
                self.deliver(event, bytes);
            }
        }
        self.leave_when_settled(now);
    }

    /// Reconnects because the server skipped a message.
    fn ask_again(&mut self, now: Instant) {
        let State::Open(open) = self.state else { return };
        self.forget_failures_of_old(now, open);
        self.effects.push_back(Effect::HangUp(Some(close_code::AWAY)));
        let reason = DisconnectReason::Incomplete;
        self.pause(reason, reason.to_string(), Duration::ZERO);
    }

    fn refused(&mut self, now: Instant, error: &ErrorEvent) -> bool {
        let randomness = Arc::clone(&self.randomness);
        self.outbox.refused(error, now, |refusals| backoff(FIRST_PAUSE, LONGEST_PAUSE, refusals, randomness()))
    }

    /// Handles the loss of the connection.
    pub(crate) fn lost(&mut self, now: Instant, loss: &Loss) {
        let State::Open(open) = self.state else {
            if matches!(self.state, State::Leaving { .. }) {
                self.end(Ok(()));
            }
            return;
        };
        self.effects.push_back(Effect::HangUp(None));
        if open.closing.is_some() {
            return self.end(Ok(()));
        }
        if let Some(error) = loss.fatal() {
            return self.end(Err(error));
        }
        self.forget_failures_of_old(now, open);
        self.pause(loss.reason(), loss.to_string(), Duration::ZERO);
    }

    /// Handles the end of the delay before a reconnect.
    pub(crate) fn paused(&mut self) {
        if self.state == State::Pausing {
            self.open();
        }
    }

    /// Handles a full event queue: the connection is not read.
    pub(crate) fn stalled(&mut self, now: Instant) {
        if let State::Open(open) = &mut self.state {
            open.stalled.get_or_insert(now);
        }
    }

    /// Handles an event queue that has room again.
    pub(crate) fn relieved(&mut self, now: Instant) {
        match &mut self.state {
            State::Open(open) if open.stalled.is_some() => {
                open.stalled = None;
                open.heard = now;
            }
            State::Overflowed => self.open(),
            _ => {}
        }
    }

    /// Handles a reached deadline.
    pub(crate) fn reached(&mut self, now: Instant) {
        let mut open = match self.state {
            State::Open(open) => open,
            State::Leaving { until } if until <= now => {
                self.effects.push_back(Effect::HangUp(None));
                return self.end(Ok(()));
            }
            _ => return,
        };
        if open.closing.is_some_and(|closing| closing <= now) {
            self.effects.push_back(Effect::HangUp(Some(close_code::DONE)));
            return self.end(Ok(()));
        }
        if open.gives_up().is_some_and(|instant| instant <= now) {
            return self.give_up(now, open);
        }
        if open.next_ping <= now {
            open.next_ping = now + self.ping_interval();
            self.state = State::Open(open);
            self.effects.push_back(Effect::Ping);
        }
        self.write_due(now);
    }

    fn give_up(&mut self, now: Instant, open: Open) {
        self.forget_failures_of_old(now, open);
        if open.closing.is_some() {
            self.effects.push_back(Effect::HangUp(None));
            return self.end(Ok(()));
        }
        if open.stalled.is_none() {
            self.effects.push_back(Effect::HangUp(None));
            let detail = format!("the server sent nothing for {} seconds", SILENCE.as_secs());
            return self.pause(DisconnectReason::Silent, detail, Duration::ZERO);
        }
        self.effects.push_back(Effect::HangUp(Some(close_code::AWAY)));
        self.outbox.disconnected();
        let reason = DisconnectReason::Overflow;
        let detail = reason.to_string();
        self.deliver(Event::Disconnected(Disconnected { reason, detail, retry_in: Duration::ZERO }), 0);
        self.state = State::Overflowed;
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, now: Instant, outgoing: Outgoing) {
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
                open.closing.get_or_insert(now + FAREWELL);
                self.leave_when_settled(now);
            }
            State::Opening | State::Pausing | State::Overflowed => self.end(Ok(())),
            State::Leaving { .. } | State::Ended => {}
        }
    }

    /// Ends the session after all its handles were dropped.
    pub(crate) fn abandon(&mut self) {
        if matches!(self.state, State::Open(_)) {
            self.effects.push_back(Effect::HangUp(Some(close_code::DONE)));
        }
        self.end(Ok(()));
    }

    fn leave_when_settled(&mut self, now: Instant) {
        let State::Open(Open { closing: Some(until), .. }) = self.state else { return };
        self.outbox.tidy();
        if self.outbox.is_empty() {
            self.effects.push_back(Effect::SayGoodbye);
            self.state = State::Leaving { until: until.max(now) };
        }
    }

    fn write_due(&mut self, now: Instant) {
        if matches!(self.state, State::Open(_)) {
            self.effects.extend(self.outbox.due(now).into_iter().map(Effect::Write));
        }
    }

    fn forget_failures_of_old(&mut self, now: Instant, open: Open) {
        if now.saturating_duration_since(open.since) >= HEALTHY {
            self.failures = 0;
        }
    }

    fn pause(&mut self, reason: DisconnectReason, detail: String, asked: Duration) {
        self.outbox.disconnected();
        self.failures = self.failures.saturating_add(1);
        let retry_in = asked + backoff(FIRST_PAUSE, LONGEST_PAUSE, self.failures, (self.randomness)());
        self.deliver(Event::Disconnected(Disconnected { reason, detail, retry_in }), 0);
        self.effects.push_back(Effect::Pause(retry_in));
        self.state = State::Pausing;
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
        PING_INTERVAL * 4 / 5 + part(PING_INTERVAL / 5, (self.randomness)())
    }
}

impl Open {
    /// Returns when the connection times out.
    fn gives_up(&self) -> Option<Instant> {
        match self.stalled {
            Some(stalled) => stalled.checked_add(STALL),
            None => self.heard.checked_add(SILENCE),
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

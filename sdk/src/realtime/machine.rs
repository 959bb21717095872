//! What a session does, without doing it: what happens goes in, what is to be done comes out.

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

/// The longest first pause before a new connection; it doubles with each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A server that asks for more than this is asked again after this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
/// A connection that lasts so long was a success, and the pauses begin anew.
const HEALTHY: Duration = Duration::from_secs(3);
/// The longest time between two pings; the shortest is four fifths of it.
const PING_INTERVAL: Duration = Duration::from_secs(25);
/// A connection on which nothing has been heard for so long is taken for dead.
const SILENCE: Duration = Duration::from_secs(60);
/// For so long a connection is left unread when the application takes no events. Little enough that the server has not
/// given the client up by then.
const STALL: Duration = Duration::from_secs(5);
/// What `close` waits for at most: the acknowledgements that are missing, and the server's goodbye.
const FAREWELL: Duration = Duration::from_secs(5);

/// What is to be done.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "an effect is carried out at once")]
pub(crate) enum Effect {
    /// Open a connection, and say `opened` or `open_failed`.
    Open { after_seq: Option<u64> },
    /// Write a text frame.
    Write(String),
    /// Write a ping.
    Ping,
    /// Write a close frame and go on reading.
    SayGoodbye,
    /// Let the connection go; with a close code, if the server can be expected to read it.
    HangUp(Option<u16>),
    /// Wait, and say `paused`.
    Pause(Duration),
    /// Hand the event to the application; its text has so many bytes.
    Deliver(Event, usize),
    /// The session is over.
    End(Result<(), Error>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A connection is being opened.
    Opening,
    /// It is open.
    Open(Open),
    /// The close frame is written; the server has until then to answer.
    Leaving {
        until: Instant,
    },
    /// There is a pause before the next connection.
    Pausing,
    /// The application has to read on before the next connection.
    Overflowed,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    since: Instant,
    /// When the server was last heard.
    heard: Instant,
    next_ping: Instant,
    /// Since when the connection is not read.
    stalled: Option<Instant>,
    /// By when the session will be closed.
    closing: Option<Instant>,
}

pub(crate) struct Machine {
    state: State,
    position: Position,
    outbox: Outbox,
    /// Connections in a row that were not opened, or did not last.
    failures: u32,
    randomness: Arc<dyn Fn() -> f64 + Send + Sync>,
    effects: VecDeque<Effect>,
}

impl Machine {
    /// A session whose first connection is open.
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

    /// The next thing to do.
    pub(crate) fn effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to say `reached`.
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

    /// Whether `send` may be said.
    pub(crate) fn takes_messages(&mut self) -> bool {
        if self.outbox.is_full() {
            self.outbox.tidy();
        }
        !self.outbox.is_full()
    }

    /// Ready when there is one waiting message less because somebody has stopped waiting for its outcome.
    pub(crate) fn poll_given_up(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.outbox.poll_given_up(context)
    }

    /// Whether `overflowed` is over as soon as the queue has plenty of room.
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
        // Only the server itself can end the session. What stands between, a sign-in page of a network for example, may
        // answer anything for a while.
        let refused =
            error.kind() == ErrorKind::Status && error.status().is_some_and(|status| status.is_client_error());
        let final_kind = matches!(error.kind(), ErrorKind::Closed | ErrorKind::TooLarge | ErrorKind::InvalidCall);
        if final_kind || refused && !error.is_retryable() && error.status() != Some(StatusCode::TOO_EARLY) {
            return self.end(Err(error));
        }
        let asked = error.retry_after().unwrap_or_default().min(LONGEST_RETRY_AFTER);
        self.pause(DisconnectReason::Unreachable, describe(&error), asked);
    }

    /// Something was read from the connection.
    pub(crate) fn heard(&mut self, now: Instant) {
        if let State::Open(open) = &mut self.state {
            open.heard = now;
        }
    }

    /// An event was read from the connection; its text has so many bytes.
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

    /// The server has left something out.
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

    /// The connection is gone.
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

    /// The pause is over.
    pub(crate) fn paused(&mut self) {
        if self.state == State::Pausing {
            self.open();
        }
    }

    /// The queue takes no more, so the connection is not read.
    pub(crate) fn stalled(&mut self, now: Instant) {
        if let State::Open(open) = &mut self.state {
            open.stalled.get_or_insert(now);
        }
    }

    /// The queue takes more again.
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

    /// The deadline is reached.
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
            let detail = format!("nothing was heard from the server for {} seconds", SILENCE.as_secs());
            return self.pause(DisconnectReason::Silent, detail, Duration::ZERO);
        }
        self.effects.push_back(Effect::HangUp(Some(close_code::AWAY)));
        self.outbox.disconnected();
        let reason = DisconnectReason::Overflow;
        let detail = reason.to_string();
        self.deliver(Event::Disconnected(Disconnected { reason, detail, retry_in: Duration::ZERO }), 0);
        self.state = State::Overflowed;
    }

    /// A message is to be sent.
    pub(crate) fn send(&mut self, now: Instant, outgoing: Outgoing) {
        self.outbox.push(outgoing);
        self.write_due(now);
    }

    /// Something is to be sent that is worth nothing later. False when there is no connection.
    pub(crate) fn signal(&mut self, frame: &str) -> bool {
        let is_open = matches!(self.state, State::Open(_));
        if is_open {
            self.effects.push_back(Effect::Write(frame.to_owned()));
        }
        is_open
    }

    /// The session is to be closed.
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

    /// Nobody has the session any more.
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
            Err(error) => (format!("the session is over: {error}"), error.close_code()),
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
    /// When the connection is given up.
    fn gives_up(&self) -> Option<Instant> {
        match self.stalled {
            Some(stalled) => stalled.checked_add(STALL),
            None => self.heard.checked_add(SILENCE),
        }
    }
}

/// The error with its causes, in one line.
fn describe(error: &Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests;

//! A machine with a virtual clock, and the events that its tests send.

use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::super::*;
use crate::error::ErrorResponse;
use crate::realtime::outbox::Receipt;

pub(super) const SECONDS: fn(u64) -> Duration = Duration::from_secs;
pub(super) const MS: fn(u64) -> Duration = Duration::from_millis;
pub(super) const TIME: &str = "2024-01-15T10:31:00Z";

/// A machine with a virtual clock, whose every delay is half of the maximum.
pub(super) struct Harness {
    pub(super) machine: Machine,
    pub(super) now: Instant,
    start: Instant,
}

pub(super) type Outcome = oneshot::Receiver<Result<Receipt, Error>>;

impl Harness {
    /// Creates a session whose chat has this many messages.
    pub(super) fn new(after_seq: Option<u64>, last_seq: u64) -> Self {
        let now = Instant::now();
        let connected = connected(last_seq, after_seq.is_some_and(|after_seq| after_seq <= last_seq));
        Self { machine: Machine::new(now, after_seq, connected, Arc::new(|| 0.5)), now, start: now }
    }

    /// Creates a connected session without pending effects.
    pub(super) fn idle(last_seq: u64) -> Self {
        let mut harness = Self::new(None, last_seq);
        harness.effects();
        harness
    }

    /// Returns the pending effects as text.
    pub(super) fn effects(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.machine.next_effect()).map(|effect| shown(&effect)).collect()
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub(super) fn pass(&mut self, duration: Duration) {
        self.now += duration;
    }

    /// Advances the clock to the deadline.
    pub(super) fn reach(&mut self) -> Duration {
        let before = self.now;
        self.now = self.machine.deadline().expect("a deadline");
        self.machine.deadline_reached(self.now);
        self.now - before
    }

    pub(super) fn receive(&mut self, event: &Value) {
        let json = event.to_string();
        self.machine.event_received(self.now, Event::from_json(&json), json.len());
    }

    pub(super) fn lose(&mut self, code: u16) {
        self.machine.connection_lost(self.now, &ConnectionLoss::Closed { code, reason: String::new() });
    }

    pub(super) fn break_off(&mut self) {
        self.machine.connection_lost(self.now, &ConnectionLoss::Broken("cut".to_owned()));
    }

    pub(super) fn reconnect(&mut self, last_seq: u64, resumed: bool) {
        self.machine.backoff_elapsed();
        self.machine.opened(self.now, connected(last_seq, resumed));
    }

    pub(super) fn send(&mut self, id: &str) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        let written = Arc::new(AtomicBool::new(false));
        let outgoing = QueuedMessage { client_message_id: id.to_owned(), frame: format!("<{id}>"), reply, written };
        self.machine.send(self.now, outgoing);
        outcome
    }
}

pub(super) fn shown(effect: &Effect) -> String {
    match effect {
        Effect::Open { after_seq } => format!("open after {after_seq:?}"),
        Effect::Write(frame) => format!("write {frame}"),
        Effect::Ping => "ping".to_owned(),
        Effect::SendClose => "send close".to_owned(),
        Effect::Disconnect(code) => format!("disconnect {code:?}"),
        Effect::BackOff(duration) => format!("back off {duration:?}"),
        Effect::Deliver(event, _) => told(event),
        Effect::End(Ok(())) => "end".to_owned(),
        Effect::End(Err(error)) => format!("end: {:?} {:?} {:?}", error.kind(), error.status(), error.close_code()),
    }
}

pub(super) fn told(event: &Event) -> String {
    match event {
        Event::Connected(connected) => format!("connected {}", connected.resumed),
        Event::Disconnected(lost) => format!("lost {:?} {:?}", lost.reason, lost.retry_in),
        Event::Gap(gap) => format!("gap {}..{}", gap.after_seq, gap.next_seq),
        Event::MessageReceived(received) => format!("received {}", received.seq),
        Event::MessageCreated(created) => format!("created {}", created.message.seq),
        Event::MessageStreamEnded(ended) => format!("ended {:?}", ended.seq),
        Event::Error(error) => format!("error {}", error.code),
        other => format!("{other:?}"),
    }
}

pub(super) fn connected(last_seq: u64, resumed: bool) -> Connected {
    serde_json::from_value(json!({
        "timestamp": TIME, "user_id": "u", "chat_id": Uuid::nil(), "tenant_id": "t", "last_seq": last_seq,
        "resumed": resumed
    }))
    .unwrap()
}

pub(super) fn created(seq: u64, client_message_id: Option<&str>) -> Value {
    json!({
        "event_type": "message_created", "timestamp": TIME, "chat_id": Uuid::nil(),
        "message": {
            "id": Uuid::from_u128(seq.into()), "content": "c", "sender_role": "user", "media_type": null,
            "media_url": null, "created_at": TIME, "metadata": {}, "seq": seq, "client_message_id": client_message_id,
            "sender_id": "u"
        }
    })
}

pub(super) fn received(seq: u64, client_message_id: &str) -> Value {
    json!({
        "event_type": "message_received", "timestamp": TIME, "message_id": Uuid::from_u128(seq.into()),
        "chat_id": Uuid::nil(), "user_id": "u", "seq": seq, "client_message_id": client_message_id, "created_at": TIME
    })
}

pub(super) fn ended(seq: Option<u64>) -> Value {
    json!({
        "event_type": "message_stream_ended", "timestamp": TIME, "message_id": Uuid::nil(), "chat_id": Uuid::nil(),
        "content": "", "seq": seq, "finish_reason": "stop"
    })
}

pub(super) fn refusal(code: &str, retryable: bool, client_message_id: Option<&str>) -> Value {
    json!({
        "event_type": "error", "timestamp": TIME, "code": code, "message": "Scripted detail.", "retryable": retryable,
        "client_message_id": client_message_id
    })
}

pub(super) fn refused(status: u16, retry_after: Option<Duration>) -> Error {
    let status = StatusCode::from_u16(status).unwrap();
    Error::status_code("refused", ErrorResponse { status, retry_after, ..ErrorResponse::default() })
}

pub(super) fn seq(outcome: &mut Outcome) -> u64 {
    outcome.try_recv().expect("an outcome").expect("a receipt").seq
}

pub(super) fn failure(outcome: &mut Outcome) -> Error {
    outcome.try_recv().expect("an outcome").expect_err("an error")
}

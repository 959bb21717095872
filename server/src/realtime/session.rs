//! One connection as a pure state machine: what comes in, what is to be done. No IO and no clock of its own, so a test
//! plays a day in no time.
//!
//! ```text
//!            ┌───────────── a seq is missing ─────────────┐
//!            ▼                                            │
//!        Replaying ── read after `delivered` ── page ── joined ──▶ Live
//!            ▲                                   │
//!            └────────── more to read ───────────┘
//! ```
//!
//! Whatever the state, messages leave in the order of `seq`, each once, none skipped: `delivered` is the last one, and
//! nothing but its successor may follow.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    answers::question_abandoned,
    frame_filter::{SkipReason, SkippedMessage},
    inbox::Item,
};
use crate::{
    base::error::{Error, Result},
    domain::{ClientMessageId, ConnectionId, Created, Message, Metadata, NewMessage, Origin, Role, UserId},
    wire::protocol::{
        ClientFrame, ClientMessage, Close, ErrorCode,
        event::{Failed, MessageCreated, MessageReceived, Pong, encode},
    },
};

/// Bounds of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Between two pings.
    pub(crate) ping: Duration,
    /// How long a peer may be silent.
    pub(crate) idle: Duration,
    /// Messages that may be on their way to the database.
    pub(crate) in_flight: usize,
    /// Frames that are no messages, at once.
    pub(crate) burst: u32,
    /// And one more after each such time.
    pub(crate) refill: Duration,
}

/// What happens to a session.
#[derive(Debug)]
pub(crate) enum Input {
    /// The peer sent text.
    Text(Utf8Bytes),
    /// The peer sent a ping or a pong.
    Control,
    /// The peer sent bytes.
    Binary,
    /// The peer sent a message that was not kept.
    Skipped(SkippedMessage),
    /// Stored messages after `delivered`, and whether there are more.
    Page(Result<(Vec<Message>, bool)>),
    /// Everything after `delivered` is in the inbox now.
    Joined,
    /// It is not: messages have come since the page was read.
    Behind,
    /// From the inbox.
    Item(Item),
    /// A message's way to the database is over.
    Sent(Option<ClientMessageId>, Result<Created<Message>>),
    /// [`Session::deadline`] has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Send an event.
    Send(Utf8Bytes),
    /// Store a message.
    Store(Box<NewMessage>),
    /// Tell the others.
    Typing,
    /// Stop the chat's answer.
    Cancel,
    /// Read stored messages after this one.
    Read(i64),
    /// Go live after this one.
    Join(i64),
    /// Something was missing: replay again.
    Leave,
    /// Send a ping.
    Ping,
    /// End the connection.
    Close(Close),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    id: ConnectionId,
    user: UserId,
    bounds: Bounds,
    live: bool,
    delivered: i64,
    in_flight: usize,
    /// The names of the messages in flight.
    names: HashSet<String>,
    /// How many of them have none.
    nameless: usize,
    /// Whether the replay has come to a message that may be one of those.
    waiting: bool,
    /// Own messages that were acknowledged before their way was over.
    acknowledged: HashSet<i64>,
    /// The acknowledgements of own messages whose way was over before their turn came.
    stored: HashMap<i64, Utf8Bytes>,
    /// The chat's last update, which came while the session was not live.
    update: Option<Utf8Bytes>,
    /// The chat's last message, if it is a question that is not answered and the peer is yet to be told.
    abandoned: Option<i64>,
    heard: Instant,
    next_ping: Instant,
    /// When the peer's allowance for frames is whole again.
    allowance: Instant,
}

impl Session {
    /// Of a peer that has seen everything up to the message `delivered`.
    pub(crate) fn new(id: ConnectionId, user: UserId, delivered: i64, bounds: Bounds, now: Instant) -> Self {
        Self {
            id,
            user,
            bounds,
            live: false,
            delivered,
            in_flight: 0,
            names: HashSet::new(),
            nameless: 0,
            waiting: false,
            acknowledged: HashSet::new(),
            stored: HashMap::new(),
            update: None,
            abandoned: None,
            heard: now,
            next_ping: now + bounds.ping,
            allowance: now,
        }
    }

    /// The same, in a chat whose last message is `abandoned`: a question that an earlier process of the server has left
    /// without an answer. The peer is told once, when it goes live behind that message.
    pub(crate) fn with_abandoned(self, abandoned: Option<i64>) -> Self {
        Self { abandoned, ..self }
    }

    /// When [`Input::Tick`] is due.
    pub(crate) fn deadline(&self) -> Instant {
        self.next_ping.min(self.heard + self.bounds.idle)
    }

    /// Whether the peer's next frame may be read: the bound on what is in flight is kept by reading no further.
    pub(crate) fn may_read(&self) -> bool {
        self.in_flight < self.bounds.in_flight
    }

    /// Begins, in a chat whose last message is `last_seq`: asks for what was missed, or goes live at once, before
    /// anything else happens.
    pub(crate) fn begin(&self, last_seq: i64) -> Effect {
        if self.delivered < last_seq { Effect::Read(self.delivered) } else { Effect::Join(self.delivered) }
    }

    /// Takes `input`, at `now`, which on the wall is `at`, and appends what is to be done.
    pub(crate) fn handle(&mut self, input: Input, now: Instant, at: DateTime<Utc>, effects: &mut Vec<Effect>) {
        match input {
            Input::Text(text) => {
                self.heard = now;
                self.frame(&text, now, at, effects);
            }
            Input::Control => {
                self.heard = now;
                self.spend(now, effects);
            }
            Input::Binary => effects.push(Effect::Close(Close::UnsupportedData)),
            Input::Skipped(SkippedMessage { reason, client_message_id }) => {
                self.heard = now;
                if self.spend(now, effects) {
                    let code = match reason {
                        SkipReason::TooLarge => ErrorCode::PayloadTooLarge,
                        SkipReason::NoRoom => ErrorCode::Unavailable,
                    };
                    effects.push(Effect::Send(encode(&Failed::new(code, client_message_id), at)));
                }
            }
            Input::Page(Ok((messages, more))) => {
                for message in messages {
                    if self.may_be_own(&message) {
                        self.waiting = true;
                        return;
                    }
                    self.replay(message, at, effects);
                }
                effects.push(if more { Effect::Read(self.delivered) } else { Effect::Join(self.delivered) });
            }
            Input::Page(Err(Error::ChatNotFound)) => effects.push(Effect::Close(Close::ChatDeleted)),
            Input::Page(Err(_)) => effects.push(Effect::Close(Close::Fault)),
            Input::Joined => {
                self.live = true;
                effects.extend(self.update.take().map(Effect::Send));
                if self.abandoned.take().is_some_and(|seq| seq == self.delivered) {
                    effects.push(Effect::Send(question_abandoned(at)));
                }
            }
            Input::Behind => effects.push(Effect::Read(self.delivered)),
            Input::Item(item) => self.item(item, effects),
            Input::Sent(name, outcome) => self.sent(name, outcome, at, effects),
            Input::Tick => self.tick(now, effects),
        }
    }

    fn frame(&mut self, text: &str, now: Instant, at: DateTime<Utc>, effects: &mut Vec<Effect>) {
        match ClientFrame::read(text) {
            Ok(ClientFrame::Message(message)) => self.store(message, effects),
            other => {
                if !self.spend(now, effects) {
                    return;
                }
                effects.push(match other {
                    Ok(ClientFrame::Typing) => Effect::Typing,
                    Ok(ClientFrame::Cancel) => Effect::Cancel,
                    Ok(ClientFrame::Ping | ClientFrame::Message(_)) => Effect::Send(encode(&Pong {}, at)),
                    Err(bad) => {
                        let failed = Failed::detailed(ErrorCode::InvalidRequest, bad.detail, bad.client_message_id);
                        Effect::Send(encode(&failed, at))
                    }
                });
            }
        }
    }

    fn store(&mut self, message: ClientMessage, effects: &mut Vec<Effect>) {
        self.in_flight += 1;
        match &message.client_message_id {
            Some(name) => _ = self.names.insert(name.as_str().to_owned()),
            None => self.nameless += 1,
        }
        effects.push(Effect::Store(Box::new(NewMessage {
            role: Role::User,
            sender_id: Some(self.user.clone()),
            content: message.content,
            media_type: None,
            media_url: None,
            metadata: message.metadata.unwrap_or_else(Metadata::empty),
            client_message_id: message.client_message_id,
            origin: Origin::Connection(self.id),
        })));
    }

    /// A token bucket, as the time at which it is full again.
    fn spend(&mut self, now: Instant, effects: &mut Vec<Effect>) -> bool {
        let allowance = self.allowance.max(now) + self.bounds.refill;
        let within = allowance <= now + self.bounds.refill * self.bounds.burst;
        if within {
            self.allowance = allowance;
        } else {
            effects.push(Effect::Close(Close::RateLimited));
        }
        within
    }

    /// Whether this is perhaps a message of this connection, whose place only the writer can tell.
    fn may_be_own(&self, message: &Message) -> bool {
        self.nameless > 0
            && message.client_message_id.is_none()
            && message.role == Role::User
            && message.sender_id.as_ref() == Some(&self.user)
            && message.seq > self.delivered
            && !self.stored.contains_key(&message.seq)
    }

    /// A message read from SQL.
    fn replay(&mut self, message: Message, at: DateTime<Utc>, effects: &mut Vec<Effect>) {
        if message.seq != self.delivered + 1 {
            // Read before, or the store has lost one, which it must not: then nothing may follow.
            if message.seq > self.delivered {
                effects.push(Effect::Close(Close::Fault));
            }
            return;
        }
        self.delivered = message.seq;
        // Another sender may have given its message the same name.
        let named = message.sender_id.as_ref() == Some(&self.user)
            && message.client_message_id.as_ref().is_some_and(|name| self.names.contains(name.as_str()));
        let event = if let Some(acknowledgement) = self.stored.remove(&message.seq) {
            acknowledgement
        } else if named {
            self.acknowledged.insert(message.seq);
            encode(&MessageReceived::of(&message), at)
        } else {
            encode(&MessageCreated::of(message), at)
        };
        effects.push(Effect::Send(event));
    }

    fn item(&mut self, item: Item, effects: &mut Vec<Effect>) {
        let delivery = match item {
            // What a replay must precede comes again when it is done.
            Item::Passing(event) => {
                if self.live {
                    effects.push(Effect::Send(event));
                }
                return;
            }
            Item::Update(event) => {
                if self.live {
                    effects.push(Effect::Send(event));
                } else {
                    self.update = Some(event);
                }
                return;
            }
            Item::Message(delivery) => delivery,
        };
        if !self.live {
            return;
        }
        if delivery.seq <= self.delivered {
            // A replay has shown an answer before the hub had told of its end: the stream that was joined is over.
            if delivery.ends_stream {
                effects.push(Effect::Send(delivery.event.clone()));
            }
            return;
        }
        if delivery.seq > self.delivered + 1 {
            return self.leave(effects);
        }
        self.delivered = delivery.seq;
        effects.push(Effect::Send(match (&delivery.acknowledgement, self.stored.remove(&delivery.seq)) {
            (_, Some(acknowledgement)) => acknowledgement,
            (Some((sender, acknowledgement)), None) if *sender == self.id => {
                self.acknowledged.insert(delivery.seq);
                acknowledgement.clone()
            }
            _ => delivery.event.clone(),
        }));
    }

    /// Goes back to replaying.
    fn leave(&mut self, effects: &mut Vec<Effect>) {
        self.live = false;
        effects.extend([Effect::Leave, Effect::Read(self.delivered)]);
    }

    fn sent(
        &mut self,
        name: Option<ClientMessageId>,
        outcome: Result<Created<Message>>,
        at: DateTime<Utc>,
        effects: &mut Vec<Effect>,
    ) {
        self.in_flight -= 1;
        match &name {
            Some(name) => _ = self.names.remove(name.as_str()),
            None => self.nameless -= 1,
        }
        if std::mem::take(&mut self.waiting) {
            effects.push(Effect::Read(self.delivered));
        }
        let code = match outcome {
            Ok(Created { resource: message, replayed }) => {
                if !replayed && self.acknowledged.remove(&message.seq) {
                    return;
                }
                let acknowledgement = encode(&MessageReceived::of(&message), at);
                if message.seq <= self.delivered {
                    effects.push(Effect::Send(acknowledgement));
                } else {
                    // Its turn comes; until then it would overtake others.
                    self.stored.insert(message.seq, acknowledgement);
                    if replayed && self.live {
                        // Stored by an attempt whose outcome nobody learnt, so the hub may never tell of it.
                        self.leave(effects);
                    }
                }
                return;
            }
            Err(Error::ChatNotFound) => return effects.push(Effect::Close(Close::ChatDeleted)),
            Err(Error::ChatClosed) => ErrorCode::ChatClosed,
            Err(Error::Unavailable(cause)) => {
                tracing::warn!(%cause, "a message could not be stored");
                ErrorCode::Unavailable
            }
            Err(error) => {
                tracing::error!(%error, "a message could not be stored");
                ErrorCode::Internal
            }
        };
        effects.push(Effect::Send(encode(&Failed::new(code, name), at)));
    }

    fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if now >= self.heard + self.bounds.idle {
            return effects.push(Effect::Close(Close::Idle));
        }
        if now >= self.next_ping {
            self.next_ping = now + self.bounds.ping;
            effects.push(Effect::Ping);
        }
    }
}

#[cfg(test)]
mod tests;

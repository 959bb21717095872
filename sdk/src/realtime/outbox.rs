//! Sent messages that are not acknowledged yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::error::Error;
use crate::message::Message;
use crate::realtime::event::{ErrorEvent, MessageReceived};

/// Maximum number of unacknowledged messages; further senders wait.
const CAPACITY: usize = 64;

/// The acknowledgement of a stored message: the result of [`send`](crate::Sender::send).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The unique id of the message.
    pub message_id: Uuid,
    /// The sequence number in the chat.
    pub seq: u64,
    /// When the message was stored; long ago if the server already knew the
    /// [`client_message_id`](Receipt::client_message_id).
    pub created_at: DateTime<Utc>,
    /// The id of the message, set or generated.
    pub client_message_id: String,
}

impl Receipt {
    fn of_received(received: &MessageReceived) -> Option<Self> {
        Some(Self {
            message_id: received.message_id,
            seq: received.seq,
            created_at: received.created_at,
            client_message_id: received.client_message_id.clone()?,
        })
    }

    fn of_message(message: &Message) -> Option<Self> {
        Some(Self {
            message_id: message.id,
            seq: message.seq,
            created_at: message.created_at,
            client_message_id: message.client_message_id.clone()?,
        })
    }
}

/// A message to send.
#[derive(Debug)]
pub(crate) struct QueuedMessage {
    pub(crate) client_message_id: String,
    pub(crate) frame: String,
    /// Closed when the caller stops waiting: the message is then not resent.
    pub(crate) reply: oneshot::Sender<Result<Receipt, Error>>,
    /// Whether the server may have received the message, for a caller that stops waiting.
    pub(crate) written: Arc<AtomicBool>,
}

#[derive(Debug)]
struct PendingMessage {
    outgoing: QueuedMessage,
    /// Whether it was written to the current connection.
    is_written: bool,
    rejections: u32,
    not_before: Option<Instant>,
}

impl PendingMessage {
    fn is_for(&self, client_message_id: &str) -> bool {
        self.outgoing.client_message_id == client_message_id
    }

    fn resolve(self, outcome: Result<Receipt, Error>) {
        // Fails if the caller has stopped waiting.
        drop(self.outgoing.reply.send(outcome));
    }
}

/// Messages in the order in which they were sent. Several may have the same id; an acknowledgement is for all of them.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// The session's user, who is the sender of the messages.
    user_id: String,
    pending: Vec<PendingMessage>,
}

impl Outbox {
    /// Creates an empty outbox of this user.
    pub(crate) fn new(user_id: String) -> Self {
        Self { user_id, pending: Vec::new() }
    }

    pub(crate) fn push(&mut self, outgoing: QueuedMessage) {
        self.pending.push(PendingMessage { outgoing, is_written: false, rejections: 0, not_before: None });
    }

    /// Removes messages whose callers have stopped waiting.
    pub(crate) fn remove_abandoned(&mut self) {
        self.pending.retain(|pending| !pending.outgoing.reply.is_closed());
    }

    /// Ready when a caller has stopped waiting.
    pub(crate) fn poll_caller_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut replies = self.pending.iter_mut().map(|pending| &mut pending.outgoing.reply);
        if replies.any(|reply| reply.poll_closed(context).is_ready()) { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.pending.len() >= CAPACITY
    }

    /// Returns the frames to write to the current connection now, and marks them as written.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<String> {
        self.remove_abandoned();
        let mut frames = Vec::new();
        for pending in &mut self.pending {
            if pending.is_written || pending.not_before.is_some_and(|instant| instant > now) {
                continue;
            }
            pending.is_written = true;
            pending.outgoing.written.store(true, Ordering::Release);
            frames.push(pending.outgoing.frame.clone());
        }
        frames
    }

    /// Returns when the next frame will be due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.pending.iter().filter(|pending| !pending.is_written).filter_map(|pending| pending.not_before).min()
    }

    pub(crate) fn received(&mut self, received: &MessageReceived) {
        self.acknowledge(Receipt::of_received(received));
    }

    /// Acknowledges by a message of the session's user in the event stream: after a reconnect, the replay contains
    /// messages whose acknowledgements were lost. A message of another sender may have the same id and does not count.
    pub(crate) fn created(&mut self, message: &Message) {
        if message.sender_id.as_ref() == Some(&self.user_id) {
            self.acknowledge(Receipt::of_message(message));
        }
    }

    fn acknowledge(&mut self, receipt: Option<Receipt>) {
        let Some(receipt) = receipt else { return };
        for pending in self.pending.extract_if(.., |pending| pending.is_for(&receipt.client_message_id)) {
            pending.resolve(Ok(receipt.clone()));
        }
    }

    /// Returns whether the error is about a pending message. A permanent error is its result; after a temporary one it
    /// is due again after `pause`, which is passed the number of rejections so far.
    pub(crate) fn message_rejected(
        &mut self,
        error: &ErrorEvent,
        now: Instant,
        pause: impl Fn(u32) -> Duration,
    ) -> bool {
        let Some(id) = error.client_message_id.as_deref() else { return false };
        if error.retryable {
            let mut found = false;
            for pending in self.pending.iter_mut().filter(|pending| pending.is_for(id)) {
                found = true;
                pending.rejections += 1;
                pending.is_written = false;
                pending.not_before = now.checked_add(pause(pending.rejections));
            }
            return found;
        }
        let rejected: Vec<_> = self.pending.extract_if(.., |pending| pending.is_for(id)).collect();
        let found = !rejected.is_empty();
        for pending in rejected {
            let message = format!("the server rejected the message: {}: {}", error.code, error.message);
            pending.resolve(Err(Error::message_rejected(message, error.code.clone())));
        }
        found
    }

    /// Marks all messages as unwritten because the connection was lost.
    pub(crate) fn disconnected(&mut self) {
        for pending in &mut self.pending {
            pending.is_written = false;
        }
    }

    pub(crate) fn fail(&mut self, error: impl Fn() -> Error) {
        for pending in self.pending.drain(..) {
            let written = pending.outgoing.written.load(Ordering::Acquire);
            pending.resolve(Err(error().maybe_processed(written)));
        }
    }
}

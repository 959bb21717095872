use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Chat, Message};
use crate::tenant::TenantId;

/// One live connection to a chat, among those of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// Why a streamed answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// It is complete.
    Stop,
    /// It was cut by the model's limit of tokens or by the limit of a message.
    Length,
    /// A user cancelled it, or the chat was closed.
    Cancelled,
    /// The server stopped.
    Interrupted,
    /// The assistant failed, or its provider withheld the rest.
    Error,
}

/// Which way a message came, on which depends how those who listen are told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A request.
    Api,
    /// A live connection, which gets an acknowledgement rather than the message.
    Connection(ConnectionId),
    /// The assistant, which streamed it under this id before it was stored.
    Assistant {
        /// The message's id.
        message_id: Uuid,
        /// Why the stream ended.
        finish_reason: FinishReason,
    },
}

/// Learns of every message, once it is durable.
pub trait Listener: Send + Sync + 'static {
    /// Told by the writer between two transactions, for the messages of one chat in the order of their `seq`: must not
    /// wait.
    fn message_stored(&self, tenant: TenantId, message: &Message, origin: Origin);
}

/// Nobody listens.
impl Listener for () {
    fn message_stored(&self, _: TenantId, _: &Message, _: Origin) {}
}

/// Knows which chats have live connections.
pub trait Connections: Send + Sync + 'static {
    /// Whether a tenant has any to a chat.
    fn are_open(&self, tenant: TenantId, chat: Uuid) -> bool;

    /// Tells a chat's connections that its title, metadata or status was changed to what `chat` says; `at` is the event's
    /// timestamp.
    fn chat_updated(&self, chat: &Chat, at: DateTime<Utc>);

    /// Ends a chat's connections and its answer: the chat was deleted.
    fn chat_deleted(&self, chat: Uuid);

    /// Cancels the answer that streams in a chat, which is about to be closed or was closed. Returns a token that is
    /// cancelled once what has come of the answer is stored or lost; `None` if no answer streams.
    fn cancel_answer(&self, chat: Uuid) -> Option<CancellationToken>;
}

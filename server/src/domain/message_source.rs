//! Where a message came from.

use serde::Serialize;
use uuid::Uuid;

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

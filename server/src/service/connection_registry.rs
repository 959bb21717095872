//! The live connections, as use cases see them.

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::{Chat, TenantId};

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

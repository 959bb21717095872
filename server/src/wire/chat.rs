//! A chat on the wire.

use poem_openapi::{Object, types::Example};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::values::{Count, Nullable, Timestamp, example};
use crate::{
    domain::{self, Metadata, Status, Title, UserId},
    http::schema::Text,
};

/// A chat session.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct Chat {
    /// Unique identifier for the chat session, a UUID of version 7. Lists by creation are in the order of ids.
    id: Uuid,
    /// The ID of the user who owns this chat.
    user_id: UserId,
    /// The tenant identifier, determined by the API key.
    tenant_id: Text<255>,
    /// The title of the chat session.
    title: Title,
    config: ChatConfig,
    /// Timestamp when the chat was created, UTC.
    created_at: Timestamp,
    /// Timestamp when the chat was last updated, UTC.
    updated_at: Timestamp,
    /// Timestamp of the last message in this chat, UTC; null for new chats.
    last_message_at: Nullable<Timestamp>,
}

/// Configuration object containing metadata and other chat settings.
#[derive(Debug, Serialize, Object)]
pub(crate) struct ChatConfig {
    /// What was given when the chat was created; empty when nothing was.
    metadata: Metadata,
}

/// A chat session with all that is known of it.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct ChatDetails {
    #[oai(flatten)]
    #[serde(flatten)]
    chat: Chat,
    /// How many messages it has.
    message_count: Count,
    /// Whether it takes messages.
    status: Status,
}

impl From<domain::Chat> for Chat {
    fn from(chat: domain::Chat) -> Self {
        Self {
            id: chat.id,
            user_id: chat.user_id,
            tenant_id: Text::cut(chat.tenant_id.to_string()),
            title: chat.title,
            config: ChatConfig { metadata: chat.metadata },
            created_at: Timestamp(chat.created_at),
            updated_at: Timestamp(chat.updated_at),
            last_message_at: Nullable(chat.last_message_at.map(Timestamp)),
        }
    }
}

impl From<domain::Chat> for ChatDetails {
    fn from(chat: domain::Chat) -> Self {
        Self { message_count: Count::nearest(chat.message_count), status: chat.status, chat: chat.into() }
    }
}

impl Example for Chat {
    fn example() -> Self {
        example(json!({
            "id": "018d0c8e-5a40-7b7c-8c9d-0e1f2a3b4c5d",
            "user_id": "user123",
            "tenant_id": "018d0c8d-11f0-7d02-9a44-6c1f0b7e2d10",
            "title": "Support Session",
            "config": { "metadata": { "department": "technical", "priority": "high" } },
            "created_at": "2024-01-15T10:30:00Z",
            "updated_at": "2024-01-15T10:30:00Z",
            "last_message_at": null,
        }))
    }
}

impl Example for ChatDetails {
    fn example() -> Self {
        Self { chat: Chat::example(), message_count: Count::nearest(0), status: Status::Active }
    }
}

//! A message on the wire.

use poem_openapi::{Object, types::Example};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::values::{Nullable, Timestamp, example};
use crate::{
    domain::{self, ClientMessageId, Content, MediaType, MediaUrl, Metadata, Role, UserId},
    http::schema::Integer,
};

/// A message of a chat.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct Message {
    /// Unique identifier of the message, a UUID of version 7. The order of messages is that of `seq`, not of their ids.
    id: Uuid,
    /// What is said.
    content: Content,
    /// Who speaks.
    sender_role: Role,
    /// What kind of thing is at `media_url`; null if there is none.
    media_type: Nullable<MediaType>,
    /// Something to be seen or heard beside the content; null if there is none.
    media_url: Nullable<MediaUrl>,
    /// Timestamp when the message was stored, UTC.
    created_at: Timestamp,
    /// What was given with the message; empty when nothing was.
    metadata: Metadata,
    /// Its place in the chat: from 1, without gaps.
    seq: Integer<1>,
    /// The sender's own name for the message; null if it gave none.
    client_message_id: Nullable<ClientMessageId>,
    /// Which user, or which assistant; null for one without a name.
    sender_id: Nullable<UserId>,
}

impl From<domain::Message> for Message {
    fn from(message: domain::Message) -> Self {
        Self {
            id: message.id,
            content: message.content,
            sender_role: message.role,
            media_type: Nullable(message.media_type),
            media_url: Nullable(message.media_url),
            created_at: Timestamp(message.created_at),
            metadata: message.metadata,
            seq: Integer::nearest(message.seq),
            client_message_id: Nullable(message.client_message_id),
            sender_id: Nullable(message.sender_id),
        }
    }
}

impl Example for Message {
    fn example() -> Self {
        example(json!({
            "id": "018d0c8f-1b20-7c3e-9f10-5a6b7c8d9e0f",
            "content": "My printer is on fire.",
            "sender_role": "user",
            "media_type": null,
            "media_url": null,
            "created_at": "2024-01-15T10:31:00Z",
            "metadata": {},
            "seq": 1,
            "client_message_id": "9f1c2d3e",
            "sender_id": "user123",
        }))
    }
}

//! Chats.

use poem::web::Data;
use poem_openapi::{
    Object, OpenApi, Tags,
    types::{Example, ParseFromJSON},
};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::values::{Nullable, Timestamp};
use crate::{
    chat::{self, Chats, Metadata, NewChat, Title, UserId},
    http::{
        answer::Created,
        auth::Caller,
        body::{FromMembers, JsonBody, Members},
        idempotency::IdempotencyHeader,
        problem::{Code, Failure, Failures},
    },
};

const OPERATION: &str = "create_chat";

/// The document's sections.
#[derive(Tags)]
enum Tag {
    /// Chat sessions: one user's conversation, to which messages and WebSocket connections belong.
    Chats,
}

/// The operations.
pub(crate) struct ChatsApi;

#[OpenApi(prefix_path = "/api/v1/chats/", tag = "Tag::Chats")]
impl ChatsApi {
    /// Create Chat
    ///
    /// Creates a chat session for a user; its `id` is what WebSocket connections name. Only `user_id` is required: an
    /// unknown user is created with the chat, and a missing `title` is generated from the time. The tenant is the one
    /// that the API key belongs to.
    ///
    /// Send an `Idempotency-Key` to make repeating the request safe: for 24 hours the same key with the same body gets
    /// the first answer again, marked `Idempotency-Replayed: true`, and one chat exists in the end; with another body
    /// it is refused with 422. The body may have at most 64 KiB.
    #[oai(path = "/", method = "post", operation_id = "create_chat")]
    async fn create_chat(
        &self,
        caller: Caller,
        chats: Data<&Chats>,
        /// The caller's name for this one intent, such as a UUID; the same for every attempt.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyHeader,
        body: JsonBody<CreateChatRequest>,
    ) -> Result<Created<Chat>, Failure<CreateChatFailures>> {
        let idempotency = key.over(OPERATION, &body);
        let created = chats.create_chat(caller.tenant, body.into_value().into(), idempotency).await?;
        let location = format!("/api/v1/chats/{}", created.chat.id);
        Ok(Created::at(location, created.chat.into(), created.replayed))
    }
}

/// How `create_chat` can fail.
pub(super) struct CreateChatFailures;

impl Failures for CreateChatFailures {
    const OPERATION: &'static str = OPERATION;
    const CODES: &'static [Code] =
        &[Code::InvalidRequest, Code::PayloadTooLarge, Code::UnsupportedMediaType, Code::IdempotencyKeyReused];
}

/// What a chat is created from.
#[derive(Debug, Object)]
#[oai(example)]
struct CreateChatRequest {
    /// The ID of the user creating the chat session. 1–255 characters, no control characters.
    user_id: UserId,
    /// Optional custom title for the chat, 1–255 characters after trimming. If not provided, a title will be
    /// auto-generated.
    #[oai(nullable)]
    title: Option<Title>,
    /// Optional metadata object to store additional information about the chat: any JSON, at most 16 KiB without white
    /// space and 32 levels deep. Comes back as it was sent, every digit of a number included.
    #[oai(nullable)]
    metadata: Option<Metadata>,
}

impl FromMembers for CreateChatRequest {
    fn from_members(members: &mut Members<'_>) -> Option<Self> {
        let user_id = members.required("user_id");
        let title = members.optional("title");
        let metadata = members.optional("metadata");
        Some(Self { user_id: user_id?, title: title?, metadata: metadata? })
    }
}

impl From<CreateChatRequest> for NewChat {
    fn from(request: CreateChatRequest) -> Self {
        Self {
            user_id: request.user_id,
            title: request.title,
            metadata: request.metadata.unwrap_or_else(Metadata::empty),
        }
    }
}

impl Example for CreateChatRequest {
    fn example() -> Self {
        example(json!({
            "user_id": "user123",
            "title": "Support Session",
            "metadata": { "department": "technical", "priority": "high" },
        }))
    }
}

/// A chat session.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct Chat {
    /// Unique identifier for the chat session. Version 7: a later chat has a greater one.
    id: Uuid,
    /// The ID of the user who owns this chat.
    user_id: UserId,
    /// The tenant identifier, determined by the API key.
    tenant_id: String,
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
struct ChatConfig {
    /// What was given when the chat was created; empty when nothing was.
    metadata: Metadata,
}

impl From<chat::Chat> for Chat {
    fn from(chat: chat::Chat) -> Self {
        Self {
            id: chat.id,
            user_id: chat.user_id,
            tenant_id: chat.tenant_id.to_string(),
            title: chat.title,
            config: ChatConfig { metadata: chat.metadata },
            created_at: Timestamp(chat.created_at),
            updated_at: Timestamp(chat.updated_at),
            last_message_at: Nullable(chat.last_message_at.map(Timestamp)),
        }
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

fn example<T: ParseFromJSON>(json: serde_json::Value) -> T {
    T::parse_from_json(Some(json)).unwrap_or_else(|error| panic!("an example breaks a rule: {}", error.into_message()))
}

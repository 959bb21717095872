//! What the operations on chats take and answer as JSON.

use poem_openapi::{Object, types::Example};
use serde::Serialize;
use serde_json::json;

use crate::{
    api::paging::{Items, Limit, default_limit},
    domain::{self, ChatPatch, Metadata, MetadataPatch, NewChat, Status, Title, UserId},
    http::{
        body::{FromMembers, MERGE_PATCH, Members},
        schema::Text,
    },
    wire::{
        chat::{Chat, ChatDetails},
        cursor::Cursor,
        values::{Count, Nullable, Timestamp, example},
    },
};

/// What a chat is created from.
#[derive(Debug, Object)]
#[oai(example)]
pub(crate) struct CreateChatRequest {
    /// The ID of the user creating the chat session. No control characters.
    user_id: UserId,
    /// Optional custom title for the chat, counted after trimming. If not provided, a title will be auto-generated. No
    /// control characters; something that is visible.
    #[oai(nullable)]
    title: Option<Title>,
    /// Optional metadata object to store additional information about the chat: any JSON, at most 16 KiB without white
    /// space and 32 levels deep, with no member given twice and no number beyond a double. Comes back as it was sent,
    /// every digit of a number included.
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

/// What is to change about a chat.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct UpdateChatRequest {
    /// Another title, counted after trimming. No control characters; something that is visible.
    #[oai(nullable)]
    title: Option<Title>,
    /// A JSON merge patch (RFC 7396) of the metadata. What comes out has the bounds of any metadata.
    #[oai(nullable)]
    metadata: Option<MetadataPatch>,
    /// Closes the chat, or opens it again.
    #[oai(nullable)]
    status: Option<Status>,
}

impl FromMembers for UpdateChatRequest {
    const OTHER_MEDIA_TYPES: &'static [&'static str] = &[MERGE_PATCH];

    fn from_members(members: &mut Members<'_>) -> Option<Self> {
        let title = members.optional("title");
        let metadata = members.optional("metadata");
        let status = members.optional("status");
        Some(Self { title: title?, metadata: metadata?, status: status? })
    }
}

impl From<UpdateChatRequest> for ChatPatch {
    fn from(request: UpdateChatRequest) -> Self {
        Self { title: request.title, metadata: request.metadata, status: request.status }
    }
}

impl Example for UpdateChatRequest {
    fn example() -> Self {
        example(json!({ "title": "Printer on fire", "metadata": { "priority": null, "resolution": "answered" } }))
    }
}

/// A chat session in a list.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(super) struct ChatSummary {
    #[oai(flatten)]
    #[serde(flatten)]
    chat: Chat,
    /// How many messages it has.
    message_count: Count,
}

/// A page of a user's chats.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(super) struct ChatList {
    /// The chats of the page.
    pub(super) chats: Items<ChatSummary>,
    /// How many chats the user has; null on a page that a cursor began.
    pub(super) total: Nullable<Count>,
    /// How many were skipped; null on a page that a cursor began.
    pub(super) offset: Nullable<Count>,
    /// How many were asked for at most.
    pub(super) limit: Limit,
    /// Whether the list goes on.
    pub(super) has_more: bool,
    /// Where it goes on; null at its end.
    pub(super) next_cursor: Nullable<Cursor>,
}

/// A page of a tenant's chats.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(super) struct ChatPage {
    /// The chats of the page.
    pub(super) chats: Items<ChatDetails>,
    /// Where the list goes on; null at its end.
    pub(super) next_cursor: Nullable<Cursor>,
    /// Whether the list goes on.
    pub(super) has_more: bool,
}

/// A deletion in words.
pub(super) const DELETED: &str = "The chat was deleted.";

/// What was deleted.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(super) struct ChatDeleted {
    /// Always true.
    pub(super) success: bool,
    /// The same in words.
    pub(super) message: Text<255>,
    /// Since when the chat is gone, UTC.
    pub(super) deleted_at: Timestamp,
}

impl From<domain::Chat> for ChatSummary {
    fn from(chat: domain::Chat) -> Self {
        Self { message_count: Count::nearest(chat.message_count), chat: chat.into() }
    }
}

impl Example for ChatSummary {
    fn example() -> Self {
        Self { chat: Chat::example(), message_count: Count::nearest(0) }
    }
}

impl Example for ChatList {
    fn example() -> Self {
        Self {
            chats: Items::first(vec![ChatSummary::example()]),
            total: Nullable(Some(Count::nearest(1))),
            offset: Nullable(Some(Count::nearest(0))),
            limit: default_limit(),
            has_more: false,
            next_cursor: Nullable(None),
        }
    }
}

impl Example for ChatPage {
    fn example() -> Self {
        Self { chats: Items::first(vec![ChatDetails::example()]), next_cursor: Nullable(None), has_more: false }
    }
}

impl Example for ChatDeleted {
    fn example() -> Self {
        example(json!({
            "success": true,
            "message": DELETED,
            "deleted_at": "2024-01-15T11:00:00Z",
        }))
    }
}

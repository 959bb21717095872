//! What crosses the wire in a form that the application does not see: pages, which it sees as a [`Page`], and a body that
//! is made of an argument.

use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::model::{ChatDetails, ChatSummary};
use crate::page::Page;

/// A page of a user's chats.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct ChatList {
    chats: Vec<ChatSummary>,
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    total: Option<u64>,
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    #[expect(dead_code, reason = "the caller knows what it asked for")]
    offset: Option<u64>,
    #[expect(dead_code, reason = "the caller knows what it asked for")]
    limit: u32,
    has_more: bool,
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    next_cursor: Option<String>,
}

/// A page of a tenant's chats.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct ChatPage {
    chats: Vec<ChatDetails>,
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    next_cursor: Option<String>,
    has_more: bool,
}

/// A page of a chat's messages.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct MessageList {
    messages: Vec<Message>,
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    total: Option<u64>,
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    #[expect(dead_code, reason = "the caller knows what it asked for")]
    offset: Option<u64>,
    #[expect(dead_code, reason = "the caller knows what it asked for")]
    limit: u32,
    has_more: bool,
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    next_cursor: Option<String>,
}

/// A ticket to be made.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[cfg_attr(not(feature = "utoipa"), expect(unreachable_pub, reason = "the contract test reaches it"))]
pub struct CreateTicketRequest {
    /// The ID of the user who will connect.
    #[cfg_attr(feature = "utoipa", schema(min_length = 1, max_length = 255))]
    pub user_id: String,
}

impl From<ChatList> for Page<ChatSummary> {
    fn from(list: ChatList) -> Self {
        Self { items: list.chats, has_more: list.has_more, next_cursor: list.next_cursor, total: list.total }
    }
}

impl From<ChatPage> for Page<ChatDetails> {
    fn from(list: ChatPage) -> Self {
        Self { items: list.chats, has_more: list.has_more, next_cursor: list.next_cursor, total: None }
    }
}

impl From<MessageList> for Page<Message> {
    fn from(list: MessageList) -> Self {
        Self { items: list.messages, has_more: list.has_more, next_cursor: list.next_cursor, total: list.total }
    }
}

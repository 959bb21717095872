//! Pages as JSON encodes them. The application sees them as a [`Page`].

use serde::Deserialize;

use crate::chat::{ChatDetails, ChatSummary};
use crate::message::Message;
use crate::page::Page;

/// A page of a user's chats.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct ChatList {
    chats: Vec<ChatSummary>,
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    total: Option<u64>,
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    #[expect(dead_code, reason = "repeats the request's parameter")]
    offset: Option<u64>,
    #[expect(dead_code, reason = "repeats the request's parameter")]
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
    #[expect(dead_code, reason = "repeats the request's parameter")]
    offset: Option<u64>,
    #[expect(dead_code, reason = "repeats the request's parameter")]
    limit: u32,
    has_more: bool,
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    next_cursor: Option<String>,
}

#[doc(hidden)]
impl From<ChatList> for Page<ChatSummary> {
    fn from(list: ChatList) -> Self {
        Self { items: list.chats, has_more: list.has_more, next_cursor: list.next_cursor, total: list.total }
    }
}

#[doc(hidden)]
impl From<ChatPage> for Page<ChatDetails> {
    fn from(list: ChatPage) -> Self {
        Self { items: list.chats, has_more: list.has_more, next_cursor: list.next_cursor, total: None }
    }
}

#[doc(hidden)]
impl From<MessageList> for Page<Message> {
    fn from(list: MessageList) -> Self {
        Self { items: list.messages, has_more: list.has_more, next_cursor: list.next_cursor, total: list.total }
    }
}

//! What the benchmarks in `benches/` call of the crate's inside. There with the feature `bench-internals` only, and no part
//! of the interface: each entry point hands on to the server's own code.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use poem::{IntoResponse as _, Response};
use uuid::Uuid;

use crate::{
    api::{chats::bodies::CreateChatRequest, messages::SendMessageRequest},
    domain::{Chat, Message, NewChat, NewMessage, Origin, TenantId, UserId},
    http::{body, response::Created},
    realtime::{
        RealtimeLimits,
        hub::{Hub, Membership},
    },
    wire::{
        chat::ChatDetails,
        cursor::{self, List},
        message,
        protocol::event::{MessageCreated, MessageStreamToken, encode},
    },
};

/// The body of `create_chat`, read and checked; `None` when something is wrong with it.
pub fn read_create_chat(body: &[u8]) -> Option<NewChat> {
    body::parse::<CreateChatRequest>(body).ok().map(NewChat::from)
}

/// The body of `send_message`, read and checked; `None` when something is wrong with it.
pub fn read_send_message(body: &[u8]) -> Option<NewMessage> {
    body::parse::<SendMessageRequest>(body).ok().map(NewMessage::from)
}

/// The answer of `get_chat`.
pub fn write_chat(chat: Chat) -> Response {
    body::Json(ChatDetails::from(chat)).into_response()
}

/// The answer of `send_message`.
pub fn write_message(message: Message) -> Response {
    Created::new(message::Message::from(message), false).into_response()
}

/// A cursor of the list of a chat's messages.
#[derive(Debug)]
pub struct Cursor(cursor::Cursor);

impl Cursor {
    /// For `place`.
    pub fn of(tenant: TenantId, chat: Uuid, place: u128) -> Self {
        Self(list(tenant, chat).cursor(&place))
    }

    /// Its place; `None` when it is no cursor of this list.
    pub fn place(&self, tenant: TenantId, chat: Uuid) -> Option<u128> {
        list(tenant, chat).place(&self.0).ok()
    }
}

fn list(tenant: TenantId, chat: Uuid) -> List {
    List::of("list_messages").with(tenant.0).with(chat).with("asc").with(0_i64.to_be_bytes())
}

/// The frame that tells of a message, in bytes.
pub fn write_event(message: Message, at: DateTime<Utc>) -> usize {
    encode(&MessageCreated::of(message), at).len()
}

/// The frame with the next piece of an answer, in bytes.
pub fn write_token(chat: Uuid, answer: Uuid, token: &str, index: u32, at: DateTime<Utc>) -> usize {
    encode(&MessageStreamToken::new(chat, answer, token, index), at).len()
}

/// A chat in which some listen.
#[derive(Debug)]
pub struct Room {
    hub: Arc<Hub>,
    listeners: Vec<Membership>,
}

impl Room {
    /// With so many live connections.
    pub fn new(tenant: TenantId, chat: Uuid, user: &UserId, listeners: usize, at: DateTime<Utc>) -> Self {
        let limit = RealtimeLimits::default().outbox_bytes;
        let hub = Arc::new(Hub::new());
        let listener = |_| {
            let membership = hub.enter(tenant, chat, user.clone(), Uuid::nil(), limit);
            assert!(membership.join(0, at), "nothing is missing in a chat without messages");
            membership
        };
        Self { listeners: (0..listeners).map(listener).collect(), hub: hub.clone() }
    }

    /// Tells everybody of a message, and takes it out of every inbox; returns how many got it.
    pub fn tell(&self, message: &Message, at: DateTime<Utc>) -> usize {
        self.hub.message_stored(message, Origin::Api, at);
        self.listeners.iter().map(|listener| listener.inbox.take().items.len()).sum()
    }
}

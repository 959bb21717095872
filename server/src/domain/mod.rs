//! Values and their rules: tenants, users, chats, messages. No async code and no I/O.

/// What all values that are checked text have in common.
macro_rules! checked_text {
    ($($type:ident),+) => {
        $(impl $type {
            /// Takes back what was stored.
            pub(crate) fn stored(text: String) -> Self {
                Self(text)
            }

            /// The value as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        })+
    };
}

mod api_key;
mod chat;
mod idempotency;
mod label;
mod merge_patch;
mod message;
mod message_observer;
mod message_source;
mod metadata;
mod page;
mod raw_object;
mod tenant;
mod text;
mod ticket;
mod title;
mod user;

pub use api_key::ApiKey;
pub use chat::{Chat, ChatPatch, Created, Deleted, NewChat, Status, Updated};
pub use idempotency::{Fingerprint, Idempotency, IdempotencyKey};
pub use label::Label;
pub use message::{ClientMessageId, Content, MediaType, MediaUrl, Message, NewMessage, Role};
pub use message_observer::Listener;
pub use message_source::{ConnectionId, FinishReason, Origin};
pub use metadata::{Metadata, MetadataPatch};
pub use page::{ActivityPlace, ChatFilter, ChatPlace, ChatWindow, MessagePlace, Order, Page, Start, Window};
pub(crate) use raw_object::{Name, Names, RawObject};
pub use tenant::{IssuedKey, KeyRecord, Principal, TenantId, TenantRecord};
pub use ticket::{IssuedTicket, Redemption, Ticket, TicketGrant};
pub use title::Title;
pub use user::UserId;

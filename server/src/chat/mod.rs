//! The domain: what a chat is and what can be done with one. Knows no HTTP and no SQL.

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

mod chat;
mod chats;
mod connections;
mod event;
mod idempotency;
mod merge_patch;
mod message;
mod messages;
mod metadata;
mod page;
mod raw_object;
mod text;
mod ticket;
mod tickets;
mod title;
mod user;

pub use crate::validation::Violation;
pub(crate) use crate::validation::pointer_step;
pub use chat::{Chat, ChatPatch, Created, Deleted, NewChat, Status, Updated};
pub use chats::Chats;
pub use connections::Connections;
pub use event::{ConnectionId, FinishReason, Listener, Origin};
pub use idempotency::{Fingerprint, Idempotency, IdempotencyKey};
pub use message::{ClientMessageId, Content, MediaType, MediaUrl, Message, NewMessage, Role};
pub use messages::Messages;
pub use metadata::{Metadata, MetadataPatch};
pub use page::{ActivityPlace, ChatFilter, ChatPlace, ChatWindow, Label, MessagePlace, Order, Page, Start, Window};
pub(crate) use raw_object::{Name, Names, RawObject};
pub use ticket::{IssuedTicket, Redemption, Ticket, TicketGrant};
pub use tickets::Tickets;
pub use title::Title;
pub use user::UserId;

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

mod chats;
mod event;
mod idempotency;
mod merge_patch;
mod message;
mod messages;
mod metadata;
mod page;
mod raw_object;
mod text;
mod tickets;
mod title;
mod user;

pub use chats::{Chat, ChatPatch, Chats, Created, Deleted, NewChat, Status, Updated};
pub use event::{ConnectionId, Connections, FinishReason, Listener, Origin};
pub use idempotency::{Fingerprint, Idempotency, IdempotencyKey};
pub use message::{ClientMessageId, Content, MediaType, MediaUrl, Message, NewMessage, Role};
pub use messages::Messages;
pub use metadata::{Metadata, MetadataPatch};
pub use page::{ActivityPlace, ChatFilter, ChatPlace, ChatWindow, Label, MessagePlace, Order, Page, Start, Window};
pub(crate) use raw_object::{Name, Names, RawObject};
pub use tickets::{IssuedTicket, Redemption, Ticket, TicketGrant, Tickets};
pub use title::Title;
pub use user::UserId;

/// A rule that a value breaks: where inside the value (a JSON pointer, RFC 6901; empty for the value itself) and a
/// sentence without a subject, such as `must not be empty`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where, relative to the value.
    pub pointer: String,
    /// What is wrong, in words for the caller. Never repeats the value.
    pub detail: String,
}

impl Violation {
    /// A violation by the value as a whole.
    pub fn new(detail: impl Into<String>) -> Self {
        Self { pointer: String::new(), detail: detail.into() }
    }
}

/// One step of a JSON pointer (RFC 6901): a slash and the member's name, escaped.
pub(crate) fn pointer_step(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

//! The REST interface: one file a noun, each with its handlers and its schema types; of a large noun, the latter are in
//! files below it.

pub(crate) mod chats;
pub(crate) mod messages;
pub(crate) mod paging;
pub(crate) mod tickets;

/// The document's sections.
#[derive(poem_openapi::Tags)]
enum Tag {
    /// Chat sessions: one user's conversation, to which messages and WebSocket connections belong.
    Chats,
    /// What is said in a chat, numbered from 1 without gaps.
    Messages,
    /// What opens a WebSocket connection to a chat where an API key must not be, as in a browser.
    Tickets,
}

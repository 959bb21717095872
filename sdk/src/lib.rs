//! The typed Rust client for **Parlor**, a self-hosted multi-tenant chat backend.
//!
//! ```
//! use parlor_sdk::{Client, NewChat};
//! use serde_json::json;
//!
//! # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = server::Server::start([server::created(server::CHAT)]);
//! # let url = server.url();
//! let client = Client::new(url, "your-tenant-api-key")?;
//! let chat = client
//!     .create_chat(
//!         NewChat::new("user123")
//!             .title("Support Session")
//!             .metadata(json!({"department": "technical", "priority": "high"})),
//!     )
//!     .await?;
//! assert_eq!(chat.title, "Support Session");
//! assert_eq!(chat.config.metadata.get("priority"), Some(json!("high")));
//! # assert_eq!(server.requests().len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! The address and the key usually come from the environment variables `PARLOR_URL` and `PARLOR_API_KEY`:
//! [`Client::from_env`]. All other settings have defaults and a method on [`Client::builder`].
//!
//! # Operations
//!
//! | | chats | messages | tickets |
//! |---|---|---|---|
//! | create | [`create_chat`](Client::create_chat) | [`send_message`](Client::send_message) | [`create_ticket`](Client::create_ticket) |
//! | get | [`get_chat`](Client::get_chat) | | |
//! | list | [`list_user_chats`](Client::list_user_chats), [`list_chats`](Client::list_chats) with a [`ChatFilter`] | [`list_messages`](Client::list_messages) | |
//! | update | [`update_chat`](Client::update_chat) | | |
//! | delete | [`delete_chat`](Client::delete_chat) | | |
//!
//! # The life of a call
//!
//! 1. [`Client::create_chat`] returns a [`Call`]. Nothing is sent yet; per-call settings ([`timeout`](Call::timeout),
//!    [`header`](Call::header), [`idempotency_key`](Call::idempotency_key), …) are methods on it.
//! 2. Awaiting the call, or [`Call::with_response`] for status and headers as well, starts its total time. Invalid
//!    settings (metadata that is not a JSON object, an invalid header) fail here with an [`Error`], before a connection
//!    is opened.
//! 3. A `POST` gets its `Idempotency-Key`: the application's, or a random UUID. A message without a
//!    [`client_message_id`](NewMessage::client_message_id) gets the same value. Body and key are now fixed and
//!    identical in every attempt, so the server executes the call at most once, however often it is sent. Only
//!    [`create_ticket`](Client::create_ticket) has no key and needs none.
//! 4. An attempt sends the request and reads the response, within 15 seconds and 8 MiB of body. Redirects are not
//!    followed, because that could drop the body of a `POST` or send the API key to another host.
//! 5. A temporary failure (no connection, a timeout, a broken connection, 408, 429, 500, 502, 503, 504, and 409
//!    `idempotency_in_progress`) is retried after a random delay that grows with each attempt and is never shorter than
//!    the server's `Retry-After`. The limits are three attempts, the client's [retry budget](RetryPolicy) and the
//!    call's total time of 60 seconds. [`RetryPolicy`] documents the rules, and why retrying each method is safe.
//! 6. A 2xx response is decoded to the model, for example a [`Chat`]. Unknown fields are ignored, unknown enum values
//!    are kept ([`Status::Other`]), and metadata keeps every digit ([`Metadata`]). Any other response is an [`Error`]
//!    that keeps the server's [`Problem`] and supports the decision what to do next:
//!    [`is_retryable`](Error::is_retryable), [`was_maybe_processed`](Error::was_maybe_processed),
//!    [`idempotency_key`](Error::idempotency_key).
//!
//! Dropping the future abandons the call. The server may or may not have executed it; within 24 hours, the same call
//! with the same [`idempotency_key`](Call::idempotency_key) returns its result.
//!
//! # Lists
//!
//! [`Client::list_messages`] returns a [`List`]. Nothing is sent until it is read: awaiting it returns one [`Page`];
//! [`items`](List::items) and [`pages`](List::pages) stream the whole list. Each page is a call as above, and is
//! fetched from the server's cursor when the previous one is used up: a list of any length needs the memory of one
//! page, and items that are added or deleted meanwhile cause no duplicates and no omissions. A stream ends after its
//! first error; the [cursor](List::cursor) of the last page resumes it.
//!
//! # Live sessions
//!
//! With the feature `realtime`, `Client::connect` opens a `Session`: a stream of `Event`s, and `send`, which returns a
//! `Receipt` when the message is durable. The session reconnects automatically and continues where it was: the stream
//! yields each message of the chat once and in order, and reports gaps. An unacknowledged message is resent with the
//! same id, and stored once. The documentation of `Session` has the rules.
//!
#![cfg_attr(feature = "realtime", doc = "```no_run")]
#![cfg_attr(not(feature = "realtime"), doc = "```ignore")]
//! use parlor_sdk::{Client, Event};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), parlor_sdk::Error> {
//! # let chat_id = parlor_sdk::uuid::Uuid::nil();
//! let client = Client::from_env()?;
//! let (sender, mut events) = client.connect(chat_id, "user123").await?.split();
//! tokio::spawn(async move {
//!     match sender.send("My printer is on fire.").await {
//!         Ok(receipt) => println!("stored with seq {}", receipt.seq),
//!         Err(error) => eprintln!("not stored: {error}"),
//!     }
//! });
//! while let Some(event) = events.next().await {
//!     match event? {
//!         Event::MessageCreated(created) => println!("{}", created.message.content),
//!         Event::MessageStreamToken(token) => print!("{}", token.token),
//!         Event::Disconnected(lost) => eprintln!("offline, next attempt in {:?}", lost.retry_in),
//!         Event::Gap(gap) => eprintln!("messages {} to {} are missing", gap.after_seq + 1, gap.next_seq - 1),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Requirements
//!
//! Calls need a Tokio runtime with its I/O and time drivers enabled. TLS is rustls with the *ring* provider and the
//! platform's certificate roots. A process-wide crypto provider is neither required nor used.
//!
//! # Features
//!
//! - `utoipa`: the models implement [`utoipa::ToSchema`](https://docs.rs/utoipa), for use in an application's own
//!   `OpenAPI` document. Off by default.
//! - `realtime`: live sessions over WebSocket, `Client::connect`. Off by default; it adds eleven crates.

mod api_key;
mod base_url;
mod call;
mod chat;
mod chat_filter;
mod chat_patch;
mod chats;
mod client;
mod clock;
mod error;
mod headers;
mod idempotency_key;
mod list;
mod message;
mod messages;
mod metadata;
mod new_chat;
mod open_enum;
mod operation;
mod page;
mod pages;
mod path_and_query;
mod percent_encode;
mod prepared_call;
mod problem;
mod raw_response;
#[cfg(feature = "realtime")]
mod realtime;
mod redact;
mod response;
mod retry_after;
mod retry_budget;
mod retry_loop;
mod retry_policy;
mod tickets;
mod transport;

pub use call::{Call, CallFuture};
pub use chat::{Chat, ChatConfig, ChatDeleted, ChatDetails, ChatSummary, Status};
pub use chat_filter::ChatFilter;
pub use chat_patch::ChatPatch;
pub use client::{Client, ClientBuilder};
pub use clock::{Clock, SleepFuture};
pub use error::{Error, ErrorKind};
pub use list::{ChatSort, Items, List, Order, Pages};
pub use message::{Message, NewMessage, Role};
pub use metadata::Metadata;
pub use new_chat::NewChat;
pub use operation::{OPERATIONS, Operation};
pub use page::Page;
pub use problem::{Code, FieldError, Problem};
#[cfg(feature = "realtime")]
pub use realtime::{
    ChatUpdated, Connect, Connected, DisconnectReason, Disconnected, ErrorEvent, Event, Events, FinishReason, Gap,
    MessageCreated, MessageReceived, MessageStreamEnded, MessageStreamStarted, MessageStreamToken, OutgoingMessage,
    Receipt, Sender, Session, UnknownEvent, UserCreated, UserTyping,
};
pub use response::Response;
pub use retry_policy::{RetryPolicy, RetryStop};
pub use tickets::Ticket;

/// Internals that the contract test compares with the server's document. Not part of the public API.
#[cfg(feature = "utoipa")]
#[doc(hidden)]
pub mod contract {
    pub use crate::pages::{ChatList, ChatPage, MessageList};
    pub use crate::tickets::CreateTicketRequest;

    /// The codes that have a name in [`Code`](crate::Code).
    pub const CODES: &[&str] = crate::Code::VALUES;
}

/// Re-exports of the crates whose types are part of the public API: timestamps, [`StatusCode`](http::StatusCode) and
/// [`HeaderMap`](http::HeaderMap), and the ids of chats and messages.
pub use {chrono, http, uuid};

/// Compiles the example in the crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

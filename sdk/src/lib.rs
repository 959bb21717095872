//! The typed Rust client of **Parlor**, a self-hosted multi-tenant chat backend.
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
//! The address and the key usually come from the environment, `PARLOR_URL` and `PARLOR_API_KEY`:
//! [`Client::from_env`]. Everything else has a default and a setting on [`Client::builder`].
//!
//! # What can be called
//!
//! | | chats | messages | tickets |
//! |---|---|---|---|
//! | create | [`create_chat`](Client::create_chat) | [`send_message`](Client::send_message) | [`create_ticket`](Client::create_ticket) |
//! | read | [`get_chat`](Client::get_chat) | | |
//! | list | [`list_user_chats`](Client::list_user_chats), [`chats`](Client::chats) with a [`ChatFilter`] | [`list_messages`](Client::list_messages) | |
//! | change | [`update_chat`](Client::update_chat) | | |
//! | delete | [`delete_chat`](Client::delete_chat) | | |
//!
//! # The life of a call
//!
//! 1. [`Client::create_chat`] makes a [`Call`]. Nothing is sent yet; the call's own settings
//!    ([`timeout`](Call::timeout), [`header`](Call::header), [`idempotency_key`](Call::idempotency_key), …) are
//!    made on it.
//! 2. Awaiting the call, or [`Call::with_response`] when status and headers matter, starts its clock. What cannot
//!    be sent (metadata that is no JSON object, a header that is not one) is an [`Error`] here, before any
//!    connection is opened.
//! 3. A `POST` gets its `Idempotency-Key`: yours, or a random UUID. A message without a
//!    [`client_message_id`](NewMessage::client_message_id) gets the same one. The body and the key are fixed from now
//!    on and the same in every attempt, so the server carries the call out at most once, however often it is sent.
//!    [`create_ticket`](Client::create_ticket) alone has no key and needs none.
//! 4. An attempt sends the request and reads the answer, both bounded: 15 seconds, and 8 MiB of body. Redirects are
//!    not followed: that would lose the body of a `POST`, or hand the API key to another host.
//! 5. A failure that may pass (no connection, a time-out, a broken connection, 408, 429, 500, 502, 503, 504, and 409
//!    `idempotency_in_progress`) is repeated after a random pause that grows with each attempt and is never shorter
//!    than the server's `Retry-After`: three attempts in all, as long as the client's [retry budget](RetryPolicy)
//!    and the call's total time, 60 seconds, allow it. [`RetryPolicy`] has the rules, and why each method may be
//!    repeated.
//! 6. A 2xx answer becomes the model, for example a [`Chat`]; fields that this version does not know are skipped, words
//!    that it does not know are kept ([`Status::Other`]), and metadata is kept to the digit ([`Metadata`]).
//!    Anything else becomes an [`Error`] that keeps the server's [`Problem`] and tells what to do next:
//!    [`is_retryable`](Error::is_retryable), [`was_maybe_processed`](Error::was_maybe_processed),
//!    [`idempotency_key`](Error::idempotency_key).
//!
//! Dropping the future abandons the call. Whether the server has carried it out is then unknown; the same call with
//! the same [`idempotency_key`](Call::idempotency_key) finds out, for 24 hours.
//!
//! # Lists
//!
//! [`Client::list_messages`] makes a [`List`]: settings first, nothing sent yet. Awaited, it is one [`Page`];
//! [`items`](List::items) and [`pages`](List::pages) read all of it, as streams. Each page is a call of its own, with all
//! of the above, and is fetched when the one before is used up, from the server's cursor: a list of any length takes the
//! memory of a page, and what is added or deleted meanwhile makes it skip or repeat nothing. A stream ends with its first
//! error; the [cursor](List::cursor) of the last page goes on from there.
//!
//! # Live sessions
//!
//! With the feature `realtime`, `Client::connect` opens a `Session`: a stream of `Event`s as they happen, and `send`, which
//! comes to a `Receipt` when the message is durable. The session reconnects by itself and goes on where it was: the stream
//! shows each message of the chat once and in order, and says so where it cannot. A message that is not acknowledged is
//! sent again under the same name, and stored once. The documentation of `Session` has the rules.
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
//!         Ok(receipt) => println!("stored as number {}", receipt.seq),
//!         Err(error) => eprintln!("not stored: {error}"),
//!     }
//! });
//! while let Some(event) = events.next().await {
//!     match event? {
//!         Event::MessageCreated(created) => println!("{}", created.message.content),
//!         Event::MessageStreamToken(token) => print!("{}", token.token),
//!         Event::Disconnected(lost) => eprintln!("offline, next attempt in {:?}", lost.retry_in),
//!         Event::Gap(gap) => eprintln!("messages {} to {} are not here", gap.after_seq + 1, gap.next_seq - 1),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Requirements
//!
//! Calls run on a Tokio runtime with its I/O and time drivers enabled. TLS is rustls with the *ring* provider and the
//! platform's certificate roots; no process-wide provider has to be installed, and one that is installed is left
//! alone.
//!
//! # Features
//!
//! - `utoipa`: the models implement [`utoipa::ToSchema`](https://docs.rs/utoipa), so that an application can name
//!   them in its own `OpenAPI` document. Off by default.
//! - `realtime`: live sessions over WebSocket, `Client::connect`. Off by default; it brings eleven crates.

mod answer;
mod attempts;
mod base_url;
mod budget;
mod call;
mod chat_patch;
mod chats;
mod client;
mod clock;
mod error;
mod filter;
mod headers;
mod idempotency;
mod list;
mod message;
mod messages;
mod metadata;
mod model;
mod new_chat;
mod operation;
mod page;
mod problem;
#[cfg(feature = "realtime")]
mod realtime;
mod redact;
mod response;
mod retry;
mod retry_after;
mod secret;
mod target;
mod tickets;
mod transport;
/// For the contract test.
#[cfg(feature = "utoipa")]
#[doc(hidden)]
pub mod wire;
#[cfg(not(feature = "utoipa"))]
mod wire;
mod words;

pub use call::{Call, CallFuture};
pub use chat_patch::ChatPatch;
pub use client::{Client, ClientBuilder};
pub use clock::{Clock, Pause};
pub use error::{Error, ErrorKind};
pub use filter::ChatFilter;
pub use list::{ChatSort, Items, List, Order, Pages};
pub use message::{Message, NewMessage, Role};
pub use metadata::Metadata;
pub use model::{Chat, ChatConfig, ChatDeleted, ChatDetails, ChatSummary, Status};
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
pub use retry::{RetryPolicy, RetryStop};
pub use tickets::Ticket;

/// The crates whose types this one speaks: points in time, [`StatusCode`](http::StatusCode) and
/// [`HeaderMap`](http::HeaderMap), and the ids of chats and messages.
pub use {chrono, http, uuid};

/// Compiles what the crate's README shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

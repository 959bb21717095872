//! Parlor's server.
//!
//! `ARCHITECTURE.md` at the repository's root has the life of a request, of a message and of an answer, and says where to
//! change what. What is public is what embedding needs: [`app`] and [`config`], [`chat`] and [`tenant`] for use cases
//! beside HTTP, [`assistant`] for a provider of one's own, [`clock`] for tests, and [`cli`] for the binary. With the feature
//! `bench-internals`, `bench` hands parts of the inside to the benchmarks in `benches/`.
//!
//! The server can be embedded:
//!
//! ```no_run
//! use parlor_server::{app::{App, BoundPort}, config::Config};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let port = BoundPort::bind(Config::LISTEN)?;
//! let app = App::open(Config::new("sqlite://parlor.db".parse()?), port).await?;
//! app.run(CancellationToken::new()).await;
//! # Ok(())
//! # }
//! ```

pub mod app;
pub mod assistant;
#[cfg(feature = "bench-internals")]
#[doc(hidden)]
pub mod bench;
pub mod cli;
pub mod config;

mod api;
mod auth;
mod base;
mod demo;
mod docs;
mod domain;
mod health;
mod home;
mod http;
mod realtime;
mod router;
mod service;
mod store;
mod wire;

pub use base::{clock, error, secret};

/// Chats, messages and tickets: the values and the use cases.
pub mod chat {
    pub use crate::{
        base::validation::Violation,
        domain::{
            ActivityPlace, Chat, ChatFilter, ChatPatch, ChatPlace, ChatWindow, ClientMessageId, ConnectionId, Content,
            Created, Deleted, Fingerprint, FinishReason, Idempotency, IdempotencyKey, IssuedTicket, Label, Listener,
            MediaType, MediaUrl, Message, MessagePlace, Metadata, MetadataPatch, NewChat, NewMessage, Order, Origin,
            Page, Redemption, Role, Start, Status, Ticket, TicketGrant, Title, Updated, UserId, Window,
        },
        service::{Chats, Connections, Messages, Tickets},
    };
}

/// Tenants and their API keys.
pub mod tenant {
    pub use crate::{
        domain::{ApiKey, IssuedKey, KeyRecord, Principal, TenantId, TenantRecord},
        service::{Authenticator, Bootstrap, Tenants},
    };
}

/// Parts of the inside that this repository's tests and benchmarks put together by themselves; no part of the interface.
#[doc(hidden)]
pub mod internals {
    pub use crate::{
        base::metrics::Metrics,
        store::{Opener, Store},
    };
}

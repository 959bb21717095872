//! Parlor's server.
//!
//! `ARCHITECTURE.md` at the repository's root has the life of a request, of a message and of an answer, and says where to
//! change what.
//!
//! # The modules
//!
//! [`chat`] and [`tenant`] are the domain and know neither HTTP nor SQL; [`error`] is what can go wrong there. `api`
//! and `http` put it on the wire, [`realtime`] the live part of it; [`store`] keeps it. `demo` is a page that uses it.
//! [`assistant`] makes answers to what users write. [`app`] builds all of it, [`config`] has every setting,
//! [`commands`] is the command line. [`clock`] is where time comes from, [`secret`] what keys and tickets are made of;
//! [`metrics`] is what is counted. With the feature `bench-internals`, `bench` hands parts of the inside to the benchmarks
//! in `benches/`.
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
pub mod realtime;
pub mod store;

mod api;
mod auth;
mod base;
mod demo;
mod docs;
mod domain;
mod health;
mod home;
mod http;
mod router;
mod service;
mod wire;

pub use base::{clock, error, metrics, secret};

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

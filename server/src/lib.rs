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
pub mod chat;
pub mod clock;
pub mod commands;
pub mod config;
pub mod error;
pub mod metrics;
pub mod realtime;
pub mod secret;
pub mod store;
pub mod tenant;

mod api;
mod deadline;
mod demo;
mod http;
mod lock;
mod validation;

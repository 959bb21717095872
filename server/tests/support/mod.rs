//! What the tests share: databases, servers, clients, a clock that stands still, a link that can be cut, faults of system
//! calls and statements, a model's server that plays a script, the documentation's pages.

mod chaos;
mod client;
mod clock;
mod database;
pub(crate) mod described;
pub(crate) mod fault;
mod link;
mod live;
mod lock;
pub(crate) mod page;
mod postgres;
mod process;
mod proxy;
pub(crate) mod requests;
mod server;
pub(crate) mod upstream;

pub(crate) use chaos::Chaos;
pub(crate) use client::{Answer, Client, raw};
pub(crate) use clock::ManualClock;
pub(crate) use database::TestDatabase;
pub(crate) use described::{ASYNCAPI, asyncapi, objections};
pub(crate) use link::Link;
pub(crate) use live::{Live, Refused};
pub(crate) use lock::WriteLock;
pub(crate) use page::Page;
pub(crate) use postgres::{StatementFaults, Strike};
pub(crate) use process::{LogFile, ServerProcess};
pub(crate) use proxy::{Cut, MessageProxy};
pub(crate) use server::TestServer;

/// The bootstrap key of every test server.
pub(crate) const KEY: &str = "test-bootstrap-api-key";

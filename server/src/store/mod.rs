//! Storage: SQLite or PostgreSQL behind the same queries.
//!
//! Two ways lead in. [`Store::tenant`] is the only root for what belongs to a tenant, so that a query cannot forget
//! whose data it reads. What leads to a tenant, keys and tickets, and the tenants themselves are reached from [`Store`].
//!
//! Rows on the hot path are written by one `writer` that commits many requests in one transaction, on a SQLite file by a
//! thread and a connection of its own; single chats are read by one `reader` task that asks for many in one query. On
//! PostgreSQL each of the two has a `dedicated` connection. Everything else goes through sea-orm a statement at a time,
//! and on a file takes `turns` with the writer.
//!
//! Column types are chosen so that order and equality are the same on both databases: moments are whole microseconds
//! since 1970 in a 64-bit integer, UUIDs are sixteen bytes, JSON is text.

mod chats;
mod checkpoints;
mod dedicated;
mod entity;
mod expiry;
mod failure;
mod keys;
mod labels;
mod messages;
mod migration;
mod open;
#[cfg(test)]
mod plans;
mod reader;
mod rows;
mod tenants;
mod tickets;
mod turns;
mod users;
mod writer;

use std::{fmt, fs::File, sync::Arc};

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend};

pub use open::DatabaseUrl;
pub use writer::WriterLimits;

use crate::{
    error::{Cause, Error, Result},
    tenant::TenantId,
};
use failure::fault;

/// The open database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// For statements that only read.
    read: DatabaseConnection,
    /// For statements that write.
    write: turns::Write,
    reader: reader::Reader,
    writer: writer::Writer,
    /// SQLite's file, as checkpoints sync it. Closed after all connections, hence last and here: with any of its
    /// descriptors a process gives up all its POSIX locks on a file, those that its connections hold by others too.
    _file: Option<Arc<File>>,
}

impl Store {
    /// The root of every query about one tenant's data.
    pub fn tenant(&self, tenant: TenantId) -> TenantScope<'_> {
        TenantScope { store: self, tenant }
    }

    fn is_sqlite(&self) -> bool {
        self.read.get_database_backend() == DbBackend::Sqlite
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<()> {
        // A statement, not a check-out: a pooled connection may have died since it was last used.
        self.read.execute_unprepared("SELECT 1").await.map_err(fault)?;
        if self.writer.is_running() { Ok(()) } else { Err(Error::Unavailable(Cause::new("the writer has stopped"))) }
    }

    /// Writes what is queued, then closes the connections. Requests that come later are answered `Unavailable`.
    pub async fn close(&self) {
        self.writer.close().await;
        self.reader.close().await;
        for closed in [self.read.clone().close().await, self.write.close().await] {
            if let Err(error) = closed {
                tracing::warn!(%error, "could not close the database");
            }
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("backend", &self.read.get_database_backend()).finish_non_exhaustive()
    }
}

/// What belongs to one tenant. Its queries are in one file a noun: `chats`, `messages`, `users`.
#[derive(Debug)]
pub struct TenantScope<'a> {
    store: &'a Store,
    tenant: TenantId,
}

/// A moment as it is stored.
fn to_micros(moment: DateTime<Utc>) -> i64 {
    moment.timestamp_micros()
}

/// A stored moment.
fn from_micros(micros: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros)
        .ok_or_else(|| Error::Internal(Cause::new(format!("{micros} microseconds are no moment"))))
}

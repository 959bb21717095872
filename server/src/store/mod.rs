//! Storage: SQLite or PostgreSQL behind the same queries.
//!
//! Two ways lead in. [`Store::tenant`] is the only root for what belongs to a tenant, so that a query cannot forget
//! whose data it reads. What leads to a tenant, keys and tickets, and the tenants themselves are reached from [`Store`].
//!
//! Rows on the hot path are written by one `writer` that commits many requests in one transaction, on a SQLite file by a
//! thread and a connection of its own; single chats are read by one `reader` task that asks for many in one query. On
//! PostgreSQL each of the two keeps a connection. Everything else goes through sea-orm a statement at a time, on
//! connections whose waits all have a bound (`connection`); on a file, writes pass a `write_gate` that they share with the
//! writer. `readiness` tells whether a write would succeed.
//!
//! Column types are chosen so that order and equality are the same on both databases: moments are whole microseconds
//! since 1970 in a 64-bit integer, UUIDs are sixteen bytes, JSON is text.

mod activity;
mod chat_columns;
mod chats;
mod checkpoints;
mod connection;
mod database_url;
mod entity;
mod expiry;
mod failure;
mod keys;
mod labels;
mod limits;
mod messages;
mod migration;
mod open;
mod open_error;
#[cfg(test)]
mod plans;
mod reader;
mod readiness;
mod rows;
mod sqlite_file;
mod tenants;
#[cfg(test)]
#[path = "../../tests/support/database.rs"]
#[expect(dead_code, reason = "the other tests use all of it")]
mod test_database;
mod tickets;
mod users;
mod write_gate;
mod writer;

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use sea_orm::DbBackend;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout_at,
};

pub use database_url::DatabaseUrl;
pub use limits::DatabaseLimits;
pub use open::Opener;
pub use writer::WriterLimits;

use crate::{
    base::{
        deadline,
        error::{Cause, Error, Result},
    },
    domain::TenantId,
};

/// The open database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// For statements that only read.
    read: connection::Database,
    /// For statements that write.
    write: write_gate::GatedDatabase,
    chats: reader::GroupReader<reader::ChatSource>,
    keys: reader::GroupReader<reader::KeySource>,
    writer: writer::Writer,
    readiness: readiness::Readiness,
    /// One permit for each page of a list that may be in memory.
    pages: Arc<Semaphore>,
    /// Closed after all connections, hence here.
    _file: Option<Arc<sqlite_file::SqliteFile>>,
    lock: Option<Arc<sqlite_file::ServerLock>>,
}

impl Store {
    /// The root of every query about one tenant's data.
    pub fn tenant(&self, tenant: TenantId) -> TenantScope<'_> {
        TenantScope { store: self, tenant }
    }

    /// Waits until another page of a list may be in memory: rows come faster than answers are made of them.
    async fn room_for_a_page(&self) -> Result<OwnedSemaphorePermit> {
        let deadline = deadline::after(self.read.limits().statement);
        match timeout_at(deadline.into(), self.pages.clone().acquire_owned()).await {
            Ok(Ok(room)) => Ok(room),
            // It is never closed.
            Ok(Err(_)) | Err(_) => Err(Error::Unavailable(Cause::new("too many requests read lists"))),
        }
    }

    fn is_sqlite(&self) -> bool {
        self.read.backend() == DbBackend::Sqlite
    }

    /// Whether requests can be served: the database answers, and takes writes. Many may ask at once.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when they cannot, within [`DatabaseLimits::readiness`].
    pub async fn check_ready(&self) -> Result<()> {
        self.readiness.check().await
    }

    /// Writes what is queued, then closes the connections. Requests that come later are answered `Unavailable`.
    pub async fn close(&self) {
        self.writer.close().await;
        self.chats.close().await;
        self.keys.close().await;
        self.read.close().await;
        self.write.close().await;
        // Other handles may be kept for a while.
        if let Some(lock) = &self.lock {
            lock.release();
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("backend", &self.read.backend()).finish_non_exhaustive()
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
        .ok_or_else(|| Error::Internal(Cause::new(format!("{micros} microseconds after 1970 are out of range"))))
}

//! Turns at writing.
//!
//! SQLite lets one connection write at a time and has the others poll for the lock: beside a writer that is always at
//! work they would find it free by luck only. So whoever wants to write to a file takes a turn first, and turns come in
//! the order in which they were asked for. PostgreSQL needs none of this.

use std::{ops::Deref, sync::Arc};

use sea_orm::{DatabaseConnection, DatabaseTransaction, DbBackend, TransactionTrait as _};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    failure::fault,
    open::{PATIENCE, write_transaction},
};
use crate::error::{Cause, Error, Result};

/// The turns at writing to one database. Cheap to clone.
#[derive(Clone)]
pub(super) struct Turns(Option<Arc<Semaphore>>);

/// The right to write, until it is dropped.
pub(super) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    pub(super) fn of(backend: DbBackend) -> Self {
        Self((backend == DbBackend::Sqlite).then(|| Arc::new(Semaphore::new(1))))
    }

    /// Waits for a turn, however long it takes.
    pub(super) async fn next(&self) -> Turn {
        match &self.0 {
            // It is never closed; without a permit the file's own lock would still decide.
            Some(turns) => Turn { _permit: turns.clone().acquire_owned().await.ok() },
            None => Turn { _permit: None },
        }
    }
}

/// Connections for statements that write.
#[derive(Clone)]
pub(super) struct Write {
    database: DatabaseConnection,
    turns: Turns,
}

impl Write {
    pub(super) fn new(database: DatabaseConnection, turns: Turns) -> Self {
        Self { database, turns }
    }

    /// The database, for single statements while the turn lasts.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no turn comes in time.
    pub(super) async fn turn(&self) -> Result<During<DatabaseConnection>> {
        let turn = self.take().await?;
        Ok(During { inner: self.database.clone(), _turn: turn })
    }

    /// A transaction, which is rolled back unless it is committed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no turn comes in time or the database does not answer.
    pub(super) async fn begin(&self) -> Result<During<DatabaseTransaction>> {
        let turn = self.take().await?;
        let transaction = self.database.begin_with_options(write_transaction()).await.map_err(fault)?;
        Ok(During { inner: transaction, _turn: turn })
    }

    pub(super) async fn close(&self) -> std::result::Result<(), sea_orm::DbErr> {
        self.database.clone().close().await
    }

    async fn take(&self) -> Result<Turn> {
        let late = |_| Error::Unavailable(Cause::new("the database did not become free in time"));
        timeout(PATIENCE, self.turns.next()).await.map_err(late)
    }
}

/// What may be used during a turn.
pub(super) struct During<T> {
    // Dropped first: a transaction is over before the next turn begins.
    inner: T,
    _turn: Turn,
}

impl<T> Deref for During<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl During<DatabaseTransaction> {
    pub(super) async fn commit(self) -> Result<()> {
        self.inner.commit().await.map_err(fault)
    }
}

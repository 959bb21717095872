//! The order in which connections write to a SQLite file.
//!
//! SQLite lets one connection write at a time and has the others poll for the lock: beside a writer that is always at
//! work they would find it free by luck only. So each write to a file first waits for a permit, and permits are given in
//! the order in which they were asked for. PostgreSQL needs none of this.

use std::{ops::Deref, sync::Arc, time::Instant};

use sea_orm::DbBackend;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout_at,
};

use super::{
    connection::{Database, Transaction},
    sqlite_file::SqliteFile,
};
use crate::base::error::{Cause, Error, Result};

/// Gives out permits to write to one database. Cheap to clone.
#[derive(Clone)]
pub(super) struct WriteGate(Option<Arc<Semaphore>>);

/// Permission to write, until it is dropped.
pub(super) struct WritePermit {
    _permit: Option<OwnedSemaphorePermit>,
}

impl WriteGate {
    pub(super) fn new(backend: DbBackend) -> Self {
        Self((backend == DbBackend::Sqlite).then(|| Arc::new(Semaphore::new(1))))
    }

    /// Waits for a permit, without a bound.
    pub(super) async fn permit(&self) -> WritePermit {
        match &self.0 {
            // It is never closed; without a permit the file's own lock would still decide.
            Some(semaphore) => WritePermit { _permit: semaphore.clone().acquire_owned().await.ok() },
            None => WritePermit { _permit: None },
        }
    }
}

/// The database for statements that write, beside the group-commit writer. Cheap to clone.
#[derive(Clone)]
pub(super) struct GatedDatabase {
    database: Database,
    gate: WriteGate,
    /// Checked before and after writes: those to a file that was replaced would be lost at a restart.
    file: Option<Arc<SqliteFile>>,
}

impl GatedDatabase {
    pub(super) fn new(database: Database, gate: WriteGate, file: Option<Arc<SqliteFile>>) -> Self {
        Self { database, gate, file }
    }

    /// The database, for single statements while the permit is held.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no permit comes in time.
    pub(super) async fn permit(&self) -> Result<Permitted<Database>> {
        let permit = self.wait(self.deadline()).await?;
        Ok(Permitted { inner: self.database.clone(), file: self.file.clone(), _permit: permit })
    }

    /// A transaction, which is rolled back unless it is committed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no permit comes in time or the database does not answer.
    pub(super) async fn begin(&self) -> Result<Permitted<Transaction>> {
        let deadline = self.deadline();
        let permit = self.wait(deadline).await?;
        let transaction = self.database.begin(deadline).await?;
        Ok(Permitted { inner: transaction, file: self.file.clone(), _permit: permit })
    }

    pub(super) async fn close(&self) {
        self.database.close().await;
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.database.limits().write
    }

    async fn wait(&self, deadline: Instant) -> Result<WritePermit> {
        let late = |_| Error::Unavailable(Cause::new("the database did not become free in time"));
        let permit = timeout_at(deadline.into(), self.gate.permit()).await.map_err(late)?;
        check(self.file.as_deref())?;
        Ok(permit)
    }
}

/// A database or transaction that may be used while a permit is held.
pub(super) struct Permitted<T> {
    // Dropped first: a transaction is over before the next permit is given.
    inner: T,
    file: Option<Arc<SqliteFile>>,
    _permit: WritePermit,
}

impl<T> Deref for Permitted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl Permitted<Transaction> {
    /// Commits; returns when what was written is where a restart will find it.
    pub(super) async fn commit(self) -> Result<()> {
        self.inner.commit().await?;
        check(self.file.as_deref())
    }

    pub(super) async fn roll_back(self) {
        self.inner.roll_back().await;
    }
}

fn check(file: Option<&SqliteFile>) -> Result<()> {
    file.map_or(Ok(()), SqliteFile::check_identity)
}

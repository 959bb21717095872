//! The check behind `/readyz`: whether a write would succeed now.
//!
//! The only proof is a write. It goes through the group-commit writer like any other, so it also finds a writer that is
//! stuck. The endpoint needs no key, so concurrent callers share one check, and a positive result is cached for a moment.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use tokio::time::timeout;

use super::{
    connection::{Database, Health},
    failure::fault,
    sqlite_file::{Integrity, SqliteFile},
    writer::Writer,
};
use crate::base::{
    error::{Cause, Error, Result},
    lock::lock,
};

/// How long a good answer holds, unless a write fails meanwhile.
const GOOD_FOR: Duration = Duration::from_millis(500);
/// Between two checks of the structure of a SQLite file.
const INTEGRITY_EVERY: Duration = Duration::from_secs(5);
/// Upper bound on one such check. Damage in parts of a larger file that it does not reach is found when a request reads
/// them.
const INTEGRITY_LIMIT: Duration = Duration::from_millis(100);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct Readiness(Arc<Inner>);

struct Inner {
    database: Database,
    writer: Writer,
    file: Option<Arc<SqliteFile>>,
    health: Arc<Health>,
    limit: Duration,
    state: Mutex<State>,
    /// Whether a thread checks the file.
    is_checking: AtomicBool,
}

#[derive(Default)]
struct State {
    running: Option<Shared<BoxFuture<'static, Result<()>>>>,
    good: Option<Good>,
    integrity_checked: Option<Instant>,
}

/// A good answer.
struct Good {
    at: Instant,
    /// The writer's failures by then.
    failures: u64,
}

impl Readiness {
    /// An answer takes as long as `limit` at most.
    pub(super) fn new(
        database: Database,
        writer: Writer,
        file: Option<Arc<SqliteFile>>,
        health: Arc<Health>,
        limit: Duration,
    ) -> Self {
        let (state, is_checking) = (Mutex::default(), AtomicBool::new(false));
        Self(Arc::new(Inner { database, writer, file, health, limit, state, is_checking }))
    }

    /// # Errors
    /// [`Error::Unavailable`] when a write would fail.
    pub(super) async fn check(&self) -> Result<()> {
        let running = {
            let mut state = lock(&self.0.state);
            let failures = self.0.writer.failures();
            if state.good.as_ref().is_some_and(|good| good.at.elapsed() < GOOD_FOR && good.failures == failures) {
                return Ok(());
            }
            match &state.running {
                Some(running) if running.peek().is_none() => running.clone(),
                _ => {
                    let inner = self.0.clone();
                    let check = async move { inner.check_in_time(failures).await }.boxed().shared();
                    state.running = Some(check.clone());
                    // Goes on when those who asked have gone.
                    tokio::spawn(check.clone());
                    check
                }
            }
        };
        running.await
    }
}

impl Inner {
    async fn check_in_time(self: Arc<Self>, failures: u64) -> Result<()> {
        let at = Instant::now();
        let outcome = timeout(self.limit, self.check_now()).await;
        let outcome = outcome.unwrap_or_else(|_| unavailable("the database did not take a write in time"));
        lock(&self.state).good = outcome.is_ok().then_some(Good { at, failures });
        outcome
    }

    async fn check_now(self: &Arc<Self>) -> Result<()> {
        let reads = async { sea_orm::ConnectionTrait::execute_unprepared(&self.database, "SELECT 1").await };
        let (read, written) = tokio::join!(reads, self.writer.probe());
        read.map_err(fault)?;
        written?;
        self.check_file().await
    }

    /// Finds damage to a SQLite file, which a write to cached pages does not show.
    async fn check_file(self: &Arc<Self>) -> Result<()> {
        let Some(file) = self.file.clone() else { return Ok(()) };
        // One thread at a time: on a disk that hangs each would be left behind.
        if !self.is_checking.swap(true, Ordering::Relaxed) {
            let inner = self.clone();
            let check = tokio::task::spawn_blocking(move || {
                let outcome = inner.check_contents(&file);
                inner.is_checking.store(false, Ordering::Relaxed);
                outcome
            });
            check.await.unwrap_or_else(|_| unavailable("the check of the database file panicked"))?;
        }
        if self.health.is_malformed() { unavailable("the database file is damaged; restore a backup") } else { Ok(()) }
    }

    fn check_contents(&self, file: &SqliteFile) -> Result<()> {
        // A new connection would create a log that is missing.
        file.check_identity()?;
        let header = file.check_header();
        let is_due = lock(&self.state).integrity_checked.is_none_or(|at| at.elapsed() >= INTEGRITY_EVERY);
        if header.is_ok() && !is_due {
            return Ok(());
        }
        lock(&self.state).integrity_checked = Some(Instant::now());
        match (file.check_integrity(INTEGRITY_LIMIT), header) {
            (Integrity::Sound, _) => {
                // Shorter and sound: it was vacuumed.
                file.accept_length();
                file.check_header().map_err(|error| Error::Unavailable(Cause::new(error)))?;
                self.health.found_well_formed();
                Ok(())
            }
            (Integrity::Damaged(what), _) => {
                self.health.found_malformed();
                Err(Error::Unavailable(Cause::new(format!("the database file is damaged: {what}"))))
            }
            (Integrity::Unknown, header) => header.map_err(|error| Error::Unavailable(Cause::new(error))),
        }
    }
}

fn unavailable<T>(why: &'static str) -> Result<T> {
    Err(Error::Unavailable(Cause::new(why)))
}

//! The pool of one database's connections.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use deadpool::{
    Runtime,
    managed::{self, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult},
};
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::timeout_at;

use super::{
    driver::{Call, Deadline, Driver, Reply},
    health::{Health, Verdict},
};
use crate::{
    base::deadline,
    store::{
        DatabaseLimits,
        failure::{Fault, driver_error},
    },
};

/// How long a connection may take to say that it is well.
const PING_TIMEOUT: Duration = Duration::from_millis(500);
/// How long opening a connection may take, whether or not its request still waits for it.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
/// How long closing a connection may take when the server stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Connections to one database. Cheap to clone.
///
/// `deadpool` keeps them: it bounds their number and hands them out in order. Time limits and the decision whether a
/// connection may be used again are made here.
pub(in crate::store) struct Pool<D: Driver> {
    connections: managed::Pool<Opener<D>>,
}

/// Opens connections, and decides which idle ones may be used again.
pub(super) struct Opener<D: Driver> {
    options: D::Options,
    may_open: MayOpen,
    limits: DatabaseLimits,
    health: Arc<Health>,
}

/// Tells why no connection may be opened now, if so: another file may be where the database was.
pub(in crate::store) type MayOpen = Box<dyn Fn() -> io::Result<()> + Send + Sync>;

/// A connection and the record of its health.
pub(super) struct Slot<D: Driver> {
    connection: D::Connection,
    /// That of the current statement.
    deadline: Deadline,
    /// The tick before it was last found well.
    verified: u64,
    used: Instant,
}

/// A connection that is checked out. Dropped, it goes back to the pool if it may be used again, and is closed if not.
pub(in crate::store) struct Lease<D: Driver> {
    /// `None` only while it is dropped.
    slot: Option<Object<Opener<D>>>,
    health: Arc<Health>,
    ping_after: Duration,
    /// Whether its last statement has left it fit for another.
    is_sound: bool,
    in_transaction: bool,
    /// Whether its settings are its owner's, so that it must not go back.
    is_pinned: bool,
}

impl<D: Driver> Pool<D> {
    /// At most `size` connections, opened when they are needed and `may_open` agrees.
    pub(in crate::store) fn new(
        options: D::Options,
        may_open: MayOpen,
        size: usize,
        limits: DatabaseLimits,
        health: Arc<Health>,
    ) -> Result<Self, DbErr> {
        let opener = Opener { options, may_open, limits, health };
        // The connection that was used last is the likeliest to be well, and its caches are warm.
        let builder = managed::Pool::builder(opener)
            .max_size(size)
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(limits.write))
            .create_timeout(Some(OPEN_TIMEOUT));
        let connections = builder.build().map_err(|error| DbErr::Custom(error.to_string()))?;
        Ok(Self { connections })
    }

    fn opener(&self) -> &Opener<D> {
        self.connections.manager()
    }

    pub(in crate::store) fn limits(&self) -> DatabaseLimits {
        self.opener().limits
    }

    /// Checks a connection out until `deadline`.
    pub(in crate::store) async fn lease(&self, deadline: Instant) -> Result<Lease<D>, DbErr> {
        let Opener { health, limits, .. } = self.opener();
        match timeout_at(deadline.into(), self.check_out()).await {
            Ok(Ok(slot)) => Ok(Lease {
                slot: Some(slot),
                health: health.clone(),
                ping_after: limits.ping_after,
                is_sound: true,
                in_transaction: false,
                is_pinned: false,
            }),
            Ok(Err(PoolError::Backend(error))) => Err(DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error)))),
            Ok(Err(PoolError::Closed)) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)),
            Ok(Err(error)) => Err(DbErr::Conn(RuntimeErr::Internal(error.to_string()))),
            Err(_) => {
                health.suspect();
                Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))
            }
        }
    }

    /// Checks a connection out. Where one has to be opened, that goes on when this future is dropped, and the next request
    /// finds it: otherwise a database that takes longer to connect to than a request may wait would never be reached.
    async fn check_out(&self) -> Result<Object<Opener<D>>, PoolError<sqlx::Error>> {
        if self.connections.status().available > 0 {
            return self.connections.get().await;
        }
        let connections = self.connections.clone();
        let opening = tokio::spawn(async move { connections.get().await });
        // Its task cannot have been cancelled, and does not panic.
        opening.await.unwrap_or(Err(PoolError::Closed))
    }

    /// Sends one statement, by itself a transaction; a check-out and the statement have `limit` together.
    pub(super) async fn run(&self, call: Call<'_>, limit: Duration) -> Result<Reply, DbErr> {
        let deadline = deadline::after(limit);
        match self.lease(deadline).await?.run(call, deadline).await {
            // Prepared before a table was changed. Connections opened from now on have nothing prepared.
            Err(error) if Fault::of(&error) == Fault::StalePlan => {
                self.lease(deadline).await?.run(call, deadline).await
            }
            outcome => outcome,
        }
    }

    /// Closes idle connections, and refuses to hand out any more.
    pub(super) async fn close(&self) {
        let idle = self.connections.retain(|_, _| false).removed;
        self.connections.close();
        for slot in idle {
            match tokio::time::timeout(CLOSE_TIMEOUT, slot.connection.close()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "could not close a database connection"),
                Err(_) => tracing::warn!("a database connection did not close in time"),
            }
        }
    }
}

impl<D: Driver> Clone for Pool<D> {
    fn clone(&self) -> Self {
        Self { connections: self.connections.clone() }
    }
}

impl<D: Driver> managed::Manager for Opener<D> {
    type Type = Slot<D>;
    type Error = sqlx::Error;

    async fn create(&self) -> sqlx::Result<Slot<D>> {
        (self.may_open)()?;
        let verified = self.health.tick();
        let mut connection = self.options.connect().await?;
        let deadline = Deadline::new();
        D::prepare(&mut connection, deadline.clone(), self.limits.write).await?;
        Ok(Slot { connection, deadline, verified, used: Instant::now() })
    }

    async fn recycle(&self, slot: &mut Slot<D>, _: &Metrics) -> RecycleResult<sqlx::Error> {
        if slot.is_well(&self.health, self.limits.ping_after).await {
            Ok(())
        } else {
            Err(RecycleError::message("the connection is broken or out of date"))
        }
    }
}

impl<D: Driver> Slot<D> {
    /// Asks the connection if there is reason to.
    async fn is_well(&mut self, health: &Health, ping_after: Duration) -> bool {
        match health.verdict(self.verified) {
            Verdict::Close => return false,
            Verdict::Use if self.used.elapsed() < ping_after => return true,
            Verdict::Use | Verdict::Ask => {}
        }
        let verified = health.tick();
        self.deadline.set(Instant::now() + PING_TIMEOUT);
        match tokio::time::timeout(PING_TIMEOUT, self.connection.ping()).await {
            Ok(Ok(())) => {
                self.verified = verified;
                self.used = Instant::now();
                true
            }
            // The others would each take as long to be found broken.
            Ok(Err(_)) | Err(_) => {
                health.replace_all();
                false
            }
        }
    }
}

impl<D: Driver> Lease<D> {
    /// Sends one statement and waits until `deadline` at most.
    pub(in crate::store) async fn run(&mut self, call: Call<'_>, deadline: Instant) -> Result<Reply, DbErr> {
        let Some(slot) = &mut self.slot else { return Err(DbErr::Custom("the connection was given back".to_owned())) };
        slot.deadline.set(deadline);
        // Also when this future is dropped in the middle.
        self.is_sound = false;
        // Boxed: the driver's futures are large, and would be moved with those of all callers.
        match timeout_at(deadline.into(), Box::pin(D::run(&mut slot.connection, call))).await {
            Ok(Ok(reply)) => {
                slot.used = Instant::now();
                self.is_sound = true;
                Ok(reply)
            }
            Ok(Err(error)) => {
                let error = driver_error(error);
                match Fault::of(&error) {
                    Fault::StalePlan | Fault::ReadOnly => self.health.replace_all(),
                    Fault::Malformed => self.health.found_malformed(),
                    Fault::Outside => self.health.suspect(),
                    // The statement was refused or gave way; its connection is well.
                    Fault::Locked | Fault::Conflict | Fault::Statement => self.is_sound = true,
                }
                Err(error)
            }
            Err(_) => {
                self.health.suspect();
                Err(DbErr::Conn(RuntimeErr::Internal("the database did not answer in time".to_owned())))
            }
        }
    }

    /// Begins a transaction that will write. SQLite is told so at once: it would otherwise refuse to turn a reader into a
    /// writer when another connection has written in between, whatever the busy timeout.
    pub(in crate::store) async fn begin(&mut self, deadline: Instant) -> Result<(), DbErr> {
        let begin = if D::BACKEND == sea_orm::DbBackend::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
        self.run(Call::Command(begin), deadline).await?;
        self.in_transaction = true;
        Ok(())
    }

    /// Commits. When that fails the connection is not used again, whatever the reason: on SQLite the transaction may or
    /// may not have ended.
    pub(in crate::store) async fn commit(&mut self, deadline: Instant) -> Result<(), DbErr> {
        self.run(Call::Command("COMMIT"), deadline).await?;
        self.in_transaction = false;
        Ok(())
    }

    /// Rolls back, so that the connection can be used again. When that fails it is not, and the database rolls back when
    /// it is closed.
    pub(in crate::store) async fn roll_back(&mut self, deadline: Instant) {
        match self.run(Call::Command("ROLLBACK"), deadline).await {
            Ok(_) => self.in_transaction = false,
            Err(error) => tracing::debug!(%error, "could not roll back"),
        }
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.in_transaction
    }

    /// Whether its last statement has left it fit for another.
    pub(super) fn is_sound(&self) -> bool {
        self.is_sound
    }

    /// Keeps it from going back to the pool.
    pub(super) fn pin(&mut self) {
        self.is_pinned = true;
    }

    /// Whether it can be used for another statement; asks the connection if there is reason to.
    pub(in crate::store) async fn is_well(&mut self) -> bool {
        let is_sound = std::mem::replace(&mut self.is_sound, false);
        let Some(slot) = self.slot.as_mut().filter(|_| is_sound) else { return false };
        // In the middle of a transaction there is nothing to be gained by asking.
        self.is_sound = self.in_transaction || slot.is_well(&self.health, self.ping_after).await;
        self.is_sound
    }
}

impl<D: Driver> Drop for Lease<D> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take()
            && (!self.is_sound || self.in_transaction || self.is_pinned)
        {
            drop(Object::take(slot));
        }
    }
}

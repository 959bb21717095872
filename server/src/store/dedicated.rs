//! A connection to PostgreSQL that one task has for itself.
//!
//! A pool asks each connection that comes back to it whether it is well: a round trip for every statement. A task that
//! sends one statement after the other spares it, and its process on the server stays awake, with its caches full.

use sea_orm::{DbErr, FromQueryResult, QueryResult, Statement};
use sea_query_sqlx::SqlxValues;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Postgres, pool::PoolConnection, postgres::PgRow};
use tokio::time::Instant;

use super::{
    failure::{driver_error, is_temporary},
    open::IDLE,
};

/// The connection, made when it is needed. After a fault, or when a call is left in the middle, it is closed and the next
/// call makes another one.
pub(super) struct Dedicated {
    pool: PgPool,
    held: Option<Held>,
}

struct Held {
    connection: PoolConnection<Postgres>,
    used: Instant,
    in_transaction: bool,
}

impl Dedicated {
    /// Takes its connection from `pool` and keeps it.
    pub(super) fn of(pool: PgPool) -> Self {
        Self { pool, held: None }
    }

    /// All rows of `statement`.
    pub(super) async fn all<M: FromQueryResult>(&mut self, statement: Statement) -> Result<Vec<M>, DbErr> {
        let rows = self.call(async |connection| query(statement).fetch_all(connection).await).await?;
        rows.into_iter().map(|row| M::from_query_result(&row.into(), "")).collect()
    }

    /// The first row of `statement`.
    pub(super) async fn one(&mut self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let row: Option<PgRow> =
            self.call(async |connection| query(statement).fetch_optional(connection).await).await?;
        Ok(row.map(QueryResult::from))
    }

    /// `statement`, whose rows nobody wants.
    pub(super) async fn execute(&mut self, statement: Statement) -> Result<(), DbErr> {
        self.call(async |connection| query(statement).execute(connection).await).await?;
        Ok(())
    }

    /// Begins a transaction unless there is one. Without, each statement is one by itself.
    pub(super) async fn begin(&mut self) -> Result<(), DbErr> {
        if !self.is_in_transaction() {
            self.command("BEGIN").await?;
            self.set_in_transaction(true);
        }
        Ok(())
    }

    /// Commits the transaction if there is one.
    pub(super) async fn commit(&mut self) -> Result<(), DbErr> {
        if self.is_in_transaction() {
            self.command("COMMIT").await?;
            self.set_in_transaction(false);
        }
        Ok(())
    }

    /// Rolls the transaction back if there is one.
    pub(super) async fn roll_back(&mut self) {
        if !self.is_in_transaction() {
            return;
        }
        match self.command("ROLLBACK").await {
            Ok(()) => self.set_in_transaction(false),
            Err(error) => {
                tracing::debug!(%error, "could not roll back");
                // The server forgets the transaction with its connection.
                self.held = None;
            }
        }
    }

    fn is_in_transaction(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.in_transaction)
    }

    fn set_in_transaction(&mut self, in_transaction: bool) {
        if let Some(held) = &mut self.held {
            held.in_transaction = in_transaction;
        }
    }

    async fn command(&mut self, sql: &'static str) -> Result<(), DbErr> {
        self.call(async |connection| sqlx::raw_sql(sql).execute(connection).await).await?;
        Ok(())
    }

    async fn call<T>(&mut self, call: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>) -> Result<T, DbErr> {
        // Boxed: the driver's futures are large, and inside the writer's would be moved with it for every batch, on
        // either database.
        let mut held = Box::pin(self.take()).await.map_err(driver_error)?;
        let outcome = Box::pin(call(&mut held.connection)).await.map_err(driver_error);
        // A statement of ours that is refused does no harm to its connection.
        if !matches!(&outcome, Err(error) if is_temporary(error)) {
            held.used = Instant::now();
            self.held = Some(held);
        }
        outcome
    }

    async fn take(&mut self) -> sqlx::Result<Held> {
        if let Some(mut held) = self.held.take()
            && (held.in_transaction || held.used.elapsed() < IDLE || held.connection.ping().await.is_ok())
        {
            return Ok(held);
        }
        let mut connection = self.pool.acquire().await?;
        // Wherever it is dropped, it may be in the middle of something.
        connection.close_on_drop();
        Ok(Held { connection, used: Instant::now(), in_transaction: false })
    }
}

fn query(statement: Statement) -> sqlx::query::Query<'static, Postgres, SqlxValues> {
    // Its text is ours, and its values are bound.
    sqlx::query_with(AssertSqlSafe(statement.sql), SqlxValues(statement.values.unwrap_or(sea_orm::Values(Vec::new()))))
}

//! A connection to PostgreSQL that one task keeps.
//!
//! Its process on the server stays awake, with its caches full, and the task need not check a connection out for every
//! statement.

use std::time::{Duration, Instant};

use sea_orm::{DbErr, FromQueryResult, QueryResult, Statement};

use super::{
    driver::{Call, Postgres, Reply},
    pool::{Lease, Pool},
};

/// The connection, opened when it is needed. After a failure outside, or when a call is left in the middle, it is closed,
/// and the next call opens another.
pub(in crate::store) struct PinnedConnection {
    pool: Pool<Postgres>,
    lease: Option<Lease<Postgres>>,
    /// How long one call may take.
    limit: Duration,
    /// Sent to each new connection.
    set_up: Option<String>,
}

impl PinnedConnection {
    /// Takes its connection from `pool` and keeps it; a new one first gets the statement `set_up`. Each call, a check-out
    /// included, may take as long as `limit`.
    pub(in crate::store) fn new(pool: Pool<Postgres>, limit: Duration, set_up: Option<String>) -> Self {
        Self { pool, lease: None, limit, set_up }
    }

    /// All rows of `statement`.
    pub(in crate::store) async fn all<M: FromQueryResult>(&mut self, statement: Statement) -> Result<Vec<M>, DbErr> {
        let rows = self.run(Call::Rows(&statement)).await?.into_rows();
        rows.iter().map(|row| M::from_query_result(row, "")).collect()
    }

    /// The first row of `statement`.
    pub(in crate::store) async fn one(&mut self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.run(Call::Rows(&statement)).await?.into_rows().into_iter().next())
    }

    /// Sends `statement`, which returns no rows.
    pub(in crate::store) async fn execute(&mut self, statement: Statement) -> Result<(), DbErr> {
        self.run(Call::Execute(&statement)).await?;
        Ok(())
    }

    /// Sends SQL without parameters.
    pub(in crate::store) async fn command(&mut self, sql: &str) -> Result<(), DbErr> {
        self.run(Call::Command(sql)).await?;
        Ok(())
    }

    /// Begins a transaction unless there is one. Without, each statement is one by itself.
    pub(in crate::store) async fn begin(&mut self) -> Result<(), DbErr> {
        let deadline = self.deadline();
        let mut lease = Box::pin(self.take(deadline)).await?;
        if !lease.is_in_transaction() {
            lease.begin(deadline).await?;
        }
        self.lease = Some(lease);
        Ok(())
    }

    /// Commits the transaction if there is one.
    pub(in crate::store) async fn commit(&mut self) -> Result<(), DbErr> {
        let deadline = self.deadline();
        if let Some(mut lease) = self.lease.take_if(|lease| lease.is_in_transaction()) {
            lease.commit(deadline).await?;
            self.lease = Some(lease);
        }
        Ok(())
    }

    /// Rolls the transaction back if there is one.
    pub(in crate::store) async fn roll_back(&mut self) {
        let deadline = self.deadline();
        if let Some(mut lease) = self.lease.take_if(|lease| lease.is_in_transaction()) {
            lease.roll_back(deadline).await;
            // One that could not roll back is closed here.
            self.lease = Some(lease).filter(|lease| !lease.is_in_transaction());
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.limit
    }

    async fn run(&mut self, call: Call<'_>) -> Result<Reply, DbErr> {
        let deadline = self.deadline();
        // Boxed: inside the writer's future it would be moved for every batch, on either database.
        let mut lease = Box::pin(self.take(deadline)).await?;
        let outcome = lease.run(call, deadline).await;
        if lease.is_sound() {
            self.lease = Some(lease);
        }
        outcome
    }

    /// The kept connection, or a new one. Out of `self` until its call has ended, so that one left in the middle is closed.
    async fn take(&mut self, deadline: Instant) -> Result<Lease<Postgres>, DbErr> {
        if let Some(mut lease) = self.lease.take()
            && lease.is_well().await
        {
            return Ok(lease);
        }
        let mut lease = self.pool.lease(deadline).await?;
        lease.pin();
        if let Some(set_up) = &self.set_up {
            lease.run(Call::Command(set_up), deadline).await?;
        }
        Ok(lease)
    }
}

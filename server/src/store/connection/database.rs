//! The pool as sea-orm's queries take it, and transactions on it.

use std::time::Instant;

use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement};
use tokio::sync::Mutex;

use super::{
    driver::{Call, Driver as _, Postgres, Reply, Sqlite},
    pool::{Lease, Pool},
};
use crate::{
    base::error::Result,
    store::{DatabaseLimits, failure::fault},
};

/// Connections to either database. A query that takes a `&Database` is one statement, with a time limit. Cheap to clone.
#[derive(Clone)]
pub(in crate::store) enum Database {
    Sqlite(Pool<Sqlite>),
    Postgres(Pool<Postgres>),
}

impl Database {
    pub(in crate::store) fn backend(&self) -> DbBackend {
        match self {
            Self::Sqlite(_) => Sqlite::BACKEND,
            Self::Postgres(_) => Postgres::BACKEND,
        }
    }

    pub(in crate::store) fn limits(&self) -> DatabaseLimits {
        match self {
            Self::Sqlite(pool) => pool.limits(),
            Self::Postgres(pool) => pool.limits(),
        }
    }

    /// Begins a transaction that will write, until `deadline` at most.
    pub(in crate::store) async fn begin(&self, deadline: Instant) -> Result<Transaction> {
        let lease = match self {
            Self::Sqlite(pool) => {
                let mut lease = pool.lease(deadline).await.map_err(fault)?;
                lease.begin(deadline).await.map_err(fault)?;
                AnyLease::Sqlite(lease)
            }
            Self::Postgres(pool) => {
                let mut lease = pool.lease(deadline).await.map_err(fault)?;
                lease.begin(deadline).await.map_err(fault)?;
                AnyLease::Postgres(lease)
            }
        };
        Ok(Transaction { lease: Mutex::new(lease), backend: self.backend(), deadline })
    }

    /// Closes idle connections, and refuses to hand out any more.
    pub(in crate::store) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }

    async fn run(&self, call: Call<'_>) -> std::result::Result<Reply, DbErr> {
        let limit = self.limits().statement;
        match self {
            Self::Sqlite(pool) => pool.run(call, limit).await,
            Self::Postgres(pool) => pool.run(call, limit).await,
        }
    }
}

enum AnyLease {
    Sqlite(Lease<Sqlite>),
    Postgres(Lease<Postgres>),
}

/// A transaction on a connection of its own. Unless it is committed or rolled back, its connection is closed, which rolls
/// it back.
pub(in crate::store) struct Transaction {
    /// sea-orm's queries take a shared reference.
    lease: Mutex<AnyLease>,
    backend: DbBackend,
    /// For all of it together.
    deadline: Instant,
}

impl Transaction {
    /// Commits; an error leaves it unknown whether it was committed.
    pub(in crate::store) async fn commit(self) -> Result<()> {
        match self.lease.into_inner() {
            AnyLease::Sqlite(mut lease) => lease.commit(self.deadline).await,
            AnyLease::Postgres(mut lease) => lease.commit(self.deadline).await,
        }
        .map_err(fault)
    }

    /// Rolls back, so that its connection can be used again.
    pub(in crate::store) async fn roll_back(self) {
        match self.lease.into_inner() {
            AnyLease::Sqlite(mut lease) => lease.roll_back(self.deadline).await,
            AnyLease::Postgres(mut lease) => lease.roll_back(self.deadline).await,
        }
    }

    async fn run(&self, call: Call<'_>) -> std::result::Result<Reply, DbErr> {
        match &mut *self.lease.lock().await {
            AnyLease::Sqlite(lease) => lease.run(call, self.deadline).await,
            AnyLease::Postgres(lease) => lease.run(call, self.deadline).await,
        }
    }
}

/// Both send their statements by a method `run`.
macro_rules! connection {
    ($type:ty, $backend:ident) => {
        #[async_trait]
        impl ConnectionTrait for $type {
            fn get_database_backend(&self) -> DbBackend {
                self.$backend()
            }

            async fn execute_raw(&self, statement: Statement) -> std::result::Result<ExecResult, DbErr> {
                done(self.run(Call::Execute(&statement)).await?)
            }

            async fn execute_unprepared(&self, sql: &str) -> std::result::Result<ExecResult, DbErr> {
                done(self.run(Call::Command(sql)).await?)
            }

            async fn query_one_raw(&self, statement: Statement) -> std::result::Result<Option<QueryResult>, DbErr> {
                Ok(self.run(Call::Rows(&statement)).await?.into_rows().into_iter().next())
            }

            async fn query_all_raw(&self, statement: Statement) -> std::result::Result<Vec<QueryResult>, DbErr> {
                Ok(self.run(Call::Rows(&statement)).await?.into_rows())
            }
        }
    };
}

impl Transaction {
    fn backend(&self) -> DbBackend {
        self.backend
    }
}

connection!(Database, backend);
connection!(Transaction, backend);

fn done(reply: Reply) -> std::result::Result<ExecResult, DbErr> {
    match reply {
        Reply::Done(result) => Ok(result),
        Reply::Rows(_) => Err(DbErr::Custom("a statement without rows returned some".to_owned())),
    }
}

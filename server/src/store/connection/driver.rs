//! How a statement is sent to either database, by one method for both.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sea_orm::{DbBackend, ExecResult, QueryResult, Statement, Values};
use sea_query_sqlx::SqlxValues;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor as _, PgConnection, SqliteConnection,
    postgres::PgConnectOptions, sqlite::SqliteConnectOptions,
};

/// Virtual machine instructions of SQLite between two looks at the clock: well under a millisecond.
const SQLITE_STEPS: i32 = 10_000;

/// One statement on its way.
#[derive(Clone, Copy)]
pub(in crate::store) enum Call<'a> {
    /// A prepared statement without rows.
    Execute(&'a Statement),
    /// A prepared statement with rows. All are taken, even where the caller wants one: SQLite commits a statement that
    /// returns rows when it has run to its end, and only then reports that the commit failed.
    Rows(&'a Statement),
    /// SQL without parameters, which is not kept prepared.
    Command(&'a str),
}

/// The result of a [`Call`].
pub(in crate::store) enum Reply {
    Done(ExecResult),
    Rows(Vec<QueryResult>),
}

impl Reply {
    /// The rows; none for a statement without.
    pub(in crate::store) fn into_rows(self) -> Vec<QueryResult> {
        match self {
            Self::Rows(rows) => rows,
            Self::Done(_) => Vec::new(),
        }
    }
}

/// The moment after which a statement is not waited for, shared with what may interrupt the statement from inside.
#[derive(Clone)]
pub(in crate::store) struct Deadline {
    origin: Instant,
    /// Milliseconds after `origin`.
    millis: Arc<AtomicU64>,
}

impl Deadline {
    pub(super) fn new() -> Self {
        Self { origin: Instant::now(), millis: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    pub(super) fn set(&self, deadline: Instant) {
        let millis = deadline.saturating_duration_since(self.origin).as_millis();
        self.millis.store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.origin.elapsed().as_millis() > u128::from(self.millis.load(Ordering::Relaxed))
    }
}

/// A database and its driver.
pub(in crate::store) trait Driver: Send + Sync + 'static {
    const BACKEND: DbBackend;
    type Options: ConnectOptions<Connection = Self::Connection>;
    type Connection: Connection<Options = Self::Options>;

    /// Sets a new connection up. `deadline` is that of its current statement at any time; `limit` is the longest that any
    /// statement may take.
    fn prepare(
        connection: &mut Self::Connection,
        deadline: Deadline,
        limit: Duration,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Sends one statement and takes its result.
    fn run(connection: &mut Self::Connection, call: Call<'_>) -> impl Future<Output = sqlx::Result<Reply>> + Send;
}

/// SQLite through sqlx.
pub(in crate::store) struct Sqlite;

/// PostgreSQL through sqlx.
pub(in crate::store) struct Postgres;

/// The body of [`Driver::run`], whose types differ and whose text does not.
macro_rules! run {
    ($connection:expr, $call:expr) => {{
        let query = |statement: &Statement| {
            let values = statement.values.clone().unwrap_or(Values(Vec::new()));
            // The text is this crate's own; values are bound.
            sqlx::query_with(AssertSqlSafe(statement.sql.clone()), SqlxValues(values))
        };
        match $call {
            Call::Execute(statement) => Ok(Reply::Done(query(statement).execute($connection).await?.into())),
            Call::Rows(statement) => {
                let rows = query(statement).fetch_all($connection).await?;
                Ok(Reply::Rows(rows.into_iter().map(QueryResult::from).collect()))
            }
            Call::Command(sql) => {
                Ok(Reply::Done($connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await?.into()))
            }
        }
    }};
}

impl Driver for Sqlite {
    const BACKEND: DbBackend = DbBackend::Sqlite;
    type Options = SqliteConnectOptions;
    type Connection = SqliteConnection;

    /// A statement that is over its deadline ends with `SQLITE_INTERRUPT`. Nothing waits for it by then; but while it runs
    /// it keeps a snapshot, and with it the write-ahead log from being reused.
    async fn prepare(connection: &mut SqliteConnection, deadline: Deadline, _: Duration) -> sqlx::Result<()> {
        connection.lock_handle().await?.set_progress_handler(SQLITE_STEPS, move || !deadline.is_over());
        Ok(())
    }

    async fn run(connection: &mut SqliteConnection, call: Call<'_>) -> sqlx::Result<Reply> {
        run!(connection, call)
    }
}

impl Driver for Postgres {
    const BACKEND: DbBackend = DbBackend::Postgres;
    type Options = PgConnectOptions;
    type Connection = PgConnection;

    /// Bounds on the server's side, for when this process is frozen or its host is gone: what it has begun must not keep
    /// rows locked. Set by a statement and not in the start-up message, which connection poolers refuse to pass on.
    async fn prepare(connection: &mut PgConnection, _: Deadline, limit: Duration) -> sqlx::Result<()> {
        let limit = limit.as_millis();
        let settings = [
            // A statement that this process has given up.
            ("statement_timeout", limit),
            // A transaction whose owner is frozen between two statements.
            ("idle_in_transaction_session_timeout", limit),
            // A row that another session keeps locked. The writer has a shorter bound of its own.
            ("lock_timeout", limit / 2),
            // A host that is gone without a word: seconds until the first probe, between two, and how many; then
            // milliseconds that sent data may stay unacknowledged.
            ("tcp_keepalives_idle", 5),
            ("tcp_keepalives_interval", 2),
            ("tcp_keepalives_count", 3),
            ("tcp_user_timeout", 10_000),
        ];
        let settings = settings.map(|(name, value)| format!("set_config('{name}', '{value}', false)"));
        let sql = format!("SELECT {}", settings.join(", "));
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
        Ok(())
    }

    async fn run(connection: &mut PgConnection, call: Call<'_>) -> sqlx::Result<Reply> {
        run!(connection, call)
    }
}

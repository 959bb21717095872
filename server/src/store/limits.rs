use std::time::Duration;

/// Bounds on what the server asks of its database.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseLimits {
    /// How long a statement that reads may take, the wait for a connection included; then the request is answered 503.
    pub statement: Duration,
    /// How long all statements of a request that only reads may take together. The contract allows 2 s.
    pub read: Duration,
    /// How long a write beside the group-commit writer may take, all its waits and statements included. The contract
    /// allows 5 s for the whole request. PostgreSQL gets it as `statement_timeout` and
    /// `idle_in_transaction_session_timeout`.
    pub write: Duration,
    /// How long the group-commit writer on PostgreSQL waits for a row that another session keeps locked, before it
    /// commits the rest of its batch without the requests that need the row.
    pub row_lock: Duration,
    /// How long `/readyz` may take to find out whether a write succeeds.
    pub readiness: Duration,
    /// A connection that was idle for this long is pinged before it is used.
    pub ping_after: Duration,
    /// Connections that read a SQLite file; one of them is the group reader's.
    pub sqlite_readers: usize,
    /// Connections to PostgreSQL; one of them is the writer's and one the group reader's.
    pub postgres_connections: usize,
    /// Pages of lists that may be in memory between the database and their answers; further requests wait.
    pub pages: usize,
    /// Bytes that SQLite's write-ahead log keeps on disk once its content has been copied into the database. It may be
    /// longer while a reader keeps it from being copied.
    pub wal_bytes: u64,
}

impl Default for DatabaseLimits {
    fn default() -> Self {
        Self {
            statement: Duration::from_millis(1_500),
            read: Duration::from_millis(1_800),
            write: Duration::from_secs(3),
            row_lock: Duration::from_millis(100),
            readiness: Duration::from_millis(1_800),
            ping_after: Duration::from_secs(5),
            sqlite_readers: 5,
            postgres_connections: 16,
            pages: 8,
            wal_bytes: 64 * 1024 * 1024,
        }
    }
}

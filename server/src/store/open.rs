//! Opening a database: connections, settings, migrations.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use rusqlite::OpenFlags;
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait as _,
};
use sea_orm_migration::MigratorTrait as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tokio::time::Instant;

use super::{
    Store, WriterLimits,
    checkpoints::PAGES_ELSEWHERE,
    dedicated::Dedicated,
    failure::{driver_fault, fault, file_fault, is_busy},
    migration::Migrator,
    reader::Reader,
    turns::{Turns, Write},
    writer::{File, Ledger, Postgres, Writer},
};
use crate::{
    chat::Listener,
    clock::Moments,
    error::{Cause, Error, Result},
    metrics::WriterMetrics,
};

/// How long a request waits for a free connection, and for another process's write lock, before it is answered 503.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// A connection that was not used for so long is asked whether it is still there.
pub(super) const IDLE: Duration = Duration::from_secs(5);
/// The pause before a busy file is tried again.
const AGAIN: Duration = Duration::from_millis(20);
/// The writer's cache of a SQLite file, in KiB. Beside what SQLite would take (2,000), a chat among ten million others
/// is written with five pages read instead of seven.
const WRITER_CACHE: i64 = 8_192;
/// An option of SQLite's build: one page cache for all connections, which keeps nothing for readers after many writes.
const SHARED_CACHE: &str = "ENABLE_MEMORY_MANAGEMENT";
/// One of them is the group reader's.
const SQLITE_READERS: u32 = 5;
/// One of them is the writer's, one the group reader's.
const POSTGRES_CONNECTIONS: u32 = 16;
/// Any number that no other program locks the same database with: "parlor" in ASCII.
const MIGRATION_LOCK: i64 = 0x7061_726c_6f72;

/// Where the data is: `sqlite://path` (created when missing) or `postgres://user:password@host/database`.
///
/// May hold a password, so `Debug` and `Display` show the scheme only.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    url: String,
    backend: DbBackend,
}

impl DatabaseUrl {
    fn scheme(&self) -> &str {
        self.url.split_once(':').map_or("", |(scheme, _)| scheme)
    }
}

impl FromStr for DatabaseUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self> {
        let backend = match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => DbBackend::Sqlite,
            Some("postgres" | "postgresql") => DbBackend::Postgres,
            _ => {
                return Err(Error::Invalid(
                    "DATABASE_URL must start with sqlite:// or postgres://, as in sqlite://parlor.db".to_owned(),
                ));
            }
        };
        Ok(Self { url: url.to_owned(), backend })
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://***", self.scheme())
    }
}

impl Store {
    /// Connects, brings the tables up to date, and starts the writer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database cannot be reached, [`Error::Internal`] when it cannot be migrated.
    pub async fn open(
        url: &DatabaseUrl,
        moments: Moments,
        limits: WriterLimits,
        metrics: WriterMetrics,
        listener: Arc<dyn Listener>,
    ) -> Result<Self> {
        let (read, write) = match url.backend {
            DbBackend::Sqlite => {
                let write = connect_to_file(&url.url, 1).await.map_err(fault)?;
                (connect_to_file(&url.url, SQLITE_READERS).await.map_err(fault)?, write)
            }
            _ => {
                let pool = connect(&url.url, POSTGRES_CONNECTIONS).await.map_err(fault)?;
                (pool.clone(), pool)
            }
        };
        migrate(&write).await.map_err(fault)?;
        let turns = Turns::of(url.backend);
        let (ledger, file) = match url.backend {
            DbBackend::Sqlite => {
                let (ledger, file) = open_file_ledger(&url.url)?;
                (ledger, Some(file))
            }
            _ => {
                let own = Dedicated::of(write.get_postgres_connection_pool().clone());
                (Ledger::Postgres(Postgres::new(own)), None)
            }
        };
        let write = Write::new(write, turns.clone());
        let writer = Writer::start(ledger, turns, moments, limits, metrics, listener).map_err(unavailable)?;
        let reader = Reader::start(&read);
        Ok(Self { read, write, reader, writer, _file: file })
    }
}

/// Connects to a SQLite file that other processes may just be creating: the switch to WAL does not wait for their lock,
/// whatever the busy timeout, so it is tried again.
async fn connect_to_file(url: &str, connections: u32) -> std::result::Result<DatabaseConnection, DbErr> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match connect(url, connections).await {
            Err(error) if is_busy(&error) && Instant::now() < deadline => tokio::time::sleep(AGAIN).await,
            outcome => return outcome,
        }
    }
}

async fn connect(url: &str, connections: u32) -> std::result::Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .connect_timeout(PATIENCE)
        // Asking every connection before every statement would double the round trips; one that died is noticed by its
        // first statement, which is answered 503.
        .test_before_acquire_if_idle_for(IDLE)
        // Statements would be logged with their values, which are the users' words.
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .set_application_name("parlor")
        .map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                // An acknowledged write survives power loss: the log is synced at every commit.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(PATIENCE)
                .pragma("wal_autocheckpoint", PAGES_ELSEWHERE.to_string())
                // A whole page or batch, so that the connection's thread need not stop in the middle and be woken again.
                .row_buffer_size(512)
                .foreign_keys(true)
        });
    Database::connect(options).await
}

fn unavailable(error: io::Error) -> Error {
    Error::Unavailable(Cause::new(error))
}

fn path_of(url: &str) -> Result<PathBuf> {
    Ok(SqliteConnectOptions::from_str(url).map_err(driver_fault)?.get_filename().to_owned())
}

/// The writer's ledger on SQLite, and the file itself.
fn open_file_ledger(url: &str) -> Result<(Ledger, Arc<fs::File>)> {
    let path = path_of(url)?;
    let file = Arc::new(fs::File::options().read(true).write(true).open(&path).map_err(unavailable)?);
    let (writer, checkpointer) = (open_file(&path)?, open_file(&path)?);
    // Below zero it is KiB, not pages.
    writer.pragma_update(None, "cache_size", -WRITER_CACHE).map_err(file_fault)?;
    if has_shared_cache(&writer).map_err(file_fault)? {
        tracing::warn!(
            "this build's SQLite has {SHARED_CACHE}, with which reads are slow after many writes; built in Parlor's own \
             folder it has not (.cargo/config.toml)"
        );
    }
    let ledger = File::new(writer, checkpointer, file.clone()).map_err(unavailable)?;
    Ok((Ledger::Sqlite(Box::new(ledger)), file))
}

/// The writer's own connection to a file that is there and in WAL mode already.
fn open_file(path: &Path) -> Result<rusqlite::Connection> {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // The writer sees to checkpoints.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        Ok(connection)
    };
    open().map_err(file_fault)
}

fn has_shared_cache(connection: &rusqlite::Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT sqlite_compileoption_used(?1)", [SHARED_CACHE], |row| row.get(0))
}

/// Brings the tables up to date in one transaction. Several processes may start at once on one database: each waits for
/// the one before and then finds nothing to do.
async fn migrate(database: &DatabaseConnection) -> std::result::Result<(), DbErr> {
    let transaction = database.begin_with_options(write_transaction()).await?;
    if database.get_database_backend() == DbBackend::Postgres {
        transaction.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")).await?;
    }
    Migrator::up(&transaction, None).await?;
    transaction.commit().await
}

/// A transaction that means to write says so at its beginning: SQLite would otherwise refuse to turn a reader into a
/// writer when another connection has written in between, whatever the busy timeout.
pub(super) fn write_transaction() -> TransactionOptions {
    TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use sea_orm::Statement;

    use super::*;

    #[test]
    fn a_database_url_never_shows_its_password() {
        let url: DatabaseUrl = "postgres://parlor:hunter2@localhost/parlor".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "postgres://*** postgres://***");
    }

    #[tokio::test]
    async fn every_connection_to_a_file_syncs_each_commit_to_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("parlor.db").display());
        let database = connect_to_file(&url, 1).await.unwrap();
        let setting = async |name: &str| {
            let pragma = Statement::from_string(DbBackend::Sqlite, format!("PRAGMA {name}"));
            database.query_one_raw(pragma).await.unwrap().unwrap()
        };
        assert_eq!(setting("journal_mode").await.try_get_by_index::<String>(0).unwrap(), "wal");
        // As SQLite numbers them, 2 is FULL.
        assert_eq!(setting("synchronous").await.try_get_by_index::<i64>(0).unwrap(), 2);
    }

    #[tokio::test]
    async fn the_writer_s_own_connection_syncs_each_commit_and_holds_to_foreign_keys() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("parlor.db").display());
        connect_to_file(&url, 1).await.unwrap().close().await.unwrap();
        let writer = open_file(&path_of(&url).unwrap()).unwrap();
        for (name, wanted) in [("synchronous", 2), ("foreign_keys", 1), ("wal_autocheckpoint", 0)] {
            let found: i64 = writer.pragma_query_value(None, name, |row| row.get(0)).unwrap();
            assert_eq!(found, wanted, "{name}");
        }
        let mode: String = writer.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }

    #[test]
    fn each_connection_to_a_file_has_a_cache_of_its_own() {
        assert!(!has_shared_cache(&rusqlite::Connection::open_in_memory().unwrap()).unwrap());
    }

    #[test]
    fn an_unknown_scheme_is_refused_with_a_sentence() {
        let error = "mysql://root:secret@localhost/x".parse::<DatabaseUrl>().unwrap_err().to_string();
        assert!(error.contains("sqlite://parlor.db") && !error.contains("secret"), "{error}");
    }
}

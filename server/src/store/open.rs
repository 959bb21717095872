//! Opening a database: connections, settings, migrations.

use std::{fmt, io, str::FromStr, sync::Arc, time::Duration};

use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait as _,
};
use sea_orm_migration::MigratorTrait as _;
use sqlx::{
    ConnectOptions as _, PgPool, SqlitePool,
    pool::PoolOptions,
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    DatabaseLimits, Store, WriterLimits,
    checkpoints::{Checkpoints, PAGES_ELSEWHERE},
    connection::{Database, Health, MayOpen, PinnedConnection, Pool},
    failure::{driver_error, driver_fault, fault, file_fault, is_busy},
    migration::Migrator,
    reader::{self, GroupReader},
    readiness::Readiness,
    sqlite_file::{ServerLock, SqliteFile},
    write_gate::{GatedDatabase, WriteGate},
    writer::{FileBackend, Ledger, Postgres, Writer},
};
use crate::{
    chat::Listener,
    clock::Moments,
    error::{Cause, Error, Result},
    metrics::WriterMetrics,
};

/// How long opening waits for the database, and for a SQLite file that another process is just creating.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before a busy file is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// How long the migration waits for another node's.
const MIGRATION_LOCK_TIMEOUT: &str = "60s";
/// An option of SQLite's build: one page cache for all connections, which keeps nothing for readers after many writes.
const SHARED_CACHE: &str = "ENABLE_MEMORY_MANAGEMENT";
/// Any number that no other program locks the same database with: "parlor" in ASCII.
const MIGRATION_LOCK: i64 = 0x7061_726c_6f72;

/// The kind of process that opens the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opener {
    /// A server. A SQLite file has one at a time.
    Server,
    /// A command, for a moment, beside a server or not.
    Command,
}

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

/// The parts of the store that depend on the database.
struct Opened {
    read: Database,
    write: Database,
    ledger: Ledger,
    chats: reader::ChatSource,
    file: Option<Arc<SqliteFile>>,
    lock: Option<ServerLock>,
}

impl Store {
    /// Connects, brings the tables up to date, and starts the writer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database cannot be reached, [`Error::Internal`] when it cannot be migrated,
    /// [`Error::Invalid`] when another server serves the SQLite file.
    pub async fn open(
        url: &DatabaseUrl,
        opener: Opener,
        moments: Moments,
        limits: DatabaseLimits,
        writer_limits: WriterLimits,
        metrics: WriterMetrics,
        listener: Arc<dyn Listener>,
    ) -> Result<Self> {
        let health = Arc::<Health>::default();
        let opened = match url.backend {
            DbBackend::Sqlite => open_sqlite(&url.url, opener, limits, &health, &metrics).await?,
            _ => open_postgres(&url.url, limits, &health).await?,
        };
        let Opened { read, write, ledger, chats, file, lock } = opened;
        let gate = WriteGate::new(url.backend);
        let write = GatedDatabase::new(write, gate.clone(), file.clone());
        let writer = Writer::start(ledger, gate, moments, writer_limits, metrics, listener).map_err(unavailable)?;
        let readiness = Readiness::new(read.clone(), writer.clone(), file.clone(), health, limits.readiness);
        let chats = GroupReader::start(chats, limits.statement);
        let keys = GroupReader::start(reader::KeySource::new(read.clone()), limits.statement);
        let pages = Arc::new(Semaphore::new(limits.pages));
        Ok(Self { read, write, chats, keys, writer, readiness, pages, _file: file, lock: lock.map(Arc::new) })
    }
}

async fn open_sqlite(
    url: &str,
    opener: Opener,
    limits: DatabaseLimits,
    health: &Arc<Health>,
    metrics: &WriterMetrics,
) -> Result<Opened> {
    let options = file_options(url, limits).map_err(driver_fault)?;
    let database = create_file(options.clone()).await.map_err(fault)?;
    let file = Arc::new(SqliteFile::open(options.get_filename())?);
    // Before the tables are changed: the other server may be an older one.
    let lock = match opener {
        Opener::Server => Some(file.lock_for_server().await?),
        Opener::Command => None,
    };
    migrate(&database).await.map_err(fault)?;
    let (connection, checkpointer) = (file.connect(&limits)?, file.connect(&limits)?);
    if has_shared_cache(&connection).map_err(file_fault)? {
        tracing::warn!(
            "this build's SQLite has {SHARED_CACHE}, with which reads are slow after many writes; built in Parlor's own \
             folder it has not (.cargo/config.toml)"
        );
    }
    file.remember()?;
    database.close().await.map_err(fault)?;
    let checkpoints = Checkpoints::start(checkpointer, file.clone(), metrics.clone()).map_err(unavailable)?;
    let ledger = FileBackend::new(file.clone(), limits, health.clone(), connection, checkpoints);
    // A file that is gone must not be made anew, empty.
    let options = options.create_if_missing(false);
    let readers =
        Pool::new(options.clone(), may_open(&file), limits.sqlite_readers, limits, health.clone()).map_err(fault)?;
    let write = Database::Sqlite(Pool::new(options, may_open(&file), 1, limits, health.clone()).map_err(fault)?);
    Ok(Opened {
        read: Database::Sqlite(readers.clone()),
        write,
        ledger: Ledger::Sqlite(Box::new(ledger)),
        chats: reader::ChatSource::sqlite(readers, limits.statement),
        file: Some(file),
        lock,
    })
}

async fn open_postgres(url: &str, limits: DatabaseLimits, health: &Arc<Health>) -> Result<Opened> {
    let options: PgConnectOptions = url.parse().map_err(driver_fault)?;
    // Statements would be logged with their values, which are the users' words.
    let options = options.application_name("parlor").disable_statement_logging();
    let pool: PgPool = PoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_with(options.clone())
        .await
        .map_err(driver_fault)?;
    let database = DatabaseConnection::from(pool);
    migrate(&database).await.map_err(fault)?;
    database.close().await.map_err(fault)?;
    let pool =
        Pool::new(options, Box::new(|| Ok(())), limits.postgres_connections, limits, health.clone()).map_err(fault)?;
    // The first statements of a server that starts must not have to wait for a connection as well.
    drop(pool.lease(std::time::Instant::now() + CONNECT_TIMEOUT).await.map_err(fault)?);
    let row_lock = format!("SET lock_timeout = {}", limits.row_lock.as_millis());
    let writer = PinnedConnection::new(pool.clone(), limits.write, Some(row_lock));
    let reader = PinnedConnection::new(pool.clone(), limits.statement, None);
    Ok(Opened {
        read: Database::Postgres(pool.clone()),
        write: Database::Postgres(pool),
        ledger: Ledger::Postgres(Postgres::new(writer)),
        chats: reader::ChatSource::postgres(reader),
        file: None,
        lock: None,
    })
}

/// Only while the file at the path is the one that was opened.
fn may_open(file: &Arc<SqliteFile>) -> MayOpen {
    let file = file.clone();
    Box::new(move || file.check_identity().map_err(io::Error::other))
}

/// Creates the file if it is missing, and switches it to WAL mode. Other processes may just be doing the same: the switch
/// does not wait for their lock, whatever the busy timeout, so it is tried again.
async fn create_file(options: SqliteConnectOptions) -> std::result::Result<DatabaseConnection, DbErr> {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    loop {
        let connect = PoolOptions::new().max_connections(1).acquire_timeout(CONNECT_TIMEOUT);
        let pool: sqlx::Result<SqlitePool> = connect.connect_with(options.clone()).await;
        match pool.map_err(driver_error) {
            Err(error) if is_busy(&error) && Instant::now() < deadline => tokio::time::sleep(BUSY_PAUSE).await,
            outcome => return outcome.map(DatabaseConnection::from),
        }
    }
}

fn file_options(url: &str, limits: DatabaseLimits) -> sqlx::Result<SqliteConnectOptions> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // An acknowledged write survives power loss: the log is synced at every commit.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(limits.write)
        .pragma("wal_autocheckpoint", PAGES_ELSEWHERE.to_string())
        .pragma("journal_size_limit", limits.wal_bytes.to_string())
        // A whole page or batch, so that the connection's thread need not stop in the middle and be woken again.
        .row_buffer_size(512)
        .foreign_keys(true)
        // Statements would be logged with their values, which are the users' words.
        .disable_statement_logging();
    Ok(options)
}

fn unavailable(error: io::Error) -> Error {
    Error::Unavailable(Cause::new(error))
}

fn has_shared_cache(connection: &rusqlite::Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT sqlite_compileoption_used(?1)", [SHARED_CACHE], |row| row.get(0))
}

/// Brings the tables up to date in one transaction. Several processes may start at once on one database: each waits for
/// the one before and then finds nothing to do.
async fn migrate(database: &DatabaseConnection) -> std::result::Result<(), DbErr> {
    // SQLite would otherwise refuse to turn a reader into a writer when another connection has written in between,
    // whatever the busy timeout.
    let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
    let options = TransactionOptions { sqlite_transaction_mode, ..Default::default() };
    let transaction = database.begin_with_options(options).await?;
    if database.get_database_backend() == DbBackend::Postgres {
        transaction.execute_unprepared(&format!("SET LOCAL lock_timeout = '{MIGRATION_LOCK_TIMEOUT}'")).await?;
        transaction.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")).await?;
    }
    Migrator::up(&transaction, None).await?;
    transaction.commit().await
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
        let database = create_file(file_options(&url, DatabaseLimits::default()).unwrap()).await.unwrap();
        let setting = async |name: &str| {
            let pragma = Statement::from_string(DbBackend::Sqlite, format!("PRAGMA {name}"));
            database.query_one_raw(pragma).await.unwrap().unwrap()
        };
        assert_eq!(setting("journal_mode").await.try_get_by_index::<String>(0).unwrap(), "wal");
        // As SQLite numbers them, 2 is FULL.
        assert_eq!(setting("synchronous").await.try_get_by_index::<i64>(0).unwrap(), 2);
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

//! Opening a database: connections, settings, migrations.

use std::{io, str::FromStr as _, sync::Arc, time::Duration};

use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait as _,
};
use sea_orm_migration::{MigratorTrait as _, SchemaManager};
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool, SqlitePool,
    pool::PoolOptions,
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout_at},
};

use super::{
    DatabaseLimits, DatabaseUrl, Store, WriterLimits,
    checkpoints::{Checkpoints, PAGES_ELSEWHERE},
    connection::{Database, Health, MayOpen, PinnedConnection, Pool},
    database_url::known_parameters,
    failure::{driver_error, is_busy},
    migration::Migrator,
    open_error::{OpenError, Place, Unsuitable},
    reader::{self, GroupReader},
    readiness::Readiness,
    sqlite_file::{ServerLock, SqliteFile},
    write_gate::{GatedDatabase, WriteGate},
    writer::{FileBackend, Ledger, Postgres, Writer},
};
use crate::{
    base::{
        clock::Moments,
        error::{Cause, Error, Result},
        metrics::WriterMetrics,
    },
    domain::Listener,
};

/// How long opening waits for the database, and for a SQLite file that another process is just creating.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before a busy file is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// The pause before a PostgreSQL server that is not ready is tried again.
const SERVER_PAUSE: Duration = Duration::from_millis(100);
/// How long the migration waits for another node's.
const MIGRATION_LOCK_TIMEOUT: &str = "60s";
/// The table in which the migration keeps the steps that the database has had.
const STEPS: &str = "seaql_migrations";
/// The encoding of a PostgreSQL database in which every text can be stored.
const ENCODING: &str = "UTF8";
/// An option of SQLite's build: one page cache for all connections, which keeps nothing for readers after many writes.
const SHARED_CACHE: &str = "ENABLE_MEMORY_MANAGEMENT";
/// Any number that no other program locks the same database with: "parlor" in ASCII.
const MIGRATION_LOCK: i64 = 0x7061_726c_6f72;

/// The kind of process that opens the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opener {
    /// A server. A SQLite file has one at a time. Creates the file and the tables if they are missing.
    Server,
    /// A command, for a moment, beside a server or not. Creates neither a file nor the first tables: the URL may be
    /// mistyped.
    Command,
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
    /// [`Error::Database`] with a sentence when the database cannot be reached, used or migrated, [`Error::Invalid`] when
    /// the URL cannot be understood or another server serves the SQLite file.
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
        let opened = match url.backend() {
            DbBackend::Sqlite => {
                let options = file_options(url.as_str(), limits).map_err(not_understood)?;
                let place = Place::of_file(options.get_filename());
                let opened = open_sqlite(options, opener, limits, &health, &metrics).await;
                opened.map_err(|error| place.explain(error))?
            }
            _ => {
                let options: PgConnectOptions = known_parameters(url.as_str()).parse().map_err(not_understood)?;
                let place = Place::of_server(&options);
                open_postgres(options, opener, limits, &health).await.map_err(|error| place.explain(error))?
            }
        };
        let Opened { read, write, ledger, chats, file, lock } = opened;
        let gate = WriteGate::new(url.backend());
        let write = GatedDatabase::new(write, gate.clone(), file.clone());
        let writer = Writer::start(ledger, gate, moments, writer_limits, metrics, listener).map_err(unavailable)?;
        let readiness = Readiness::new(read.clone(), writer.clone(), file.clone(), health, limits.readiness);
        let chats = GroupReader::start(chats, limits.statement);
        let keys = GroupReader::start(reader::KeySource::new(read.clone()), limits.statement);
        let pages = Arc::new(Semaphore::new(limits.pages));
        Ok(Self { read, write, chats, keys, writer, readiness, pages, _file: file, lock: lock.map(Arc::new) })
    }
}

/// The refusal of a URL that a driver cannot read. The driver's words name parameters, and show no password.
fn not_understood(error: sqlx::Error) -> Error {
    let reason = match error {
        sqlx::Error::Configuration(error) => error.to_string(),
        other => other.to_string(),
    };
    Error::Invalid(format!("DATABASE_URL cannot be understood: {reason}"))
}

async fn open_sqlite(
    options: SqliteConnectOptions,
    opener: Opener,
    limits: DatabaseLimits,
    health: &Arc<Health>,
    metrics: &WriterMetrics,
) -> std::result::Result<Opened, OpenError> {
    let file = match opener {
        Opener::Server => SqliteFile::create(options.get_filename()),
        Opener::Command => SqliteFile::open(options.get_filename()),
    };
    let file = Arc::new(file.map_err(OpenError::Io)?);
    // Before the file is switched to WAL mode: it may be another program's.
    if opener == Opener::Command && !file.has_table(STEPS, limits.write)? {
        return Err(Unsuitable::NoTables.into());
    }
    let database = switch_to_wal(options.clone()).await?;
    // Before the tables are changed: the other server may be an older one.
    let lock = match opener {
        Opener::Server => Some(file.lock_for_server().await?),
        Opener::Command => None,
    };
    migrate(&database, opener).await?;
    let (connection, checkpointer) = (file.connect(&limits)?, file.connect(&limits)?);
    if has_shared_cache(&connection)? {
        tracing::warn!(
            "this build's SQLite has {SHARED_CACHE}, with which reads are slow after many writes; built in Parlor's own \
             folder it has not (.cargo/config.toml)"
        );
    }
    file.remember()?;
    database.close().await?;
    let checkpoints = Checkpoints::start(checkpointer, file.clone(), metrics.clone()).map_err(unavailable)?;
    let ledger = FileBackend::new(file.clone(), limits, health.clone(), connection, checkpoints);
    let readers = Pool::new(options.clone(), may_open(&file), limits.sqlite_readers, limits, health.clone())?;
    let write = Database::Sqlite(Pool::new(options, may_open(&file), 1, limits, health.clone())?);
    Ok(Opened {
        read: Database::Sqlite(readers.clone()),
        write,
        ledger: Ledger::Sqlite(Box::new(ledger)),
        chats: reader::ChatSource::sqlite(readers, limits.statement),
        file: Some(file),
        lock,
    })
}

async fn open_postgres(
    options: PgConnectOptions,
    opener: Opener,
    limits: DatabaseLimits,
    health: &Arc<Health>,
) -> std::result::Result<Opened, OpenError> {
    // Statements would be logged with their values, which are the users' words.
    let options = options.application_name("parlor").disable_statement_logging();
    check_encoding(reach_server(&options, opener).await?).await?;
    let pool: PgPool = PoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_with(options.clone())
        .await
        .map_err(driver_error)?;
    let database = DatabaseConnection::from(pool);
    migrate(&database, opener).await?;
    database.close().await?;
    let pool = Pool::new(options, Box::new(|| Ok(())), limits.postgres_connections, limits, health.clone())?;
    // The first statements of a server that starts must not have to wait for a connection as well.
    drop(pool.lease(std::time::Instant::now() + CONNECT_TIMEOUT).await?);
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

/// Connects to PostgreSQL. A server of Parlor's waits up to [`CONNECT_TIMEOUT`] for one that is not ready, since both may
/// have been started together; a command does not.
async fn reach_server(options: &PgConnectOptions, opener: Opener) -> std::result::Result<PgConnection, OpenError> {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    loop {
        let error = match timeout_at(deadline, options.connect()).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error,
            Err(_) => return Err(OpenError::NoAnswer),
        };
        if opener == Opener::Command || !is_passing(&error) || Instant::now() + SERVER_PAUSE >= deadline {
            return Err(driver_error(error).into());
        }
        sleep(SERVER_PAUSE).await;
    }
}

/// Whether the failure to connect may pass by itself: no server listens yet, or it starts, or it has too many connections.
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
        ),
        sqlx::Error::Database(error) => matches!(error.code().as_deref(), Some("53300" | "57P03")),
        _ => false,
    }
}

/// Refuses a database that cannot store every text: the clients' words may be in any script.
async fn check_encoding(mut connection: PgConnection) -> std::result::Result<(), OpenError> {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let question = sqlx::query_scalar("SHOW server_encoding").fetch_one(&mut connection);
    let Ok(encoding) = timeout_at(deadline, question).await else { return Err(OpenError::NoAnswer) };
    let encoding: String = encoding.map_err(driver_error)?;
    // The answer is there; a connection that does not close politely is dropped.
    _ = timeout_at(deadline, connection.close()).await;
    if encoding == ENCODING { Ok(()) } else { Err(Unsuitable::Encoding(encoding).into()) }
}

/// Only while the file at the path is the one that was opened.
fn may_open(file: &Arc<SqliteFile>) -> MayOpen {
    let file = file.clone();
    Box::new(move || file.check_identity().map_err(io::Error::other))
}

/// Switches a file to WAL mode. Other processes may just be doing the same: the switch does not wait for their lock,
/// whatever the busy timeout, so it is tried again.
async fn switch_to_wal(options: SqliteConnectOptions) -> std::result::Result<DatabaseConnection, DbErr> {
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
        // A file is created by `SqliteFile`. One that is gone later must not be made anew, empty.
        .create_if_missing(false)
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
///
/// # Errors
/// [`Unsuitable::Newer`] when the database has had a step that this version does not have; [`Unsuitable::NoTables`] when a
/// command finds no tables.
async fn migrate(database: &DatabaseConnection, opener: Opener) -> std::result::Result<(), OpenError> {
    // SQLite would otherwise refuse to turn a reader into a writer when another connection has written in between,
    // whatever the busy timeout.
    let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
    let options = TransactionOptions { sqlite_transaction_mode, ..Default::default() };
    let transaction = database.begin_with_options(options).await?;
    if database.get_database_backend() == DbBackend::Postgres {
        transaction.execute_unprepared(&format!("SET LOCAL lock_timeout = '{MIGRATION_LOCK_TIMEOUT}'")).await?;
        transaction.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")).await?;
    }
    let applied = applied_steps(&transaction).await?;
    if applied.is_empty() && opener == Opener::Command {
        return Err(Unsuitable::NoTables.into());
    }
    let known = Migrator::migrations();
    if let Some(step) = applied.into_iter().find(|step| known.iter().all(|known| known.name() != step.as_str())) {
        return Err(Unsuitable::Newer { step }.into());
    }
    Migrator::up(&transaction, None).await?;
    transaction.commit().await?;
    Ok(())
}

/// The names of the steps that the database has had; none if it has no tables of Parlor's.
async fn applied_steps(transaction: &DatabaseTransaction) -> std::result::Result<Vec<String>, DbErr> {
    if !SchemaManager::new(transaction).has_table(STEPS).await? {
        return Ok(Vec::new());
    }
    let question = Statement::from_string(
        transaction.get_database_backend(),
        format!("SELECT version FROM {STEPS} ORDER BY version"),
    );
    transaction.query_all_raw(question).await?.iter().map(|row| row.try_get("", "version")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_connection_to_a_file_syncs_each_commit_to_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("parlor.db");
        let _file = SqliteFile::create(&path).unwrap();
        let options = file_options(&format!("sqlite://{}", path.display()), DatabaseLimits::default()).unwrap();
        let database = switch_to_wal(options).await.unwrap();
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
}

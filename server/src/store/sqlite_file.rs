//! The SQLite file as the operating system shows it: which process serves it, whether it is still there, and whether it is
//! sound.
//!
//! SQLite goes on writing to a file that was deleted or replaced, and what it acknowledges then is gone after a restart.
//! So the writer compares the file at the path with the one that it opened before it acknowledges anything.

use std::{
    fs::{File, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{DatabaseLimits, failure::file_fault};
use crate::base::error::{Cause, Error, Result};

/// The permissions of a file that is created: its owner's alone, whatever the umask. SQLite gives the files beside a
/// database the permissions of the database.
const MODE: u32 = 0o600;
/// The first bytes of every database (<https://www.sqlite.org/fileformat.html>, section 1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Bytes of the header that are read.
const HEADER: usize = 32;
/// Virtual machine instructions of SQLite between two looks at the clock.
const STEPS: i32 = 1_000;
/// The writer's page cache, in KiB. Beside SQLite's default (2,000), a chat among ten million others is written with five
/// pages read instead of seven.
const WRITER_CACHE: i64 = 8_192;
/// The longest wait for a server that is just ending.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A database file.
#[derive(Debug)]
pub(super) struct SqliteFile {
    /// Without symbolic links, so that it is one path however the file was named.
    path: PathBuf,
    /// The paths of the write-ahead log and of the log's index.
    beside: [PathBuf; 2],
    /// What checkpoints sync. Closed after all connections: with any descriptor of a file that it closes, a process gives
    /// up all its POSIX locks on that file, those of its connections too.
    handle: File,
    /// Those of the file, of its write-ahead log and of the log's index.
    identities: OnceLock<[Identity; 3]>,
    /// The greatest length that was seen. A file becomes shorter by damage, or by VACUUM.
    length: AtomicU64,
}

/// Names a file, whatever its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// The identity of the file at `path`.
    ///
    /// Does not ask for the file's times: after each such question Linux (6.13 and later, multigrain timestamps) gives the
    /// file a new time at the next write, and the sync after it then also has to write the file system's journal.
    #[cfg(target_os = "linux")]
    fn of(path: &Path) -> io::Result<Self> {
        use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};

        let found = statx(CWD, path, AtFlags::empty(), StatxFlags::INO)?;
        Ok(Self { device: makedev(found.stx_dev_major, found.stx_dev_minor), inode: found.stx_ino })
    }

    /// The identity of the file at `path`.
    #[cfg(not(target_os = "linux"))]
    fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;

        let metadata = std::fs::metadata(path)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// The right to serve a file: an advisory lock on a file beside it, until this is dropped or the process ends.
#[derive(Debug)]
pub(super) struct ServerLock(File);

impl ServerLock {
    /// Gives the right up before this is dropped.
    pub(super) fn release(&self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "could not unlock the database file");
        }
    }
}

/// Result of a check of a whole file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Integrity {
    Sound,
    Damaged(String),
    /// The check took too long, or could not run.
    Unknown,
}

impl SqliteFile {
    /// Opens the file at `path`, which must be there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::of(path, File::options().read(true).write(true).open(path)?)
    }

    /// Opens the file at `path`, or creates it, empty and for its owner alone.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Self::of(path, File::options().read(true).write(true).create(true).truncate(false).mode(MODE).open(path)?)
    }

    fn of(path: &Path, handle: File) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let length = handle.metadata()?.len();
        let beside = ["-wal", "-shm"].map(|suffix| with_suffix(&path, suffix));
        Ok(Self { path, beside, handle, identities: OnceLock::new(), length: AtomicU64::new(length) })
    }

    /// Takes the right to serve the file, which one process has at a time; waits a little for a server that is just
    /// ending. Commands beside a server need no such right.
    ///
    /// # Errors
    /// [`Error::Invalid`] when another server keeps it, [`Error::Database`] when the lock's file cannot be written.
    pub(super) async fn lock_for_server(&self) -> Result<ServerLock> {
        let path = with_suffix(&self.path, "-lock");
        let cannot_lock = |error| {
            Error::Database(format!(
                "cannot open the SQLite database {}: its lock {} cannot be taken ({error}); give the process permission to \
                 create and write that file",
                self.path.display(),
                path.display()
            ))
        };
        let opened = File::options().read(true).write(true).create(true).truncate(false).mode(MODE).open(&path);
        let mut file = opened.map_err(cannot_lock)?;
        let deadline = Instant::now() + LOCK_TIMEOUT;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => tokio::time::sleep(LOCK_PAUSE).await,
                Err(TryLockError::WouldBlock) => {
                    let mut process = String::new();
                    _ = file.read_to_string(&mut process);
                    return Err(Error::Invalid(format!(
                        "another server (process {}) serves {}; SQLite files have one server, so stop that one, give this \
                         one another --database-url, or move to PostgreSQL",
                        process.trim(),
                        self.path.display()
                    )));
                }
                Err(TryLockError::Error(error)) => return Err(cannot_lock(error)),
            }
        }
        // For the sentence above; without it the lock works all the same.
        _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(ServerLock(file))
    }

    /// Remembers which files they are. To be called once a connection in WAL mode is open.
    pub(super) fn remember(&self) -> Result<()> {
        let identities = self.identities_now().map_err(|error| self.gone(&error))?;
        _ = self.identities.set(identities);
        Ok(())
    }

    /// Compares the files at the path with those that were opened.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the file, its log or the log's index was deleted, moved or replaced. The first of these
    /// can be undone by moving it back; then this is `Ok` again.
    pub(super) fn check_identity(&self) -> Result<()> {
        let Some(opened) = self.identities.get() else { return Ok(()) };
        match self.identities_now() {
            Ok(now) if now == *opened => Ok(()),
            Ok(_) => Err(Error::Unavailable(Cause::new(format!(
                "{} or a file beside it was replaced while the server runs; restart the server",
                self.path.display()
            )))),
            Err(error) => Err(self.gone(&error)),
        }
    }

    fn gone(&self, error: &io::Error) -> Error {
        Error::Unavailable(Cause::new(format!("{} or a file beside it is gone: {error}", self.path.display())))
    }

    fn identities_now(&self) -> io::Result<[Identity; 3]> {
        let [log, index] = &self.beside;
        Ok([Identity::of(&self.path)?, Identity::of(log)?, Identity::of(index)?])
    }

    /// Whether the file begins as a database does and has not become shorter. Reads the disk.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn check_header(&self) -> std::result::Result<(), String> {
        let mut header = [0; HEADER];
        self.handle.read_exact_at(&mut header, 0).map_err(|error| format!("the file cannot be read: {error}"))?;
        if !header.starts_with(MAGIC) {
            return Err("the file does not begin as a SQLite database does".to_owned());
        }
        let length = self.handle.metadata().map_err(|error| error.to_string())?.len();
        let longest = self.length.fetch_max(length, Ordering::Relaxed);
        if length >= longest {
            return Ok(());
        }
        if declared_length(&header) <= length {
            // It was vacuumed.
            self.length.store(length, Ordering::Relaxed);
            return Ok(());
        }
        Err(format!("the file had {longest} bytes and has {length}"))
    }

    /// Takes the present length for the right one.
    pub(super) fn accept_length(&self) {
        if let Ok(metadata) = self.handle.metadata() {
            self.length.store(metadata.len(), Ordering::Relaxed);
        }
    }

    /// Checks the structure of the file on a connection that has nothing cached, for at most `limit`.
    pub(super) fn check_integrity(&self, limit: Duration) -> Integrity {
        let deadline = Instant::now() + limit;
        let check = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&self.path, flags)?;
            connection.busy_timeout(limit)?;
            connection.progress_handler(STEPS, Some(move || Instant::now() > deadline))?;
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
        };
        match check() {
            Ok(verdict) if verdict == "ok" => Integrity::Sound,
            Ok(verdict) => Integrity::Damaged(verdict),
            Err(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Integrity::Damaged(error.to_string()),
                _ => Integrity::Unknown,
            },
        }
    }

    /// Whether the file has a table called `name`. Changes nothing; waits for another program's lock for `limit` at most.
    pub(super) fn has_table(&self, name: &str, limit: Duration) -> rusqlite::Result<bool> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(limit)?;
        connection.table_exists(None, name)
    }

    /// Writes the content of the file to the disk, which the caller waits for.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.handle.sync_data()
    }

    /// A connection of the writer's own, without a driver's thread in between. The file is in WAL mode already.
    pub(super) fn connect(&self, limits: &DatabaseLimits) -> Result<Connection> {
        // A new connection would create a log that is missing, beside the one that others still have open.
        self.check_identity()?;
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&self.path, flags)?;
            connection.busy_timeout(limits.write.mul_f64(0.8))?;
            // An acknowledged write survives power loss: the log is synced at every commit.
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "foreign_keys", true)?;
            // `checkpoints` copies the log.
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            connection.pragma_update(
                None,
                "journal_size_limit",
                i64::try_from(limits.wal_bytes).unwrap_or(i64::MAX),
            )?;
            // Below zero it is KiB, not pages.
            connection.pragma_update(None, "cache_size", -WRITER_CACHE)?;
            Ok(connection)
        };
        open().map_err(file_fault)
    }
}

/// The path of a file beside the database, whose name is the database's and `suffix`.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// The bytes that a file has by its header: the page size at byte 16, where 1 stands for 65,536, and the number of pages at
/// byte 28.
fn declared_length(header: &[u8; HEADER]) -> u64 {
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        bytes => u64::from(bytes),
    };
    page * u64::from(u32::from_be_bytes([header[28], header[29], header[30], header[31]]))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A file in WAL mode with a table, and a connection that keeps its log.
    fn database() -> (tempfile::TempDir, SqliteFile, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("parlor.db");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (randomblob(100000))").unwrap();
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        let file = SqliteFile::open(&path).unwrap();
        file.remember().unwrap();
        (folder, file, connection)
    }

    #[test]
    fn each_file_that_is_gone_or_replaced_is_noticed_and_one_that_is_back_is_well() {
        for suffix in ["", "-wal", "-shm"] {
            let (folder, file, _connection) = database();
            let path = folder.path().join(format!("parlor.db{suffix}"));
            let away = folder.path().join("away");
            file.check_identity().unwrap();
            fs::rename(&path, &away).unwrap();
            assert!(file.check_identity().is_err(), "{suffix}");
            fs::copy(&away, &path).unwrap();
            assert!(file.check_identity().is_err(), "{suffix}");
            fs::rename(&away, &path).unwrap();
            file.check_identity().unwrap();
        }
    }

    #[test]
    fn damage_to_the_header_the_length_and_the_pages_is_noticed() {
        let limit = Duration::from_secs(10);
        let (_folder, file, _connection) = database();
        file.check_header().unwrap();
        assert_eq!(file.check_integrity(limit), Integrity::Sound);
        file.handle.write_all_at(&[0xff; 4096], 4096).unwrap();
        assert!(matches!(file.check_integrity(limit), Integrity::Damaged(_)));
        file.handle.write_all_at(&[0; 16], 0).unwrap();
        assert!(file.check_header().is_err());

        let (_folder, file, _connection) = database();
        file.handle.set_len(4096).unwrap();
        assert!(file.check_header().is_err());
        assert!(matches!(file.check_integrity(limit), Integrity::Damaged(_)));
    }

    #[test]
    fn a_file_that_was_vacuumed_is_well() {
        let (_folder, file, connection) = database();
        file.check_header().unwrap();
        connection.execute_batch("DELETE FROM t; VACUUM").unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        assert!(file.handle.metadata().unwrap().len() < 100_000);
        file.check_header().unwrap();
        assert_eq!(file.check_integrity(Duration::from_secs(10)), Integrity::Sound);
    }

    #[tokio::test]
    async fn one_server_has_a_file() {
        let (folder, file, _connection) = database();
        let lock = file.lock_for_server().await.unwrap();
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(folder.path().join("parlor.db"), &link).unwrap();
        let other = SqliteFile::open(&link).unwrap();
        let refusal = other.lock_for_server().await.unwrap_err().to_string();
        assert!(refusal.contains(&format!("process {}", std::process::id())), "{refusal}");
        drop(lock);
        other.lock_for_server().await.unwrap();
    }

    #[test]
    fn the_writer_s_connection_syncs_each_commit_and_bounds_the_log() {
        let (_folder, file, _connection) = database();
        let writer = file.connect(&DatabaseLimits::default()).unwrap();
        for (name, wanted) in
            [("synchronous", 2), ("foreign_keys", 1), ("wal_autocheckpoint", 0), ("journal_size_limit", 67_108_864)]
        {
            let found: i64 = writer.pragma_query_value(None, name, |row| row.get(0)).unwrap();
            assert_eq!(found, wanted, "{name}");
        }
        let mode: String = writer.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }
}

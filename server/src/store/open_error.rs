//! Sentences for operators about a database that cannot be opened: which database, the reason, and the remedy.
//!
//! Every failure while a database is opened passes through [`Place::explain`]. The sentences name a path, or a host, a
//! database and a user, and never a password.

use std::{
    error::Error as StdError,
    fmt, io,
    path::{Path, PathBuf},
};

use sea_orm::{DbErr, RuntimeErr};
use sqlx::postgres::PgConnectOptions;

use crate::base::error::Error;

/// The remedy where the reason is not one of those that have their own.
const GENERAL_REMEDY: &str = "check --database-url and the database";
const OTHER_FILE: &str = "name another file by --database-url";
const OTHER_ADDRESS: &str = "correct the host and the port in --database-url";

/// Identifies a database in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A SQLite file, absolute if the current directory is known.
    File(PathBuf),
    /// A PostgreSQL database.
    Server(Server),
}

/// A PostgreSQL database and the user that connects to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// The host and the port, or the path of the socket.
    address: String,
    host: String,
    database: String,
    user: String,
}

/// A failure while a database is opened.
#[derive(Debug)]
pub(super) enum OpenError {
    /// The operating system refused to open the file.
    Io(io::Error),
    /// A driver or a statement failed.
    Driver(DbErr),
    /// A statement of the writer's connection to a file failed.
    File(rusqlite::Error),
    /// The database was reached and cannot be used.
    Unsuitable(Unsuitable),
    /// The server did not answer in time.
    NoAnswer,
    /// The failure is in the words of the domain already.
    Known(Error),
}

/// A finding about a database that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unsuitable {
    /// It has had a migration step that this version does not have.
    Newer { step: String },
    /// It has no tables, and the process is a command, which makes none.
    NoTables,
    /// Its text is not UTF-8.
    Encoding(String),
}

/// The reason of a failure and the remedy, as the two halves of a sentence.
type Halves = (String, String);

impl Place {
    /// The file at `path`.
    pub(super) fn of_file(path: &Path) -> Self {
        Self::File(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
    }

    /// The database that `options` connect to.
    pub(super) fn of_server(options: &PgConnectOptions) -> Self {
        let (host, port) = (options.get_host(), options.get_port());
        let address = match options.get_socket() {
            Some(folder) => folder.join(format!(".s.PGSQL.{port}")).display().to_string(),
            None if host.starts_with('/') => format!("{host}/.s.PGSQL.{port}"),
            None if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
            None => format!("{host}:{port}"),
        };
        let user = options.get_username().to_owned();
        // PostgreSQL's own default.
        let database = options.get_database().unwrap_or(&user).to_owned();
        Self::Server(Server { address, host: host.to_owned(), database, user })
    }

    /// The error that a start ends with: one sentence that names the database, the reason and the remedy.
    pub(super) fn explain(&self, error: OpenError) -> Error {
        let (reason, remedy) = match (self, error) {
            (_, OpenError::Known(Error::Unavailable(cause) | Error::Internal(cause))) => {
                (cause.to_string(), GENERAL_REMEDY.to_owned())
            }
            // It has its sentence.
            (_, OpenError::Known(error)) => return error,
            (_, OpenError::Unsuitable(finding)) => self.unsuitable(&finding),
            (_, OpenError::NoAnswer) => no_answer(),
            (Self::File(path), OpenError::Io(error)) => of_system(path, &error),
            (Self::File(path), OpenError::Driver(error)) => of_sqlite(path, sqlite_code(&error), &message(&error)),
            (Self::File(path), OpenError::File(error)) => {
                of_sqlite(path, error.sqlite_error().map(|error| error.extended_code), &error.to_string())
            }
            (Self::Server(server), OpenError::Driver(error)) => server.of_driver(&error),
            (Self::Server(server), OpenError::Io(error)) => server.of_io(&error),
            (Self::Server(_), OpenError::File(error)) => (error.to_string(), GENERAL_REMEDY.to_owned()),
        };
        Error::Database(format!("cannot open {self}: {reason}; {remedy}"))
    }

    fn unsuitable(&self, finding: &Unsuitable) -> Halves {
        match finding {
            Unsuitable::Newer { step } => (
                format!("a newer Parlor has changed it (this version does not know the step {step:?})"),
                "run that version, or restore a backup that was made before the upgrade".to_owned(),
            ),
            Unsuitable::NoTables => (
                "it holds no data of Parlor".to_owned(),
                "check --database-url, or start `parlor serve` on it once, which makes the tables".to_owned(),
            ),
            Unsuitable::Encoding(encoding) => (
                format!("its encoding is {encoding}, which cannot store every text"),
                match self {
                    Self::Server(server) => format!("make one in UTF-8, as by {}", server.createdb()),
                    Self::File(_) => OTHER_FILE.to_owned(),
                },
            ),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the SQLite database {}", path.display()),
            Self::Server(Server { address, database, .. }) => {
                write!(f, "the PostgreSQL database {database:?} at {address}")
            }
        }
    }
}

impl From<DbErr> for OpenError {
    fn from(error: DbErr) -> Self {
        Self::Driver(error)
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::File(error)
    }
}

impl From<Unsuitable> for OpenError {
    fn from(finding: Unsuitable) -> Self {
        Self::Unsuitable(finding)
    }
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        Self::Known(error)
    }
}

/// The reason for which the operating system does not open the file at `path`.
fn of_system(path: &Path, error: &io::Error) -> Halves {
    use io::ErrorKind;

    let folder = path.parent().unwrap_or(path).display();
    let shown = path.display();
    match error.kind() {
        ErrorKind::NotFound if path.parent().is_some_and(|folder| !folder.exists()) => (
            format!("the folder {folder} does not exist"),
            format!("create it, as by `mkdir -p {folder}`, or {OTHER_FILE}"),
        ),
        ErrorKind::NotFound => (
            "there is no such file".to_owned(),
            "check --database-url; only `parlor serve` creates a database that is missing".to_owned(),
        ),
        ErrorKind::NotADirectory => ("a part of the path is not a folder".to_owned(), OTHER_FILE.to_owned()),
        ErrorKind::IsADirectory => {
            ("it is a folder".to_owned(), format!("name a file in it, as in sqlite://{shown}/parlor.db"))
        }
        ErrorKind::PermissionDenied if path.exists() => (
            "the process has no permission to read and write the file".to_owned(),
            "give it that permission, or run Parlor as the owner of the file".to_owned(),
        ),
        ErrorKind::PermissionDenied => (
            format!("the process has no permission to create a file in {folder}"),
            format!("give it that permission, or {OTHER_FILE}"),
        ),
        ErrorKind::ReadOnlyFilesystem => {
            ("its disk is read-only".to_owned(), format!("mount it for writing, or {OTHER_FILE}"))
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            ("its disk is full".to_owned(), format!("make room, or {OTHER_FILE}"))
        }
        _ => (error.to_string(), format!("check the path and the disk, or {OTHER_FILE}")),
    }
}

/// The reason that SQLite gives by an extended result code (<https://www.sqlite.org/rescode.html>) for the file at `path`.
fn of_sqlite(path: &Path, code: Option<i32>, message: &str) -> Halves {
    let folder = path.parent().unwrap_or(path).display();
    // The primary result code is the low byte.
    match code.map(|code| code & 0xff) {
        // PERM, READONLY
        Some(3 | 8) => (
            format!("it can be read and not written ({message})"),
            format!("give the process permission to write the file and the files beside it in {folder}"),
        ),
        // BUSY, LOCKED
        Some(5 | 6) => ("another program keeps it locked".to_owned(), "end that program, and start again".to_owned()),
        // IOERR
        Some(10) => {
            (format!("the disk fails ({message})"), "check the disk, and restore a backup if need be".to_owned())
        }
        // CORRUPT
        Some(11) => (format!("it is damaged ({message})"), "restore a backup".to_owned()),
        // FULL
        Some(13) => ("its disk is full".to_owned(), "make room on it".to_owned()),
        // CANTOPEN
        Some(14) => (
            "the files beside it (-wal and -shm) cannot be opened".to_owned(),
            format!("give the process permission to create and write files in {folder}"),
        ),
        // NOTADB
        Some(26) => ("the file is not a SQLite database".to_owned(), format!("move it away, or {OTHER_FILE}")),
        _ => tables_in_the_way(message),
    }
}

fn tables_in_the_way(message: &str) -> Halves {
    (format!("its tables cannot be brought up to date ({message})"), "give Parlor a database of its own".to_owned())
}

impl Server {
    /// A command that makes the database.
    fn createdb(&self) -> String {
        format!("`createdb --encoding=UTF8 --template=template0 {}`", self.database)
    }

    fn of_driver(&self, error: &DbErr) -> Halves {
        match driver_error(error) {
            Some(sqlx::Error::Io(error)) => self.of_io(error),
            Some(sqlx::Error::Tls(error)) => self.of_tls(error),
            Some(sqlx::Error::Protocol(message)) => not_postgresql(message),
            Some(sqlx::Error::PoolTimedOut) => no_answer(),
            Some(sqlx::Error::Database(error)) => self.of_sqlstate(error.code().as_deref(), error.message()),
            Some(error) => (error.to_string(), GENERAL_REMEDY.to_owned()),
            None => (error.to_string(), GENERAL_REMEDY.to_owned()),
        }
    }

    fn of_io(&self, error: &io::Error) -> Halves {
        use io::ErrorKind;

        match error.kind() {
            ErrorKind::ConnectionRefused => {
                ("no server listens there".to_owned(), format!("start PostgreSQL, or {OTHER_ADDRESS}"))
            }
            ErrorKind::NotFound => {
                ("there is no such socket".to_owned(), format!("start PostgreSQL, or {OTHER_ADDRESS}"))
            }
            ErrorKind::PermissionDenied => {
                ("the process may not connect".to_owned(), "give it permission to use the socket".to_owned())
            }
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                ("the host cannot be reached".to_owned(), format!("check the network, or {OTHER_ADDRESS}"))
            }
            ErrorKind::TimedOut => no_answer(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                not_postgresql("it closed the connection")
            }
            _ if error.get_ref().is_some_and(<dyn StdError + Send + Sync>::is::<rustls::Error>) => self.of_tls(error),
            // The kind of a failed look-up has no stable name.
            _ if error.to_string().contains("lookup address") => (
                format!("the host name {:?} is unknown", self.host),
                "correct the host in --database-url, or the machine's name service".to_owned(),
            ),
            _ => (error.to_string(), GENERAL_REMEDY.to_owned()),
        }
    }

    fn of_tls(&self, error: &dyn fmt::Display) -> Halves {
        (
            format!("an encrypted connection cannot be made ({error})"),
            format!("check the TLS of the server at {} and `sslmode` in --database-url", self.address),
        )
    }

    /// The reason that PostgreSQL gives by an error code (its manual, appendix A).
    fn of_sqlstate(&self, code: Option<&str>, message: &str) -> Halves {
        let Self { database, user, .. } = self;
        match code.unwrap_or_default() {
            // invalid_password
            "28P01" => (
                format!("the server refuses the password of the user {user:?}"),
                "correct the user and the password in --database-url".to_owned(),
            ),
            // invalid_authorization_specification; before PostgreSQL 14 the text said "SSL off".
            "28000" if message.contains("no encryption") || message.contains("SSL off") => (
                "the server demands TLS of this client".to_owned(),
                "remove `sslmode` from --database-url, or set it to `require`".to_owned(),
            ),
            "28000" => (
                format!("the server refuses the user {user:?} ({message})"),
                "correct the user in --database-url, or the server's pg_hba.conf".to_owned(),
            ),
            // invalid_catalog_name
            "3D000" => ("there is no such database".to_owned(), format!("create it, as by {}", self.createdb())),
            // insufficient_privilege
            "42501" => (
                format!("the user {user:?} lacks a right ({message})"),
                format!("make it the owner, as by `ALTER DATABASE {database:?} OWNER TO {user:?}`"),
            ),
            // too_many_connections
            "53300" => {
                (format!("the server has no connection free ({message})"), "raise its max_connections".to_owned())
            }
            // lock_not_available
            "55P03" => {
                ("another session keeps its tables locked".to_owned(), "end that session, and start again".to_owned())
            }
            // cannot_connect_now
            "57P03" => (format!("the server is not ready ({message})"), "start Parlor again once it is".to_owned()),
            // read_only_sql_transaction
            "25006" => (
                "the server only reads, as a standby does".to_owned(),
                "name the primary server in --database-url".to_owned(),
            ),
            // Syntax error or access rule violation: other tables are in the way.
            code if code.starts_with("42") => tables_in_the_way(message),
            _ => (message.to_owned(), GENERAL_REMEDY.to_owned()),
        }
    }
}

fn no_answer() -> Halves {
    (
        "the server does not answer".to_owned(),
        format!("check that it runs and that no firewall is in between, or {OTHER_ADDRESS}"),
    )
}

fn not_postgresql(detail: &str) -> Halves {
    (format!("the server there does not answer as PostgreSQL does ({detail})"), OTHER_ADDRESS.to_owned())
}

/// The driver's error inside one of sea-orm.
fn driver_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

/// SQLite's extended result code.
fn sqlite_code(error: &DbErr) -> Option<i32> {
    driver_error(error)?.as_database_error()?.code()?.parse().ok()
}

/// The database's own words, without those of the layers above it.
fn message(error: &DbErr) -> String {
    match driver_error(error) {
        Some(sqlx::Error::Database(error)) => error.message().to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(place: &Place, error: OpenError) -> String {
        match place.explain(error) {
            Error::Database(sentence) => sentence,
            other => panic!("{other:?}"),
        }
    }

    /// Checks that a sentence has all `parts`, and shows no password.
    fn says(sentence: &str, parts: &[&str]) {
        for part in parts {
            assert!(sentence.contains(part), "{part}: {sentence}");
        }
        assert!(!sentence.contains("hunter2"), "{sentence}");
    }

    #[test]
    fn each_refusal_of_the_operating_system_names_the_path_the_reason_and_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("parlor.db");
        let place = Place::of_file(&path);
        // The numbers are the same on every Unix.
        for (errno, reason, remedy) in [
            (2, "there is no such file", "only `parlor serve` creates"),
            (5, "Input/output error", "check the path and the disk"),
            (13, "no permission to create a file", "give it that permission"),
            (20, "is not a folder", "another file"),
            (21, "it is a folder", "name a file in it"),
            (28, "its disk is full", "make room"),
            (30, "its disk is read-only", "mount it for writing"),
        ] {
            let sentence = explained(&place, OpenError::Io(io::Error::from_raw_os_error(errno)));
            says(&sentence, &[path.to_str().unwrap(), reason, remedy]);
        }
    }

    #[test]
    fn each_result_code_of_sqlite_names_the_path_the_reason_and_the_remedy() {
        let place = Place::File("/data/parlor.db".into());
        for (code, reason, remedy) in [
            (5, "another program keeps it locked", "end that program"),
            (8, "can be read and not written", "permission to write"),
            (1544, "can be read and not written", "permission to write"),
            (778, "the disk fails", "check the disk"),
            (11, "it is damaged", "restore a backup"),
            (13, "its disk is full", "make room"),
            (14, "files beside it", "files in /data"),
            (26, "not a SQLite database", "move it away"),
            (1, "its tables cannot be brought up to date", "a database of its own"),
        ] {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            says(&explained(&place, OpenError::File(error)), &["/data/parlor.db", reason, remedy]);
        }
    }

    #[test]
    fn each_refusal_of_postgresql_names_the_reason_and_the_remedy() {
        let place = Place::of_server(&"postgres://parlor:hunter2@db.example/chats".parse().unwrap());
        let Place::Server(server) = &place else { panic!("{place}") };
        for (code, message, reason, remedy) in [
            ("28P01", "", "refuses the password of the user \"parlor\"", "correct the user and the password"),
            ("28000", "no pg_hba.conf entry for host, no encryption", "demands TLS", "`sslmode`"),
            ("28000", "role \"parlor\" is not permitted to log in", "not permitted to log in", "pg_hba.conf"),
            ("3D000", "", "there is no such database", "createdb --encoding=UTF8 --template=template0 chats"),
            ("42501", "permission denied for schema public", "lacks a right", "OWNER TO \"parlor\""),
            ("53300", "", "no connection free", "max_connections"),
            ("55P03", "", "keeps its tables locked", "end that session"),
            ("57P03", "the database system is starting up", "is starting up", "start Parlor again"),
            ("25006", "", "only reads", "the primary server"),
            ("42P07", "relation exists", "cannot be brought up to date", "a database of its own"),
            ("XX000", "out of luck", "out of luck", "check --database-url"),
        ] {
            let (found, cure) = server.of_sqlstate(Some(code), message);
            says(&format!("{code}: {found}; {cure}"), &[reason, remedy]);
        }
    }

    #[test]
    fn each_failure_to_reach_postgresql_names_the_host_and_the_reason_and_no_password() {
        let place = Place::of_server(&"postgres://parlor:hunter2@db.example/chats".parse().unwrap());
        for (error, reason) in [
            (io::Error::from(io::ErrorKind::ConnectionRefused), "no server listens there"),
            (io::Error::from(io::ErrorKind::NotFound), "no such socket"),
            (io::Error::from(io::ErrorKind::HostUnreachable), "cannot be reached"),
            (io::Error::from(io::ErrorKind::TimedOut), "does not answer"),
            (io::Error::from(io::ErrorKind::UnexpectedEof), "does not answer as PostgreSQL does"),
            (io::Error::other("failed to lookup address information: Name or service not known"), "\"db.example\""),
            (io::Error::other(rustls::Error::DecryptError), "an encrypted connection cannot be made"),
        ] {
            let error = DbErr::Conn(RuntimeErr::SqlxError(sqlx::Error::Io(error).into()));
            says(&explained(&place, OpenError::Driver(error)), &["\"chats\" at db.example:5432", reason, "; "]);
        }
    }

    #[test]
    fn a_place_shows_where_the_server_is_looked_for() {
        for (url, shown) in [
            ("postgres://me:hunter2@db.example:6543/chats", "\"chats\" at db.example:6543"),
            ("postgres://me@[::1]/chats", "\"chats\" at [::1]:5432"),
            ("postgres://me@%2Frun%2Fpostgresql/chats", "\"chats\" at /run/postgresql/.s.PGSQL.5432"),
            ("postgres://me@db.example", "\"me\" at db.example:5432"),
        ] {
            let place = Place::of_server(&url.parse().unwrap());
            assert_eq!(place.to_string(), format!("the PostgreSQL database {shown}"), "{url}");
        }
    }
}

//! A database that cannot be opened: one sentence names it, the reason and the remedy, and never a password.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    os::unix::{fs::MetadataExt as _, fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;

use crate::support::{
    ServerProcess, TestDatabase,
    fault::{EIO, ENOSPC, EROFS, FaultShim, FileFault, OPEN},
};

/// The password in every URL.
const PASSWORD: &str = "hunter2";
/// A server and a command.
const BOTH: [&str; 2] = ["serve", "key list"];
/// A command alone.
const COMMAND: [&str; 1] = ["tenant list"];
/// A user that owns nothing.
const NOBODY: u32 = 65_534;

/// Checks that `command` ends with one sentence on standard error that has each of `parts`.
fn refused(command: &mut Command, parts: &[&str]) {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
    assert!(output.stdout.is_empty(), "{command:?} goes on");
    let sentences: Vec<&str> = said.lines().filter(|line| line.starts_with("parlor: cannot open the ")).collect();
    let [sentence] = sentences[..] else { panic!("{command:?} says one sentence: {said}") };
    for part in parts {
        assert!(sentence.contains(part), "{command:?} does not say {part:?}: {sentence}");
    }
    assert!(sentence.contains("; "), "{command:?} names no remedy: {sentence}");
    assert!(!said.contains(PASSWORD), "{command:?} shows the password: {said}");
}

/// The same of each of `commands` on the database at `url`.
fn each_refused(commands: &[&str], url: &str, parts: &[&str]) {
    for command in commands {
        refused(ServerProcess::command(url).args(command.split(' ')), parts);
    }
}

fn url_of(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

/// A folder with the database of a server that has stopped.
fn served() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("parlor.db");
    ServerProcess::start(&url_of(&path)).finish();
    (folder, path)
}

#[test]
fn a_path_that_leads_to_no_database_is_named_with_the_reason_and_the_remedy() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let text = file("text", b"This is a letter and no database.");
    let long_text = file("long", &b"This is a long letter and no database. ".repeat(1_000));
    let below_a_file = text.join("parlor.db");
    let in_no_folder = folder.path().join("no/parlor.db");
    let no_folder = format!("the folder {} does not exist; create it", folder.path().join("no").display());
    for (path, reason, remedy) in [
        (&in_no_folder, no_folder.as_str(), "mkdir -p"),
        (&folder.path().to_owned(), "it is a folder", "name a file in it"),
        (&below_a_file, "is not a folder", "name another file"),
        (&text, "is not a SQLite database", "move it away"),
        (&long_text, "is not a SQLite database", "move it away"),
    ] {
        let before = fs::read(path).ok();
        let named = format!("the SQLite database {}: ", path.display());
        each_refused(&BOTH, &url_of(path), &[&named, reason, remedy]);
        assert_eq!(fs::read(path).ok(), before, "{} is left as it is", path.display());
    }
    assert!(!in_no_folder.exists());
}

#[test]
fn a_relative_path_is_named_as_the_absolute_one_that_it_is() {
    let folder = TempDir::new().unwrap();
    let named = folder.path().canonicalize().unwrap().join("no/parlor.db");
    let mut command = ServerProcess::command("sqlite://no/parlor.db");
    refused(command.current_dir(folder.path()), &[named.to_str().unwrap(), "does not exist"]);
}

#[test]
fn a_damaged_file_is_named() {
    for damage in ["overwritten", "cut"] {
        let (_folder, path) = served();
        let mut content = fs::read(&path).unwrap();
        if damage == "cut" {
            content.truncate(4096);
        } else {
            content[100..].fill(0xff);
        }
        fs::write(&path, content).unwrap();
        each_refused(&BOTH, &url_of(&path), &[path.to_str().unwrap(), "it is damaged", "restore a backup"]);
    }
}

#[test]
fn a_disk_that_refuses_the_file_is_named() {
    for (errno, reason, remedy) in [
        (EROFS, "its disk is read-only", "mount it for writing"),
        (ENOSPC, "its disk is full", "make room"),
        (EIO, "Input/output error", "check the path and the disk"),
    ] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("parlor.db");
        let Some(shim) = FaultShim::on(&path) else { return };
        shim.arm(&FileFault { name: "open", calls: OPEN, errno, torn: false, count: u64::MAX }, 1);
        let mut command = ServerProcess::command(&url_of(&path));
        shim.preload(&mut command);
        refused(&mut command, &[path.to_str().unwrap(), reason, remedy]);
    }
}

/// A command that has no right beyond those of a user who owns nothing; `None`: the tests are run by such a user, or that
/// user may not run the binary.
fn without_rights(url: &str) -> Option<Command> {
    if fs::metadata("/proc/self").ok()?.uid() != 0 {
        return None;
    }
    let limited = |command: &mut Command| {
        command.uid(NOBODY).gid(NOBODY);
    };
    let mut version = Command::new(env!("CARGO_BIN_EXE_parlor"));
    limited(version.env_clear().arg("--version").stdout(Stdio::null()));
    if !version.status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: the user {NOBODY} may not run the binary");
        return None;
    }
    let mut command = ServerProcess::command(url);
    limited(command.current_dir("/"));
    Some(command)
}

#[test]
fn a_permission_that_is_missing_is_named() {
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    // The modes of the folder and of the file in it, which another user owns; without one there is no file.
    for (folder_mode, file_mode, reason) in [
        (0o755, None, "no permission to create a file in"),
        (0o755, Some(0o644), "no permission to read and write the file"),
        (0o755, Some(0o666), "the files beside it in"),
        (0o700, Some(0o666), "no permission"),
    ] {
        let (folder, path) = served();
        let path = match file_mode {
            Some(mode) => {
                set(&path, mode);
                path
            }
            None => folder.path().join("new.db"),
        };
        // The lock's file is the earlier server's.
        _ = fs::remove_file(folder.path().join("parlor.db-lock"));
        set(folder.path(), folder_mode);
        let Some(mut command) = without_rights(&url_of(&path)) else { return };
        refused(&mut command, &[path.to_str().unwrap(), reason, "permission"]);
    }
}

#[tokio::test]
async fn a_command_creates_no_database_by_a_mistyped_url() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("parlro.db");
    let commands = ["tenant list", "tenant create acme", "key list", "key create"];
    let remedy = "only `parlor serve` creates a database";
    each_refused(&commands, &url_of(&path), &[path.to_str().unwrap(), "there is no such file", remedy]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a file was created");

    // Nor tables in a database of another program.
    let database = TestDatabase::create().await;
    if let Some(file) = database.url().strip_prefix("sqlite://") {
        fs::File::create(file).unwrap();
    }
    let connection = database.connect().await;
    connection.execute_unprepared("CREATE TABLE letters (id INTEGER)").await.unwrap();
    connection.close().await.unwrap();
    for command in commands {
        refused(
            ServerProcess::command(database.url()).args(command.split(' ')),
            &["it holds no data of Parlor", "check --database-url", "parlor serve"],
        );
    }
    if let Some(file) = database.url().strip_prefix("sqlite://") {
        assert_eq!(fs::read(file).unwrap()[18..20], [1, 1], "the file was switched to WAL mode");
    }
    let tables = if database.is_postgres() {
        "SELECT COUNT(*) AS n FROM information_schema.tables WHERE table_schema = 'public'"
    } else {
        "SELECT COUNT(*) AS n FROM sqlite_master WHERE type = 'table'"
    };
    assert_eq!(database.count(tables).await, 1);
}

/// The reply of a server that is none, or that refuses the client; `None`: it says nothing.
type Reply = Option<Vec<u8>>;

/// A server on a port of its own that gives `reply` to every client, after it has refused TLS.
fn impostor(reply: Reply) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(reply) = &reply else {
                silent.push(stream);
                continue;
            };
            let mut request = [0; 1024];
            // The request for TLS has 8 bytes.
            if reply.starts_with(b"E") && stream.read(&mut request).unwrap_or_default() == 8 {
                _ = stream.write_all(b"N");
                _ = stream.read(&mut request);
            }
            _ = stream.write_all(reply);
        }
    });
    address
}

/// An `ErrorResponse` of PostgreSQL's protocol (its manual, section 55.7).
fn error_response(code: &str, message: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    for (kind, text) in [("S", "FATAL"), ("V", "FATAL"), ("C", code), ("M", message)] {
        fields.extend_from_slice(kind.as_bytes());
        fields.extend_from_slice(text.as_bytes());
        fields.push(0);
    }
    fields.push(0);
    let mut response = vec![b'E'];
    response.extend_from_slice(&u32::try_from(fields.len() + 4).unwrap().to_be_bytes());
    response.extend_from_slice(&fields);
    response
}

#[test]
fn a_postgresql_server_that_cannot_be_reached_is_named_with_the_reason_and_the_remedy() {
    let url = |address: &str| format!("postgres://parlor:{PASSWORD}@{address}/chats");
    let hello = Some(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".to_vec());
    let (silent, web) = (impostor(None).to_string(), impostor(hello).to_string());
    for (commands, address, reason) in [
        (&BOTH[..], "127.0.0.1:1", "no server listens there; start PostgreSQL"),
        (&BOTH, "parlor.invalid:5432", "the host name \"parlor.invalid\" is unknown; correct the host"),
        (&COMMAND, &silent, "the server does not answer; check that it runs"),
        (&COMMAND, &web, "does not answer as PostgreSQL does"),
    ] {
        let named = format!("the PostgreSQL database \"chats\" at {address}: ");
        each_refused(commands, &url(address), &[&named, reason]);
    }
    let socket = format!("postgres://parlor:{PASSWORD}@%2Fno%2Ffolder/chats");
    each_refused(&COMMAND, &socket, &["at /no/folder/.s.PGSQL.5432: there is no such socket"]);
}

#[test]
fn a_client_that_postgresql_refuses_is_told_the_reason_and_the_remedy() {
    for (code, message, reason) in [
        (
            "28000",
            "no pg_hba.conf entry for host \"::1\", no encryption",
            "the server demands TLS of this client; remove",
        ),
        ("28000", "role \"parlor\" is not permitted to log in", "refuses the user \"parlor\" (role"),
        ("28P01", "password authentication failed", "refuses the password of the user \"parlor\"; correct"),
        ("3D000", "database \"chats\" does not exist", "there is no such database; create it, as by `createdb"),
        ("53300", "sorry, too many clients already", "no connection free"),
        ("57P03", "the database system is starting up", "the server is not ready"),
    ] {
        let address = impostor(Some(error_response(code, message)));
        let url = format!("postgres://parlor:{PASSWORD}@{address}/chats");
        each_refused(&COMMAND, &url, &[&format!("\"chats\" at {address}: "), reason]);
    }
}

/// `url` with another database, user or password, and another query.
fn varied(url: &str, database: Option<&str>, credentials: Option<&str>, query: &str) -> String {
    let (server, own) = url.rsplit_once('/').unwrap();
    let (own_credentials, address) = server.strip_prefix("postgres://").unwrap().rsplit_once('@').unwrap();
    let credentials = credentials.unwrap_or(own_credentials);
    format!("postgres://{credentials}@{address}/{}{query}", database.unwrap_or(own))
}

#[tokio::test]
async fn a_postgresql_database_that_cannot_be_used_is_named_with_the_reason_and_the_remedy() {
    let database = TestDatabase::create().await;
    if !database.is_postgres() {
        return;
    }
    let url = database.url();
    let name = url.rsplit_once('/').unwrap().1;
    each_refused(&BOTH, &varied(url, None, Some("postgres:hunter2"), ""), &["refuses the password of the user"]);
    let missing = varied(url, Some("parlor_test_none"), None, "");
    each_refused(&BOTH, &missing, &["\"parlor_test_none\" at ", "there is no such database", "createdb"]);
    let encrypted = varied(url, None, None, "?sslmode=require");
    each_refused(&BOTH, &encrypted, &["an encrypted connection cannot be made", "`sslmode`"]);

    let connection = database.connect().await;
    let role = format!("{name}_guest");
    connection.execute_unprepared(&format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")).await.unwrap();
    let guest = varied(url, None, Some(&format!("{role}:{PASSWORD}")), "");
    each_refused(&["serve"], &guest, &[&format!("the user {role:?} lacks a right"), "OWNER TO"]);
    connection.execute_unprepared(&format!("DROP ROLE {role}")).await.unwrap();

    for (encoding, locale) in [("LATIN1", "C"), ("SQL_ASCII", "C")] {
        let other = format!("{name}_{}", encoding.to_lowercase());
        let create = format!(
            "CREATE DATABASE {other} ENCODING '{encoding}' LC_COLLATE '{locale}' LC_CTYPE '{locale}' TEMPLATE template0"
        );
        connection.execute_unprepared(&create).await.unwrap();
        let url = varied(url, Some(&other), None, "");
        let parts = [other.as_str(), &format!("its encoding is {encoding}"), "createdb --encoding=UTF8"];
        each_refused(&BOTH, &url, &parts);
        connection.execute_unprepared(&format!("DROP DATABASE {other} WITH (FORCE)")).await.unwrap();
    }
    connection.close().await.unwrap();
}

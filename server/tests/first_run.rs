//! The first start and the ones after it: the port, the first key, the bootstrap key and secrets from files.

use std::{
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output, Stdio},
    time::Duration,
};

use parlor_server::{
    app::{App, BoundPort},
    config::Config,
    tenant::Bootstrap,
};
use sea_orm::ConnectionTrait as _;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use crate::support::{Client, KEY, ServerProcess, TestDatabase};

/// Longer than anything takes; a test that waits so long has failed.
const DEADLINE: Duration = Duration::from_secs(30);
/// Keys of an operator's choice.
const KEYS: [&str; 3] = ["operators-key-number-1", "operators-key-number-2", "operators-key-number-3"];

/// Runs a command that ends by itself.
fn ended(command: &mut Command) -> Output {
    command.stderr(Stdio::piped()).output().unwrap()
}

/// Runs a command that fails; returns its standard error.
fn failure(command: &mut Command) -> String {
    let output = ended(command);
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn serve(database: &TestDatabase) -> Command {
    ServerProcess::command(database.url())
}

/// The key that a greeting shows.
fn first_key(greeting: &str) -> Option<&str> {
    greeting.lines().map(str::trim).find(|line| line.starts_with("plr_"))
}

/// The status of a request with `key`.
async fn status(address: SocketAddr, key: &str) -> u16 {
    let client = Client::new(address).key(key);
    client.attempt(reqwest::Method::GET, "/api/v1/chats/", None).await.unwrap().0.as_u16()
}

/// Starts a server by `command`, lets it end once it is ready, and returns what it has printed.
async fn greeting(command: &mut Command) -> String {
    let process = ServerProcess::spawn(command);
    Client::new(process.address).get("/readyz", 200).await;
    process.finish()
}

#[tokio::test]
async fn a_start_on_a_port_that_is_taken_stores_nothing_so_that_the_next_one_shows_the_first_key() {
    let database = TestDatabase::create().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refusal = failure(serve(&database).args(["--listen", &address]));
    let reason = format!("cannot listen on {address}: another program listens there; --listen takes another address");
    assert!(refusal.contains(&reason), "{refusal}");
    if let Some(file) = database.url().strip_prefix("sqlite://") {
        assert!(!fs::exists(file).unwrap(), "the start has created {file}");
    }
    let greeting = greeting(&mut serve(&database)).await;
    assert!(first_key(&greeting).is_some(), "{greeting}");
}

#[tokio::test]
async fn of_two_processes_that_take_a_port_at_once_the_one_that_cannot_listen_stores_no_key() {
    let database = TestDatabase::create().await;
    let config = || Config::new(database.url().parse().unwrap());
    let first = BoundPort::bind(([127, 0, 0, 1], 0).into()).unwrap();
    // Linux refuses the second one only when it listens.
    if let Ok(second) = BoundPort::bind(first.address()) {
        let _listener = first.listen().unwrap();
        let error = Box::pin(App::open(config(), second)).await.unwrap_err().to_string();
        assert!(error.contains("another program listens there"), "{error}");
    }
    let port = BoundPort::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let app = Box::pin(App::open(config(), port)).await.unwrap();
    assert!(matches!(app.bootstrap(), Bootstrap::Issued(_)), "{:?}", app.bootstrap());
}

#[tokio::test]
async fn a_port_is_taken_before_the_database_is_opened_and_refuses_connections_until_it_is() {
    let database = TestDatabase::create().await;
    if database.is_postgres() {
        return;
    }
    let first = ServerProcess::start(database.url());
    let probe = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = probe.local_addr().unwrap();
    drop(probe);
    // It waits up to 5 seconds for the first one to give the file up.
    let second = std::thread::spawn({
        let mut command = serve(&database);
        command.args(["--listen", &address.to_string()]);
        move || ServerProcess::spawn(&mut command)
    });
    let is_taken = async || loop {
        let socket = TcpSocket::new_v4().unwrap();
        match socket.bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => return,
            _ => drop(socket),
        }
        sleep(Duration::from_millis(5)).await;
    };
    timeout(DEADLINE, is_taken()).await.expect("the port is taken while the database is opened");
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    first.finish();
    let second = second.join().unwrap();
    Client::new(address).get("/readyz", 200).await;
    second.finish();
}

#[tokio::test]
async fn a_start_on_a_database_with_keys_says_in_one_line_how_to_make_another() {
    let database = TestDatabase::create().await;
    greeting(&mut serve(&database)).await;
    let says = |greeting: &str, words: &str| {
        let lines: Vec<&str> = greeting.lines().filter(|line| line.contains("API key")).collect();
        let [line] = lines[..] else { panic!("one line is about keys: {greeting}") };
        assert!(line.contains(words), "{line}");
        line.split('`').nth(1).expect("the line has a command").to_owned()
    };
    let command = says(&greeting(&mut serve(&database)).await, "has API keys already");

    // The command that the line shows makes a key that works.
    let arguments: Vec<&str> = command.strip_prefix("parlor ").unwrap().split(' ').collect();
    let output = ended(serve(&database).args(arguments));
    let key = String::from_utf8(output.stdout).unwrap();
    let process = ServerProcess::spawn(&mut serve(&database));
    assert_eq!(status(process.address, key.trim()).await, 200);
    process.finish();

    let connection = database.connect().await;
    connection.execute_unprepared("UPDATE api_keys SET revoked_at = 1").await.unwrap();
    connection.close().await.unwrap();
    assert_eq!(says(&greeting(&mut serve(&database)).await, "no API key that is valid"), command);
}

#[tokio::test]
async fn each_way_to_write_an_address_is_listened_on_and_a_bad_one_is_named() {
    let database = TestDatabase::create().await;
    let mut addresses = vec!["0", "localhost:0", "127.0.0.1:0", "0.0.0.0:0", ":0"];
    if TcpListener::bind("[::1]:0").is_ok() {
        addresses.extend(["[::1]:0", "[::]:0"]);
    }
    for address in addresses {
        let process = ServerProcess::spawn(serve(&database).args(["--listen", address]));
        let mut reachable = process.address;
        if reachable.ip().is_unspecified() {
            reachable.set_ip(if reachable.is_ipv4() { [127, 0, 0, 1].into() } else { "::1".parse().unwrap() });
        }
        Client::new(reachable).get("/healthz", 200).await;
        process.finish();
    }
    for (address, reason) in [
        ("65536", "a port is a number from 0 to 65535"),
        ("http://localhost:8000", "an address has no scheme"),
        ("256.0.0.1", "neither an IP address nor a host name"),
        ("::1:80:", "an IPv6 address with a port has brackets"),
        ("parlor.invalid:80", "the host name \"parlor.invalid\" is unknown"),
        ("192.0.2.1:80", "this machine does not have the address"),
    ] {
        let refusal = failure(serve(&database).args(["--listen", address]));
        assert!(refusal.contains(reason) && refusal.contains("--listen"), "{address}: {refusal}");
    }
}

#[tokio::test]
async fn secrets_are_read_from_files() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let (url, key) = (folder.path().join("url"), folder.path().join("key"));
    fs::write(&url, format!("{}\n", database.url())).unwrap();
    fs::write(&key, format!("{KEY}\n")).unwrap();
    let from_files = || {
        let mut command = serve(&database);
        command.env_remove("DATABASE_URL").env("DATABASE_URL_FILE", &url).env("PARLOR_BOOTSTRAP_API_KEY_FILE", &key);
        command
    };
    let process = ServerProcess::spawn(&mut from_files());
    assert_eq!(status(process.address, KEY).await, 200);
    let greeting = process.finish();
    assert!(greeting.contains(&format!("X-API-Key: $(cat {})", key.display())), "{greeting}");
    let list = ended(from_files().args(["key", "list"]));
    assert_eq!(String::from_utf8(list.stdout).unwrap().lines().count(), 2);
    // An empty variable is one that is not set.
    ServerProcess::spawn(from_files().env("DATABASE_URL", "").env("PARLOR_BOOTSTRAP_API_KEY", "")).finish();
}

#[tokio::test]
async fn a_secret_that_is_given_twice_or_whose_file_gives_none_is_named_and_not_shown() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none");
    let (empty, secret) = (folder.path().join("empty"), folder.path().join("secret"));
    fs::write(&empty, "\n").unwrap();
    fs::write(&secret, "hunter2-hunter2-hunter2").unwrap();
    for (name, value) in [
        ("DATABASE_URL", "postgres://parlor:hunter2@127.0.0.1:1/x"),
        ("PARLOR_BOOTSTRAP_API_KEY", "hunter2-hunter2-hunter2"),
        ("PARLOR_OPENAI_API_KEY", "hunter2"),
    ] {
        let file = format!("{name}_FILE");
        let command = || {
            let mut command = serve(&database);
            command.env_remove(name).args(["--assistant", "openai", "--openai-model", "tiny"]);
            command
        };
        let both = failure(command().env(name, value).env(&file, &secret));
        assert!(both.contains(&format!("both {name} (--")) && both.contains(&file), "{both}");
        assert!(!both.contains("hunter2"), "{both}");
        for (path, reason) in [(none.as_path(), "No such file"), (&empty, "it is empty"), (folder.path(), "directory")]
        {
            let refusal = failure(command().env(&file, path));
            let start = format!("parlor: cannot read the file {} that {file} names: ", path.display());
            assert!(refusal.lines().any(|line| line.starts_with(&start) && line.contains(reason)), "{refusal}");
        }
    }
}

#[tokio::test]
async fn a_changed_bootstrap_key_replaces_the_earlier_ones_unless_they_are_kept() {
    let database = TestDatabase::create().await;
    let greeting = ServerProcess::spawn(&mut serve(&database)).finish();
    let first = first_key(&greeting).unwrap().to_owned();
    let start = |key: &str, keeps: bool| {
        let mut command = serve(&database);
        command.env("PARLOR_BOOTSTRAP_API_KEY", key);
        if keeps {
            command.arg("--keep-bootstrap-keys");
        }
        ServerProcess::spawn(&mut command)
    };
    // For each start: its key, whether earlier ones are kept, and which of the three keys are valid afterwards.
    for (own, keeps, valid) in [
        (0, false, [true, false, false]),
        (1, false, [false, true, false]),
        (2, true, [false, true, true]),
        // A node that is still configured with a key that was replaced revokes none.
        (0, false, [false, true, true]),
        // The overlap ends.
        (2, false, [false, false, true]),
    ] {
        let process = start(KEYS[own], keeps);
        let address = process.address;
        for (key, valid) in KEYS.iter().zip(valid) {
            assert_eq!(status(address, key).await, if valid { 200 } else { 401 }, "{key} after {}", KEYS[own]);
        }
        assert_eq!(status(address, &first).await, 200, "the first key is no bootstrap key");
        let greeting = process.finish();
        assert!(!KEYS.iter().any(|key| greeting.contains(key)), "{greeting}");
        assert_eq!(greeting.contains("was revoked or has expired"), !valid[own], "{greeting}");
    }
    let list = String::from_utf8(ended(serve(&database).args(["key", "list"])).stdout).unwrap();
    let mut names: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 1 + 1 + KEYS.len(), "the head, the first key and each bootstrap key: {list}");

    // Keys of earlier versions, which gave one name to all of them.
    let connection = database.connect().await;
    connection.execute_unprepared("UPDATE api_keys SET name = 'bootstrap', revoked_at = NULL").await.unwrap();
    connection.close().await.unwrap();
    let process = start(KEY, false);
    for key in KEYS {
        assert_eq!(status(process.address, key).await, 401, "{key}");
    }
    assert_eq!(status(process.address, &first).await, 200);
    assert!(process.finish().contains("revoked now: 3 (--keep-bootstrap-keys keeps them)"));
}

#[tokio::test]
async fn the_files_of_a_sqlite_database_are_their_owner_s_alone_whatever_the_umask() {
    let database = TestDatabase::create().await;
    let Some(file) = database.url().strip_prefix("sqlite://") else { return };
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "umask 000; exec \"$0\"", env!("CARGO_BIN_EXE_parlor")])
        .env_clear()
        .env("DATABASE_URL", database.url())
        .env("PARLOR_LISTEN", "127.0.0.1:0")
        .env("PARLOR_BOOTSTRAP_API_KEY", KEY)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let process = ServerProcess::spawn(&mut shell);
    Client::new(process.address).key(KEY).new_chat("u").await;
    for suffix in ["", "-wal", "-shm", "-lock"] {
        let mode = fs::metadata(format!("{file}{suffix}")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "parlor.db{suffix}: {mode:o}");
    }
    process.finish();
}

//! The writer beside others: other writers get their turn, users that are gone come back, SQLite's log stays short.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use chrono::{DateTime, Utc};
use parlor_server::{clock::Clock, config::Limits};
use reqwest::Method;
use sea_orm::ConnectionTrait as _;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Client, KEY, ServerProcess, TestDatabase, TestServer};

/// Requests in flight while others want to write.
const CLIENTS: usize = 32;

/// Creates chats without a pause until `done`; returns how many.
fn keep_writing(client: &Client, done: &Arc<AtomicBool>) -> JoinSet<usize> {
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let (client, done) = (client.clone(), done.clone());
        clients.spawn(async move {
            let body = json!({ "user_id": format!("user{n}") }).to_string().into_bytes();
            let mut created = 0;
            while !done.load(Ordering::Relaxed) {
                client.create_chat_from(body.clone(), 201).await;
                created += 1;
            }
            created
        });
    }
    clients
}

/// SQLite's file; its log is beside it.
fn file(database: &TestDatabase) -> Option<&str> {
    database.url().strip_prefix("sqlite://")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_else_writes_gets_a_turn_beside_a_writer_that_is_always_at_work() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let chat = client.create_chat_from(json!({ "user_id": "u" }).to_string().into_bytes(), 201).await.json();
    let id = chat["id"].as_str().unwrap();
    let done = Arc::<AtomicBool>::default();
    let writing = keep_writing(&client, &done);
    for n in 0..50 {
        let title = format!("Title {n}");
        assert_eq!(client.update_chat(id, &json!({ "title": title }), 200).await.json()["title"], title);
        client.create_ticket(id, &json!({ "user_id": format!("visitor{n}") }), 201).await;
    }
    done.store(true, Ordering::Relaxed);
    let created = writing.join_all().await.into_iter().sum::<usize>();
    let stored = database.count("SELECT COUNT(*) AS n FROM chats").await;
    assert_eq!(stored, i64::try_from(created).unwrap() + 1, "every acknowledged chat, and the one above");
    server.stop().await;
}

#[tokio::test]
async fn a_user_deleted_by_hand_is_stored_again() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let body = || json!({ "user_id": "returning" }).to_string().into_bytes();
    let chat = client.create_chat_from(body(), 201).await.json();
    client.delete_chat(chat["id"].as_str().unwrap(), &[], 200).await;
    let connection = database.connect().await;
    connection.execute_unprepared("DELETE FROM users WHERE id = 'returning'").await.unwrap();
    connection.close().await.unwrap();
    // The writer knows the user, who is not there: what it knows must not stand in the way.
    client.create_chat_from(body(), 201).await;
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM users WHERE id = 'returning'").await, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_short_while_somebody_always_writes() {
    const MESSAGES: usize = 8_000;
    const CONTENT: usize = 16_000;
    let database = TestDatabase::create().await;
    let Some(file) = file(&database) else { return };
    let server = TestServer::start(&database).await;
    let client = server.client();
    let chat = client.create_chat_from(json!({ "user_id": "u" }).to_string().into_bytes(), 201).await.json();
    let path = format!("/api/v1/chats/{}/messages", chat["id"].as_str().unwrap());
    let body = json!({ "content": "x".repeat(CONTENT) }).to_string().into_bytes();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, path, body) = (client.clone(), path.clone(), body.clone());
        clients.spawn(async move {
            for _ in 0..MESSAGES / CLIENTS {
                client.send(Method::POST, &path, Some(body.clone()), 201).await;
            }
        });
    }
    clients.join_all().await;
    // The file keeps the length that the log had at most, which has a bound: copied at 10,000 pages of 4 KiB, and
    // another 10,000 meanwhile.
    let longest = fs::metadata(format!("{file}-wal")).unwrap().len();
    assert!(longest < 4_200 * 20_100, "{longest} bytes");
    assert!(longest < (MESSAGES * CONTENT) as u64 * 3 / 4, "the log has never begun anew: {longest} bytes");
    server.stop().await;
}

/// A clock that panics where the writer asks it for the time, in the middle of a transaction.
#[derive(Debug, Default)]
struct Panicking {
    /// How many more times the writer may ask before it panics; negative: as often as it likes.
    left: AtomicI64,
}

impl Clock for Panicking {
    fn now(&self) -> DateTime<Utc> {
        let is_writer = std::thread::current().name() == Some("parlor-writer");
        assert!(
            !is_writer || self.left.fetch_sub(1, Ordering::Relaxed) != 0,
            "the clock panics, as the test has asked for"
        );
        Utc::now()
    }
}

#[tokio::test]
async fn a_panic_in_the_writer_fails_one_batch_and_nothing_after_it() {
    let database = TestDatabase::create().await;
    if database.is_postgres() {
        // There the writer has no thread by whose name the clock would know it. The code that catches is the same.
        return;
    }
    let clock = Arc::new(Panicking { left: AtomicI64::new(-1) });
    let server = TestServer::start_with(database.url(), Limits::default(), clock.clone()).await;
    let client = server.client();
    let chat = client.new_chat("u").await;
    let mut panics = 0;
    for left in 0..3 {
        for kind in ["create", "send"] {
            clock.left.store(left, Ordering::Relaxed);
            let (path, body) = match kind {
                "create" => ("/api/v1/chats/".to_owned(), json!({ "user_id": "u" })),
                _ => (format!("/api/v1/chats/{chat}/messages"), json!({ "content": "x" })),
            };
            let (status, _) = client.attempt(Method::POST, &path, Some(body.to_string().into_bytes())).await.unwrap();
            // A single request is tried once more by itself.
            assert!(status == 201 || status == 500, "{kind} {left}: {status}");
            panics += usize::from(clock.left.load(Ordering::Relaxed) < 0);
            clock.left.store(-1, Ordering::Relaxed);
            client.send_message(&chat, &json!({ "content": "after it" }), 201).await;
            client.update_chat(&chat, &json!({ "title": format!("{kind} {left}") }), 200).await;
            client.new_chat("u").await;
            client.get("/readyz", 200).await;
        }
    }
    assert!(panics > 0, "the clock has never panicked");
    let count = client.get_chat(&chat, 200).await.json()["message_count"].as_i64().unwrap();
    let stored = database.count("SELECT COUNT(*) AS n FROM messages").await;
    assert_eq!(count, stored, "a batch that panicked has left nothing behind");
    server.stop().await;
}

/// The last process to leave a file removes its log. The server's lock tells others that they are not the last; it would be
/// gone had the server closed any descriptor of the file.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_server_keeps_its_lock_on_the_file() {
    let database = TestDatabase::create().await;
    let Some(file) = file(&database) else { return };
    let process = ServerProcess::start(database.url());
    Client::new(process.address).key(KEY).create_chat(&json!({ "user_id": "u" }), 201).await;
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(file).unwrap());
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let held = locks.lines().any(|lock| lock.contains("POSIX") && lock.contains(&format!(":{inode} ")));
    assert!(held, "{locks}");
    process.finish();
}

//! A database that is away, locked or slow: 503 and recovery, never a hang.

use std::{sync::Arc, time::Duration};

use parlor_server::{
    clock::SystemClock,
    config::{Limits, WriterLimits},
};
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Client, Link, TestDatabase, TestServer, WriteLock};

fn impatient() -> Limits {
    let limits = Limits::default();
    Limits { writer: WriterLimits { patience: Duration::from_millis(200), ..limits.writer }, ..limits }
}

fn request() -> Vec<u8> {
    json!({ "user_id": "u" }).to_string().into_bytes()
}

async fn until_it_works(client: &Client) {
    loop {
        let (status, answer) = client.attempt(Method::POST, "/api/v1/chats/", Some(request())).await.unwrap();
        if status == 201 {
            return;
        }
        assert_eq!(answer.problem(), "unavailable");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_locked_database_is_503_and_then_recovers() {
    let database = TestDatabase::create().await;
    let server = TestServer::start_with(database.url(), impatient(), Arc::new(SystemClock)).await;
    let client = server.client();
    client.create_chat_from(request(), 201).await;
    let lock = WriteLock::take(&database).await;
    let answer = client.create_chat_from(request(), 503).await;
    assert_eq!(answer.problem(), "unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    client.get("/healthz", 200).await;
    lock.release().await;
    until_it_works(&client).await;
    server.stop().await;
}

#[tokio::test]
async fn a_full_queue_is_503_at_once_and_loses_nothing_it_took() {
    let database = TestDatabase::create().await;
    let limits = Limits::default();
    let writer = WriterLimits { queue: 4, batch: 1, ..limits.writer };
    let server = TestServer::start_with(database.url(), Limits { writer, ..limits }, Arc::new(SystemClock)).await;
    let client = server.client();
    let lock = WriteLock::take(&database).await;
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        let client = client.clone();
        requests.spawn(async move { client.attempt(Method::POST, "/api/v1/chats/", Some(request())).await.unwrap() });
    }
    // At most one is in the transaction that waits and four are queued; the others are answered while the lock is held.
    for _ in 0..15 {
        let (status, answer) = requests.join_next().await.unwrap().unwrap();
        assert_eq!((status.as_u16(), answer.problem().as_str()), (503, "unavailable"));
    }
    lock.release().await;
    let statuses: Vec<u16> = requests.join_all().await.iter().map(|(status, _)| status.as_u16()).collect();
    let created = statuses.iter().filter(|status| **status == 201).count();
    // The queue may have filled before the writer took the first.
    assert!(created == 5 || created == 4 && statuses.contains(&503), "{statuses:?}");
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM chats").await, i64::try_from(created).unwrap());
    server.stop().await;
}

#[tokio::test]
async fn a_cut_link_to_the_database_is_503_and_then_recovers() {
    let database = TestDatabase::create().await;
    if !database.is_postgres() {
        // SQLite is a file: there is no link to cut. What it has instead is the lock, above.
        return;
    }
    let (link, url) = Link::before(&database).await;
    let server = TestServer::start_with(&url, Limits::default(), Arc::new(SystemClock)).await;
    let client = server.client();
    client.create_chat_from(request(), 201).await;
    for _ in 0..2 {
        link.cut();
        let answer = client.create_chat_from(request(), 503).await;
        assert_eq!((answer.problem().as_str(), answer.header("retry-after")), ("unavailable", Some("1")));
        assert_eq!(client.get("/readyz", 503).await.problem(), "unavailable");
        client.get("/healthz", 200).await;
        link.mend();
        until_it_works(&client).await;
        client.get("/readyz", 200).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn not_knowing_a_key_is_not_a_refusal() {
    let database = TestDatabase::create().await;
    if !database.is_postgres() {
        return;
    }
    let (link, url) = Link::before(&database).await;
    let limits = Limits { key_cache: Duration::from_millis(1), ..Limits::default() };
    let server = TestServer::start_with(&url, limits, Arc::new(SystemClock)).await;
    link.cut();
    let answer = server.client().create_chat_from(request(), 503).await;
    assert_eq!(answer.problem(), "unavailable");
    link.mend();
    until_it_works(&server.client()).await;
    server.stop().await;
}

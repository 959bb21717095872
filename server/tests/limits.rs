//! Time limits towards PostgreSQL, and what a lock or a frozen connection must not stop.

use std::time::Duration;

use reqwest::Method;
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::support::{Client, Link, TestDatabase, TestServer, requests};

/// Longer than any answer may take by the contract, on a slow machine too; what takes longer hangs.
const HANG: Duration = Duration::from_secs(20);

async fn until(client: &Client, path: &str, expected: u16) {
    let asked = async {
        loop {
            let (status, _) = client.attempt(Method::GET, path, None).await.unwrap();
            if status == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(HANG, asked).await.unwrap_or_else(|_| panic!("{path} was never {expected}"));
}

#[tokio::test]
async fn a_database_that_is_silent_is_503_and_all_connections_recover() {
    let database = TestDatabase::create().await;
    if !database.is_postgres() {
        return;
    }
    let (link, url) = Link::before(&database).await;
    let server = TestServer::start_as(&url, |_| {}).await;
    let client = server.client();
    let chat = client.new_chat("u").await;
    // All connections are open, and then silent, with more requests than there are connections.
    let mut reads = JoinSet::new();
    for round in 0..2 {
        for _ in 0..40 {
            let (client, path) = (client.clone(), requests::messages(&chat));
            reads.spawn(async move { client.attempt(Method::GET, &path, None).await.unwrap() });
        }
        if round == 0 {
            while let Some(read) = reads.join_next().await {
                read.unwrap();
            }
            link.freeze();
        }
    }
    let answers = timeout(HANG, reads.join_all()).await.expect("every read is answered");
    for (status, answer) in answers {
        assert_eq!((status.as_u16(), answer.problem().as_str()), (503, "unavailable"));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(client.get("/readyz", 503).await.problem(), "unavailable");
    let body = json!({ "user_id": "u" }).to_string().into_bytes();
    let write = timeout(HANG, client.create_chat_from(body, 503)).await.expect("a write is answered");
    assert_eq!(write.problem(), "unavailable");
    client.get("/healthz", 200).await;

    link.mend();
    until(&client, "/readyz", 200).await;
    client.new_chat("u").await;
    for _ in 0..40 {
        client.list_messages(&chat, &[], 200).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_locked_chat_holds_up_its_own_messages_and_no_others() {
    let database = TestDatabase::create().await;
    if !database.is_postgres() {
        return;
    }
    let server = TestServer::start(&database).await;
    let client = server.client();
    let (locked, free) = (client.new_chat("u").await, client.new_chat("v").await);
    let connection = database.connect().await;
    for give_up in [true, false] {
        let lock = connection.begin().await.unwrap();
        let taken = lock.execute_unprepared(&format!("SELECT 1 FROM chats WHERE id = '{locked}' FOR UPDATE")).await;
        assert_eq!(taken.unwrap().rows_affected(), 1);
        let mut waiting = JoinSet::new();
        for n in 0..8 {
            let (client, path) = (client.clone(), requests::messages(&locked));
            let body = json!({ "content": n.to_string(), "client_message_id": format!("{give_up} {n}") });
            waiting.spawn(async move {
                client.attempt(Method::POST, &path, Some(body.to_string().into_bytes())).await.unwrap()
            });
        }
        client.until_metric("parlor_writer_lock_waits 8").await;
        // While they wait, everything else is written.
        for _ in 0..20 {
            client.send_message(&free, &json!({ "content": "x" }), 201).await;
            client.new_chat("w").await;
        }
        client.get("/readyz", 200).await;
        if give_up {
            let answers = timeout(HANG, waiting.join_all()).await.expect("each is answered");
            for (status, answer) in answers {
                assert_eq!((status.as_u16(), answer.problem().as_str()), (503, "unavailable"));
            }
            lock.rollback().await.unwrap();
            client.until_metric("parlor_writer_lock_waits 0").await;
        } else {
            lock.rollback().await.unwrap();
            let answers = timeout(HANG, waiting.join_all()).await.expect("each is answered");
            let mut seqs: Vec<i64> = answers.iter().map(|(_, answer)| answer.json()["seq"].as_i64().unwrap()).collect();
            seqs.sort_unstable();
            let stored = client.get_chat(&locked, 200).await.json()["message_count"].as_i64().unwrap();
            assert_eq!(seqs, (stored - 7..=stored).collect::<Vec<_>>());
        }
    }
    connection.close().await.unwrap();
    server.stop().await;
}

/// What another transaction has inserted and not committed is found by no query; the insert of the same waits.
#[tokio::test]
async fn a_user_or_key_that_another_session_is_just_inserting_holds_up_nothing_else() {
    let database = TestDatabase::create().await;
    if !database.is_postgres() {
        return;
    }
    let server = TestServer::start(&database).await;
    let client = server.client();
    let tenant = client.create_chat(&json!({ "user_id": "u" }), 201).await.json()["tenant_id"].clone();
    let tenant = tenant.as_str().unwrap();
    let connection = database.connect().await;
    let lock = connection.begin().await.unwrap();
    for insert in [
        format!("INSERT INTO users (tenant_id, id, created_at) VALUES ('{tenant}', 'coming', 0)"),
        format!(
            "INSERT INTO idempotency_records (tenant_id, key, fingerprint, chat_id, answer, expires_at) \
             VALUES ('{tenant}', 'k', '', '{tenant}', '', 0)"
        ),
    ] {
        lock.execute_unprepared(&insert).await.unwrap();
    }
    let mut waiting = JoinSet::new();
    for n in 0..6 {
        let keyed = client.clone().header("Idempotency-Key", "k");
        let (client, body) = if n % 2 == 0 { (client.clone(), "coming") } else { (keyed, "u") };
        let body = json!({ "user_id": body }).to_string().into_bytes();
        waiting.spawn(async move { client.attempt(Method::POST, "/api/v1/chats/", Some(body)).await.unwrap() });
    }
    client.until_metric("parlor_writer_lock_waits 6").await;
    for n in 0..20 {
        client.new_chat(&format!("user{n}")).await;
    }
    lock.rollback().await.unwrap();
    let answers = timeout(HANG, waiting.join_all()).await.expect("each is answered");
    assert!(answers.iter().all(|(status, _)| *status == 201), "{answers:?}");
    // Three of one user, and one chat by the key.
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM chats WHERE user_id = 'coming'").await, 3);
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM idempotency_records").await, 1);
    connection.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_patch_and_a_deletion_of_a_locked_chat_are_503_and_leave_the_rest_alone() {
    let database = TestDatabase::create().await;
    if !database.is_postgres() {
        return;
    }
    let server = TestServer::start(&database).await;
    let client = server.client();
    let locked = client.new_chat("u").await;
    let connection = database.connect().await;
    let lock = connection.begin().await.unwrap();
    lock.execute_unprepared(&format!("SELECT 1 FROM chats WHERE id = '{locked}' FOR UPDATE")).await.unwrap();
    let started = Instant::now();
    let patch = json!({ "title": "another" });
    let (updated, deleted) =
        tokio::join!(client.update_chat(&locked, &patch, 503), client.delete_chat(&locked, &[], 503));
    assert_eq!((updated.problem().as_str(), deleted.problem().as_str()), ("unavailable", "unavailable"));
    assert!(started.elapsed() < HANG);
    client.new_chat("v").await;
    lock.rollback().await.unwrap();
    client.update_chat(&locked, &patch, 200).await;
    client.delete_chat(&locked, &[], 200).await;
    connection.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn nodes_that_start_at_once_with_one_bootstrap_key_all_start() {
    for _ in 0..4 {
        let database = TestDatabase::create().await;
        if !database.is_postgres() {
            return;
        }
        let mut starts = JoinSet::new();
        for _ in 0..6 {
            let url = database.url().to_owned();
            starts.spawn(async move { TestServer::start_as(&url, |config| config.demo = true).await });
        }
        let nodes = timeout(HANG * 3, starts.join_all()).await.expect("all start");
        for node in &nodes {
            node.client().new_chat("u").await;
        }
        assert_eq!(database.count("SELECT COUNT(*) AS n FROM api_keys WHERE name LIKE 'bootstrap-%'").await, 1);
        for node in nodes {
            node.stop().await;
        }
    }
}

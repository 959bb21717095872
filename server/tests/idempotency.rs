//! `Idempotency-Key`: however often a request is repeated, one chat exists in the end.

use std::{collections::HashSet, sync::Arc};

use chrono::Duration;
use parlor_server::config::Limits;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Answer, Client, ManualClock, TestDatabase, TestServer, WriteLock};

const CHATS: &str = "SELECT COUNT(*) AS n FROM chats";

fn request() -> Value {
    json!({ "user_id": "user123", "metadata": { "n": 1 } })
}

async fn create(client: Client, key: &str) -> Answer {
    client.header("Idempotency-Key", key).create_chat(&request(), 201).await
}

#[tokio::test]
async fn a_repetition_gets_the_first_answer_again() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let first = create(server.client(), "k1").await;
    assert_eq!(first.header("idempotency-replayed"), None);
    for _ in 0..3 {
        let again = create(server.client(), "k1").await;
        assert_eq!(again.body, first.body);
        assert_eq!(again.header("location"), first.header("location"));
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    }
    assert_eq!(database.count(CHATS).await, 1);
    server.stop().await;
}

#[tokio::test]
async fn another_body_under_the_same_key_is_refused() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    create(server.client(), "k1").await;
    let client = server.client().header("Idempotency-Key", "k1");
    let other = client.create_chat(&json!({ "user_id": "somebody else" }), 422).await;
    assert_eq!(other.problem(), "idempotency_key_reused");
    assert_eq!(database.count(CHATS).await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_refused_request_leaves_its_key_free() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    server.client().header("Idempotency-Key", "k1").create_chat(&json!({}), 400).await;
    create(server.client(), "k1").await;
    server.stop().await;
}

#[tokio::test]
async fn keys_belong_to_their_tenant() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let one = create(server.client_of("one").await, "k").await;
    let other = create(server.client_of("other").await, "k").await;
    assert_ne!(one.json()["id"], other.json()["id"]);
    server.stop().await;
}

#[tokio::test]
async fn twins_of_one_batch_and_of_different_nodes_create_one_chat() {
    let database = TestDatabase::create().await;
    let nodes = TestServer::start_nodes(&database).await;
    let lock = WriteLock::take(&database).await;
    let mut twins = JoinSet::new();
    for n in 0..30 {
        // Several keys in different orders, so that nodes could deadlock if they did not agree on one.
        for key in if n % 2 == 0 { ["a", "b", "c"] } else { ["c", "b", "a"] } {
            let client = nodes[n % nodes.len()].client();
            twins.spawn(async move { (key, create(client, key).await.json()["id"].to_string()) });
        }
    }
    lock.release().await;
    let ids: HashSet<(&str, String)> = twins.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert_eq!(database.count(CHATS).await, 3);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_twin_with_another_body_in_the_same_batch_is_refused() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let lock = WriteLock::take(&database).await;
    let mut twins = JoinSet::new();
    for n in 0..10 {
        let client = server.client().header("Idempotency-Key", "k");
        let body = json!({ "user_id": format!("user{n}") }).to_string().into_bytes();
        twins.spawn(async move {
            client.attempt(reqwest::Method::POST, "/api/v1/chats/", Some(body)).await.unwrap().0.as_u16()
        });
    }
    lock.release().await;
    let mut statuses = twins.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [[201].as_slice(), &[422; 9]].concat());
    assert_eq!(database.count(CHATS).await, 1);
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM users").await, 1);
    server.stop().await;
}

#[tokio::test]
async fn answers_are_kept_over_a_restart() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let first = create(server.client(), "k1").await;
    server.stop().await;
    let server = TestServer::start(&database).await;
    assert_eq!(create(server.client(), "k1").await.body, first.body);
    server.stop().await;
}

#[tokio::test]
async fn a_key_is_free_again_after_24_hours() {
    let database = TestDatabase::create().await;
    let clock = ManualClock::new();
    let server = TestServer::start_with(database.url(), Limits::default(), Arc::new(clock.clone())).await;
    let first = create(server.client(), "k1").await.json();
    clock.advance(Duration::hours(24) - Duration::microseconds(1));
    assert_eq!(create(server.client(), "k1").await.json()["id"], first["id"]);
    clock.advance(Duration::microseconds(1));
    let second = create(server.client(), "k1").await;
    assert_eq!(second.header("idempotency-replayed"), None);
    assert_ne!(second.json()["id"], first["id"]);
    assert_eq!(create(server.client(), "k1").await.json()["id"], second.json()["id"]);
    server.stop().await;
}

#[tokio::test]
async fn expired_answers_are_swept_away_at_the_start() {
    let records = "SELECT COUNT(*) AS n FROM idempotency_records";
    let database = TestDatabase::create().await;
    let clock = ManualClock::new();
    let start = || TestServer::start_with(database.url(), Limits::default(), Arc::new(clock.clone()));
    let server = start().await;
    create(server.client(), "old").await;
    clock.advance(Duration::hours(12));
    create(server.client(), "young").await;
    server.stop().await;
    clock.advance(Duration::hours(12));
    let server = start().await;
    while database.count(records).await != 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(create(server.client(), "young").await.header("idempotency-replayed"), Some("true"));
    server.stop().await;
}

#[tokio::test]
async fn a_malformed_key_is_named_as_a_header() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let refused = [("/header/Idempotency-Key".to_owned(), "must have 1 to 255 visible ASCII characters".to_owned())];
    for bad in ["", "two words", "tab\there", "é", &"k".repeat(256)] {
        let answer = server.client().header("Idempotency-Key", bad).create_chat(&request(), 400).await;
        assert_eq!(answer.errors(), refused, "{bad:?}");
    }
    let twice = server.client().header("Idempotency-Key", "a").header("Idempotency-Key", "b");
    let answer = twice.create_chat(&request(), 400).await;
    assert_eq!(answer.errors(), [("/header/Idempotency-Key".to_owned(), "must be given once".to_owned())]);
    // What is wrong with the body is named beside it.
    let both = server.client().header("Idempotency-Key", "a b").create_chat(&json!({ "x": 1 }), 400).await;
    let pointers: Vec<String> = both.errors().into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!(pointers, ["/header/Idempotency-Key", "/user_id", "/x"]);
    for good in ["k", "!", &"~".repeat(255)] {
        create(server.client(), good).await;
    }
    server.stop().await;
}

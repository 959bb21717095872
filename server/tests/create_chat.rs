//! `POST /api/v1/chats/`: what a chat is when it has been created.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Utc};
use parlor_server::config::Limits;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{ManualClock, TestDatabase, TestServer, WriteLock};

#[tokio::test]
async fn the_seed_s_request_gets_the_seed_s_answer() {
    let database = TestDatabase::create().await;
    let clock = ManualClock::new();
    let server = TestServer::start_with(database.url(), Limits::default(), Arc::new(clock)).await;
    let request = json!({
        "user_id": "user123",
        "title": "Support Session",
        "metadata": { "department": "technical", "priority": "high" },
    });
    let answer = server.client().create_chat(&request, 201).await;
    let chat = answer.json();
    let id: Uuid = chat["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
    assert!(chat["tenant_id"].as_str().unwrap().parse::<Uuid>().is_ok());
    let expected = json!({
        "id": id,
        "user_id": "user123",
        "tenant_id": chat["tenant_id"],
        "title": "Support Session",
        "config": { "metadata": { "department": "technical", "priority": "high" } },
        "created_at": "2024-01-15T10:30:00Z",
        "updated_at": "2024-01-15T10:30:00Z",
        "last_message_at": null,
    });
    assert_eq!(chat, expected);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("location"), Some(format!("/api/v1/chats/{id}").as_str()));
    assert_eq!(answer.header("idempotency-replayed"), None);
    server.stop().await;
}

#[tokio::test]
async fn the_path_works_without_its_slash_and_with_a_query() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    for path in ["/api/v1/chats", "/api/v1/chats/", "/api/v1/chats?from=test", "/api/v1/chats/?from=test"] {
        let body = json!({ "user_id": path }).to_string().into_bytes();
        let answer = server.client().send(Method::POST, path, Some(body), 201).await;
        assert_eq!(answer.json()["user_id"], path);
    }
    server.stop().await;
}

#[tokio::test]
async fn only_the_user_is_required_and_null_is_absent() {
    let database = TestDatabase::create().await;
    let clock = Arc::new(ManualClock::new());
    let server = TestServer::start_with(database.url(), Limits::default(), clock).await;
    for request in [
        json!({ "user_id": "u" }),
        json!({ "user_id": "u", "title": null, "metadata": null }),
        json!({ "user_id": "u", "metadata": {} }),
    ] {
        let chat = server.client().create_chat(&request, 201).await.json();
        assert_eq!(chat["title"], "Chat of 15 Jan 2024, 10:30");
        assert_eq!(chat["config"], json!({ "metadata": {} }));
    }
    server.stop().await;
}

#[tokio::test]
async fn text_comes_back_as_it_was_sent() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client().header("Content-Type", "application/json; charset=UTF-8");
    let longest = "😀".repeat(255);
    for user in ["Zoë", " a user with spaces ", "a/b?c=d", "'; DROP TABLE chats; --", "\"\\", "\u{202e}abc", &longest]
    {
        let request = json!({ "user_id": user, "title": format!("  {user}  ").chars().take(255).collect::<String>() });
        let chat = client.create_chat(&request, 201).await.json();
        assert_eq!(chat["user_id"], *user);
        assert_eq!(chat["title"], request["title"].as_str().unwrap().trim());
    }
    server.stop().await;
}

#[tokio::test]
async fn metadata_comes_back_byte_for_byte_without_white_space() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let metadata = r#"{"z":{"deep":[1,[2,{"three":null}]]},"a":"é😀\u0000 \" \\ /","huge":123456789012345678901234567890,
        "exact":1.10,"tiny":-0.0,"yes":true,"":""}"#;
    let request = format!(r#"{{"metadata": {metadata}, "user_id": "u"}}"#);
    let answer = server.client().create_chat_from(request, 201).await;
    let body = String::from_utf8(answer.body).unwrap();
    let expected = metadata.replace("\n        ", "");
    assert!(body.contains(&format!(r#""config":{{"metadata":{expected}}}"#)), "{body}");
    server.stop().await;
}

#[tokio::test]
async fn every_bound_is_taken_at_its_edge() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let bytes = 16 * 1024 - r#"{"m":""}"#.len();
    let nested = format!("{}{}", "[".repeat(31), "]".repeat(31));
    for request in [
        json!({ "user_id": "x" }),
        json!({ "user_id": "é".repeat(255) }),
        json!({ "user_id": "u", "title": "é".repeat(255) }),
        json!({ "user_id": "u", "metadata": { "m": "x".repeat(bytes) } }),
        json!({ "user_id": "u", "metadata": { "m": serde_json::from_str::<Value>(&nested).unwrap() } }),
    ] {
        server.client().create_chat(&request, 201).await;
    }
    let padded = format!("{}{}", json!({ "user_id": "u" }), " ".repeat(256 * 1024 - r#"{"user_id":"u"}"#.len()));
    server.client().create_chat_from(padded, 201).await;
    server.stop().await;
}

#[tokio::test]
async fn the_key_determines_the_tenant_and_each_tenant_has_its_own_users() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let (one, other) = (server.client_of("one").await, server.client_of("other").await);
    let request = json!({ "user_id": "shared" });
    let mut tenants = HashSet::new();
    for client in [&one, &one, &other] {
        let chat = client.create_chat(&request, 201).await.json();
        tenants.insert(chat["tenant_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(tenants.len(), 2);
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM users WHERE id = 'shared'").await, 2);
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM chats").await, 3);
    server.stop().await;
}

#[tokio::test]
async fn later_chats_have_greater_ids_and_whole_microseconds() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let mut before: Option<(Uuid, DateTime<Utc>)> = None;
    for _ in 0..20 {
        let chat = client.create_chat(&json!({ "user_id": "u" }), 201).await.json();
        let id = chat["id"].as_str().unwrap().parse().unwrap();
        let text = chat["created_at"].as_str().unwrap();
        assert!(text.ends_with('Z') && text.len() <= "2024-01-15T10:30:00.000000Z".len(), "{text}");
        let now = (id, text.parse().unwrap());
        assert!(before.is_none_or(|before| before.0 < now.0 && before.1 <= now.1));
        before = Some(now);
    }
    server.stop().await;
}

#[tokio::test]
async fn waiting_requests_are_committed_by_one_transaction_and_answered_after_it() {
    const REQUESTS: usize = 40;
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let lock = WriteLock::take(&database).await;
    let mut waiting = JoinSet::new();
    for n in 0..REQUESTS {
        let client = server.client();
        waiting.spawn(
            async move { client.create_chat(&json!({ "user_id": format!("user{}", n % 3) }), 201).await.json() },
        );
    }
    // The first ones are in a transaction that waits for the lock; all others are queued behind it.
    let accepted = format!("parlor_writer_requests_total {REQUESTS}\n");
    while !String::from_utf8(server.client().get("/metrics", 200).await.body).unwrap().contains(&accepted) {
        tokio::task::yield_now().await;
    }
    assert!(waiting.try_join_next().is_none(), "nothing is answered before its commit");
    lock.release().await;
    let ids: HashSet<String> =
        waiting.join_all().await.iter().map(|chat| chat["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), REQUESTS);
    let metrics = String::from_utf8(server.client().get("/metrics", 200).await.body).unwrap();
    let transactions = ["parlor_writer_batch_size_count 1\n", "parlor_writer_batch_size_count 2\n"];
    assert!(transactions.iter().any(|count| metrics.contains(count)), "{metrics}");
    assert!(metrics.contains(&format!("parlor_writer_batch_size_sum {REQUESTS}.0\n")), "{metrics}");
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM chats").await, i64::try_from(REQUESTS).unwrap());
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM users").await, 3);
    server.stop().await;
}

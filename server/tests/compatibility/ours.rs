//! "Extensions", in the order of its paragraphs.

use std::sync::Arc;

use chrono::Duration;
use parlor_server::config::Limits;
use reqwest::Method;
use serde_json::{Value, json};

use super::{NOBODY, Operation, USER, parts, pointers};
use crate::support::{Client, ManualClock, TestDatabase, TestServer, raw, requests};

#[tokio::test]
async fn a_cursor_goes_on_under_another_limit_in_every_list_and_belongs_to_no_other() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let mut chats = Vec::new();
    for _ in 0..5 {
        chats.push(client.new_chat(USER).await);
    }
    for chat in &chats[..2] {
        for _ in 0..5 {
            client.send_message(chat, &json!({ "content": "x" }), 201).await;
        }
    }
    let of_user = format!("/api/v1/chats/user/{USER}");
    let (messages, others) = (requests::messages(&chats[0]), requests::messages(&chats[1]));
    let lists = [("/api/v1/chats/", "chats"), (of_user.as_str(), "chats"), (messages.as_str(), "messages")];
    for (path, list) in lists {
        let get = async |query: &str| client.get(&format!("{path}?{query}"), 200).await;
        let all = get("limit=100").await.each(list, "id");
        assert_eq!(all.len(), 5);
        let first = get("limit=2").await;
        let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
        assert_eq!(first.each(list, "id"), all[..2]);
        for (limit, until) in [("&limit=1", 3), ("&limit=2", 4), ("&limit=3", 5), ("&limit=100", 5), ("", 5)] {
            let page = get(&format!("cursor={cursor}{limit}")).await;
            assert_eq!(page.each(list, "id"), all[2..until], "{path} {limit}");
            assert_eq!(page.json()["has_more"], until < 5);
            for unknown in ["total", "offset"] {
                assert_eq!(page.json().get(unknown), (path != lists[0].0).then_some(&Value::Null), "{unknown}");
            }
        }
        for (other, _) in lists.iter().filter(|(other, _)| *other != path) {
            let answer = client.get(&format!("{other}?cursor={cursor}"), 400).await;
            assert_eq!(pointers(&answer), ["/query/cursor"], "{path} at {other}");
        }
        let reversed = if list == "chats" { "asc" } else { "desc" };
        let mut foreign = vec![format!("{path}?order={reversed}&cursor={cursor}")];
        if list == "messages" {
            foreign.extend([format!("{others}?cursor={cursor}"), format!("{path}?after_seq=1&cursor={cursor}")]);
        }
        for foreign in foreign {
            assert_eq!(pointers(&client.get(&foreign, 400).await), ["/query/cursor"], "{foreign}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn created_after_and_before_exclude_the_moment_they_name() {
    let database = TestDatabase::create().await;
    let clock = Arc::new(ManualClock::new());
    let server = TestServer::start_with(database.url(), Limits::default(), clock).await;
    let client = server.client();
    let id = client.new_chat(USER).await;
    let (before, at, after) = ("2024-01-15T10:29:59.999999Z", "2024-01-15T10:30:00Z", "2024-01-15T10:30:00.000001Z");
    assert_eq!(client.get_chat(&id, 200).await.json()["created_at"], at);
    for (name, moment, found) in [
        ("created_after", before, true),
        ("created_after", at, false),
        ("created_after", after, false),
        ("created_before", before, false),
        ("created_before", at, false),
        ("created_before", after, true),
    ] {
        let listed = client.list_chats(&[(name, moment)], 200).await.each("chats", "id");
        assert_eq!(listed.contains(&id), found, "{name}={moment}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_message_s_name_outlives_its_key() {
    let database = TestDatabase::create().await;
    let clock = ManualClock::new();
    let start = || TestServer::start_with(database.url(), Limits::default(), Arc::new(clock.clone()));
    let server = start().await;
    let id = server.client().new_chat(USER).await;
    let named = json!({ "content": "named", "client_message_id": "é".repeat(128) });
    let nameless = json!({ "content": "nameless" });
    let send = async |client: Client, key: &str, message: &Value| {
        let answer = client.header("Idempotency-Key", key).send_message(&id, message, 201).await;
        (answer.json()["seq"].as_i64().unwrap(), answer.header("idempotency-replayed").is_some())
    };
    assert_eq!(send(server.client(), "a", &named).await, (1, false));
    assert_eq!(send(server.client(), "b", &nameless).await, (2, false));
    clock.advance(Duration::hours(24) - Duration::microseconds(1));
    assert_eq!(send(server.client(), "b", &nameless).await, (2, true));
    clock.advance(Duration::microseconds(1));
    assert_eq!(send(server.client(), "b", &nameless).await, (3, false));
    let other = json!({ "content": "other words", "client_message_id": named["client_message_id"] });
    assert_eq!(send(server.client(), "a", &other).await, (1, true));
    server.stop().await;
    clock.advance(Duration::days(1_000));
    let server = start().await;
    assert_eq!(send(server.client(), "c", &named).await, (1, true));
    assert_eq!(server.client().get_chat(&id, 200).await.json()["message_count"], 3);
    server.stop().await;
}

#[tokio::test]
async fn only_what_is_created_for_good_has_an_idempotency_key() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    client.clone().header("Idempotency-Key", "used").create_chat(&json!({ "user_id": USER }), 201).await;
    for key in ["used", "new", "", "two words", "é", &"k".repeat(256)] {
        let keyed = client.clone().header("Idempotency-Key", key);
        for operation in Operation::all() {
            let is_keyed = operation.method == Method::POST && operation.id != "create_ticket";
            assert_eq!(operation.takes("header", Some("Idempotency-Key")), is_keyed, "{}", operation.id);
            if is_keyed {
                continue;
            }
            let path = operation.ready(&client).await;
            let answer = operation.call(&keyed, &path).await;
            assert_eq!(answer.header("idempotency-replayed"), None, "{} {key:?}", operation.id);
        }
        // The second is done too, and not answered like the first.
        let id = client.new_chat(USER).await;
        for title in ["first", "second"] {
            assert_eq!(keyed.update_chat(&id, &json!({ "title": title }), 200).await.json()["title"], title);
        }
        keyed.delete_chat(&id, &[], 200).await;
        assert_eq!(keyed.delete_chat(&id, &[], 404).await.problem(), "chat_not_found");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_refused_message_leaves_its_key_free() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let id = client.new_chat(USER).await;
    let closed = client.new_chat(USER).await;
    client.update_chat(&closed, &json!({ "status": "closed" }), 200).await;
    for (key, place, status) in [("unknown", NOBODY, 404), ("unreadable", "x", 404), ("closed", &closed, 409)] {
        let keyed = client.clone().header("Idempotency-Key", key);
        for _ in 0..2 {
            let refused = keyed.send_message(place, &json!({ "content": key }), status).await;
            assert_eq!(refused.header("idempotency-replayed"), None);
        }
        let sent = keyed.send_message(&id, &json!({ "content": "another" }), 201).await;
        assert_eq!(sent.header("idempotency-replayed"), None, "{key}");
    }
    assert_eq!(client.get_chat(&id, 200).await.json()["message_count"], 3);
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_well_formed_http_is_answered_like_any_other_failure() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let get = |target: &str, headers: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n").into_bytes();
    for (bytes, status, code) in [
        (b"this is not HTTP\r\n\r\n".to_vec(), "400", "invalid_request"),
        (b"GET / HTTP/7.0\r\nHost: x\r\n\r\n".to_vec(), "400", "invalid_request"),
        (get("/healthz", "bad header\r\n"), "400", "invalid_request"),
        (get("/healthz", "Content-Length: x\r\n"), "400", "invalid_request"),
        (get(&format!("/{}", "x".repeat(70_000)), ""), "431", "head_too_large"),
        (get("/healthz", &"X: y\r\n".repeat(200)), "431", "head_too_large"),
        (get("/healthz", "Transfer-Encoding: gzip, chunked\r\n"), "501", "not_implemented"),
    ] {
        let answer = raw(server.address, &bytes).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}");
        let (head, body) = parts(&answer);
        assert!(head.contains("content-type: application/problem+json"), "{head:?}");
        let problem: Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["code"], code, "{problem}");
        let id = format!("x-request-id: {}", problem["request_id"].as_str().unwrap());
        assert!(head.contains(id.as_str()), "{head:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_body_may_have_256_kib_and_a_message_s_512() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    for operation in Operation::all().into_iter().filter(|operation| operation.object.get("requestBody").is_some()) {
        let mut body = operation.body().unwrap();
        let is_message = operation.object["operationId"] == "send_message";
        body.resize(if is_message { 512 } else { 256 } * 1024, b' ');
        let path = operation.ready(&client).await;
        let send = async |body, status| client.send(operation.method.clone(), &path, Some(body), status).await;
        send(body.clone(), operation.success().0).await;
        body.push(b' ');
        assert_eq!(send(body, 413).await.problem(), "payload_too_large");
    }
    server.stop().await;
}

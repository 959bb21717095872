//! One chat: getting, changing and deleting it.

use std::sync::Arc;

use chrono::Duration;
use parlor_server::config::Limits;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{ManualClock, TestDatabase, TestServer, requests};

#[tokio::test]
async fn a_chat_is_got_with_what_is_counted_of_it() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let created = client.create_chat(&json!({ "user_id": "u", "metadata": { "n": 1.50 } }), 201).await;
    let location = created.header("location").unwrap().to_owned();
    let mut expected = created.json();
    expected["message_count"] = json!(0);
    expected["status"] = json!("active");
    let got = client.get(&location, 200).await;
    assert_eq!(got.json(), expected);
    assert!(String::from_utf8(got.body).unwrap().contains(r#""metadata":{"n":1.5"#));
    client.get(&format!("{location}/"), 200).await;
    server.stop().await;
}

#[tokio::test]
async fn chats_that_are_got_at_once_are_not_mixed_up() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let (one, other) = (server.client(), server.client_of("other").await);
    let mut gets = JoinSet::new();
    for n in 0..20 {
        let (owner, stranger) = if n % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let metadata = format!(r#"{{"n":{n}.0,"a":"é😀\u0000 \" \\ \/ \n","":[1,[],{{"\u00e9":null}}]}}"#);
        let request = format!(r#"{{"user_id":"u\"{n}\\","title":"\" 😀 \\ {n}","metadata":{metadata}}}"#);
        let created = owner.create_chat_from(request, 201).await.json();
        for again in 0..3 {
            let (owner, stranger, created, metadata) =
                (owner.clone(), stranger.clone(), created.clone(), metadata.clone());
            gets.spawn(async move {
                let id = created["id"].as_str().unwrap();
                if again == 0 {
                    stranger.get_chat(id, 404).await;
                }
                let got = owner.get_chat(id, 200).await;
                assert!(String::from_utf8(got.body.clone()).unwrap().contains(&metadata));
                for (name, value) in created.as_object().unwrap() {
                    assert_eq!(&got.json()[name], value);
                }
            });
        }
    }
    gets.join_all().await;
    server.stop().await;
}

#[tokio::test]
async fn what_names_no_chat_is_not_found() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let chat = client.new_chat("u").await;
    let message = client.send_message(&chat, &json!({ "content": "hello" }), 201).await.json();
    let braced = format!("{{{chat}}}").replace('{', "%7B").replace('}', "%7D");
    let others = [
        "018d0c8e-5a40-7b7c-8c9d-0e1f2a3b4c5d",
        message["id"].as_str().unwrap(),
        "not-a-uuid",
        "0",
        "%00",
        "..%2f..",
        &chat.replace('-', ""),
        &braced,
        &format!("{chat}0"),
        "user",
    ];
    for other in others {
        assert_eq!(client.get_chat(other, 404).await.problem(), "chat_not_found", "{other}");
        assert_eq!(client.delete_chat(other, &[], 404).await.problem(), "chat_not_found", "{other}");
        assert_eq!(client.update_chat(other, &json!({}), 404).await.problem(), "chat_not_found", "{other}");
        let content = json!({ "content": "x" });
        if other != "user" {
            assert_eq!(client.send_message(other, &content, 404).await.problem(), "chat_not_found", "{other}");
            assert_eq!(client.list_messages(other, &[], 404).await.problem(), "chat_not_found", "{other}");
        }
    }
    // Hexadecimal digits may be capital (RFC 9562).
    client.get_chat(&chat.to_uppercase(), 200).await;
    server.stop().await;
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let database = TestDatabase::create().await;
    let clock = ManualClock::new();
    let server = TestServer::start_with(database.url(), Limits::default(), Arc::new(clock.clone())).await;
    let client = server.client();
    let request = r#"{"user_id":"u","title":"t","metadata":{"keep":123456789012345678901234567890,"drop":1,"deep":{"a":1,"b":2}}}"#;
    let created = client.create_chat_from(request, 201).await.json();
    let id = created["id"].as_str().unwrap();
    clock.advance(Duration::seconds(5));

    // Nothing to change is no change.
    for nothing in [json!({}), json!({ "title": null, "metadata": null, "status": null }), json!({ "title": " t " })] {
        assert_eq!(client.update_chat(id, &nothing, 200).await.json()["updated_at"], created["updated_at"]);
    }
    let patch = json!({ "metadata": { "drop": null, "deep": { "b": null, "c": [1] }, "new": "é", "absent": null } });
    let answer = client.update_chat(id, &patch, 200).await;
    let text = String::from_utf8(answer.body.clone()).unwrap();
    let metadata = r#"{"keep":123456789012345678901234567890,"deep":{"a":1,"c":[1]},"new":"é"}"#;
    assert!(text.contains(&format!(r#""config":{{"metadata":{metadata}}}"#)), "{text}");
    let changed = answer.json();
    assert_eq!(changed["updated_at"], "2024-01-15T10:30:05Z");
    for same in ["id", "user_id", "tenant_id", "title", "created_at", "last_message_at"] {
        assert_eq!(changed[same], created[same], "{same}");
    }
    let changed = client.update_chat(id, &json!({ "title": " other ", "status": "closed" }), 200).await.json();
    assert_eq!((&changed["title"], &changed["status"]), (&json!("other"), &json!("closed")));
    assert_eq!(client.get_chat(id, 200).await.json(), changed);
    server.stop().await;
}

#[tokio::test]
async fn a_patch_that_breaks_a_rule_changes_nothing() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let created =
        client.create_chat(&json!({ "user_id": "u", "metadata": { "a": "x".repeat(9_000) } }), 201).await.json();
    let id = created["id"].as_str().unwrap();
    let before = client.get_chat(id, 200).await.json();
    let nested =
        |levels: usize| serde_json::from_str(&format!("{}{}", "[".repeat(levels), "]".repeat(levels))).unwrap();
    let deep: serde_json::Value = nested(32);
    for (patch, pointer, detail) in [
        (json!({ "metadata": [1] }), "/metadata", "must be an object"),
        (json!({ "metadata": "text" }), "/metadata", "must be an object"),
        (json!({ "metadata": { "b": "x".repeat(9_000) } }), "/metadata", "must have at most 16384 bytes"),
        (json!({ "metadata": { "b": deep } }), "/metadata", "must be at most 32 levels deep"),
        (json!({ "title": "" }), "/title", "must not be empty"),
        (json!({ "status": "open" }), "/status", "must be one of active, closed"),
        (json!({ "status": 1 }), "/status", "must be a string"),
        (json!({ "user_id": "v" }), "/user_id", "is not a known member"),
        (json!({ "title": "new", "status": "gone" }), "/status", "must be one of active, closed"),
        (json!([]), "", "must be an object"),
    ] {
        let answer = client.update_chat(id, &patch, 400).await;
        assert_eq!(answer.errors(), [(pointer.to_owned(), detail.to_owned())]);
    }
    let plain = client.clone().header("Content-Type", "text/plain");
    assert_eq!(plain.update_chat(id, &json!({}), 415).await.problem(), "unsupported_media_type");
    let merge_patch = client.clone().header("Content-Type", "application/merge-patch+json");
    merge_patch.update_chat(id, &json!({}), 200).await;
    let user = json!({ "user_id": "u" });
    assert_eq!(merge_patch.create_chat(&user, 415).await.problem(), "unsupported_media_type");
    assert_eq!(client.get_chat(id, 200).await.json(), before);
    server.stop().await;
}

#[tokio::test]
async fn a_closed_chat_takes_no_messages_until_it_is_active_again() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let id = client.new_chat("u").await;
    let named = json!({ "content": "before", "client_message_id": "m1" });
    let first = client.send_message(&id, &named, 201).await.json();
    client.update_chat(&id, &json!({ "status": "closed" }), 200).await;
    assert_eq!(client.send_message(&id, &json!({ "content": "x" }), 409).await.problem(), "chat_closed");
    // A repetition is no new message.
    assert_eq!(client.send_message(&id, &named, 201).await.json(), first);
    client.update_chat(&id, &json!({ "status": "active" }), 200).await;
    assert_eq!(client.send_message(&id, &json!({ "content": "x" }), 201).await.json()["seq"], 2);
    server.stop().await;
}

#[tokio::test]
async fn a_deleted_chat_leaves_nothing_behind() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let keyed = client.clone().header("Idempotency-Key", "k1");
    let request = json!({ "user_id": "u", "metadata": { "department": "technical" } });
    let chat = keyed.create_chat(&request, 201).await.json();
    let id = chat["id"].as_str().unwrap();
    for n in 0..3 {
        let keyed = client.clone().header("Idempotency-Key", &format!("m{n}"));
        keyed.send_message(id, &json!({ "content": "x" }), 201).await;
    }
    client.create_ticket(id, &json!({ "user_id": "u" }), 201).await;
    let other = client.new_chat("u").await;
    client.create_ticket(&other, &json!({ "user_id": "u" }), 201).await;
    client.send_message(&other, &json!({ "content": "stays" }), 201).await;

    let answer = client.delete_chat(id, &[("force", "false")], 200).await.json();
    assert_eq!(answer["success"], true);
    assert_eq!(answer["message"], "The chat was deleted.");
    assert!(answer["deleted_at"].as_str().unwrap().ends_with('Z'));
    client.get_chat(id, 404).await;
    client.delete_chat(id, &[], 404).await;
    assert_eq!(client.list_chats(&[("metadata", "department:technical")], 200).await.json()["chats"], json!([]));
    let tables = [("chats", 1), ("messages", 1), ("chat_labels", 0), ("tickets", 1), ("idempotency_records", 0)];
    for (table, left) in tables {
        assert_eq!(database.count(&format!("SELECT COUNT(*) AS n FROM {table}")).await, left, "{table}");
    }
    // The key is free again: what it named is gone.
    assert_ne!(keyed.create_chat(&request, 201).await.json()["id"], id);
    let force = client.send(Method::DELETE, &format!("{}?force=true", requests::chat(&other)), None, 200).await;
    assert_eq!(force.json()["success"], true);
    server.stop().await;
}

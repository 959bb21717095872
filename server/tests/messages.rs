//! Messages: numbered without gaps, stored once.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Duration, Utc};
use parlor_server::config::Limits;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Client, ManualClock, TestDatabase, TestServer, WriteLock};

#[tokio::test]
async fn a_message_is_stored_and_counted() {
    let database = TestDatabase::create().await;
    let clock = ManualClock::new();
    let server = TestServer::start_with(database.url(), Limits::default(), Arc::new(clock.clone())).await;
    let client = server.client();
    let id = client.new_chat("owner").await;
    clock.advance(Duration::seconds(3));
    let answer = client.send_message(&id, &json!({ "content": "Hello\n\tthere 😀" }), 201).await;
    assert_eq!(answer.header("idempotency-replayed"), None);
    let message = answer.json();
    let expected = json!({
        "id": message["id"],
        "content": "Hello\n\tthere 😀",
        "sender_role": "user",
        "media_type": null,
        "media_url": null,
        "created_at": "2024-01-15T10:30:03Z",
        "metadata": {},
        "seq": 1,
        "client_message_id": null,
        "sender_id": "owner",
    });
    assert_eq!(message, expected);
    let full = json!({
        "content": "An answer",
        "sender_role": "assistant",
        "sender_id": "bot-7",
        "media_type": "image/png",
        "media_url": "https://example.com/a.png?x=1",
        "metadata": { "model": "m", "cost": 0.10 },
        "client_message_id": "c-1",
    });
    let second = client.send_message(&id, &full, 201).await.json();
    for (name, value) in full.as_object().unwrap() {
        assert_eq!(second[name], *value, "{name}");
    }
    assert_eq!(second["seq"], 2);
    let nameless = client.send_message(&id, &json!({ "content": "x", "sender_role": "assistant" }), 201).await.json();
    assert_eq!(nameless["sender_id"], Value::Null);
    let listed = client.list_messages(&id, &[], 200).await.json();
    assert_eq!(listed["messages"], json!([message, second, nameless]));

    let chat = client.get_chat(&id, 200).await.json();
    assert_eq!(chat["message_count"], 3);
    assert_eq!(chat["last_message_at"], "2024-01-15T10:30:03Z");
    assert_eq!(chat["updated_at"], "2024-01-15T10:30:03Z");
    server.stop().await;
}

#[tokio::test]
async fn who_sends_into_another_s_chat_becomes_a_user() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let id = client.new_chat("owner").await;
    client.send_message(&id, &json!({ "content": "x", "sender_id": "guest" }), 201).await;
    client.send_message(&id, &json!({ "content": "x", "sender_id": "bot", "sender_role": "assistant" }), 201).await;
    assert_eq!(client.list_user_chats("guest", &[], 404).await.problem(), "no_chats");
    assert_eq!(client.list_user_chats("bot", &[], 404).await.problem(), "user_not_found");
    server.stop().await;
}

#[tokio::test]
async fn concurrent_messages_from_two_nodes_are_numbered_without_gaps() {
    const MESSAGES: usize = 120;
    let database = TestDatabase::create().await;
    let nodes = TestServer::start_nodes(&database).await;
    let client = nodes[0].client();
    let chats = [client.new_chat("u").await, client.new_chat("v").await];
    let mut sending = JoinSet::new();
    for n in 0..MESSAGES {
        let (client, id) = (nodes[n % nodes.len()].client(), chats[n / 2 % 2].clone());
        sending.spawn(async move { client.send_message(&id, &json!({ "content": n.to_string() }), 201).await.json() });
    }
    sending.join_all().await;
    for id in &chats {
        let mut contents = HashSet::new();
        let listed = client.list_messages(id, &[("limit", "100")], 200).await.json();
        let messages = listed["messages"].as_array().unwrap();
        let mut before = DateTime::UNIX_EPOCH;
        for (index, message) in messages.iter().enumerate() {
            assert_eq!(message["seq"], index + 1);
            let created_at: DateTime<Utc> = message["created_at"].as_str().unwrap().parse().unwrap();
            assert!(before <= created_at, "{messages:?}");
            contents.insert(message["content"].as_str().unwrap());
            before = created_at;
        }
        assert_eq!(contents.len(), MESSAGES / 2);
        assert_eq!(client.get_chat(id, 200).await.json()["message_count"], MESSAGES / 2);
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_message_sent_again_is_the_one_that_is_stored() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let id = client.new_chat("u").await;
    let named = json!({ "content": "once", "client_message_id": "m1" });
    let first = client.send_message(&id, &named, 201).await;
    // By its name, whatever else it says.
    for again in [&named, &json!({ "content": "other words", "client_message_id": "m1" })] {
        let again = client.send_message(&id, again, 201).await;
        assert_eq!(
            (again.body.as_slice(), again.header("idempotency-replayed")),
            (first.body.as_slice(), Some("true"))
        );
    }
    // A key that came with such a repetition belongs to it.
    let late = client.clone().header("Idempotency-Key", "late");
    assert_eq!(late.send_message(&id, &named, 201).await.body, first.body);
    assert_eq!(late.send_message(&id, &json!({ "content": "new" }), 422).await.problem(), "idempotency_key_reused");
    // By its key.
    let keyed = client.clone().header("Idempotency-Key", "k");
    let second = keyed.send_message(&id, &json!({ "content": "twice" }), 201).await;
    let again = keyed.send_message(&id, &json!({ "content": "twice" }), 201).await;
    assert_eq!((&again.body, again.header("idempotency-replayed")), (&second.body, Some("true")));
    let reused = keyed.send_message(&id, &json!({ "content": "thrice" }), 422).await;
    assert_eq!(reused.problem(), "idempotency_key_reused");
    // A key names one request of one operation on one chat.
    let other = client.new_chat("u").await;
    assert_eq!(
        keyed.send_message(&other, &json!({ "content": "twice" }), 422).await.problem(),
        "idempotency_key_reused"
    );
    assert_eq!(
        keyed.create_chat(&json!({ "content": "twice", "user_id": "u" }), 400).await.problem(),
        "invalid_request"
    );
    assert_eq!(keyed.create_chat(&json!({ "user_id": "u" }), 422).await.problem(), "idempotency_key_reused");
    // A name belongs to its chat.
    client.send_message(&other, &named, 201).await;
    assert_eq!(client.get_chat(&id, 200).await.json()["message_count"], 2);
    server.stop().await;
}

#[tokio::test]
async fn senders_may_choose_the_same_name_for_different_messages() {
    let database = TestDatabase::create().await;
    let nodes = TestServer::start_nodes(&database).await;
    let client = nodes[0].client();
    let id = client.new_chat("ann").await;
    let senders = [
        json!({}),
        json!({ "sender_id": "bob" }),
        json!({ "sender_id": "bo" }),
        json!({ "sender_role": "assistant" }),
        json!({ "sender_role": "assistant", "sender_id": "helper" }),
    ];
    let send = async |client: &Client, sender: &Value, content: &str| {
        let mut message = json!({ "content": content, "client_message_id": "m1" });
        message.as_object_mut().unwrap().extend(sender.as_object().unwrap().clone());
        let answer = client.send_message(&id, &message, 201).await;
        (answer.json(), answer.header("idempotency-replayed").is_some())
    };
    let mut first = Vec::new();
    for (n, sender) in senders.iter().enumerate() {
        let (message, replayed) = send(&client, sender, &format!("message {n}")).await;
        assert!(!replayed, "{message}");
        assert_eq!(message["seq"], n + 1, "{message}");
        first.push(message);
    }
    // Each sender's own again is the first one, on every node; the owner's also under its id.
    for node in &nodes {
        for (sender, message) in senders.iter().zip(&first).chain([(&json!({ "sender_id": "ann" }), &first[0])]) {
            assert_eq!(send(&node.client(), sender, "other words").await, (message.clone(), true), "{sender}");
        }
    }
    assert_eq!(client.list_messages(&id, &[], 200).await.json()["messages"], json!(first));
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn one_batch_keeps_the_names_of_its_senders_apart() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let id = server.client().new_chat("ann").await;
    let lock = WriteLock::take(&database).await;
    let mut twins = JoinSet::new();
    for n in 0..40 {
        let (client, id, sender) = (server.client(), id.clone(), ["ann", "bob", "cy", "di"][n % 4]);
        let message = json!({ "content": sender, "client_message_id": "m", "sender_id": sender });
        twins.spawn(async move { client.send_message(&id, &message, 201).await.json()["sender_id"] == sender });
    }
    lock.release().await;
    assert!(twins.join_all().await.into_iter().all(|is_own| is_own), "each gets its own sender's message");
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM messages").await, 4);
    server.stop().await;
}

#[tokio::test]
async fn twins_of_one_batch_and_of_different_nodes_are_one_message() {
    let database = TestDatabase::create().await;
    let nodes = TestServer::start_nodes(&database).await;
    let id = nodes[0].client().new_chat("u").await;
    let lock = WriteLock::take(&database).await;
    let mut twins = JoinSet::new();
    for n in 0..40 {
        let mut client = nodes[n % nodes.len()].client();
        let name = ["a", "b"][n / 2 % 2];
        let message = if n % 8 < 4 {
            json!({ "content": name, "client_message_id": name })
        } else {
            client = client.header("Idempotency-Key", name);
            json!({ "content": name })
        };
        let id = id.clone();
        twins.spawn(async move { client.send_message(&id, &message, 201).await.json()["seq"].as_i64().unwrap() });
    }
    lock.release().await;
    let numbers: HashSet<i64> = twins.join_all().await.into_iter().collect();
    assert_eq!(numbers, HashSet::from([1, 2, 3, 4]));
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM messages").await, 4);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_message_is_named() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let id = client.new_chat("u").await;
    let long = "x".repeat(32_769);
    let url = format!("https://{}", "x".repeat(2_041));
    for (message, pointer, detail) in [
        (json!({}), "/content", "is required"),
        (json!({ "content": null }), "/content", "must be a string"),
        (json!({ "content": 7 }), "/content", "must be a string"),
        (json!({ "content": "" }), "/content", "must not be empty"),
        (json!({ "content": long }), "/content", "must have at most 32768 characters"),
        (json!({ "content": "a\0b" }), "/content", "must not contain NUL"),
        (json!({ "content": "x", "sender_role": "system" }), "/sender_role", "must be one of user, assistant"),
        (json!({ "content": "x", "sender_role": "User" }), "/sender_role", "must be one of user, assistant"),
        (json!({ "content": "x", "sender_role": 1 }), "/sender_role", "must be a string"),
        (json!({ "content": "x", "sender_id": "" }), "/sender_id", "must not be empty"),
        (json!({ "content": "x", "media_type": "png" }), "/media_type", "must be a media type such as image/png"),
        (json!({ "content": "x", "media_type": "a/b;c=d" }), "/media_type", "must be a media type such as image/png"),
        (
            json!({ "content": "x", "media_url": "javascript:alert(1)" }),
            "/media_url",
            "must be an http or https URL of at most 2048 characters",
        ),
        (
            json!({ "content": "x", "media_url": url }),
            "/media_url",
            "must be an http or https URL of at most 2048 characters",
        ),
        (json!({ "content": "x", "metadata": [] }), "/metadata", "must be an object"),
        (json!({ "content": "x", "client_message_id": "" }), "/client_message_id", "must not be empty"),
        (
            json!({ "content": "x", "client_message_id": "x".repeat(129) }),
            "/client_message_id",
            "must have at most 128 characters",
        ),
        (json!({ "content": "x", "seq": 7 }), "/seq", "is not a known member"),
    ] {
        let answer = client.send_message(&id, &message, 400).await;
        assert_eq!(answer.errors(), [(pointer.to_owned(), detail.to_owned())]);
    }
    let all = client.send_message(&id, &json!({ "sender_role": "x", "metadata": 1, "role": "user" }), 400).await;
    let pointers: Vec<String> = all.errors().into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!(pointers, ["/content", "/sender_role", "/metadata", "/role"]);
    client.send_message(&id, &json!({ "content": "é".repeat(262_144) }), 413).await;
    client.send_message(&id, &json!({ "content": "x".repeat(32_768) }), 201).await;
    assert_eq!(client.get_chat(&id, 200).await.json()["message_count"], 1);
    server.stop().await;
}

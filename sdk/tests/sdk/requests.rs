//! Requests as sent, and responses as decoded.

use std::collections::BTreeMap;

use parlor_sdk::{Call, Chat, Client, ErrorKind, NewChat};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock::VirtualClock;
use crate::server::{self, CHAT, Server, created};
use crate::{KEY, builder, client};

#[tokio::test]
async fn the_request_is_exact() {
    let server = Server::start([created(CHAT)]);
    let chat = NewChat::new("user123")
        .title("Support Session")
        .metadata(json!({"department": "technical", "priority": "high"}));
    client(&server).create_chat(chat).idempotency_key("key-1").await.unwrap();

    let request = &server.requests()[0];
    let body =
        r#"{"user_id":"user123","title":"Support Session","metadata":{"department":"technical","priority":"high"}}"#;
    assert_eq!(request.line, "POST /api/v1/chats/ HTTP/1.1");
    assert_eq!(request.body, body);
    let length = body.len().to_string();
    let expected = BTreeMap::from([
        ("accept", "application/json, application/problem+json"),
        ("content-length", &length),
        ("content-type", "application/json"),
        ("host", server.url().trim_start_matches("http://")),
        ("idempotency-key", "key-1"),
        ("user-agent", concat!("parlor-sdk/", env!("CARGO_PKG_VERSION"))),
        ("x-api-key", KEY),
    ]);
    let headers: BTreeMap<_, _> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn unset_members_are_not_sent() {
    let server = Server::start([created(CHAT)]);
    client(&server).create_chat(NewChat::new("user123")).await.unwrap();
    assert_eq!(server.requests()[0].body, r#"{"user_id":"user123"}"#);
}

#[tokio::test]
async fn every_call_has_a_random_key_of_its_own() {
    let server = Server::start([created(CHAT), created(CHAT)]);
    let client = client(&server);
    for _ in 0..2 {
        client.create_chat(NewChat::new("user123")).await.unwrap();
    }
    let keys: Vec<_> =
        server.requests().iter().map(|request| request.header("idempotency-key").unwrap().to_owned()).collect();
    assert_ne!(keys[0], keys[1]);
    for key in keys {
        assert_eq!(key.parse::<uuid::Uuid>().unwrap().get_version_num(), 4);
    }
}

#[tokio::test]
async fn a_path_prefix_is_sent() {
    let server = Server::start([created(CHAT), created(CHAT)]);
    for base in [format!("{}/parlor", server.url()), format!("{}/parlor/", server.url())] {
        Client::new(base, KEY).unwrap().create_chat(NewChat::new("user123")).await.unwrap();
    }
    for request in server.requests() {
        assert_eq!(request.line, "POST /parlor/api/v1/chats/ HTTP/1.1");
    }
}

#[tokio::test]
async fn a_header_of_the_call_replaces_the_clients() {
    let server = Server::start([created(CHAT), created(CHAT)]);
    let client = builder(&server, &VirtualClock::new())
        .header("X-Gateway", "of the client")
        .header("X-Region", "eu")
        .user_agent("support-desk/2.1")
        .build()
        .unwrap();
    client
        .create_chat(NewChat::new("user123"))
        .header("x-gateway", "first")
        .header("x-gateway", "of the call")
        .await
        .unwrap();
    client.create_chat(NewChat::new("user123")).await.unwrap();

    let gateways: Vec<_> =
        server.requests().iter().map(|request| request.header("x-gateway").unwrap().to_owned()).collect();
    assert_eq!(gateways, ["of the call", "of the client"]);
    let agent = concat!("support-desk/2.1 parlor-sdk/", env!("CARGO_PKG_VERSION"));
    for request in server.requests() {
        assert_eq!(request.header("x-region"), Some("eu"));
        assert_eq!(request.header("user-agent"), Some(agent));
    }
}

#[tokio::test]
async fn the_response_is_the_chat() {
    let server = Server::start([created(CHAT)]);
    let chat = client(&server).create_chat(NewChat::new("user123")).await.unwrap();

    assert_eq!(chat.id.to_string(), "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d");
    assert_eq!(chat.user_id, "user123");
    assert_eq!(chat.tenant_id, "tenant-uuid-here");
    assert_eq!(chat.title, "Support Session");
    assert_eq!(chat.config.metadata.get("department"), Some(json!("technical")));
    assert_eq!(chat.created_at.to_rfc3339(), "2024-01-15T10:30:00+00:00");
    assert_eq!(chat.updated_at, chat.created_at);
    assert_eq!(chat.last_message_at, None);
    let (sent, read): (serde_json::Value, _) = (serde_json::from_str(CHAT).unwrap(), serde_json::to_value(&chat));
    assert_eq!(read.unwrap(), sent, "the chat round-trips");
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let newer = CHAT
        .replace("\"title\"", "\"mood\": {\"is\": [\"good\"]}, \"title\"")
        .replace("\"metadata\"", "\"retention_days\": 30, \"metadata\"")
        .replace("\"last_message_at\": null", "\"last_message_at\": \"2024-01-15T10:31:00.123456Z\"");
    let server = Server::start([created(&newer)]);
    let chat = client(&server).create_chat(NewChat::new("user123")).await.unwrap();
    assert_eq!(chat.title, "Support Session");
    assert_eq!(chat.last_message_at.unwrap().timestamp_subsec_micros(), 123_456);
}

#[tokio::test]
async fn metadata_goes_in_and_comes_out_as_a_type_of_the_application() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Ticket {
        department: String,
        priority: String,
    }
    let ticket = Ticket { department: "technical".to_owned(), priority: "high".to_owned() };
    let server = Server::start([created(CHAT)]);
    let chat = client(&server).create_chat(NewChat::new("user123").metadata(&ticket)).await.unwrap();
    assert!(server.requests()[0].body.ends_with(r#""metadata":{"department":"technical","priority":"high"}}"#));
    assert_eq!(chat.metadata_as::<Ticket>().unwrap(), ticket);

    let error = chat.metadata_as::<BTreeMap<String, u32>>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(!error.was_maybe_processed());
}

#[tokio::test]
async fn a_response_has_status_headers_and_keys() {
    let replay = [
        ("Content-Type", "application/json"),
        ("X-Request-Id", "request-7"),
        ("Idempotency-Replayed", "true"),
        ("Location", "/api/v1/chats/a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d"),
    ];
    let no_replay = [("Idempotency-Replayed", "false")];
    let server =
        Server::start([created(CHAT), server::answer(201, &replay, CHAT), server::answer(201, &no_replay, CHAT)]);
    let client = client(&server);

    let first = client.create_chat(NewChat::new("user123")).with_response().await.unwrap();
    assert_eq!((first.status().as_u16(), first.attempts()), (201, 1));
    assert_eq!(first.request_id(), Some("request-1"));
    assert!(!first.is_replayed());
    assert_eq!(first.idempotency_key(), server.requests()[0].header("idempotency-key"));

    let second = client.create_chat(NewChat::new("user123")).idempotency_key("k").with_response().await.unwrap();
    assert!(second.is_replayed());
    assert_eq!(second.request_id(), Some("request-7"));
    assert_eq!(second.idempotency_key(), Some("k"));
    assert_eq!(second.headers()["location"], "/api/v1/chats/a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d");
    assert_eq!(second.value().title, "Support Session");
    assert_eq!(second.into_value().user_id, "user123");

    let third = client.create_chat(NewChat::new("user123")).with_response().await.unwrap();
    assert!(!third.is_replayed());
}

#[tokio::test]
async fn invalid_calls_are_rejected_before_sending() {
    let server = Server::start([created(CHAT)]);
    let client = client(&server);
    let call = || client.create_chat(NewChat::new("user123"));
    let refused: [(&str, Call<Chat>); 7] = [
        ("array", client.create_chat(NewChat::new("user123").metadata([1, 2]))),
        ("JSON", client.create_chat(NewChat::new("user123").metadata(BTreeMap::from([((1, 2), 3)])))),
        ("idempotency key", call().idempotency_key("")),
        ("idempotency key", call().idempotency_key("two words")),
        ("header name", call().header("two words", "x")),
        ("x-trace", call().header("X-Trace", "line\nbreak")),
        ("Client::builder", call().header("X-API-Key", "another")),
    ];
    for (expected, call) in refused {
        let error = call.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidCall, "{error}");
        assert!(error.to_string().starts_with("create_chat: "), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.attempts(), 0);
        assert!(!error.is_retryable() && !error.was_maybe_processed(), "{error}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_call_that_is_not_awaited_sends_nothing() {
    let server = Server::start([created(CHAT)]);
    drop(client(&server).create_chat(NewChat::new("user123")));
    assert!(server.requests().is_empty());
}

#[test]
fn invalid_settings_are_rejected_by_build() {
    use std::time::Duration;

    let builder = || Client::builder("http://localhost:8000", KEY);
    for (expected, builder) in [
        ("http://", Client::builder("localhost:8000", KEY)),
        ("API key", Client::builder("http://localhost:8000", "two words")),
        ("connect timeout", builder().connect_timeout(Duration::ZERO)),
        ("attempt timeout", builder().attempt_timeout(Duration::ZERO)),
        ("total timeout", builder().total_timeout(Duration::ZERO)),
        ("user agent", builder().user_agent("line\nbreak")),
        ("Call::idempotency_key", builder().header("Idempotency-Key", "x")),
        // The first error is reported.
        ("connect timeout", builder().connect_timeout(Duration::ZERO).user_agent("line\nbreak")),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

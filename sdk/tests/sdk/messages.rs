//! Sending messages.

use parlor_sdk::{Code, ErrorKind, Message, NewMessage, Role};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client;
use crate::server::{Server, created, message, problem, raw, stored};

fn body(server: &Server, request: usize) -> Value {
    serde_json::from_str(&server.requests()[request].body).unwrap()
}

#[tokio::test]
async fn all_settings_are_sent() {
    let server = Server::start([stored(1)]);
    let message = NewMessage::new("This is how to put it out.")
        .role(Role::Assistant)
        .sender_id("helper-1")
        .media("image/png", "https://example.com/extinguisher.png")
        .metadata(json!({"confidence": 0.9}))
        .client_message_id("own name");
    client(&server).send_message(Uuid::nil(), message).idempotency_key("key-1").await.unwrap();
    let request = &server.requests()[0];
    assert_eq!(request.line, "POST /api/v1/chats/00000000-0000-0000-0000-000000000000/messages HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("idempotency-key"), Some("key-1"));
    assert_eq!(
        request.body,
        r#"{"content":"This is how to put it out.","sender_role":"assistant","sender_id":"helper-1","#.to_owned()
            + r#""media_type":"image/png","media_url":"https://example.com/extinguisher.png","#
            + r#""metadata":{"confidence":0.9},"client_message_id":"own name"}"#
    );
}

#[tokio::test]
async fn the_response_is_the_message() {
    let text = message(7)
        .replace(r#""sender_role": "user""#, r#""sender_role": "moderator", "mood": "good""#)
        .replace(r#"{"n": 7}"#, r#"{"n": 70000000000000000000000, "m": "x"}"#)
        .replace(r#""media_type": null"#, r#""media_type": "image/png""#);
    let server = Server::start([created(&text)]);
    let message = client(&server).send_message(Uuid::nil(), NewMessage::new("Hello")).await.unwrap();
    assert_eq!(message.id.to_string(), "018d0c8f-1b20-7c3e-9f10-000000000007");
    assert_eq!((message.content.as_str(), message.seq), ("message 7", 7));
    assert_eq!(message.sender_role, Role::Other("moderator".to_owned()));
    assert_eq!((message.media_type.as_deref(), message.media_url), (Some("image/png"), None));
    assert_eq!(message.created_at.to_rfc3339(), "2024-01-15T10:31:00+00:00");
    assert_eq!((message.client_message_id, message.sender_id.as_deref()), (None, Some("user123")));
    assert_eq!(message.metadata.as_str(), r#"{"n":70000000000000000000000,"m":"x"}"#);
    assert_eq!(message.metadata.get("m"), Some(json!("x")));
}

#[tokio::test]
async fn metadata_comes_out_as_a_type_of_the_application() {
    #[derive(serde::Deserialize)]
    struct Numbered {
        n: u32,
    }
    let message: Message = serde_json::from_str(&message(7)).unwrap();
    assert_eq!(message.metadata_as::<Numbered>().unwrap().n, 7);
    assert_eq!(message.metadata_as::<Vec<u32>>().unwrap_err().kind(), ErrorKind::Decode);
}

#[tokio::test]
async fn the_default_id_of_a_message_is_a_random_key() {
    let server = Server::start([stored(1), stored(2)]);
    let client = client(&server);
    let hello = NewMessage::new("Hello");
    for _ in 0..2 {
        client.send_message(Uuid::nil(), hello.clone()).await.unwrap();
    }
    let names = [0, 1].map(|request| body(&server, request)["client_message_id"].as_str().unwrap().to_owned());
    assert_ne!(names[0], names[1], "two calls are two messages");
    for (request, name) in server.requests().iter().zip(&names) {
        assert_eq!(name.parse::<Uuid>().unwrap().get_version_num(), 4);
        assert_eq!(request.header("idempotency-key"), Some(name.as_str()));
    }
}

#[tokio::test]
async fn every_attempt_has_the_same_ids() {
    let server = Server::start([problem(503, "unavailable"), raw(""), stored(1)]);
    let call = client(&server).send_message(Uuid::nil(), NewMessage::new("Hello"));
    assert_eq!(call.with_response().await.unwrap().attempts(), 3);
    let requests = server.requests();
    for request in &requests {
        assert_eq!(request.body, requests[0].body);
        assert_eq!(request.headers, requests[0].headers);
    }
    assert!(body(&server, 0)["client_message_id"].is_string());
}

#[tokio::test]
async fn a_repeated_call_with_the_same_key_is_identical() {
    let server = Server::start([raw(""), raw(""), raw(""), stored(1)]);
    let client = client(&server);
    let hello = NewMessage::new("Hello");
    let error = client.send_message(Uuid::nil(), hello.clone()).await.unwrap_err();
    assert!(error.is_retryable() && error.was_maybe_processed());
    let key = error.idempotency_key().unwrap();
    client.send_message(Uuid::nil(), hello).idempotency_key(key).await.unwrap();
    let requests = server.requests();
    assert_eq!(requests[3].body, requests[0].body);
    assert_eq!(requests[3].headers, requests[0].headers);
}

#[tokio::test]
async fn a_closed_chat_refuses() {
    let server = Server::start([problem(409, "chat_closed"), stored(1)]);
    let error = client(&server).send_message(Uuid::nil(), NewMessage::new("Hello")).await.unwrap_err();
    assert_eq!((error.code(), error.attempts()), (Some(&Code::ChatClosed), 1));
    assert!(!error.is_retryable() && !error.was_maybe_processed());
}

#[tokio::test]
async fn metadata_other_than_an_object_is_rejected_before_sending() {
    let server = Server::start([stored(1)]);
    let message = NewMessage::new("Hello").metadata([1]);
    let error = client(&server).send_message(Uuid::nil(), message).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::InvalidCall, 0));
    assert!(error.to_string().starts_with("send_message: "), "{error}");
    assert!(server.requests().is_empty());
}

//! Getting, updating and deleting chats.

use std::time::Duration;

use parlor_sdk::{ChatPatch, Code, ErrorKind, Metadata, RetryPolicy, Status};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::VirtualClock;
use crate::server::{CHAT, Server, Step, answer, deleted, details, done, problem, raw};
use crate::{builder, client};

const CHAT_ID: Uuid = Uuid::from_u128(0xa1b2_c3d4_e5f6_4a7b_8c9d_0e1f_2a3b_4c5d);
const TARGET: &str = "/api/v1/chats/a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d";

fn not_found() -> Step {
    problem(404, "chat_not_found")
}

#[tokio::test]
async fn a_chat_has_its_status_and_message_count() {
    let server = Server::start([details("active"), details("archived")]);
    let client = client(&server);
    let chat = client.get_chat(CHAT_ID).await.unwrap();
    assert_eq!((chat.id, chat.title.as_str()), (CHAT_ID, "Support Session"));
    assert_eq!((chat.message_count, &chat.status), (2, &Status::Active));
    assert_eq!(chat.config.metadata.get("department"), Some(json!("technical")));
    let chat = client.get_chat(CHAT_ID).await.unwrap();
    assert_eq!(chat.status, Status::Other("archived".to_owned()), "an unknown status");

    let request = &server.requests()[0];
    assert_eq!(request.line, format!("GET {TARGET} HTTP/1.1"));
    for absent in ["content-type", "content-length", "idempotency-key"] {
        assert_eq!(request.header(absent), None);
    }
}

#[tokio::test]
async fn every_digit_of_the_metadata_comes_back() {
    #[derive(Serialize)]
    struct Order {
        number: u128,
        amount: Metadata,
    }
    let digits = r#"{"z":123456789012345678901234567890.10,"a":1e999,"n":0.30000000000000000004}"#;
    let chat = CHAT.replace(r#"{"department": "technical", "priority": "high"}"#, digits);
    let details = || {
        let chat = chat.trim_end().trim_end_matches('}');
        done(&format!(r#"{chat}, "message_count": 0, "status": "active"}}"#))
    };
    let server = Server::start([details(), details()]);
    let client = client(&server);
    let chat = client.get_chat(CHAT_ID).await.unwrap();
    assert_eq!(chat.config.metadata.as_str(), digits);
    assert!(serde_json::to_string(&chat).unwrap().contains(digits), "and is serialized unchanged");
    assert_eq!(Value::from(chat.config.metadata.clone())["a"], Value::Null);

    let order = Order { number: u128::MAX, amount: chat.config.metadata };
    client.update_chat(CHAT_ID, ChatPatch::new().metadata(order)).await.unwrap();
    let number = u128::MAX;
    assert_eq!(
        server.requests()[1].body,
        format!(r#"{{"metadata":{{"number":{number},"amount":{digits}}}}}"#),
        "in field order"
    );
}

#[tokio::test]
async fn a_patch_sends_only_its_changes() {
    let server = Server::start([details("closed")]);
    let patch = ChatPatch::new().title("Printer on fire").metadata(json!({"priority": null})).close();
    let chat = client(&server).update_chat(CHAT_ID, patch).await.unwrap();
    assert_eq!(chat.status, Status::Closed);
    let request = &server.requests()[0];
    assert_eq!(request.line, format!("PATCH {TARGET} HTTP/1.1"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("idempotency-key"), None);
    assert_eq!(request.body, r#"{"title":"Printer on fire","metadata":{"priority":null},"status":"closed"}"#);
}

#[tokio::test]
async fn a_patch_is_retried() {
    let server = Server::start([problem(500, "internal"), raw(""), details("closed")]);
    let call = client(&server).update_chat(CHAT_ID, ChatPatch::new().close());
    assert_eq!(call.with_response().await.unwrap().attempts(), 3);
    for request in server.requests() {
        assert_eq!(request.body, r#"{"status":"closed"}"#);
    }
}

#[tokio::test]
async fn an_idempotency_key_is_rejected_where_it_has_no_effect() {
    let server = Server::start([details("active")]);
    let client = client(&server);
    let errors = [
        client.get_chat(CHAT_ID).idempotency_key("k").await.unwrap_err(),
        client.update_chat(CHAT_ID, ChatPatch::new()).idempotency_key("k").await.unwrap_err(),
        client.delete_chat(CHAT_ID).idempotency_key("k").await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::InvalidCall);
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_chat_is_deleted_with_and_without_force() {
    let server = Server::start([deleted(), deleted()]);
    let client = client(&server);
    let answer = client.delete_chat(CHAT_ID).await.unwrap();
    assert!(answer.success);
    assert_eq!(answer.message, "The chat was deleted.");
    assert_eq!(answer.deleted_at.unwrap().to_rfc3339(), "2024-01-15T11:00:00+00:00");
    client.delete_chat(CHAT_ID).force().force().await.unwrap();
    let lines: Vec<_> = server.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(lines, [format!("DELETE {TARGET} HTTP/1.1"), format!("DELETE {TARGET}?force=true HTTP/1.1")]);
}

#[tokio::test]
async fn a_chat_in_use_is_reported_at_once() {
    let server = Server::start([problem(409, "chat_in_use"), deleted()]);
    let error = client(&server).delete_chat(CHAT_ID).await.unwrap_err();
    assert_eq!((error.code(), error.attempts()), (Some(&Code::ChatInUse), 1));
    assert!(!error.is_retryable() && !error.was_maybe_processed());
}

#[tokio::test]
async fn a_chat_not_found_after_a_lost_response_is_deleted() {
    let clock = VirtualClock::new();
    for lost in [raw(""), problem(503, "unavailable"), clock.stall(b"", Duration::from_secs(15))] {
        let server = Server::start([lost, not_found()]);
        let client = builder(&server, &clock).build().unwrap();
        let response = client.delete_chat(CHAT_ID).with_response().await.unwrap();
        assert_eq!((response.attempts(), response.status().as_u16()), (2, 404));
        let answer = response.into_value();
        assert!(answer.success);
        assert_eq!(answer.deleted_at, None, "the deletion time is unknown");
    }
}

#[tokio::test]
async fn a_chat_not_found_by_the_first_attempt_is_an_error() {
    // Neither response leaves open whether the server processed the first attempt.
    for (first, attempts) in [(Some(problem(429, "rate_limited")), 2), (None, 1)] {
        let server = Server::start(first.into_iter().chain([not_found()]));
        let error = client(&server).delete_chat(CHAT_ID).await.unwrap_err();
        assert_eq!((error.code(), error.attempts()), (Some(&Code::ChatNotFound), attempts));
        assert!(!error.was_maybe_processed());
    }
}

#[tokio::test]
async fn a_404_without_the_code_chat_not_found_does_not_count_as_deleted() {
    for stranger in [answer(404, &[("Content-Type", "text/html")], "<h1>Not Found</h1>"), problem(404, "not_found")] {
        let server = Server::start([raw(""), stranger]);
        let error = client(&server).delete_chat(CHAT_ID).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Status, 2));
        assert!(error.was_maybe_processed());
    }
}

#[tokio::test]
async fn only_a_deletion_succeeds_with_not_found() {
    let server = Server::start([raw(""), not_found(), raw(""), not_found()]);
    let client = client(&server);
    let read = client.get_chat(CHAT_ID).await.unwrap_err();
    let changed = client.update_chat(CHAT_ID, ChatPatch::new().close()).await.unwrap_err();
    for error in [read, changed] {
        assert_eq!((error.code(), error.attempts()), (Some(&Code::ChatNotFound), 2));
    }
}

#[tokio::test]
async fn without_retries_a_lost_response_is_a_retryable_error() {
    let server = Server::start([raw("")]);
    let client = builder(&server, &VirtualClock::new()).retry(RetryPolicy::never()).build().unwrap();
    let error = client.delete_chat(CHAT_ID).await.unwrap_err();
    assert!(error.is_retryable() && error.was_maybe_processed());
}

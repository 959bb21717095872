//! Creating tickets.

use parlor_sdk::ErrorKind;
use uuid::Uuid;

use crate::client;
use crate::server::{Server, answer, problem, raw, ticket};

const TICKET: &str = "plt_0123456789ABCDEFGHIJKLMNOPQRSTUV";

#[tokio::test]
async fn the_user_is_sent_and_the_ticket_is_not_printed() {
    let server = Server::start([ticket()]);
    let response = client(&server).create_ticket(Uuid::nil(), "Zoë / 1").with_response().await.unwrap();
    assert_eq!(response.value().ticket, TICKET);
    assert_eq!(response.value().expires_at.to_rfc3339(), "2024-01-15T10:31:00+00:00");
    assert_eq!(response.idempotency_key(), None);
    for shown in [format!("{response:?}"), format!("{:#?}", response.value())] {
        assert!(shown.contains("***") && !shown.contains(TICKET), "{shown}");
    }
    let request = &server.requests()[0];
    assert_eq!(request.line, "POST /api/v1/chats/00000000-0000-0000-0000-000000000000/tickets HTTP/1.1");
    assert_eq!(request.body, r#"{"user_id":"Zoë / 1"}"#);
    assert_eq!(request.header("idempotency-key"), None);
}

#[tokio::test]
async fn create_ticket_is_retried_without_a_key() {
    let server = Server::start([problem(503, "unavailable"), raw(""), ticket()]);
    let response = client(&server).create_ticket(Uuid::nil(), "u").with_response().await.unwrap();
    assert_eq!(response.attempts(), 3);
    let keyed = client(&server).create_ticket(Uuid::nil(), "u").idempotency_key("k").await.unwrap_err();
    assert_eq!((keyed.kind(), keyed.attempts()), (ErrorKind::InvalidCall, 0));
}

#[tokio::test]
async fn an_undecodable_response_does_not_print_its_ticket() {
    let odd = format!(r#"{{"ticket": "{TICKET}", "expires_at": "soon"}}"#);
    let server = Server::start([answer(201, &[], &odd)]);
    let error = client(&server).create_ticket(Uuid::nil(), "u").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(!format!("{error} {error:?} {error:#?}").contains(TICKET), "{error:?}");
    let shown = r#"{"ticket": "plt_***", "expires_at": "soon"}"#;
    assert_eq!(error.body(), Some(shown), "the ticket may still be valid");
}

//! Which failures are retried, how often and when.

use std::time::Duration;

use parlor_sdk::{Clock, ErrorKind, NewChat, RetryPolicy};

use crate::builder;
use crate::clock::VirtualClock;
use crate::server::{CHAT, Server, Step, answer, created, problem, raw};

const MS: fn(u64) -> Duration = Duration::from_millis;
const SECONDS: fn(u64) -> Duration = Duration::from_secs;

/// Closes the connection after the request was read.
fn close_connection() -> Step {
    raw("")
}

fn unavailable() -> Step {
    problem(503, "unavailable")
}

fn new_chat() -> NewChat {
    NewChat::new("user123").title("Support Session")
}

#[tokio::test]
async fn every_attempt_is_the_same_request_with_the_same_key() {
    let clock = VirtualClock::new();
    let server = Server::start([unavailable(), close_connection(), created(CHAT)]);
    let client = builder(&server, &clock).build().unwrap();
    let response = client.create_chat(new_chat()).header("X-Trace", "t").with_response().await.unwrap();

    assert_eq!(response.attempts(), 3);
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(request.line, requests[0].line);
        assert_eq!(request.headers, requests[0].headers);
        assert_eq!(request.body, r#"{"user_id":"user123","title":"Support Session"}"#);
    }
    assert_eq!(requests[0].header("idempotency-key"), response.idempotency_key());
    assert_eq!(requests[0].header("x-trace"), Some("t"));
}

#[tokio::test]
async fn the_delays_grow_and_are_random() {
    let clock = VirtualClock::new();
    let server = Server::start((0..5).map(|_| unavailable()));
    let policy = RetryPolicy::default().max_attempts(5).backoff(MS(100), MS(400));
    let client = builder(&server, &clock).retry(policy).build().unwrap();
    let error = client.create_chat(new_chat()).await.unwrap_err();
    assert_eq!(error.attempts(), 5);
    assert_eq!(clock.sleeps(), [MS(50), MS(100), MS(200), MS(200)]);
}

#[tokio::test]
async fn a_temporary_status_is_attempted_three_times() {
    for (status, code, maybe_processed) in [
        (408, "x", false),
        (429, "rate_limited", false),
        (409, "idempotency_in_progress", true),
        (500, "internal", true),
        (502, "x", true),
        (503, "unavailable", true),
        (504, "x", true),
    ] {
        let server = Server::start((0..3).map(|_| problem(status, code)));
        let client = builder(&server, &VirtualClock::new()).build().unwrap();
        let error = client.create_chat(new_chat()).await.unwrap_err();
        assert_eq!(server.requests().len(), 3, "{status}");
        assert_eq!(error.attempts(), 3, "{status}");
        assert_eq!(error.kind(), ErrorKind::Status);
        assert_eq!(error.status().unwrap().as_u16(), status);
        assert!(error.is_retryable(), "{status}");
        assert_eq!(error.was_maybe_processed(), maybe_processed, "{status}");
        assert_eq!(error.idempotency_key(), server.requests()[0].header("idempotency-key"));
    }
}

#[tokio::test]
async fn a_permanent_status_is_not_retried() {
    for (status, code) in [
        (400, "invalid_request"),
        (401, "unauthorized"),
        (404, "not_found"),
        (409, "chat_in_use"),
        (413, "payload_too_large"),
        (415, "unsupported_media_type"),
        (422, "idempotency_key_reused"),
        (501, "x"),
    ] {
        let clock = VirtualClock::new();
        let server = Server::start([problem(status, code), created(CHAT)]);
        let client = builder(&server, &clock).build().unwrap();
        let error = client.create_chat(new_chat()).await.unwrap_err();
        assert_eq!((server.requests().len(), error.attempts()), (1, 1), "{status}");
        assert_eq!(error.code().unwrap().as_str(), code);
        assert!(!error.is_retryable(), "{status}");
        assert_eq!(error.was_maybe_processed(), status >= 500, "{status}");
        assert!(clock.sleeps().is_empty());
    }
}

#[tokio::test]
async fn a_broken_connection_is_retried() {
    // Before the response, in its headers, and in its body.
    for broken in ["", "HTTP/1.1 201 Created\r\nContent-", "HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{\"id"] {
        let server = Server::start([raw(broken), raw(broken), raw(broken)]);
        let client = builder(&server, &VirtualClock::new()).build().unwrap();
        let error = client.create_chat(new_chat()).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Transport, 3), "{broken:?}");
        assert!(error.is_retryable() && error.was_maybe_processed());
        assert_eq!(server.requests().len(), 3);
    }
}

#[tokio::test]
async fn an_attempt_that_times_out_is_retried() {
    // Without a response, and with a response whose body is incomplete.
    let slow_body = b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{";
    for sent in [&b""[..], slow_body] {
        let clock = VirtualClock::new();
        let server = Server::start([clock.stall(sent, SECONDS(15)), created(CHAT)]);
        let client = builder(&server, &clock).build().unwrap();
        let response = client.create_chat(new_chat()).with_response().await.unwrap();
        assert_eq!(response.attempts(), 2);
        assert_eq!(clock.sleeps(), [MS(250)]);
    }
}

#[tokio::test]
async fn the_attempt_timeout_is_a_setting() {
    let clock = VirtualClock::new();
    let server = Server::start([clock.stall(b"", SECONDS(2))]);
    let client = builder(&server, &clock).attempt_timeout(SECONDS(2)).retry(RetryPolicy::never()).build().unwrap();
    let error = client.create_chat(new_chat()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 1));
    assert!(error.to_string().contains("2s"), "{error}");
    assert!(error.is_retryable() && error.was_maybe_processed());
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    for value in ["7", "Sun, 06 Nov 1994 08:49:44 GMT"] {
        let clock = VirtualClock::new();
        let server = Server::start([answer(503, &[("Retry-After", value)], ""), created(CHAT)]);
        let client = builder(&server, &clock).build().unwrap();
        client.create_chat(new_chat()).await.unwrap();
        assert_eq!(clock.sleeps(), [MS(7_250)], "{value}");
    }
}

#[tokio::test]
async fn a_retry_after_above_the_maximum_is_returned() {
    let clock = VirtualClock::new();
    let server = Server::start([answer(429, &[("Retry-After", "31")], ""), created(CHAT)]);
    let client = builder(&server, &clock).build().unwrap();
    let error = client.create_chat(new_chat()).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(SECONDS(31)));
    assert_eq!((error.attempts(), server.requests().len()), (1, 1));
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_delay_that_would_reach_the_deadline_is_not_started() {
    let clock = VirtualClock::new();
    let server = Server::start([answer(503, &[("Retry-After", "10")], ""), created(CHAT)]);
    let client = builder(&server, &clock).build().unwrap();
    let error = client.create_chat(new_chat()).deadline(clock.now() + SECONDS(10)).await.unwrap_err();
    assert_eq!(error.status().unwrap().as_u16(), 503, "the last error, not a timeout");
    assert_eq!(server.requests().len(), 1);
    assert!(clock.sleeps().is_empty());
}

#[tokio::test]
async fn the_total_timeout_includes_all_attempts() {
    let clock = VirtualClock::new();
    let stall = || clock.stall(b"", SECONDS(15));
    let server = Server::start((0..5).map(|_| stall()));
    let policy = RetryPolicy::default().max_attempts(10);
    let client = builder(&server, &clock).retry(policy).total_timeout(SECONDS(40)).build().unwrap();
    let error = client.create_chat(new_chat()).await.unwrap_err();
    // 15 s, a delay, 15 s, a delay, and the third attempt ends at 40 s.
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 3));
    assert!(error.to_string().contains("call's deadline"), "{error}");
}

#[tokio::test]
async fn a_call_can_set_its_own_timeout() {
    for by_deadline in [false, true] {
        let clock = VirtualClock::new();
        let server = Server::start([clock.stall(b"", SECONDS(3)), created(CHAT)]);
        let client = builder(&server, &clock).build().unwrap();
        let call = client.create_chat(new_chat());
        let call = if by_deadline { call.deadline(clock.now() + SECONDS(3)) } else { call.timeout(SECONDS(3)) };
        let error = call.await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 1));
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn the_earlier_of_timeout_and_deadline_applies() {
    for (timeout, deadline) in [(3, 9), (9, 3)] {
        let clock = VirtualClock::new();
        let server = Server::start([clock.stall(b"", SECONDS(3))]);
        let client = builder(&server, &clock).build().unwrap();
        let call = client.create_chat(new_chat()).timeout(SECONDS(timeout)).deadline(clock.now() + SECONDS(deadline));
        assert_eq!(call.await.unwrap_err().kind(), ErrorKind::Timeout);
    }
}

#[tokio::test]
async fn nothing_is_sent_after_the_deadline() {
    let clock = VirtualClock::new();
    let server = Server::start([created(CHAT)]);
    let client = builder(&server, &clock).build().unwrap();
    let error = client.create_chat(new_chat()).deadline(clock.now()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 0));
    assert!(!error.was_maybe_processed());
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn the_maximum_timeout_does_not_overflow() {
    let clock = VirtualClock::new();
    let server = Server::start([created(CHAT)]);
    let client = builder(&server, &clock).attempt_timeout(Duration::MAX).build().unwrap();
    client.create_chat(new_chat()).timeout(Duration::MAX).await.unwrap();
}

#[tokio::test]
async fn the_budget_is_shared_by_the_clones_and_runs_out() {
    let server = Server::start((0..5).map(|_| unavailable()));
    let policy = RetryPolicy::default().budget(3);
    let client = builder(&server, &VirtualClock::new()).retry(policy).build().unwrap();
    let mut attempts = Vec::new();
    for client in [client.clone(), client] {
        attempts.push(client.create_chat(new_chat()).await.unwrap_err().attempts());
    }
    // Two retries, then the last one.
    assert_eq!(attempts, [3, 2]);
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn a_retry_that_succeeds_costs_nothing() {
    let server = Server::start((0..5).flat_map(|_| [unavailable(), created(CHAT)]));
    let policy = RetryPolicy::default().budget(1);
    let client = builder(&server, &VirtualClock::new()).retry(policy).build().unwrap();
    for _ in 0..5 {
        assert_eq!(client.create_chat(new_chat()).with_response().await.unwrap().attempts(), 2);
    }
}

#[tokio::test]
async fn ten_successes_pay_for_one_retry() {
    let successes = |count| (0..count).map(|_| created(CHAT));
    let failures = |count| (0..count).map(|_| unavailable());
    let script = failures(2).chain(successes(9)).chain(failures(1)).chain(successes(1)).chain(failures(3));
    let server = Server::start(script);
    let policy = RetryPolicy::default().budget(1);
    let client = builder(&server, &VirtualClock::new()).retry(policy).build().unwrap();
    let attempts_of_a_failure = async || client.create_chat(new_chat()).await.unwrap_err().attempts();
    assert_eq!(attempts_of_a_failure().await, 2);
    for _ in 0..9 {
        client.create_chat(new_chat()).await.unwrap();
    }
    assert_eq!(attempts_of_a_failure().await, 1, "nine successes are not enough");
    client.create_chat(new_chat()).await.unwrap();
    assert_eq!(attempts_of_a_failure().await, 2);
    assert_eq!(attempts_of_a_failure().await, 1);
}

#[tokio::test]
async fn retry_after_as_a_date_is_counted_from_the_answers_own_date() {
    // The local clock differs by years from the server's.
    let headers = [("Date", "Wed, 15 Jan 2025 10:30:00 GMT"), ("Retry-After", "Wed, 15 Jan 2025 10:30:07 GMT")];
    let clock = VirtualClock::new();
    let server = Server::start([answer(503, &headers, ""), created(CHAT)]);
    let client = builder(&server, &clock).build().unwrap();
    client.create_chat(new_chat()).await.unwrap();
    assert_eq!(clock.sleeps(), [MS(7_250)]);
}

#[tokio::test]
async fn without_retries_there_is_one_attempt() {
    let server = Server::start([unavailable(), created(CHAT)]);
    let client = builder(&server, &VirtualClock::new()).retry(RetryPolicy::never()).build().unwrap();
    assert_eq!(client.create_chat(new_chat()).await.unwrap_err().attempts(), 1);
    assert_eq!(server.requests().len(), 1);
}

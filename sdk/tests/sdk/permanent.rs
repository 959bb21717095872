//! Permanent failures: attempted once, and described.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use parlor_sdk::{Client, Error, ErrorKind, NewChat, RetryStop};

use crate::KEY;
use crate::clock::VirtualClock;
use crate::server::{CHAT, Server, answer, created, problem};
use crate::{builder, client};

fn new_chat() -> NewChat {
    NewChat::new("user123")
}

/// Opens a port that reads once from each connection and responds with these bytes. Also returns a counter of
/// connections.
fn port(bytes: Vec<u8>) -> (u16, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            counted.fetch_add(1, Ordering::SeqCst);
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let _ = stream.read(&mut [0; 16 * 1024]);
            let _ = stream.write_all(&bytes);
            // The client closes first, so that a reset does not discard the bytes.
            let _ = stream.shutdown(std::net::Shutdown::Write);
            while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
        }
    });
    (port, count)
}

async fn failure_of(scheme: &str, bytes: Vec<u8>) -> Error {
    let (port, connections) = port(bytes);
    let client =
        Client::builder(format!("{scheme}://localhost:{port}"), KEY).clock(VirtualClock::new()).build().unwrap();
    let error = client.create_chat(new_chat()).await.unwrap_err();
    assert_eq!(connections.load(Ordering::SeqCst), 1, "{error:?}");
    assert_eq!((error.attempts(), error.retry_stop()), (1, Some(RetryStop::NotRetryable)), "{error:?}");
    assert!(!error.is_retryable());
    error
}

#[tokio::test]
async fn https_to_an_http_port_is_explained() {
    let error = failure_of("https", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".to_vec()).await;
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.to_string().contains("must begin with http://"), "{error}");
    assert!(!error.was_maybe_processed());
}

#[tokio::test]
async fn a_tls_alert_is_explained() {
    // handshake_failure, protocol_version, unrecognized_name, access_denied
    for alert in [40, 70, 112, 49] {
        let error = failure_of("https", vec![21, 3, 3, 0, 2, 2, alert]).await;
        assert_eq!(error.kind(), ErrorKind::Connect, "{alert}");
        assert!(error.to_string().contains("rejected the TLS handshake"), "{error}");
    }
}

#[tokio::test]
async fn http_to_a_tls_port_is_explained() {
    let error = failure_of("http", vec![21, 3, 3, 0, 2, 2, 70]).await;
    assert!(error.to_string().contains("must begin with https://"), "{error}");
}

#[tokio::test]
async fn oversized_response_headers_are_explained() {
    let head = format!("HTTP/1.1 200 OK\r\nX-Padding: {}\r\n\r\n", "x".repeat(1024 * 1024));
    let error = failure_of("http", head.into_bytes()).await;
    assert!(error.to_string().contains("larger than the SDK accepts"), "{error}");
}

#[tokio::test]
async fn statuses_407_and_431_are_explained() {
    for (status, words) in [(407, "the proxy requires credentials"), (431, "the request headers are larger")] {
        let server = Server::start([answer(status, &[], ""), created(CHAT)]);
        let error = client(&server).create_chat(new_chat()).await.unwrap_err();
        assert_eq!((error.attempts(), server.requests().len()), (1, 1));
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn predicates_match_the_status() {
    type Question = fn(&Error) -> bool;
    let questions: [(&str, Question); 10] = [
        ("invalid_request", Error::is_invalid_request),
        ("unauthorized", Error::is_unauthorized),
        ("forbidden", Error::is_forbidden),
        ("not_found", Error::is_not_found),
        ("conflict", Error::is_conflict),
        ("rate_limited", Error::is_rate_limited),
        ("payload_too_large", Error::is_payload_too_large),
        ("unavailable", Error::is_unavailable),
        ("server_error", Error::is_server_error),
        ("timeout", Error::is_timeout),
    ];
    for (status, expected) in [
        (400, &["invalid_request"][..]),
        (401, &["unauthorized"]),
        (403, &["forbidden"]),
        (404, &["not_found"]),
        (408, &["timeout"]),
        (409, &["conflict"]),
        (413, &["payload_too_large"]),
        (429, &["rate_limited"]),
        (500, &["server_error"]),
        (503, &["unavailable", "server_error"]),
        (504, &["server_error", "timeout"]),
    ] {
        let server = Server::start((0..3).map(|_| problem(status, "x")));
        let error = client(&server).create_chat(new_chat()).await.unwrap_err();
        let answered: Vec<_> =
            questions.iter().filter(|(_, question)| question(&error)).map(|(name, _)| *name).collect();
        assert_eq!(answered, expected, "{status}");
        assert_eq!(error.headers().unwrap()["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn the_error_says_why_a_call_was_not_repeated() {
    let unavailable = || problem(503, "unavailable");
    let late = || answer(503, &[("Retry-After", "31")], "");
    for (script, seconds, budget, stop, words) in [
        (vec![unavailable(), unavailable(), unavailable()], 60, 9, RetryStop::AttemptsExhausted, "no attempts left"),
        (vec![unavailable(), unavailable()], 60, 1, RetryStop::BudgetExhausted, "retry budget is exhausted"),
        (vec![answer(503, &[("Retry-After", "9")], "")], 5, 9, RetryStop::DeadlineReached, "no time left"),
        (vec![late()], 60, 9, RetryStop::RetryAfterTooLong, "Retry-After exceeds"),
        (vec![problem(404, "chat_not_found")], 60, 9, RetryStop::NotRetryable, "not retryable"),
    ] {
        let server = Server::start(script);
        let policy = parlor_sdk::RetryPolicy::default().budget(budget);
        let client = builder(&server, &VirtualClock::new()).retry(policy).build().unwrap();
        let error = client.create_chat(new_chat()).timeout(Duration::from_secs(seconds)).await.unwrap_err();
        assert_eq!(error.retry_stop(), Some(stop));
        assert!(error.to_string().contains(words), "{error}");
    }
}

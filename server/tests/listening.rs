//! HTTP on the wire: heads that do not come, and requests that are odd or none.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use parlor_server::{
    clock::SystemClock,
    config::{HttpLimits, Limits},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{KEY, TestDatabase, TestServer, raw};

/// Longer than anything takes; a test that waits so long has failed.
const DEADLINE: Duration = Duration::from_secs(20);

/// Sends `bytes` and returns what comes until the server closes the connection.
async fn until_closed(address: SocketAddr, bytes: &[u8]) -> String {
    timeout(DEADLINE, raw(address, bytes)).await.expect("the server closes the connection")
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let database = TestDatabase::create().await;
    let limits = Limits::from(HttpLimits { head: Duration::from_millis(100), ..HttpLimits::default() });
    let server = TestServer::start_with(database.url(), limits, Arc::new(SystemClock)).await;
    for slow in [b"GET /healthz HTTP/1.1\r\nHost:".as_slice(), b"", b"G"] {
        until_closed(server.address, slow).await;
    }
    server.client().get("/healthz", 200).await;
    server.stop().await;
}

/// What is wrong or odd in HTTP itself: a request, the status and the code of its answer, after which the connection is
/// closed. A code of "" stands for a success.
fn odd_requests() -> Vec<(String, u16, &'static str)> {
    let get = |headers: &str| format!("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    let hosted = |host: &str| format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let post = |headers: &str, body: &str| {
        format!(
            "POST /api/v1/chats/ HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n{headers}\r\n{body}"
        )
    };
    let chunks = "f\r\n{\"user_id\":\"u\"}\r\n0\r\n\r\n";
    let chat = r#"{"user_id":"u"}"#;
    // What a server that reads another length would take for a second request.
    let smuggled = "GET /nope HTTP/1.1\r\nHost: x\r\n\r\n";
    vec![
        // Not HTTP, or not this one.
        ("this is not HTTP\r\n\r\n".to_owned(), 400, "invalid_request"),
        ("\u{16}\u{3}\u{1}".to_owned(), 400, "invalid_request"),
        ("GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n".to_owned(), 400, "invalid_request"),
        ("GET / HTTP/7.3\r\nHost: x\r\n\r\n".to_owned(), 400, "invalid_request"),
        (get(&"X: y\r\n".repeat(200)), 431, "head_too_large"),
        (get(&format!("X: {}\r\n", "y".repeat(40_000))), 431, "head_too_large"),
        (format!("GET /{} HTTP/1.1\r\n", "y".repeat(40_000)), 431, "head_too_large"),
        // One host.
        ("GET /healthz HTTP/1.1\r\n\r\n".to_owned(), 400, "invalid_request"),
        (get("Host: y\r\n"), 400, "invalid_request"),
        (hosted(""), 200, ""),
        (hosted("example.org:8000"), 200, ""),
        (hosted("example.org:"), 200, ""),
        (hosted("[::1]:8000"), 200, ""),
        (hosted("a b"), 400, "invalid_request"),
        (hosted("a,b"), 200, ""),
        (hosted("user@x"), 400, "invalid_request"),
        (hosted("user:secret@x:80"), 400, "invalid_request"),
        (hosted("http://x"), 400, "invalid_request"),
        (hosted("x/path"), 400, "invalid_request"),
        (hosted("x?query"), 400, "invalid_request"),
        (hosted("x:port"), 400, "invalid_request"),
        (hosted("x:99999"), 400, "invalid_request"),
        (hosted("x:+80"), 400, "invalid_request"),
        (hosted(":80"), 400, "invalid_request"),
        (hosted("x_y~z"), 200, ""),
        (hosted("[::1]:+80"), 400, "invalid_request"),
        (hosted("[::1"), 400, "invalid_request"),
        (hosted("::1"), 400, "invalid_request"),
        (hosted("é"), 400, "invalid_request"),
        ("GET /healthz HTTP/1.0\r\n\r\n".to_owned(), 200, ""),
        // Transfer codings.
        (post("Transfer-Encoding: gzip, chunked\r\n", chunks), 501, "not_implemented"),
        (post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", chunks), 501, "not_implemented"),
        (post("Transfer-Encoding: chunked, chunked\r\n", chunks), 501, "not_implemented"),
        (post("Transfer-Encoding: identity, chunked\r\n", chunks), 501, "not_implemented"),
        // Where the body ends is unknown (RFC 9112, section 6.3).
        (post("Transfer-Encoding: gzip\r\n", smuggled), 400, "invalid_request"),
        (post("Transfer-Encoding: chunked, gzip\r\n", smuggled), 400, "invalid_request"),
        (post("Transfer-Encoding: xchunked\r\n", smuggled), 400, "invalid_request"),
        (post("Transfer-Encoding: chunked\r\n", chunks).replace("HTTP/1.1", "HTTP/1.0"), 400, "invalid_request"),
        (post("Transfer-Encoding: CHUNKED\r\nConnection: close\r\n", chunks), 201, ""),
        (post("Transfer-Encoding: chunked\r\nConnection: close\r\n", "zz\r\n"), 400, "invalid_request"),
        (post("Transfer-Encoding: chunked\r\nConnection: close\r\n", "ffffffffffffffff1\r\n"), 400, "invalid_request"),
        // Lengths. With both, the chunks count, and nothing behind them is read.
        (post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", &format!("{chunks}{smuggled}")), 201, ""),
        (post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", &format!("{chunks}{smuggled}")), 201, ""),
        (post("Content-Length: x\r\n", chat), 400, "invalid_request"),
        (post("Content-Length: -1\r\n", chat), 400, "invalid_request"),
        (post("Content-Length: +15\r\n", chat), 400, "invalid_request"),
        (post("Content-Length: 15, 15\r\n", chat), 400, "invalid_request"),
        (post("Content-Length: 15\r\nContent-Length: 16\r\n", chat), 400, "invalid_request"),
        (post("Content-Length: 99999999999999999999\r\n", chat), 400, "invalid_request"),
        (post("Content-Length: 15\r\nContent-Length: 15\r\nConnection: close\r\n", chat), 201, ""),
        // An expectation that is unknown may be ignored (RFC 9110, section 10.1.1).
        (post("Content-Length: 15\r\nExpect: the-unexpected\r\nConnection: close\r\n", chat), 201, ""),
        // Fields.
        (get("X: a\r\n b\r\n"), 400, "invalid_request"),
        (get("X: a\u{0}b\r\n"), 400, "invalid_request"),
        (get("X: a\rb\r\n"), 400, "invalid_request"),
        (get("X : a\r\n"), 400, "invalid_request"),
        ("GET /healthz HTTP/1.1\nHost: x\nConnection: close\n\n".to_owned(), 200, ""),
        // Targets.
        (get("").replace("/healthz", "http://example.com/healthz"), 200, ""),
        (get("").replace("GET /healthz", "OPTIONS *"), 404, "not_found"),
        (get("").replace("GET /healthz", "CONNECT example.com:80"), 404, "not_found"),
        (get("").replace("/healthz", "healthz"), 404, "not_found"),
    ]
}

#[tokio::test]
async fn what_is_odd_in_http_gets_one_right_answer_and_an_end() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    for (request, status, code) in odd_requests() {
        let shown = &request[..request.len().min(300)];
        let answer = until_closed(server.address, request.as_bytes()).await;
        let version = if request.contains("HTTP/1.0") && status < 400 { "HTTP/1.0" } else { "HTTP/1.1" };
        assert!(answer.starts_with(&format!("{version} {status} ")), "{shown:?}: {answer}");
        let answers = answer.matches("HTTP/1.1 ").count() + answer.matches("HTTP/1.0 ").count();
        assert_eq!(answers, 1, "one answer to {shown:?}: {answer}");
        if code.is_empty() {
            continue;
        }
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\ncontent-type: application/problem+json\r\n"), "{shown:?}: {answer}");
        let problem: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)), "{shown:?}");
        let id = problem["request_id"].as_str().unwrap();
        assert!(head.contains(&format!("\r\nx-request-id: {id}")), "{shown:?}: {answer}");
        assert_eq!(problem.get("errors").is_some(), status == 400, "{shown:?}");
    }
    server.client().get("/healthz", 200).await;
    server.stop().await;
}

#[tokio::test]
async fn an_error_behind_a_request_is_answered_after_it() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let requests = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nthis is not HTTP\r\n\r\n";
    let answer = until_closed(server.address, requests.as_bytes()).await;
    let statuses: Vec<_> = answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "400"], "{answer}");
    assert!(answer.contains("invalid_request"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_head_is_answered_like_its_get_without_the_body() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let head = server.client().send(reqwest::Method::HEAD, "/healthz", None, 200).await;
    assert!(head.body.is_empty());
    let answer = until_closed(server.address, b"HEAD /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    server.stop().await;
}

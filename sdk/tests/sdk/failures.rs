//! The errors of failed calls.

use std::error::Error as StdError;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ::ring::rand::SystemRandom;
use ::ring::signature::Ed25519KeyPair;
use parlor_sdk::{Client, Code, ErrorKind, NewChat, RetryPolicy};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection};
use tokio::net::{TcpSocket, TcpStream};

use crate::clock::VirtualClock;
use crate::server::{CHAT, Server, answer, created, problem, raw};
use crate::{KEY, builder, client};

fn new_chat() -> NewChat {
    NewChat::new("user123")
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

#[tokio::test]
async fn the_servers_problem_is_kept() {
    let server = Server::start([problem(400, "invalid_request")]);
    let error = client(&server).create_chat(new_chat()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Status);
    assert_eq!(error.status().unwrap().as_u16(), 400);
    assert_eq!(error.code(), Some(&Code::InvalidRequest));
    assert_eq!(error.request_id(), Some("request-1"));
    assert_eq!(error.body(), None);
    let problem = error.problem().unwrap();
    assert_eq!((problem.type_uri.as_str(), problem.title.as_str()), ("about:blank", "Scripted"));
    assert_eq!((problem.status, problem.detail.as_str()), (400, "Scripted detail."));
    assert_eq!((problem.errors[0].pointer.as_str(), problem.errors[0].detail.as_str()), ("/user_id", "is too short"));
    assert_eq!(
        error.to_string(),
        "create_chat: 400 invalid_request: Scripted detail. [/user_id: is too short] (request request-1, not retryable)"
    );
}

#[tokio::test]
async fn a_body_other_than_a_problem_document_is_kept() {
    let server = Server::start([answer(403, &[("Content-Type", "text/html")], "<h1>Forbidden</h1>")]);
    let error = client(&server).create_chat(new_chat()).await.unwrap_err();
    assert_eq!(error.body(), Some("<h1>Forbidden</h1>"));
    assert!(error.problem().is_none() && error.code().is_none() && error.request_id().is_none());
    assert!(error.to_string().contains("403 Forbidden without a problem document"), "{error}");
}

#[tokio::test]
async fn an_error_response_with_an_incomplete_body_keeps_its_status() {
    let server = Server::start([raw("HTTP/1.1 401 Unauthorized\r\nContent-Length: 100\r\n\r\n{\"type")]);
    let error = client(&server).create_chat(new_chat()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Status, 1));
    assert_eq!(error.body(), Some("{\"type"));
}

#[tokio::test]
async fn the_body_of_an_error_response_is_bounded() {
    let endless = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: 999999999\r\n\r\n{}", "x".repeat(200_000));
    let server = Server::start([raw(endless)]);
    let error = client(&server).create_chat(new_chat()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Status);
    assert_eq!(error.body().unwrap().len(), 16 * 1024);
}

#[tokio::test]
async fn an_oversized_problem_document_is_not_parsed() {
    let endless = format!(r#"{{"code":"internal","detail":"{}"}}"#, "x".repeat(70_000));
    let server = Server::start([answer(400, &[("Content-Type", "application/problem+json")], &endless)]);
    let error = client(&server).create_chat(new_chat()).await.unwrap_err();
    assert!(error.problem().is_none());
    assert!(error.body().unwrap().starts_with(r#"{"code":"internal""#));
}

#[tokio::test]
async fn an_undecodable_success_is_not_retried_and_may_have_been_processed() {
    for garbage in ["", "<h1>Welcome</h1>", "{}", &CHAT.replace("a1b2c3d4-", "")] {
        let server = Server::start([answer(201, &[("X-Request-Id", "request-9")], garbage), created(CHAT)]);
        let error = client(&server).create_chat(new_chat()).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Decode, 1));
        assert_eq!(error.status().unwrap().as_u16(), 201);
        assert_eq!(error.request_id(), Some("request-9"));
        assert_eq!(error.body().unwrap_or_default(), garbage);
        assert!(error.was_maybe_processed() && !error.is_retryable());
        assert!(causes(&error).any(<dyn StdError>::is::<serde_json::Error>));
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_oversized_success_is_an_error() {
    let chunked =
        format!("HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n{}\r\n0\r\n\r\n", "x".repeat(2048));
    let endless = format!("HTTP/1.1 201 Created\r\nContent-Length: 999999999\r\n\r\n{}", "x".repeat(2048));
    for oversized in [chunked, endless] {
        let server = Server::start([raw(oversized)]);
        let client = builder(&server, &VirtualClock::new()).max_response_bytes(1024).build().unwrap();
        let error = client.create_chat(new_chat()).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::TooLarge, 1));
        assert!(error.to_string().contains("1024 bytes"), "{error}");
        assert!(error.was_maybe_processed() && !error.is_retryable());
    }
}

#[tokio::test]
async fn a_body_as_large_as_the_bound_is_read() {
    let server = Server::start([created(CHAT)]);
    let client = builder(&server, &VirtualClock::new()).max_response_bytes(CHAT.len()).build().unwrap();
    client.create_chat(new_chat()).await.unwrap();
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let target = Server::start([created(CHAT)]);
        let server = Server::start([answer(status, &[("Location", target.url())], "")]);
        let error = client(&server).create_chat(new_chat()).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Redirect, 1));
        assert_eq!(error.status().unwrap().as_u16(), status);
        assert!(error.to_string().contains(target.url()), "{error}");
        assert!(target.requests().is_empty(), "the key must not be sent there");
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_processed() {
    // Bound but not listening: no other process gets the port, and connections are refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let client = Client::builder(&url, KEY).clock(VirtualClock::new()).build().unwrap();
    let error = client.create_chat(new_chat()).await.unwrap_err();

    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Connect, 3));
    assert!(error.is_retryable() && !error.was_maybe_processed());
    assert!(error.to_string().contains(&url), "{error}");
    let io = causes(&error).find_map(|cause| cause.downcast_ref::<io::Error>()).expect("the cause is kept");
    assert_eq!(io.kind(), io::ErrorKind::ConnectionRefused);
    assert!(causes(&error).all(|cause| !cause.is::<reqwest::Error>()), "{error:?}");
    assert!(!format!("{error:?}").contains("/api/"), "the path may contain a user id: {error:?}");
}

#[tokio::test]
async fn a_rejected_certificate_is_not_retried() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let server = thread::spawn(move || {
        let mut connection = ServerConnection::new(Arc::new(invalid_certificate())).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        connection.complete_io(&mut stream).expect_err("the client ends the handshake")
    });
    let client = Client::builder(url, KEY).clock(VirtualClock::new()).build().unwrap();
    let error = client.create_chat(new_chat()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Connect, 1));
    assert!(!error.is_retryable() && !error.was_maybe_processed());
    assert!(format!("{error:?}").contains("invalid peer certificate"), "{error:?}");
    assert!(server.join().unwrap().to_string().contains("alert"), "the handshake reached the certificate");
}

/// A TLS server with an invalid certificate.
fn invalid_certificate() -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let key = provider.key_provider.load_private_key(PrivatePkcs8KeyDer::from(key.as_ref().to_vec()).into()).unwrap();
    let certified = CertifiedKey::new(vec![CertificateDer::from(b"none".to_vec())], key);
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
}

#[tokio::test]
async fn a_connection_that_is_not_accepted_times_out() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Nothing accepts the connections, so the next one waits for ever once the backlog is full.
    let mut queue = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
        assert!(queue.len() < 100, "the backlog has no limit");
        queue.push(stream.unwrap());
    }
    let client = Client::builder(format!("http://{address}"), KEY)
        .connect_timeout(Duration::from_millis(50))
        .retry(RetryPolicy::never())
        .build()
        .unwrap();
    let error = client.create_chat(new_chat()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(!error.was_maybe_processed());
}

#[tokio::test]
async fn an_earlier_attempt_may_have_been_processed() {
    // The server stops after the first request.
    let server = Server::start([raw("")]);
    let error = client(&server).create_chat(new_chat()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Connect, 3));
    assert!(error.was_maybe_processed());
    assert_eq!(error.idempotency_key(), server.requests()[0].header("idempotency-key"));
}

#[tokio::test]
async fn a_broken_connection_keeps_its_cause() {
    let server = Server::start([raw("HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n{")]);
    let client = builder(&server, &VirtualClock::new()).retry(RetryPolicy::never()).build().unwrap();
    let error = client.create_chat(new_chat()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert!(causes(&error).count() >= 2, "{error:?}");
    assert!(causes(&error).all(|cause| !cause.is::<reqwest::Error>()), "{error:?}");
}

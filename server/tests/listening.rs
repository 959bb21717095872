//! Connections: bounded in number and in how long they may take to say what they want.

use std::{sync::Arc, time::Duration};

use parlor_server::{clock::SystemClock, config::Limits};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{TestDatabase, TestServer, raw};

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

async fn served(stream: &mut TcpStream) -> bool {
    stream.write_all(HEALTH).await.unwrap();
    let mut start = [0; 15];
    stream.read_exact(&mut start).await.unwrap();
    &start == b"HTTP/1.1 200 OK"
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_place() {
    let database = TestDatabase::create().await;
    let limits = Limits { connections: 2, ..Limits::default() };
    let server = TestServer::start_with(database.url(), limits, Arc::new(SystemClock)).await;
    let connect = || TcpStream::connect(server.address);
    let (mut one, mut two) = (connect().await.unwrap(), connect().await.unwrap());
    assert!(served(&mut one).await && served(&mut two).await);
    let mut three = connect().await.unwrap();
    three.write_all(HEALTH).await.unwrap();
    let mut first = [0; 1];
    let waited = tokio::time::timeout(Duration::from_millis(100), three.read_exact(&mut first)).await;
    assert!(waited.is_err(), "there is no place yet");
    drop(one);
    three.read_exact(&mut first).await.unwrap();
    drop((two, three));
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let database = TestDatabase::create().await;
    let limits = Limits { head: Duration::from_millis(100), ..Limits::default() };
    let server = TestServer::start_with(database.url(), limits, Arc::new(SystemClock)).await;
    // Returns when the server closes; a server that waited would hang the test.
    for slow in [b"GET /healthz HTTP/1.1\r\nHost:".as_slice(), b"", b"G"] {
        raw(server.address, slow).await;
    }
    server.client().get("/healthz", 200).await;
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_does_no_harm() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    for (bytes, status) in [
        (b"this is not HTTP\r\n\r\n".to_vec(), "HTTP/1.1 400 "),
        (b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n".to_vec(), "HTTP/1.1 400 "),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n".to_vec(), "HTTP/1.1 400 "),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(200)).into_bytes(), "HTTP/1.1 431 "),
    ] {
        let answer = raw(server.address, &bytes).await;
        assert!(answer.starts_with(status), "{answer:?}");
    }
    server.client().get("/healthz", 200).await;
    server.stop().await;
}

#[tokio::test]
async fn a_head_is_answered_like_its_get_without_the_body() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let head = server.client().send(reqwest::Method::HEAD, "/healthz", None, 200).await;
    assert!(head.body.is_empty());
    let answer = raw(server.address, b"HEAD /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    server.stop().await;
}

//! Stopping: what was accepted is finished, what comes later is not accepted.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use parlor_server::{
    clock::SystemClock,
    config::{HttpLimits, Limits},
};
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::support::{Client, KEY, Live, ServerProcess, TestDatabase, TestServer, WriteLock};

/// Waits until a request has reached the writer.
async fn until_in_flight(metrics: &Client) {
    // The writer has taken it off its queue and waits for the lock; the request is counted when it is answered.
    loop {
        let text = String::from_utf8(metrics.get("/metrics", 200).await.body).unwrap();
        if text.contains("parlor_http_requests_in_flight 2\n") {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn each_signal_to_stop_finishes_what_was_accepted_and_accepts_no_more() {
    for name in ["TERM", "INT", "HUP"] {
        let database = TestDatabase::create().await;
        let process = ServerProcess::start(database.url());
        let client = Client::new(process.address).key(KEY);
        let lock = WriteLock::take(&database).await;
        let request = tokio::spawn({
            let client = client.clone();
            async move { client.create_chat(&json!({ "user_id": "u" }), 201).await }
        });
        until_in_flight(&Client::new(process.address)).await;
        process.signal(name);
        while TcpStream::connect(process.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(!request.is_finished(), "the accepted request still waits for the database");
        lock.release().await;
        assert!(request.await.unwrap().json()["id"].is_string());
        assert!(process.wait().success());
        assert_eq!(database.count("SELECT COUNT(*) AS n FROM chats").await, 1);
    }
}

#[tokio::test]
async fn a_hangup_that_is_ignored_at_the_start_stays_ignored() {
    let database = TestDatabase::create().await;
    let mut command = Command::new("nohup");
    command
        .arg(env!("CARGO_BIN_EXE_parlor"))
        .env_clear()
        .env("DATABASE_URL", database.url())
        .env("PARLOR_LISTEN", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let process = ServerProcess::spawn(&mut command);
    process.signal("HUP");
    // A signal that is not ignored has been taken by the time of the second answer.
    for _ in 0..2 {
        Client::new(process.address).get("/readyz", 200).await;
    }
    process.finish();
}

/// A server that stops in half a minute, and has been told to.
async fn stopping(database: &TestDatabase) -> (ServerProcess, Client) {
    let mut command = ServerProcess::command(database.url());
    command.env("PARLOR_BOOTSTRAP_API_KEY", KEY).args(["--drain-delay", "30s"]);
    let process = ServerProcess::spawn(&mut command);
    let client = Client::new(process.address).key(KEY);
    client.get("/readyz", 200).await;
    process.signal("TERM");
    let not_ready = async {
        while client.attempt(reqwest::Method::GET, "/readyz", None).await.unwrap().0 != 503 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), not_ready).await.expect("/readyz tells of the stop");
    (process, client)
}

#[tokio::test]
async fn during_the_drain_delay_everything_is_served_but_readiness() {
    let database = TestDatabase::create().await;
    let (process, client) = stopping(&database).await;
    let answer = client.get("/readyz", 503).await;
    assert_eq!(answer.problem(), "unavailable");
    assert!(answer.json()["detail"].as_str().unwrap().contains("stopping"));
    // New connections, reads, writes and live connections.
    let client = Client::new(process.address).key(KEY);
    client.get("/healthz", 200).await;
    let id = client.new_chat("u").await;
    let headers = [("X-API-Key", KEY), ("X-User-ID", "u"), ("X-Chat-ID", &id)];
    let mut live = Live::ask(process.address, "/ws/chat", &headers).await.unwrap();
    live.event("connection_established").await;
    client.send_message(&id, &json!({ "content": "x" }), 201).await;
    live.event("message_created").await;
    // The second signal does not wait for the delay.
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(130));
}

#[tokio::test]
async fn after_the_drain_delay_the_port_closes() {
    let database = TestDatabase::create().await;
    let process = ServerProcess::spawn(ServerProcess::command(database.url()).args(["--drain-delay", "100ms"]));
    process.signal("TERM");
    let closed = async {
        while TcpStream::connect(process.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), closed).await.expect("the port closes");
    assert!(process.wait().success());
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let database = TestDatabase::create().await;
    let process = ServerProcess::start(database.url());
    let client = Client::new(process.address).key(KEY);
    let lock = WriteLock::take(&database).await;
    let request = tokio::spawn(async move {
        let body = json!({ "user_id": "u" }).to_string().into_bytes();
        client.attempt(reqwest::Method::POST, "/api/v1/chats/", Some(body)).await.is_err()
    });
    until_in_flight(&Client::new(process.address)).await;
    process.signal("TERM");
    while TcpStream::connect(process.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(130));
    assert!(request.await.unwrap(), "the request was cut off");
    lock.release().await;
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    server.client().get("/healthz", 200).await;
    server.stop().await;
}

/// Neither of these is work of the server's.
#[tokio::test]
async fn what_a_peer_does_not_finish_does_not_hold_up_the_end() {
    let database = TestDatabase::create().await;
    let half_a_body = format!(
        "POST /api/v1/chats/ HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n\
         Content-Length: 1000\r\n\r\n{{"
    );
    for (name, bytes) in [
        ("half a head", "GET /healthz HTTP/1.1\r\nHost:"),
        ("half a second head", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET"),
        ("half a body", &half_a_body),
        ("an answer that is not taken", "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"),
    ] {
        for trickles in [false, true] {
            let server = TestServer::start(&database).await;
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(bytes.as_bytes()).await.unwrap();
            server.client().get("/healthz", 200).await;
            // A byte now and then is no progress.
            let (reader, mut writer) = stream.into_split();
            let peer = tokio::spawn(async move {
                let mut byte = [0];
                let mut pieces = if trickles { usize::MAX } else { 0 };
                while pieces > 0 {
                    pieces -= 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    _ = reader.try_read(&mut byte);
                    if writer.write_all(b"x").await.is_err() {
                        break;
                    }
                }
                // Open until the server has stopped.
                std::future::pending::<()>().await;
                drop((reader.readable().await, writer));
            });
            let stopped = tokio::time::timeout(Duration::from_secs(15), server.stop()).await;
            assert!(stopped.is_ok(), "{name}, trickles: {trickles}");
            peer.abort();
        }
    }
}

#[tokio::test]
async fn a_request_that_never_finishes_is_cut_off_after_the_drain_time() {
    let database = TestDatabase::create().await;
    let limits = Limits::from(HttpLimits { drain: Duration::from_millis(100), ..HttpLimits::default() });
    let server = TestServer::start_with(database.url(), limits, Arc::new(SystemClock)).await;
    let lock = WriteLock::take(&database).await;
    let client = server.client();
    let request = tokio::spawn(async move {
        let body = json!({ "user_id": "u" }).to_string().into_bytes();
        client.attempt(reqwest::Method::POST, "/api/v1/chats/", Some(body)).await.is_err()
    });
    until_in_flight(&Client::new(server.address)).await;
    server.begin_shutdown();
    assert!(request.await.unwrap(), "the request was cut off");
    lock.release().await;
    server.stopped().await;
}

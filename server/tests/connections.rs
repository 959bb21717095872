//! Connections that wait for their peers: they do not keep others out, are closed in time, and hold bounded memory.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use parlor_server::{
    app::BoundPort,
    clock::SystemClock,
    config::{HttpLimits, Limits},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use crate::support::{Client, KEY, TestDatabase, TestServer, WriteLock};

/// Longer than anything takes; a test that waits so long has failed.
const DEADLINE: Duration = Duration::from_secs(30);
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

/// The ways to wait for a peer, each as what the peer sends before it falls silent.
fn silences() -> [(&'static str, String); 6] {
    [
        ("nothing", String::new()),
        ("half a head", "GET /healthz HTTP/1.1\r\nHost:".to_owned()),
        ("an idle connection", HEALTH.to_owned()),
        ("half a second head", format!("{HEALTH}GET /heal")),
        ("half a body", half_a_body()),
        ("an answer that is not taken", LARGE.to_owned()),
    ]
}

/// A file that no socket's buffers hold.
const LARGE: &str = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n";

fn half_a_body() -> String {
    format!(
        "POST /api/v1/chats/ HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n\
         Content-Length: 1000\r\n\r\n{{"
    )
}

async fn start(database: &TestDatabase, limits: Limits) -> TestServer {
    let server = TestServer::start_with(database.url(), limits, Arc::new(SystemClock)).await;
    // The server then remembers the key, so that a request waits for its body without having waited for the database.
    let mut stream = connect(&server, 254).await;
    let known = format!("GET /api/v1/chats/ HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nConnection: close\r\n\r\n");
    stream.write_all(known.as_bytes()).await.unwrap();
    until_closed(stream).await;
    server
}

/// Connects from 127.0.0.`last`, with a small buffer for what comes.
async fn connect(server: &TestServer, last: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
    timeout(DEADLINE, socket.connect(server.address)).await.expect("the server accepts").unwrap()
}

/// Connects, sends `bytes`, and waits until the server has read them and, as it may, begun to answer.
async fn fall_silent(server: &TestServer, last: u8, bytes: &str) -> TcpStream {
    let mut stream = connect(server, last).await;
    stream.write_all(bytes.as_bytes()).await.unwrap();
    if bytes.ends_with("\r\n\r\n") {
        timeout(DEADLINE, stream.readable()).await.expect("an answer begins").unwrap();
    }
    // Long enough for the order in which the connections wait.
    sleep(Duration::from_millis(20)).await;
    stream
}

/// Whether the server answers a request on a new connection from 127.0.0.`last`.
async fn is_served(server: &TestServer, last: u8) -> bool {
    let mut stream = connect(server, last).await;
    stream.write_all(HEALTH.as_bytes()).await.unwrap();
    let mut start = [0; 15];
    timeout(DEADLINE, stream.read_exact(&mut start)).await.expect("an answer or an end").is_ok()
        && &start == b"HTTP/1.1 200 OK"
}

/// Reads until the server closes the connection; a reset is as good as an end.
async fn until_closed(mut stream: TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    _ = timeout(DEADLINE, stream.read_to_end(&mut read)).await.expect("the server closes the connection");
    read
}

/// Whether the connection is open, for all that can be known without waiting.
async fn is_open(stream: &mut TcpStream) -> bool {
    let mut sink = vec![0; 64 * 1024];
    loop {
        match timeout(Duration::from_millis(50), stream.read(&mut sink)).await {
            Err(_) => return true,
            Ok(Ok(0) | Err(_)) => return false,
            Ok(Ok(_)) => {}
        }
    }
}

#[tokio::test]
async fn at_the_limit_of_an_address_the_longest_waiting_connection_makes_room() {
    let database = TestDatabase::create().await;
    let server =
        start(&database, Limits::from(HttpLimits { connections_per_address: 2, ..HttpLimits::default() })).await;
    for (name, bytes) in silences() {
        let first = fall_silent(&server, 2, &bytes).await;
        let mut second = fall_silent(&server, 2, &bytes).await;
        assert!(is_served(&server, 3).await, "{name}: another address is not concerned");
        assert!(is_served(&server, 2).await, "{name}: the address itself is served");
        until_closed(first).await;
        // An answer that goes on being taken shows nothing.
        assert!(bytes == LARGE || is_open(&mut second).await, "{name}: one connection is enough");
    }
    server.stop().await;
}

#[tokio::test]
async fn at_the_total_limit_the_address_with_the_most_connections_makes_room() {
    let database = TestDatabase::create().await;
    let server = start(&database, Limits::from(HttpLimits { connections: 4, ..HttpLimits::default() })).await;
    let mut other = fall_silent(&server, 3, "").await;
    let first = fall_silent(&server, 2, "").await;
    let (mut second, mut third) = (fall_silent(&server, 2, "").await, fall_silent(&server, 2, "").await);
    assert!(is_served(&server, 4).await);
    until_closed(first).await;
    for stream in [&mut other, &mut second, &mut third] {
        assert!(is_open(stream).await);
    }
    server.stop().await;
}

/// Starts requests that wait for the database, from 127.0.0.2, and returns when the server works on them.
async fn requests_in_flight(server: &TestServer, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for user in 0..count {
        let body = json!({ "user_id": format!("user{user}") }).to_string();
        let mut stream = connect(server, 2).await;
        let request = format!(
            "POST /api/v1/chats/ HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    // Asked from 127.0.0.1, and in flight itself.
    Client::new(server.address).until_metric(&format!("parlor_http_requests_in_flight {}", count + 1)).await;
    streams
}

async fn all_are_created(streams: Vec<TcpStream>) {
    for mut stream in streams {
        let mut start = [0; 12];
        timeout(DEADLINE, stream.read_exact(&mut start)).await.expect("an answer").unwrap();
        assert_eq!(&start, b"HTTP/1.1 201");
    }
}

#[tokio::test]
async fn a_connection_that_the_server_works_for_is_never_displaced() {
    let database = TestDatabase::create().await;
    let server =
        start(&database, Limits::from(HttpLimits { connections_per_address: 2, ..HttpLimits::default() })).await;
    let lock = WriteLock::take(&database).await;
    let working = requests_in_flight(&server, 2).await;
    for _ in 0..10 {
        until_closed(connect(&server, 2).await).await;
    }
    lock.release().await;
    all_are_created(working).await;
    server.stop().await;
}

#[tokio::test]
async fn while_the_server_works_for_as_many_connections_as_there_may_be_another_waits() {
    let database = TestDatabase::create().await;
    // Two that work, and the one that asks for the metrics, which is displaced by the one that waits.
    let server = start(&database, Limits::from(HttpLimits { connections: 3, ..HttpLimits::default() })).await;
    let lock = WriteLock::take(&database).await;
    let mut working = requests_in_flight(&server, 2).await;
    let body = json!({ "user_id": "third" }).to_string();
    let third = Client::new(server.address).key(KEY);
    let third = tokio::spawn(async move { third.create_chat_from(body, 201).await });
    let mut waiting = connect(&server, 3).await;
    // The third displaces the idle one; so does this connection, or it waits, as long as the third is not in flight.
    waiting.write_all(HEALTH.as_bytes()).await.unwrap();
    lock.release().await;
    let mut start = [0; 15];
    timeout(DEADLINE, waiting.read_exact(&mut start)).await.expect("an answer").unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    all_are_created(std::mem::take(&mut working)).await;
    _ = third.await;
    server.stop().await;
}

#[tokio::test]
async fn of_connections_that_hold_too_much_memory_the_longest_waiting_is_closed() {
    let database = TestDatabase::create().await;
    // Room for two requests.
    let server =
        start(&database, Limits::from(HttpLimits { connection_bytes: 60 * 1024, ..HttpLimits::default() })).await;
    let first = fall_silent(&server, 2, &half_a_body()).await;
    let mut second = fall_silent(&server, 3, &half_a_body()).await;
    let mut third = fall_silent(&server, 4, &half_a_body()).await;
    until_closed(first).await;
    assert!(is_open(&mut second).await && is_open(&mut third).await);
    server.stop().await;
}

#[tokio::test]
async fn connections_between_two_requests_go_on_when_memory_is_short() {
    let database = TestDatabase::create().await;
    let server =
        start(&database, Limits::from(HttpLimits { connection_bytes: 60 * 1024, ..HttpLimits::default() })).await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(connect(&server, 2).await);
    }
    let mut answer = vec![0; 4 * 1024];
    for _ in 0..3 {
        for stream in &mut streams {
            stream.write_all(HEALTH.as_bytes()).await.unwrap();
            let length = timeout(DEADLINE, stream.read(&mut answer)).await.expect("an answer").unwrap();
            assert!(answer[..length].starts_with(b"HTTP/1.1 200 OK"));
        }
    }
    server.stop().await;
}

/// Sends a byte of a body every 20 ms until the server closes the connection, and returns what it has answered.
async fn trickled(stream: TcpStream) -> Vec<u8> {
    let (mut answers, mut body) = stream.into_split();
    let trickle = tokio::spawn(async move {
        while body.write_all(b" ").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    _ = timeout(DEADLINE, answers.read_to_end(&mut answer)).await.expect("the server closes the connection");
    timeout(DEADLINE, trickle).await.expect("the connection is closed").unwrap();
    answer
}

/// Asserts that a body was refused with 400 and this `detail`, and the connection closed.
fn assert_late(answer: Vec<u8>, detail: &str) {
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("connection: close\r\n"), "{answer}");
    let problem: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(problem["code"], "invalid_request");
    assert_eq!(problem["errors"], json!([{ "pointer": "", "detail": detail }]));
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_answered_and_the_connection_closed() {
    let database = TestDatabase::create().await;
    let server =
        start(&database, Limits::from(HttpLimits { body: Duration::from_millis(200), ..HttpLimits::default() })).await;
    let silent = fall_silent(&server, 2, &half_a_body()).await;
    let chunked = half_a_body()
        .replace("Content-Length: 1000", "Transfer-Encoding: chunked")
        .replace("\r\n\r\n{", "\r\n\r\n1\r\n{\r\n");
    let chunked = fall_silent(&server, 2, &chunked).await;
    let slow = trickled(fall_silent(&server, 2, &half_a_body()).await);
    let (silent, chunked, slow) = tokio::join!(until_closed(silent), until_closed(chunked), slow);
    for answer in [silent, chunked, slow] {
        assert_late(answer, "did not arrive within 0.2 seconds");
    }
    assert!(is_served(&server, 2).await);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_pauses_or_trickles_is_answered_long_before_the_bound_of_the_whole() {
    let database = TestDatabase::create().await;
    let limits = Limits::from(HttpLimits {
        body_pause: Duration::from_millis(300),
        body_rate: 1_000_000,
        ..HttpLimits::default()
    });
    let server = start(&database, limits).await;
    let silent = fall_silent(&server, 2, &half_a_body()).await;
    let slow = trickled(fall_silent(&server, 2, &half_a_body()).await);
    let (silent, slow) = tokio::join!(until_closed(silent), slow);
    for answer in [silent, slow] {
        assert_late(
            answer,
            "arrived too slowly: at least 1000000 bytes per second are expected, and a pause of 0.3 seconds at most",
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_peer_that_does_not_take_its_answer_is_closed_however_little_it_takes() {
    let database = TestDatabase::create().await;
    let limits = Limits::from(HttpLimits {
        write: Duration::from_millis(300),
        write_rate: 1024 * 1024,
        ..HttpLimits::default()
    });
    let server = start(&database, limits).await;
    let silent = fall_silent(&server, 2, LARGE).await;
    let mut slow = fall_silent(&server, 2, LARGE).await;
    let taken = timeout(DEADLINE, async {
        let (mut taken, mut bytes) = (0, [0; 2048]);
        while let Ok(length @ 1..) = slow.read(&mut bytes).await {
            taken += length;
            sleep(Duration::from_millis(20)).await;
        }
        taken
    });
    let taken = taken.await.expect("the server closes the connection");
    assert!(taken < 1_000_000, "{taken} bytes");
    assert!(until_closed(silent).await.len() < 1_000_000);
    // One that takes it gets all of it.
    let whole = fall_silent(&server, 2, &LARGE.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
    assert!(until_closed(whole).await.len() > 1_000_000);
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_goes_on_after_hyper_has_given_it_back() {
    let database = TestDatabase::create().await;
    let server = start(&database, Limits::default()).await;
    let mut stream = connect(&server, 2).await;
    let mut answer = vec![0; 4 * 1024];
    // The second request's head comes in two halves, on either side of the second after which the connection is idle.
    for piece in ["", "GET /healthz HTTP/1.1\r\nHo"] {
        let rest = HEALTH.strip_prefix(piece).unwrap();
        stream.write_all(rest.as_bytes()).await.unwrap();
        let length = timeout(DEADLINE, stream.read(&mut answer)).await.expect("an answer").unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200 OK"));
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHo").await.unwrap();
        sleep(Duration::from_millis(1_500)).await;
    }
    assert!(is_open(&mut stream).await);
    server.stop().await;
}

#[tokio::test]
async fn a_burst_of_connections_waits_in_the_kernel() {
    let port = BoundPort::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = port.address();
    let _listener = port.listen().unwrap();
    let mut streams = Vec::new();
    // More than the 128 of a usual default; no more than an ordinary limit of descriptors allows.
    for _ in 0..300 {
        let connected = timeout(Duration::from_millis(900), TcpStream::connect(address)).await;
        streams.push(connected.expect("it does not wait for a second attempt").unwrap());
    }
}

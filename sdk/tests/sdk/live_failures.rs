//! Failures in live sessions, and failures that end them.

use std::time::Duration;

use futures_util::StreamExt;
use parlor_sdk::{Client, Code, Error, ErrorKind, Event, Receipt, Sender};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::clock::VirtualClock;
use crate::live::{client, connect, events_until, expect_events};
use crate::live_server::{CHAT_ID, LiveServer, TIME, created, received, refuse, serve, serve_then_stall};
use crate::server::{self, Server};
use crate::wait::with_timeout;
use crate::{KEY, builder};

const SECONDS: fn(u64) -> Duration = Duration::from_secs;

#[tokio::test]
async fn a_rejected_session_fails_like_a_call() {
    for (status, code) in [(400, Code::InvalidRequest), (401, Code::Unauthorized), (404, Code::ChatNotFound)] {
        let describe = match code {
            Code::InvalidRequest => "invalid_request",
            Code::Unauthorized => "unauthorized",
            _ => "chat_not_found",
        };
        let server = LiveServer::start([refuse(status, describe)]).await;
        let error = with_timeout(client(&server, &VirtualClock::new()).connect(CHAT_ID, "ada")).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Status, 1));
        assert_eq!((error.status().unwrap().as_u16(), error.code()), (status, Some(&code)));
        assert!(!error.is_retryable());
        assert!(error.to_string().starts_with("connect: "), "{error}");
        server.finish().await;
    }
}

#[tokio::test]
async fn the_first_connection_is_retried_like_a_call() {
    let clock = VirtualClock::new();
    let server = LiveServer::start((0..3).map(|_| refuse(503, "unavailable"))).await;
    let error = with_timeout(client(&server, &clock).connect(CHAT_ID, "ada")).await.unwrap_err();
    assert_eq!((error.status().unwrap().as_u16(), error.attempts()), (503, 3));
    assert!(error.is_retryable());
    assert_eq!(clock.sleeps().len(), 2);
    server.finish().await;

    let greeting = serve(async |mut peer| {
        peer.send_greeting(0, false).await;
        peer.receive_close().await;
    });
    let server = LiveServer::start([refuse(503, "unavailable"), greeting]).await;
    with_timeout(connect(&server).await.close()).await;
    server.finish().await;
}

#[tokio::test]
async fn a_server_that_does_not_speak_the_protocol_is_rejected() {
    let switched = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    for (step, message) in [
        (server::done("{}"), "not a WebSocket upgrade"),
        (server::raw(format!("{switched}\r\n")), "Sec-WebSocket-Accept"),
        (server::raw(format!("{switched}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")), "-Accept"),
    ] {
        let server = Server::start([step]);
        let client = builder(&server, &VirtualClock::new()).build().unwrap();
        let error = with_timeout(client.connect(CHAT_ID, "ada")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert!(error.to_string().contains(message), "{error}");
    }
    let server = LiveServer::start([serve(async |mut peer| peer.send(created(1, None)).await)]).await;
    let error = with_timeout(client(&server, &VirtualClock::new()).connect(CHAT_ID, "ada")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    server.finish().await;
}

#[tokio::test]
async fn every_final_close_code_ends_the_session_and_every_other_does_not() {
    for code in [1000, 1002, 1003, 1007, 1009, 4000, 4001, 4004, 4007] {
        let server = LiveServer::start([serve(async move |mut peer| {
            peer.send_greeting(0, false).await;
            peer.close(code).await;
        })])
        .await;
        let (sender, mut events) = connect(&server).await.split();
        expect_events(&mut events, &["connected false", &format!("error Closed None Some({code})"), "end"]).await;
        assert_eq!(with_timeout(sender.send("Hello?")).await.unwrap_err().kind(), ErrorKind::Closed);
        server.finish().await;
    }
    for code in [1001, 1008, 1011, 1012, 1013, 4008, 4009, 4010, 4099, 4100] {
        let server = LiveServer::start([
            serve(async move |mut peer| {
                peer.send_greeting(0, false).await;
                peer.close(code).await;
            }),
            serve(async |mut peer| {
                peer.send_greeting(0, true).await;
                peer.receive_close().await;
            }),
        ])
        .await;
        let (sender, mut events) = connect(&server).await.split();
        expect_events(&mut events, &["connected false", &format!("lost Closed({code})"), "connected true"]).await;
        with_timeout(sender.close()).await;
        server.finish().await;
    }
}

#[tokio::test]
async fn a_secret_in_a_close_reason_is_redacted() {
    let server = LiveServer::start([
        serve(async |mut peer| {
            peer.send_greeting(0, false).await;
            peer.close_because(1011, KEY).await;
        }),
        serve(async |mut peer| {
            peer.send_greeting(0, true).await;
            peer.close_because(4001, KEY).await;
        }),
    ])
    .await;
    let (_sender, events) = connect(&server).await.split();
    let texts =
        events.map(|event| event.map_or_else(|error| format!("{error} {error:?}"), |event| format!("{event:?}")));
    let seen = with_timeout(texts.collect::<Vec<_>>()).await.join("\n");
    assert!(seen.contains("1011") && seen.contains("4001") && seen.contains("***"), "{seen}");
    assert!(!seen.contains(KEY), "{seen}");
    server.finish().await;
}

#[tokio::test]
async fn a_session_survives_an_outage_but_not_the_deletion_of_its_chat() {
    let clock = VirtualClock::new();
    let server = LiveServer::start([
        serve(async |mut peer| peer.send_greeting(5, false).await),
        refuse(503, "unavailable"),
        refuse(429, "rate_limited"),
        refuse(500, "internal"),
        serve(async |mut peer| peer.send_greeting(5, true).await),
        refuse(404, "chat_not_found"),
    ])
    .await;
    let (sender, mut events) = with_timeout(client(&server, &clock).connect(CHAT_ID, "ada")).await.unwrap().split();
    // Consecutive failures that the application has not read yet are merged.
    for event in events_until(&mut events, "end").await {
        assert!(
            ["connected false", "connected true", "lost Broken", "lost Unreachable", "end"].contains(&event.as_str())
                || event == "error Status Some(404) None",
            "{event}"
        );
    }
    assert_eq!(server.positions(), [None, Some(5), Some(5), Some(5), Some(5), Some(5)]);
    let ms = |pauses: [u64; 5]| pauses.map(Duration::from_millis);
    assert_eq!(clock.sleeps(), ms([125, 250, 500, 1_000, 2_000]), "neither connection was stable");
    drop(sender);
    server.finish().await;
}

#[tokio::test]
async fn a_rejected_message_is_an_error_of_its_sender() {
    let server = LiveServer::start([serve(async |mut peer| {
        peer.send_greeting(0, false).await;
        let error = |code: &str, retryable: bool, id: Option<&str>| {
            json!({"event_type": "error", "timestamp": TIME, "code": code, "message": "No.", "retryable": retryable,
                "client_message_id": id})
        };
        let name = peer.receive_message().await;
        peer.send(error("chat_closed", false, Some(&name))).await;
        peer.send(error("assistant_failed", false, None)).await;
        peer.receive_close().await;
    })])
    .await;
    let (sender, mut events) = connect(&server).await.split();
    let error = with_timeout(sender.send("Hello?")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, Some(&Code::ChatClosed)));
    assert!(!error.is_retryable() && !error.was_maybe_processed());
    assert!(error.client_message_id().is_some());
    expect_events(&mut events, &["connected false"]).await;
    let Some(Ok(Event::Error(error))) = with_timeout(events.next()).await else { panic!() };
    assert_eq!((error.code, error.message.as_str()), (Code::AssistantFailed, "No."));
    with_timeout(sender.close()).await;
    server.finish().await;
}

#[tokio::test]
async fn a_temporarily_rejected_message_is_resent() {
    let clock = VirtualClock::new();
    let time = clock.clone();
    let server = LiveServer::start([serve(async move |mut peer| {
        peer.send_greeting(0, false).await;
        let name = peer.receive_message().await;
        peer.send(json!({"event_type": "error", "timestamp": TIME, "code": "unavailable", "message": "Later.",
            "retryable": true, "client_message_id": name}))
            .await;
        // Shows that the client has read the rejection: only then does its delay begin.
        peer.send(created(1, None)).await;
        assert_eq!(peer.receive().await, json!({"type": "typing"}));
        time.advance(SECONDS(1));
        assert_eq!(peer.receive_message().await, name);
        peer.send(received(2, &name)).await;
        peer.receive_close().await;
    })])
    .await;
    let (sender, mut events) = with_timeout(client(&server, &clock).connect(CHAT_ID, "ada")).await.unwrap().split();
    let message = sender.send("Hello?");
    let sending = tokio::spawn(async move { message.await });
    expect_events(&mut events, &["connected false", "created 1"]).await;
    sender.typing();
    assert_eq!(with_timeout(sending).await.unwrap().unwrap().seq, 2);
    with_timeout(sender.close()).await;
    server.finish().await;
}

#[tokio::test]
async fn a_message_times_out() {
    let clock = VirtualClock::new();
    let time = clock.clone();
    let server = LiveServer::start([serve_then_stall(async move |mut peer| {
        peer.send_greeting(0, false).await;
        peer.receive_message().await;
        time.advance(SECONDS(5));
        peer
    })])
    .await;
    let session = with_timeout(client(&server, &clock).connect(CHAT_ID, "ada")).await.unwrap();
    let error = with_timeout(session.send("Hello?").client_message_id("m-1").timeout(SECONDS(5))).await.unwrap_err();
    assert_eq!((error.kind(), error.client_message_id()), (ErrorKind::Timeout, Some("m-1")));
    assert!(error.is_retryable() && error.was_maybe_processed());
    assert!(!error.to_string().contains("not read"), "{error}");
    server.finish().await;
}

#[tokio::test]
async fn a_timeout_because_of_unread_events_says_so() {
    let clock = VirtualClock::new();
    let time = clock.clone();
    // Before and after the connection is closed because of the unread events.
    for passes in [SECONDS(3), SECONDS(5)] {
        let time = time.clone();
        let server = LiveServer::start([serve_then_stall(async move |mut peer| {
            peer.send_greeting(0, false).await;
            let name = peer.receive_message().await;
            peer.send(received(1, &name)).await;
            time.advance(passes);
            peer
        })])
        .await;
        let connect = client(&server, &clock).connect(CHAT_ID, "ada").buffer_bytes(1);
        let session = with_timeout(connect).await.unwrap();
        let error = with_timeout(session.send("Hello?").timeout(passes)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().contains("the session's events are not read"), "{error}");
        assert!(error.was_maybe_processed());
        server.finish().await;
    }
}

#[tokio::test]
async fn a_written_message_may_have_been_stored_if_the_runtime_shuts_down() {
    let (heard, is_heard) = oneshot::channel();
    let server = LiveServer::start([serve_then_stall(async |mut peer| {
        peer.send_greeting(0, false).await;
        peer.receive_message().await;
        heard.send(()).unwrap();
        peer
    })])
    .await;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let connect = client(&server, &VirtualClock::new()).connect(CHAT_ID, "ada");
    let session = with_timeout(runtime.spawn(connect.into_future())).await.unwrap().unwrap();
    // Without its runtime, a session may try to reconnect for some virtual time before it is dropped.
    let sending = tokio::spawn(session.send("Hello?").timeout(Duration::MAX).into_future());
    with_timeout(is_heard).await.unwrap();
    runtime.shutdown_background();
    let error = with_timeout(sending).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.was_maybe_processed());
    let error = with_timeout(session.send("Hello?")).await.unwrap_err();
    assert_eq!((error.kind(), error.was_maybe_processed()), (ErrorKind::Closed, false));
    server.finish().await;
}

#[tokio::test]
async fn an_invalid_message_is_not_sent() {
    let server = LiveServer::start([serve(async |mut peer| {
        peer.send_greeting(0, false).await;
        assert_eq!(peer.receive_close().await, Some(1000));
    })])
    .await;
    let session = connect(&server).await;
    for (message, expected) in [
        (session.send("x".repeat(524_288)), "524288"),
        (session.send("x").metadata([1]), "an array"),
        (session.send("x").client_message_id(""), "1 to 128"),
        (session.send("x").client_message_id("é".repeat(129)), "1 to 128"),
        (session.send("x").client_message_id("a\nb"), "control"),
    ] {
        let error = with_timeout(message).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidCall);
        assert!(!error.was_maybe_processed());
        assert!(error.to_string().contains(expected), "{error}");
    }
    with_timeout(session.close()).await;
    server.finish().await;
}

#[tokio::test]
async fn an_event_that_is_too_large_ends_the_session() {
    let server = LiveServer::start([serve(async |mut peer| {
        peer.send_greeting(0, false).await;
        let mut large = created(1, None);
        large["message"]["content"] = "x".repeat(1_000).into();
        peer.send(large).await;
        peer.receive_close().await;
    })])
    .await;
    let client = Client::builder(server.url(), KEY).max_response_bytes(1_000).build().unwrap();
    let (_sender, mut events) = with_timeout(client.connect(CHAT_ID, "ada")).await.unwrap().split();
    expect_events(&mut events, &["connected false", "error TooLarge None None", "end"]).await;
    server.finish().await;
}

#[tokio::test]
async fn a_cancellation_is_not_sent_later() {
    let server = LiveServer::start([
        serve(async |mut peer| peer.send_greeting(0, false).await),
        serve_then_stall(async |peer| peer),
    ])
    .await;
    let (sender, mut events) = connect(&server).await.split();
    expect_events(&mut events, &["connected false", "lost Broken"]).await;
    let error = with_timeout(sender.cancel()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    with_timeout(sender.close()).await;
    server.finish().await;
}

/// Sends as many messages as may be unacknowledged, each with a timeout of five seconds, and waits until they are
/// queued.
async fn fill_outbox(sender: &Sender) -> Vec<JoinHandle<Result<Receipt, Error>>> {
    let message = |number| sender.send("Hello?").client_message_id(format!("m-{number}")).timeout(SECONDS(5));
    let sending = (0..64).map(|number| tokio::spawn(message(number).into_future())).collect();
    // The outbox cannot be observed. On this single thread, each yield lets every task make progress.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    sending
}

#[tokio::test]
async fn a_cancellation_is_not_sent_later_if_the_outbox_is_full() {
    let server = LiveServer::start([
        serve(async |mut peer| peer.send_greeting(0, false).await),
        // The connection is not open without a greeting.
        serve(async |mut peer| assert_eq!(peer.receive_close().await, None)),
    ])
    .await;
    let (sender, mut events) = connect(&server).await.split();
    expect_events(&mut events, &["connected false", "lost Broken"]).await;
    let sending = fill_outbox(&sender).await;
    let error = with_timeout(sender.cancel()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    with_timeout(sender.close()).await;
    for sent in sending {
        let error = with_timeout(sent).await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.was_maybe_processed()), (ErrorKind::Closed, false));
    }
    server.finish().await;
}

#[tokio::test]
async fn timed_out_messages_make_room_for_others() {
    let clock = VirtualClock::new();
    let (heard, is_heard) = oneshot::channel();
    let server = LiveServer::start([serve(async |mut peer| {
        peer.send_greeting(0, false).await;
        for number in 0..64 {
            assert_eq!(peer.receive_message().await, format!("m-{number}"));
        }
        heard.send(()).unwrap();
        assert_eq!(peer.receive_message().await, "after");
        peer.send(received(1, "after")).await;
        assert_eq!(peer.receive_close().await, Some(1000));
    })])
    .await;
    let session = with_timeout(client(&server, &clock).connect(CHAT_ID, "ada")).await.unwrap();
    let sending = fill_outbox(&session.sender()).await;
    with_timeout(is_heard).await.unwrap();
    // Five seconds are less than the ping interval: a ping would make the session check the outbox.
    clock.advance(SECONDS(5));
    for sent in sending {
        assert_eq!(with_timeout(sent).await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    }
    assert_eq!(with_timeout(session.send("Hello?").client_message_id("after")).await.unwrap().seq, 1);
    with_timeout(session.close()).await;
    server.finish().await;
}

#[tokio::test]
async fn debug_output_does_not_contain_the_key() {
    let server = LiveServer::start([serve(async |mut peer| {
        peer.send_greeting(0, false).await;
        peer.close(4001).await;
    })])
    .await;
    let connect = client(&server, &VirtualClock::new()).connect(CHAT_ID, "ada");
    let mut shown = vec![format!("{connect:?}")];
    let mut session = with_timeout(connect).await.unwrap();
    shown.push(format!("{session:?} {:?} {:?}", session.sender(), session.send("x")));
    shown.extend(with_timeout((&mut session).map(|event| format!("{event:?}")).collect::<Vec<_>>()).await);
    let shown = shown.join("\n");
    assert!(!shown.contains(KEY), "{shown}");
    assert!(shown.contains("4001"), "{shown}");
    server.finish().await;
}

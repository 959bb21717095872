//! What ends a live session, or fails in one.

use std::time::Duration;

use parlor_sdk::{Client, Code, Error, ErrorKind, Event, Receipt, Sender};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::clock::VirtualClock;
use crate::live::{are_told, client, connect, told};
use crate::live_server::{CHAT_ID, LiveServer, TIME, created, fall_silent, patiently, received, refuse, talk};
use crate::server::{self, Server};
use crate::{KEY, builder};

const SECONDS: fn(u64) -> Duration = Duration::from_secs;

#[tokio::test]
async fn a_session_that_is_refused_is_an_error_like_that_of_a_call() {
    for (status, code) in [(400, Code::InvalidRequest), (401, Code::Unauthorized), (404, Code::ChatNotFound)] {
        let word = match code {
            Code::InvalidRequest => "invalid_request",
            Code::Unauthorized => "unauthorized",
            _ => "chat_not_found",
        };
        let server = LiveServer::start([refuse(status, word)]).await;
        let error = patiently(client(&server, &VirtualClock::new()).connect(CHAT_ID, "ada")).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Status, 1));
        assert_eq!((error.status().unwrap().as_u16(), error.code()), (status, Some(&code)));
        assert!(!error.is_retryable());
        assert!(error.to_string().starts_with("connect: "), "{error}");
        server.finish().await;
    }
}

#[tokio::test]
async fn the_first_connection_is_tried_as_often_as_a_call() {
    let clock = VirtualClock::new();
    let server = LiveServer::start((0..3).map(|_| refuse(503, "unavailable"))).await;
    let error = patiently(client(&server, &clock).connect(CHAT_ID, "ada")).await.unwrap_err();
    assert_eq!((error.status().unwrap().as_u16(), error.attempts()), (503, 3));
    assert!(error.is_retryable());
    assert_eq!(clock.sleeps().len(), 2);
    server.finish().await;

    let greeting = talk(async |mut peer| {
        peer.greet(0, false).await;
        peer.hear_goodbye().await;
    });
    let server = LiveServer::start([refuse(503, "unavailable"), greeting]).await;
    connect(&server).await.close().await;
    server.finish().await;
}

#[tokio::test]
async fn what_does_not_speak_the_protocol_is_refused() {
    let switched = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    for (step, message) in [
        (server::done("{}"), "not a WebSocket upgrade"),
        (server::raw(format!("{switched}\r\n")), "Sec-WebSocket-Accept"),
        (server::raw(format!("{switched}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")), "-Accept"),
    ] {
        let server = Server::start([step]);
        let client = builder(&server, &VirtualClock::new()).build().unwrap();
        let error = patiently(client.connect(CHAT_ID, "ada")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert!(error.to_string().contains(message), "{error}");
    }
    let server = LiveServer::start([talk(async |mut peer| peer.say(created(1, None)).await)]).await;
    let error = patiently(client(&server, &VirtualClock::new()).connect(CHAT_ID, "ada")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    server.finish().await;
}

#[tokio::test]
async fn every_final_close_code_ends_the_session_and_every_other_does_not() {
    for code in [1000, 1002, 1003, 1007, 1009, 4000, 4001, 4004, 4007] {
        let server = LiveServer::start([talk(async move |mut peer| {
            peer.greet(0, false).await;
            peer.close(code).await;
        })])
        .await;
        let (sender, mut events) = connect(&server).await.split();
        are_told(&mut events, &["connected false", &format!("error Closed None Some({code})"), "end"]).await;
        assert_eq!(patiently(sender.send("Hello?")).await.unwrap_err().kind(), ErrorKind::Closed);
        server.finish().await;
    }
    for code in [1001, 1008, 1011, 1012, 1013, 4008, 4009, 4010, 4099, 4100] {
        let server = LiveServer::start([
            talk(async move |mut peer| {
                peer.greet(0, false).await;
                peer.close(code).await;
            }),
            talk(async |mut peer| {
                peer.greet(0, true).await;
                peer.hear_goodbye().await;
            }),
        ])
        .await;
        let (sender, mut events) = connect(&server).await.split();
        are_told(&mut events, &["connected false", &format!("lost Closed({code})"), "connected true"]).await;
        sender.close().await;
        server.finish().await;
    }
}

#[tokio::test]
async fn a_secret_in_the_reason_of_a_close_is_neither_kept_nor_printed() {
    let server = LiveServer::start([
        talk(async |mut peer| {
            peer.greet(0, false).await;
            peer.close_because(1011, KEY).await;
        }),
        talk(async |mut peer| {
            peer.greet(0, true).await;
            peer.close_because(4001, KEY).await;
        }),
    ])
    .await;
    let (_sender, mut events) = connect(&server).await.split();
    let mut seen = Vec::new();
    while let Some(event) = patiently(events.next()).await {
        seen.push(event.map_or_else(|error| format!("{error} {error:?}"), |event| format!("{event:?}")));
    }
    let seen = seen.join("\n");
    assert!(seen.contains("1011") && seen.contains("4001") && seen.contains("***"), "{seen}");
    assert!(!seen.contains(KEY), "{seen}");
    server.finish().await;
}

#[tokio::test]
async fn a_session_outlasts_a_server_that_is_away_but_not_its_chat() {
    let clock = VirtualClock::new();
    let server = LiveServer::start([
        talk(async |mut peer| peer.greet(5, false).await),
        refuse(503, "unavailable"),
        refuse(429, "rate_limited"),
        refuse(500, "internal"),
        talk(async |mut peer| peer.greet(5, true).await),
        refuse(404, "chat_not_found"),
    ])
    .await;
    let (sender, mut events) = patiently(client(&server, &clock).connect(CHAT_ID, "ada")).await.unwrap().split();
    let mut last = String::new();
    while last != "end" {
        let next = told(&mut events).await;
        // Failures that the application has not seen before the next one are told as one.
        assert!(
            ["connected false", "connected true", "lost Broken", "lost Unreachable", "end"].contains(&next.as_str())
                || next == "error Status Some(404) None",
            "{next}"
        );
        last = next;
    }
    assert_eq!(server.positions(), [None, Some(5), Some(5), Some(5), Some(5), Some(5)]);
    let ms = |pauses: [u64; 5]| pauses.map(Duration::from_millis);
    assert_eq!(clock.sleeps(), ms([125, 250, 500, 1_000, 2_000]), "neither connection lasted");
    drop(sender);
    server.finish().await;
}

#[tokio::test]
async fn a_refused_message_is_its_senders_affair() {
    let server = LiveServer::start([talk(async |mut peer| {
        peer.greet(0, false).await;
        let error = |code: &str, retryable: bool, id: Option<&str>| {
            json!({"event_type": "error", "timestamp": TIME, "code": code, "message": "No.", "retryable": retryable,
                "client_message_id": id})
        };
        let name = peer.hear_message().await;
        peer.say(error("chat_closed", false, Some(&name))).await;
        peer.say(error("assistant_failed", false, None)).await;
        peer.hear_goodbye().await;
    })])
    .await;
    let (sender, mut events) = connect(&server).await.split();
    let error = patiently(sender.send("Hello?")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, Some(&Code::ChatClosed)));
    assert!(!error.is_retryable() && !error.was_maybe_processed());
    assert!(error.client_message_id().is_some());
    are_told(&mut events, &["connected false"]).await;
    let Some(Ok(Event::Error(error))) = patiently(events.next()).await else { panic!() };
    assert_eq!((error.code, error.message.as_str()), (Code::AssistantFailed, "No."));
    sender.close().await;
    server.finish().await;
}

#[tokio::test]
async fn a_message_that_the_server_cannot_take_now_is_sent_again() {
    let clock = VirtualClock::new();
    let time = clock.clone();
    let server = LiveServer::start([talk(async move |mut peer| {
        peer.greet(0, false).await;
        let name = peer.hear_message().await;
        peer.say(json!({"event_type": "error", "timestamp": TIME, "code": "unavailable", "message": "Later.",
            "retryable": true, "client_message_id": name}))
            .await;
        // A sign that the refusal has been read: only then does the pause begin.
        peer.say(created(1, None)).await;
        assert_eq!(peer.hear().await, json!({"type": "typing"}));
        time.advance(SECONDS(1));
        assert_eq!(peer.hear_message().await, name);
        peer.say(received(2, &name)).await;
        peer.hear_goodbye().await;
    })])
    .await;
    let (sender, mut events) = patiently(client(&server, &clock).connect(CHAT_ID, "ada")).await.unwrap().split();
    let message = sender.send("Hello?");
    let sending = tokio::spawn(async move { message.await });
    are_told(&mut events, &["connected false", "created 1"]).await;
    sender.typing();
    assert_eq!(patiently(sending).await.unwrap().unwrap().seq, 2);
    sender.close().await;
    server.finish().await;
}

#[tokio::test]
async fn a_message_has_its_time() {
    let clock = VirtualClock::new();
    let time = clock.clone();
    let server = LiveServer::start([fall_silent(async move |mut peer| {
        peer.greet(0, false).await;
        peer.hear_message().await;
        time.advance(SECONDS(5));
        peer
    })])
    .await;
    let session = patiently(client(&server, &clock).connect(CHAT_ID, "ada")).await.unwrap();
    let error = patiently(session.send("Hello?").client_message_id("m-1").timeout(SECONDS(5))).await.unwrap_err();
    assert_eq!((error.kind(), error.client_message_id()), (ErrorKind::Timeout, Some("m-1")));
    assert!(error.is_retryable() && error.was_maybe_processed());
    assert!(!error.to_string().contains("not read"), "{error}");
    server.finish().await;
}

#[tokio::test]
async fn a_message_whose_acknowledgement_waits_behind_unread_events_says_so() {
    let clock = VirtualClock::new();
    let time = clock.clone();
    // Before and after the connection is given up because of that.
    for passes in [SECONDS(3), SECONDS(5)] {
        let time = time.clone();
        let server = LiveServer::start([fall_silent(async move |mut peer| {
            peer.greet(0, false).await;
            let name = peer.hear_message().await;
            peer.say(received(1, &name)).await;
            time.advance(passes);
            peer
        })])
        .await;
        let connect = client(&server, &clock).connect(CHAT_ID, "ada").buffer_bytes(1);
        let session = patiently(connect).await.unwrap();
        let error = patiently(session.send("Hello?").timeout(passes)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().contains("the session's events are not read"), "{error}");
        assert!(error.was_maybe_processed());
        server.finish().await;
    }
}

#[tokio::test]
async fn a_message_that_was_written_may_have_been_stored_even_if_the_runtime_of_the_session_is_gone() {
    let (heard, is_heard) = oneshot::channel();
    let server = LiveServer::start([fall_silent(async |mut peer| {
        peer.greet(0, false).await;
        peer.hear_message().await;
        heard.send(()).unwrap();
        peer
    })])
    .await;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let connect = client(&server, &VirtualClock::new()).connect(CHAT_ID, "ada");
    let session = patiently(runtime.spawn(connect.into_future())).await.unwrap().unwrap();
    // For ever: without its runtime, a session may try in vain to come back for some virtual time before it is gone.
    let sending = tokio::spawn(session.send("Hello?").timeout(Duration::MAX).into_future());
    patiently(is_heard).await.unwrap();
    runtime.shutdown_background();
    let error = patiently(sending).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.was_maybe_processed());
    let error = patiently(session.send("Hello?")).await.unwrap_err();
    assert_eq!((error.kind(), error.was_maybe_processed()), (ErrorKind::Closed, false));
    server.finish().await;
}

#[tokio::test]
async fn a_message_that_could_not_be_answered_is_not_sent() {
    let server = LiveServer::start([talk(async |mut peer| {
        peer.greet(0, false).await;
        assert_eq!(peer.hear_goodbye().await, Some(1000));
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
        let error = patiently(message).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidCall);
        assert!(!error.was_maybe_processed());
        assert!(error.to_string().contains(expected), "{error}");
    }
    session.close().await;
    server.finish().await;
}

#[tokio::test]
async fn an_event_that_is_too_large_ends_the_session() {
    let server = LiveServer::start([talk(async |mut peer| {
        peer.greet(0, false).await;
        let mut large = created(1, None);
        large["message"]["content"] = "x".repeat(1_000).into();
        peer.say(large).await;
        peer.hear_goodbye().await;
    })])
    .await;
    let client = Client::builder(server.url(), KEY).max_response_bytes(1_000).build().unwrap();
    let (_sender, mut events) = patiently(client.connect(CHAT_ID, "ada")).await.unwrap().split();
    are_told(&mut events, &["connected false", "error TooLarge None None", "end"]).await;
    server.finish().await;
}

#[tokio::test]
async fn nothing_is_cancelled_later() {
    let server =
        LiveServer::start([talk(async |mut peer| peer.greet(0, false).await), fall_silent(async |peer| peer)]).await;
    let (sender, mut events) = connect(&server).await.split();
    are_told(&mut events, &["connected false", "lost Broken"]).await;
    let error = patiently(sender.cancel()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    patiently(sender.close()).await;
    server.finish().await;
}

/// As many messages as may be without an answer, each with five seconds. They wait when this returns.
async fn send_all_that_may_wait(sender: &Sender) -> Vec<JoinHandle<Result<Receipt, Error>>> {
    let message = |number| sender.send("Hello?").client_message_id(format!("m-{number}")).timeout(SECONDS(5));
    let sending = (0..64).map(|number| tokio::spawn(message(number).into_future())).collect();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    sending
}

#[tokio::test]
async fn nothing_is_cancelled_later_however_much_waits_for_a_connection() {
    let server = LiveServer::start([
        talk(async |mut peer| peer.greet(0, false).await),
        // Without a greeting the connection is not open.
        talk(async |mut peer| assert_eq!(peer.hear_goodbye().await, None)),
    ])
    .await;
    let (sender, mut events) = connect(&server).await.split();
    are_told(&mut events, &["connected false", "lost Broken"]).await;
    let sending = send_all_that_may_wait(&sender).await;
    let error = patiently(sender.cancel()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    patiently(sender.close()).await;
    for sent in sending {
        let error = patiently(sent).await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.was_maybe_processed()), (ErrorKind::Closed, false));
    }
    server.finish().await;
}

#[tokio::test]
async fn messages_whose_time_is_over_make_room_for_others() {
    let clock = VirtualClock::new();
    let (heard, is_heard) = oneshot::channel();
    let server = LiveServer::start([talk(async |mut peer| {
        peer.greet(0, false).await;
        for number in 0..64 {
            assert_eq!(peer.hear_message().await, format!("m-{number}"));
        }
        heard.send(()).unwrap();
        assert_eq!(peer.hear_message().await, "after");
        peer.say(received(1, "after")).await;
        assert_eq!(peer.hear_goodbye().await, Some(1000));
    })])
    .await;
    let session = patiently(client(&server, &clock).connect(CHAT_ID, "ada")).await.unwrap();
    let sending = send_all_that_may_wait(&session.sender()).await;
    patiently(is_heard).await.unwrap();
    // No more than that: a ping, for one, would make the session look at what waits.
    clock.advance(SECONDS(5));
    for sent in sending {
        assert_eq!(patiently(sent).await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    }
    assert_eq!(patiently(session.send("Hello?").client_message_id("after")).await.unwrap().seq, 1);
    patiently(session.close()).await;
    server.finish().await;
}

#[tokio::test]
async fn nothing_that_is_printed_shows_the_key() {
    let server = LiveServer::start([talk(async |mut peer| {
        peer.greet(0, false).await;
        peer.close(4001).await;
    })])
    .await;
    let connect = client(&server, &VirtualClock::new()).connect(CHAT_ID, "ada");
    let mut shown = vec![format!("{connect:?}")];
    let mut session = patiently(connect).await.unwrap();
    shown.push(format!("{session:?} {:?} {:?}", session.sender(), session.send("x")));
    while let Some(event) = patiently(session.next()).await {
        shown.push(format!("{event:?}"));
    }
    let shown = shown.join("\n");
    assert!(!shown.contains(KEY), "{shown}");
    assert!(shown.contains("4001"), "{shown}");
    server.finish().await;
}

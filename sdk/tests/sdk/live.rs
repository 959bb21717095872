//! Live sessions without permanent failures.

use std::time::Duration;

use futures_util::future::join_all;
use parlor_sdk::{Client, DisconnectReason, ErrorKind, Event, Events, Session};
use serde_json::json;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;

use crate::KEY;
use crate::clock::VirtualClock;
use crate::live_server::{CHAT_ID, LiveServer, TIME, created, received, serve, serve_then_stall};
use crate::wait::{wait_until, with_timeout};

const SECONDS: fn(u64) -> Duration = Duration::from_secs;

pub(crate) fn client(server: &LiveServer, clock: &VirtualClock) -> Client {
    Client::builder(server.url(), KEY).clock(clock.clone()).randomness(|| 0.5).build().unwrap()
}

pub(crate) async fn connect(server: &LiveServer) -> Session {
    with_timeout(client(server, &VirtualClock::new()).connect(CHAT_ID, "ada")).await.unwrap()
}

/// Returns a short description of the next event.
pub(crate) async fn next_event(events: &mut Events) -> String {
    match with_timeout(events.next()).await {
        Some(Ok(event)) => describe(&event),
        Some(Err(error)) => format!("error {:?} {:?} {:?}", error.kind(), error.status(), error.close_code()),
        None => "end".to_owned(),
    }
}

/// Returns short descriptions of the next events, up to the one that is described by `last`.
pub(crate) async fn events_until(events: &mut Events, last: &str) -> Vec<String> {
    const LIMIT: usize = 100;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|event| event != last) {
        assert!(seen.len() < LIMIT, "`{last}` is not among the first {LIMIT} events: {seen:?}");
        seen.push(next_event(events).await);
    }
    seen
}

pub(crate) async fn expect_events(events: &mut Events, expected: &[&str]) {
    for expected in expected {
        assert_eq!(next_event(events).await, *expected);
    }
}

fn describe(event: &Event) -> String {
    match event {
        Event::Connected(connected) => format!("connected {}", connected.resumed),
        Event::Disconnected(lost) => format!("lost {:?}", lost.reason),
        Event::Gap(gap) => format!("gap {}..{}", gap.after_seq, gap.next_seq),
        Event::MessageReceived(received) => format!("received {}", received.seq),
        Event::MessageCreated(created) => format!("created {}", created.message.seq),
        Event::Unknown(unknown) => format!("unknown {}", unknown.event_type),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_session_identifies_itself_and_starts_at_the_last_seq() {
    let server = LiveServer::start([serve(async |mut peer| {
        peer.send_greeting(7, false).await;
        peer.send(created(8, None)).await;
        assert_eq!(peer.receive_close().await, Some(1000));
    })])
    .await;
    let client = Client::builder(server.url(), KEY)
        .header("X-Gateway-Token", "token")
        .header("Sec-WebSocket-Extensions", "permessage-deflate")
        .build()
        .unwrap();
    let mut session = with_timeout(client.connect(CHAT_ID, "Åda")).await.unwrap();
    assert_eq!(session.position(), 7);
    let Some(Ok(Event::Connected(connected))) = with_timeout(session.next()).await else { panic!() };
    assert_eq!((connected.user_id.as_str(), connected.last_seq, connected.resumed), ("ada", 7, false));
    let Some(Ok(Event::MessageCreated(created))) = with_timeout(session.next()).await else { panic!() };
    assert_eq!(created.message.metadata.as_str(), r#"{"n":8}"#);
    assert_eq!(session.position(), 8);
    with_timeout(session.close()).await;

    let handshake = server.handshakes().remove(0);
    assert_eq!(handshake.target, "/ws/chat?user_id=%C3%85da");
    for (name, value) in [
        ("x-api-key", KEY),
        ("x-user-id", ""),
        ("x-chat-id", "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d"),
        ("x-gateway-token", "token"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-extensions", ""),
    ] {
        assert_eq!(handshake.header(name), value, "{name}");
    }
    server.finish().await;
}

#[tokio::test]
async fn a_message_is_sent_and_acknowledged() {
    let server = LiveServer::start([serve(async |mut peer| {
        peer.send_greeting(0, false).await;
        let frame = peer.receive().await;
        assert_eq!(frame, json!({"content": "Hi!", "metadata": {"mood": "good"}, "client_message_id": "m-1"}));
        peer.send(received(1, "m-1")).await;
        let generated = peer.receive_message().await;
        assert_eq!(parlor_sdk::uuid::Uuid::parse_str(&generated).unwrap().get_version_num(), 4);
        peer.send(received(2, &generated)).await;
        assert_eq!(peer.receive().await, json!({"type": "typing"}));
        assert_eq!(peer.receive().await, json!({"type": "cancel"}));
        assert_eq!(peer.receive_close().await, Some(1000));
    })])
    .await;
    let session = connect(&server).await;
    let handshake = server.handshakes().remove(0);
    assert_eq!((handshake.target.as_str(), handshake.header("x-user-id")), ("/ws/chat", "ada"));
    let receipt = with_timeout(session.send("Hi!").metadata(json!({"mood": "good"})).client_message_id("m-1")).await;
    let receipt = receipt.unwrap();
    assert_eq!((receipt.seq, receipt.message_id.as_u128(), receipt.client_message_id.as_str()), (1, 1, "m-1"));
    assert_eq!(receipt.created_at.to_rfc3339(), "2024-01-15T10:31:00.123456+00:00");
    assert_eq!(with_timeout(session.send("Hi again!")).await.unwrap().seq, 2);
    session.typing();
    with_timeout(session.cancel()).await.unwrap();
    let (sender, mut events) = session.split();
    with_timeout(sender.close()).await;
    expect_events(&mut events, &["connected false", "received 1", "received 2", "end", "end"]).await;
    let error = with_timeout(sender.send("Too late.")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(!error.was_maybe_processed());
    assert_eq!(with_timeout(sender.cancel()).await.unwrap_err().kind(), ErrorKind::Closed);
    server.finish().await;
}

#[tokio::test]
async fn a_replayed_message_replaces_a_lost_acknowledgement() {
    let server = LiveServer::start([
        serve(async |mut peer| {
            peer.send_greeting(3, false).await;
            peer.send(created(4, None)).await;
            assert_eq!(peer.receive_message().await, "own");
        }),
        serve(async |mut peer| {
            peer.send_greeting(6, true).await;
            peer.send(created(5, None)).await;
            peer.send(created(6, Some("own"))).await;
            // It was resent before the replay arrived.
            assert_eq!(peer.receive_message().await, "own");
            peer.send(received(6, "own")).await;
            peer.send(created(7, None)).await;
            peer.receive_close().await;
        }),
    ])
    .await;
    let (sender, mut events) = connect(&server).await.split();
    expect_events(&mut events, &["connected false", "created 4"]).await;
    let receipt = with_timeout(sender.send("Did you get that?").client_message_id("own")).await.unwrap();
    assert_eq!(receipt.seq, 6);
    expect_events(&mut events, &["lost Broken", "connected true", "created 5", "created 6", "created 7"]).await;
    assert_eq!(server.positions(), [None, Some(4)]);
    with_timeout(sender.close()).await;
    server.finish().await;
}

#[tokio::test]
async fn duplicates_are_dropped_and_skipped_messages_requested_once() {
    let server = LiveServer::start([
        serve(async |mut peer| {
            assert_eq!(peer.handshake.after_seq(), Some(1));
            peer.send_greeting(2, true).await;
            for seq in [2, 2, 3, 2, 6, 5] {
                peer.send(created(seq, None)).await;
            }
            assert_eq!(peer.receive_close().await, Some(1001));
        }),
        serve(async |mut peer| {
            peer.send_greeting(6, true).await;
            for seq in [4, 6, 7] {
                peer.send(created(seq, None)).await;
            }
            assert_eq!(peer.receive_close().await, Some(1001));
        }),
        serve(async |mut peer| {
            peer.send_greeting(7, true).await;
            for seq in [6, 5, 7] {
                peer.send(created(seq, None)).await;
            }
        }),
        serve(async |mut peer| {
            peer.send_greeting(1, false).await;
            peer.send(created(2, None)).await;
            peer.receive_close().await;
        }),
    ])
    .await;
    let session =
        with_timeout(client(&server, &VirtualClock::new()).connect(CHAT_ID, "ada").after_seq(1)).await.unwrap();
    let (sender, mut events) = session.split();
    expect_events(&mut events, &["connected true", "created 2", "created 3", "lost Incomplete"]).await;
    expect_events(&mut events, &["connected true", "created 4", "lost Incomplete"]).await;
    expect_events(&mut events, &["connected true", "gap 4..6", "created 6", "created 7", "lost Broken"]).await;
    expect_events(&mut events, &["connected false", "gap 0..2", "created 2"]).await;
    assert_eq!(server.positions(), [Some(1), Some(3), Some(4), Some(7)]);
    assert_eq!(events.position(), 2);
    with_timeout(sender.close()).await;
    server.finish().await;
}

#[tokio::test]
async fn unknown_events_and_members_are_not_errors() {
    let server = LiveServer::start([serve(async |mut peer| {
        peer.send_greeting(0, false).await;
        peer.send(json!({"event_type": "reaction_added", "timestamp": TIME, "emoji": "x"})).await;
        peer.send(json!({"event_type": "message_stream_ended", "timestamp": TIME, "message_id": CHAT_ID,
            "chat_id": CHAT_ID, "content": "c", "seq": 1, "finish_reason": "length", "new": {}}))
            .await;
        peer.send_frame(Message::text("not JSON")).await;
        peer.send_frame(Message::binary([1, 2, 3].as_slice())).await;
        peer.send(json!({"event_type": "pong", "timestamp": TIME})).await;
        peer.send(created(2, None)).await;
        peer.receive_close().await;
    })])
    .await;
    let (sender, mut events) = connect(&server).await.split();
    expect_events(&mut events, &["connected false", "unknown reaction_added"]).await;
    let Some(Ok(Event::MessageStreamEnded(ended))) = with_timeout(events.next()).await else { panic!() };
    assert_eq!(ended.finish_reason.as_str(), "length");
    expect_events(&mut events, &["unknown ", "created 2"]).await;
    with_timeout(sender.close()).await;
    server.finish().await;
}

#[tokio::test]
async fn pings_go_both_ways_and_call_timeouts_do_not_end_a_session() {
    let clock = VirtualClock::new();
    let time = clock.clone();
    let server = LiveServer::start([serve(async move |mut peer| {
        peer.send_greeting(0, false).await;
        // The client has opened the connection, so the connect timeout no longer applies.
        assert_eq!(peer.receive().await, json!({"type": "typing"}));
        for _ in 0..10 {
            time.advance(SECONDS(30));
            let ping = peer.receive_frame().await;
            assert!(matches!(ping, Some(Message::Ping(_))), "{ping:?}");
            peer.send_frame(Message::Ping("p".into())).await;
            let pong = peer.receive_frame().await;
            assert!(matches!(pong, Some(Message::Pong(_))), "{pong:?}");
        }
        peer.send(created(1, None)).await;
        peer.receive_close().await;
    })])
    .await;
    let (sender, mut events) = with_timeout(client(&server, &clock).connect(CHAT_ID, "ada")).await.unwrap().split();
    sender.typing();
    expect_events(&mut events, &["connected false", "created 1"]).await;
    with_timeout(sender.close()).await;
    server.finish().await;
}

#[tokio::test]
async fn a_silent_connection_is_replaced() {
    let clock = VirtualClock::new();
    let server = LiveServer::start([
        serve_then_stall(async |mut peer| {
            peer.send_greeting(0, false).await;
            peer
        }),
        serve(async |mut peer| {
            peer.send_greeting(0, true).await;
            peer.receive_close().await;
        }),
    ])
    .await;
    let (sender, mut events) = with_timeout(client(&server, &clock).connect(CHAT_ID, "ada")).await.unwrap().split();
    expect_events(&mut events, &["connected false"]).await;
    clock.advance(SECONDS(60));
    expect_events(&mut events, &["lost Silent", "connected true"]).await;
    with_timeout(sender.close()).await;
    server.finish().await;
}

#[tokio::test]
async fn a_slow_reader_keeps_its_connection() {
    let server = LiveServer::start([serve(async |mut peer| {
        peer.send_greeting(0, false).await;
        for seq in 1..=100 {
            peer.send(created(seq, None)).await;
        }
        peer.receive_close().await;
    })])
    .await;
    let connect = client(&server, &VirtualClock::new()).connect(CHAT_ID, "ada").buffer_bytes(1);
    let (sender, mut events) = with_timeout(connect).await.unwrap().split();
    expect_events(&mut events, &["connected false"]).await;
    for seq in 1..=100 {
        assert_eq!(next_event(&mut events).await, format!("created {seq}"));
    }
    with_timeout(sender.close()).await;
    server.finish().await;
}

#[tokio::test]
async fn a_reader_that_pauses_continues_where_it_was() {
    let clock = VirtualClock::new();
    let time = clock.clone();
    let (gives_up, given_up) = oneshot::channel();
    let server = LiveServer::start([
        serve(async move |mut peer| {
            peer.send_greeting(2, true).await;
            peer.send(created(1, None)).await;
            peer.send(created(2, None)).await;
            let time_passes = wait_until("the client disconnects", || {
                time.advance(SECONDS(10));
                false
            });
            let code = tokio::select! { code = peer.receive_close() => code, () = time_passes => unreachable!() };
            assert_eq!(code, Some(1001));
            gives_up.send(()).unwrap();
        }),
        serve(async |mut peer| {
            let after_seq = peer.handshake.after_seq().unwrap();
            peer.send_greeting(2, true).await;
            for seq in after_seq + 1..=2 {
                peer.send(created(seq, None)).await;
            }
            peer.receive_close().await;
        }),
    ])
    .await;
    let connect = client(&server, &clock).connect(CHAT_ID, "ada").after_seq(0).buffer_bytes(1);
    let (sender, mut events) = with_timeout(connect).await.unwrap().split();
    // Nothing is read until the connection is closed.
    with_timeout(given_up).await.unwrap();
    let seen = events_until(&mut events, "created 2").await;
    assert_eq!(seen, ["connected true", "lost Overflow", "connected true", "created 1", "created 2"]);
    with_timeout(sender.close()).await;
    server.finish().await;
}

#[tokio::test]
async fn many_tasks_send_at_once() {
    let server = LiveServer::start([serve(async |mut peer| {
        peer.send_greeting(0, false).await;
        for seq in 1..=200 {
            let name = peer.receive_message().await;
            peer.send(received(seq, &name)).await;
        }
        assert_eq!(peer.receive_close().await, Some(1000));
    })])
    .await;
    let (sender, mut events) = connect(&server).await.split();
    let sent = (0..200).map(|number| {
        let sender = sender.clone();
        tokio::spawn(async move { sender.send(format!("message {number}")).await.unwrap().seq })
    });
    let mut seqs: Vec<_> = with_timeout(join_all(sent)).await.into_iter().map(Result::unwrap).collect();
    seqs.sort_unstable();
    assert!(seqs.into_iter().eq(1..=200));
    expect_events(&mut events, &["connected false"]).await;
    for seq in 1..=200 {
        assert_eq!(next_event(&mut events).await, format!("received {seq}"));
    }
    // Dropping all handles closes the session too.
    drop((sender, events));
    server.finish().await;
}

#[tokio::test]
async fn events_work_without_a_sender_and_sending_without_a_reader() {
    let server = LiveServer::start([serve(async |mut peer| {
        peer.send_greeting(0, false).await;
        peer.send(created(1, None)).await;
        peer.send(created(2, None)).await;
        assert_eq!(peer.receive_close().await, Some(1000));
    })])
    .await;
    let (sender, mut events) = connect(&server).await.split();
    drop(sender);
    expect_events(&mut events, &["connected false", "created 1", "created 2"]).await;
    drop(events);
    server.finish().await;

    let server = LiveServer::start([serve(async |mut peer| {
        peer.send_greeting(0, false).await;
        for seq in 1..=50 {
            peer.send(created(seq, None)).await;
        }
        let name = peer.receive_message().await;
        peer.send(received(51, &name)).await;
        assert_eq!(peer.receive_close().await, Some(1000));
    })])
    .await;
    let connect = client(&server, &VirtualClock::new()).connect(CHAT_ID, "ada").buffer_bytes(1);
    let (sender, events) = with_timeout(connect).await.unwrap().split();
    drop(events);
    assert_eq!(with_timeout(sender.send("Is anybody there?")).await.unwrap().seq, 51);
    drop(sender);
    server.finish().await;
}

#[tokio::test]
async fn closing_waits_for_pending_messages() {
    let server = LiveServer::start([serve(async |mut peer| {
        peer.send_greeting(0, false).await;
        let name = peer.receive_message().await;
        peer.send(received(1, &name)).await;
        assert_eq!(peer.receive_close().await, Some(1000));
    })])
    .await;
    let session = connect(&server).await;
    let message = session.send("One more thing …");
    let sending = tokio::spawn(async move { message.await });
    tokio::task::yield_now().await;
    with_timeout(session.close()).await;
    assert_eq!(with_timeout(sending).await.unwrap().unwrap().seq, 1);
    server.finish().await;
}

#[tokio::test]
async fn a_disconnect_has_its_reason() {
    let server = LiveServer::start([
        serve(async |mut peer| {
            peer.send_greeting(0, false).await;
            peer.close(1001).await;
        }),
        serve(async |mut peer| {
            peer.send_greeting(0, true).await;
            peer.receive_close().await;
        }),
    ])
    .await;
    let mut session = connect(&server).await;
    with_timeout(session.next()).await.unwrap().unwrap();
    let Some(Ok(Event::Disconnected(lost))) = with_timeout(session.next()).await else { panic!() };
    assert_eq!(lost.reason, DisconnectReason::Closed(1001));
    assert_eq!(lost.retry_in, Duration::from_millis(125));
    assert!(lost.detail.contains("scripted reason"), "{}", lost.detail);
    assert!(matches!(with_timeout(session.next()).await, Some(Ok(Event::Connected(_)))));
    with_timeout(session.close()).await;
    server.finish().await;
}

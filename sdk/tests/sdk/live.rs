//! Live sessions in which nothing goes wrong for good.

use std::time::Duration;

use futures_util::future::join_all;
use parlor_sdk::{Client, DisconnectReason, ErrorKind, Event, Events, Session};
use serde_json::json;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;

use crate::KEY;
use crate::clock::VirtualClock;
use crate::live_server::{CHAT_ID, LiveServer, TIME, created, fall_silent, patiently, received, talk};

const SECONDS: fn(u64) -> Duration = Duration::from_secs;

pub(crate) fn client(server: &LiveServer, clock: &VirtualClock) -> Client {
    Client::builder(server.url(), KEY).clock(clock.clone()).randomness(|| 0.5).build().unwrap()
}

pub(crate) async fn connect(server: &LiveServer) -> Session {
    patiently(client(server, &VirtualClock::new()).connect(CHAT_ID, "ada")).await.unwrap()
}

/// The next event, in a word.
pub(crate) async fn told(events: &mut Events) -> String {
    match patiently(events.next()).await {
        Some(Ok(event)) => word(&event),
        Some(Err(error)) => format!("error {:?} {:?} {:?}", error.kind(), error.status(), error.close_code()),
        None => "end".to_owned(),
    }
}

pub(crate) async fn are_told(events: &mut Events, expected: &[&str]) {
    for expected in expected {
        assert_eq!(told(events).await, *expected);
    }
}

fn word(event: &Event) -> String {
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
async fn a_session_says_who_it_is_and_begins_where_the_chat_is() {
    let server = LiveServer::start([talk(async |mut peer| {
        peer.greet(7, false).await;
        peer.say(created(8, None)).await;
        assert_eq!(peer.hear_goodbye().await, Some(1000));
    })])
    .await;
    let client = Client::builder(server.url(), KEY)
        .header("X-Gateway-Token", "token")
        .header("Sec-WebSocket-Extensions", "permessage-deflate")
        .build()
        .unwrap();
    let mut session = patiently(client.connect(CHAT_ID, "Åda")).await.unwrap();
    assert_eq!(session.position(), 7);
    let Some(Ok(Event::Connected(connected))) = session.next().await else { panic!() };
    assert_eq!((connected.user_id.as_str(), connected.last_seq, connected.resumed), ("ada", 7, false));
    let Some(Ok(Event::MessageCreated(created))) = session.next().await else { panic!() };
    assert_eq!(created.message.metadata.as_str(), r#"{"n":8}"#);
    assert_eq!(session.position(), 8);
    session.close().await;

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
    let server = LiveServer::start([talk(async |mut peer| {
        peer.greet(0, false).await;
        let frame = peer.hear().await;
        assert_eq!(frame, json!({"content": "Hi!", "metadata": {"mood": "good"}, "client_message_id": "m-1"}));
        peer.say(received(1, "m-1")).await;
        let generated = peer.hear_message().await;
        assert_eq!(parlor_sdk::uuid::Uuid::parse_str(&generated).unwrap().get_version_num(), 4);
        peer.say(received(2, &generated)).await;
        assert_eq!(peer.hear().await, json!({"type": "typing"}));
        assert_eq!(peer.hear().await, json!({"type": "cancel"}));
        assert_eq!(peer.hear_goodbye().await, Some(1000));
    })])
    .await;
    let session = connect(&server).await;
    let handshake = server.handshakes().remove(0);
    assert_eq!((handshake.target.as_str(), handshake.header("x-user-id")), ("/ws/chat", "ada"));
    let receipt = patiently(session.send("Hi!").metadata(json!({"mood": "good"})).client_message_id("m-1")).await;
    let receipt = receipt.unwrap();
    assert_eq!((receipt.seq, receipt.message_id.as_u128(), receipt.client_message_id.as_str()), (1, 1, "m-1"));
    assert_eq!(receipt.created_at.to_rfc3339(), "2024-01-15T10:31:00.123456+00:00");
    assert_eq!(patiently(session.send("Hi again!")).await.unwrap().seq, 2);
    session.typing();
    patiently(session.cancel()).await.unwrap();
    let (sender, mut events) = session.split();
    patiently(sender.close()).await;
    are_told(&mut events, &["connected false", "received 1", "received 2", "end", "end"]).await;
    let error = patiently(sender.send("Too late.")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(!error.was_maybe_processed());
    assert_eq!(patiently(sender.cancel()).await.unwrap_err().kind(), ErrorKind::Closed);
    server.finish().await;
}

#[tokio::test]
async fn a_lost_acknowledgement_is_made_up_for_by_the_replay() {
    let server = LiveServer::start([
        talk(async |mut peer| {
            peer.greet(3, false).await;
            peer.say(created(4, None)).await;
            assert_eq!(peer.hear_message().await, "own");
        }),
        talk(async |mut peer| {
            peer.greet(6, true).await;
            peer.say(created(5, None)).await;
            peer.say(created(6, Some("own"))).await;
            // It was sent again before the replay had come.
            assert_eq!(peer.hear_message().await, "own");
            peer.say(received(6, "own")).await;
            peer.say(created(7, None)).await;
            peer.hear_goodbye().await;
        }),
    ])
    .await;
    let (sender, mut events) = connect(&server).await.split();
    are_told(&mut events, &["connected false", "created 4"]).await;
    let receipt = patiently(sender.send("Did you get that?").client_message_id("own")).await.unwrap();
    assert_eq!(receipt.seq, 6);
    are_told(&mut events, &["lost Broken", "connected true", "created 5", "created 6", "created 7"]).await;
    assert_eq!(server.positions(), [None, Some(4)]);
    sender.close().await;
    server.finish().await;
}

#[tokio::test]
async fn what_comes_twice_is_told_once_and_what_does_not_come_is_asked_for_once_more() {
    let server = LiveServer::start([
        talk(async |mut peer| {
            assert_eq!(peer.handshake.after_seq(), Some(1));
            peer.greet(2, true).await;
            for seq in [2, 2, 3, 2, 6, 5] {
                peer.say(created(seq, None)).await;
            }
            assert_eq!(peer.hear_goodbye().await, Some(1001));
        }),
        talk(async |mut peer| {
            peer.greet(6, true).await;
            for seq in [4, 6, 7] {
                peer.say(created(seq, None)).await;
            }
            assert_eq!(peer.hear_goodbye().await, Some(1001));
        }),
        talk(async |mut peer| {
            peer.greet(7, true).await;
            for seq in [6, 5, 7] {
                peer.say(created(seq, None)).await;
            }
        }),
        talk(async |mut peer| {
            peer.greet(1, false).await;
            peer.say(created(2, None)).await;
            peer.hear_goodbye().await;
        }),
    ])
    .await;
    let session = patiently(client(&server, &VirtualClock::new()).connect(CHAT_ID, "ada").after_seq(1)).await.unwrap();
    let (sender, mut events) = session.split();
    are_told(&mut events, &["connected true", "created 2", "created 3", "lost Incomplete"]).await;
    are_told(&mut events, &["connected true", "created 4", "lost Incomplete"]).await;
    are_told(&mut events, &["connected true", "gap 4..6", "created 6", "created 7", "lost Broken"]).await;
    are_told(&mut events, &["connected false", "gap 0..2", "created 2"]).await;
    assert_eq!(server.positions(), [Some(1), Some(3), Some(4), Some(7)]);
    assert_eq!(events.position(), 2);
    sender.close().await;
    server.finish().await;
}

#[tokio::test]
async fn what_is_new_is_no_failure() {
    let server = LiveServer::start([talk(async |mut peer| {
        peer.greet(0, false).await;
        peer.say(json!({"event_type": "reaction_added", "timestamp": TIME, "emoji": "x"})).await;
        peer.say(json!({"event_type": "message_stream_ended", "timestamp": TIME, "message_id": CHAT_ID,
            "chat_id": CHAT_ID, "content": "c", "seq": 1, "finish_reason": "length", "new": {}}))
            .await;
        peer.say_raw(Message::text("not JSON")).await;
        peer.say_raw(Message::binary([1, 2, 3].as_slice())).await;
        peer.say(json!({"event_type": "pong", "timestamp": TIME})).await;
        peer.say(created(2, None)).await;
        peer.hear_goodbye().await;
    })])
    .await;
    let (sender, mut events) = connect(&server).await.split();
    are_told(&mut events, &["connected false", "unknown reaction_added"]).await;
    let Some(Ok(Event::MessageStreamEnded(ended))) = patiently(events.next()).await else { panic!() };
    assert_eq!(ended.finish_reason.as_str(), "length");
    are_told(&mut events, &["unknown ", "created 2"]).await;
    sender.close().await;
    server.finish().await;
}

#[tokio::test]
async fn pings_go_both_ways_and_no_time_out_of_a_call_ends_a_session() {
    let clock = VirtualClock::new();
    let time = clock.clone();
    let server = LiveServer::start([talk(async move |mut peer| {
        peer.greet(0, false).await;
        // From here on the connection is open for the client too, so that no time limit for opening it holds.
        assert_eq!(peer.hear().await, json!({"type": "typing"}));
        for _ in 0..10 {
            time.advance(SECONDS(30));
            let ping = peer.hear_raw().await;
            assert!(matches!(ping, Some(Message::Ping(_))), "{ping:?}");
            peer.say_raw(Message::Ping("p".into())).await;
            let pong = peer.hear_raw().await;
            assert!(matches!(pong, Some(Message::Pong(_))), "{pong:?}");
        }
        peer.say(created(1, None)).await;
        peer.hear_goodbye().await;
    })])
    .await;
    let (sender, mut events) = patiently(client(&server, &clock).connect(CHAT_ID, "ada")).await.unwrap().split();
    sender.typing();
    are_told(&mut events, &["connected false", "created 1"]).await;
    sender.close().await;
    server.finish().await;
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_replaced() {
    let clock = VirtualClock::new();
    let server = LiveServer::start([
        fall_silent(async |mut peer| {
            peer.greet(0, false).await;
            peer
        }),
        talk(async |mut peer| {
            peer.greet(0, true).await;
            peer.hear_goodbye().await;
        }),
    ])
    .await;
    let (sender, mut events) = patiently(client(&server, &clock).connect(CHAT_ID, "ada")).await.unwrap().split();
    are_told(&mut events, &["connected false"]).await;
    clock.advance(SECONDS(60));
    are_told(&mut events, &["lost Silent", "connected true"]).await;
    sender.close().await;
    server.finish().await;
}

#[tokio::test]
async fn a_slow_reader_keeps_its_connection_as_long_as_it_reads() {
    let server = LiveServer::start([talk(async |mut peer| {
        peer.greet(0, false).await;
        for seq in 1..=100 {
            peer.say(created(seq, None)).await;
        }
        peer.hear_goodbye().await;
    })])
    .await;
    let connect = client(&server, &VirtualClock::new()).connect(CHAT_ID, "ada").buffer_bytes(1);
    let (sender, mut events) = patiently(connect).await.unwrap().split();
    are_told(&mut events, &["connected false"]).await;
    for seq in 1..=100 {
        assert_eq!(told(&mut events).await, format!("created {seq}"));
    }
    sender.close().await;
    server.finish().await;
}

#[tokio::test]
async fn a_reader_that_has_stopped_goes_on_where_it_was() {
    let clock = VirtualClock::new();
    let time = clock.clone();
    let (gives_up, given_up) = oneshot::channel();
    let server = LiveServer::start([
        talk(async move |mut peer| {
            peer.greet(2, true).await;
            peer.say(created(1, None)).await;
            peer.say(created(2, None)).await;
            let passes = async {
                loop {
                    time.advance(SECONDS(10));
                    tokio::task::yield_now().await;
                }
            };
            let code = tokio::select! { code = peer.hear_goodbye() => code, () = passes => unreachable!() };
            assert_eq!(code, Some(1001));
            gives_up.send(()).unwrap();
        }),
        talk(async |mut peer| {
            let after_seq = peer.handshake.after_seq().unwrap();
            peer.greet(2, true).await;
            for seq in after_seq + 1..=2 {
                peer.say(created(seq, None)).await;
            }
            peer.hear_goodbye().await;
        }),
    ])
    .await;
    let connect = client(&server, &clock).connect(CHAT_ID, "ada").after_seq(0).buffer_bytes(1);
    let (sender, mut events) = patiently(connect).await.unwrap().split();
    // Nothing is taken until the connection is given up.
    patiently(given_up).await.unwrap();
    let mut seen = Vec::new();
    while !seen.contains(&"created 2".to_owned()) {
        seen.push(told(&mut events).await);
    }
    assert_eq!(seen, ["connected true", "lost Overflow", "connected true", "created 1", "created 2"]);
    sender.close().await;
    server.finish().await;
}

#[tokio::test]
async fn many_tasks_send_at_once() {
    let server = LiveServer::start([talk(async |mut peer| {
        peer.greet(0, false).await;
        for seq in 1..=200 {
            let name = peer.hear_message().await;
            peer.say(received(seq, &name)).await;
        }
        assert_eq!(peer.hear_goodbye().await, Some(1000));
    })])
    .await;
    let (sender, mut events) = connect(&server).await.split();
    let sent = (0..200).map(|number| {
        let sender = sender.clone();
        tokio::spawn(async move { sender.send(format!("message {number}")).await.unwrap().seq })
    });
    let mut seqs: Vec<_> = patiently(join_all(sent)).await.into_iter().map(Result::unwrap).collect();
    seqs.sort_unstable();
    assert!(seqs.into_iter().eq(1..=200));
    are_told(&mut events, &["connected false"]).await;
    for seq in 1..=200 {
        assert_eq!(told(&mut events).await, format!("received {seq}"));
    }
    // Dropping all of it closes it too.
    drop((sender, events));
    server.finish().await;
}

#[tokio::test]
async fn events_go_on_without_a_sender_and_sending_without_a_reader() {
    let server = LiveServer::start([talk(async |mut peer| {
        peer.greet(0, false).await;
        peer.say(created(1, None)).await;
        peer.say(created(2, None)).await;
        assert_eq!(peer.hear_goodbye().await, Some(1000));
    })])
    .await;
    let (sender, mut events) = connect(&server).await.split();
    drop(sender);
    are_told(&mut events, &["connected false", "created 1", "created 2"]).await;
    drop(events);
    server.finish().await;

    let server = LiveServer::start([talk(async |mut peer| {
        peer.greet(0, false).await;
        for seq in 1..=50 {
            peer.say(created(seq, None)).await;
        }
        let name = peer.hear_message().await;
        peer.say(received(51, &name)).await;
        assert_eq!(peer.hear_goodbye().await, Some(1000));
    })])
    .await;
    let connect = client(&server, &VirtualClock::new()).connect(CHAT_ID, "ada").buffer_bytes(1);
    let (sender, events) = patiently(connect).await.unwrap().split();
    drop(events);
    assert_eq!(patiently(sender.send("Is anybody there?")).await.unwrap().seq, 51);
    drop(sender);
    server.finish().await;
}

#[tokio::test]
async fn closing_waits_for_what_is_under_way() {
    let server = LiveServer::start([talk(async |mut peer| {
        peer.greet(0, false).await;
        let name = peer.hear_message().await;
        peer.say(received(1, &name)).await;
        assert_eq!(peer.hear_goodbye().await, Some(1000));
    })])
    .await;
    let session = connect(&server).await;
    let message = session.send("One more thing …");
    let sending = tokio::spawn(async move { message.await });
    tokio::task::yield_now().await;
    patiently(session.close()).await;
    assert_eq!(sending.await.unwrap().unwrap().seq, 1);
    server.finish().await;
}

#[tokio::test]
async fn the_reason_of_a_loss_is_told() {
    let server = LiveServer::start([
        talk(async |mut peer| {
            peer.greet(0, false).await;
            peer.close(1001).await;
        }),
        talk(async |mut peer| {
            peer.greet(0, true).await;
            peer.hear_goodbye().await;
        }),
    ])
    .await;
    let mut session = connect(&server).await;
    session.next().await.unwrap().unwrap();
    let Some(Ok(Event::Disconnected(lost))) = patiently(session.next()).await else { panic!() };
    assert_eq!(lost.reason, DisconnectReason::Closed(1001));
    assert_eq!(lost.retry_in, Duration::from_millis(125));
    assert!(lost.detail.contains("it was so written"), "{}", lost.detail);
    assert!(matches!(patiently(session.next()).await, Some(Ok(Event::Connected(_)))));
    session.close().await;
    server.finish().await;
}

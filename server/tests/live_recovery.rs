//! Coming back: nothing is lost, nothing comes twice, whatever was missed.

use std::{sync::Arc, time::Duration};

use parlor_server::{clock::SystemClock, config::Limits};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::support::{Client, KEY, Live, TestDatabase, TestServer};

/// Sends `count` messages by REST, many at a time.
async fn fill(client: &Client, chat: &str, count: usize) {
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..16 {
        let (client, chat) = (client.clone(), chat.to_owned());
        senders.spawn(async move {
            for n in (sender..count).step_by(16) {
                client.send_message(&chat, &json!({ "content": format!("message {n}") }), 201).await;
            }
        });
    }
    senders.join_all().await;
}

/// Takes messages up to `last` and checks that each comes once and in order, whatever event brings it.
async fn take(live: &mut Live, first: i64, last: i64) {
    for seq in first..=last {
        let event = live.next().await;
        let found = if event["event_type"] == "message_received" { &event["seq"] } else { &event["message"]["seq"] };
        assert_eq!(found, seq, "{event}");
    }
}

#[tokio::test]
async fn everything_after_the_last_message_seen_comes_before_anything_live() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let chat = client.new_chat("ann").await;
    // More than two pages of the replay.
    fill(&client, &chat, 250).await;
    for (after, resumed) in [(Some(0), true), (Some(117), true), (Some(250), true), (None, false)] {
        let (mut live, established) = Live::resume(&server, &chat, "ann", after).await;
        assert_eq!((&established["last_seq"], &established["resumed"]), (&json!(250), &json!(resumed)), "{after:?}");
        take(&mut live, after.unwrap_or(250) + 1, 250).await;
        live.send(&json!({ "type": "ping" })).await;
        live.event("pong").await;
    }
}

#[tokio::test]
async fn a_client_that_has_seen_more_than_there_is_is_told_so() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let chat = client.new_chat("ann").await;
    fill(&client, &chat, 3).await;
    let (mut live, established) = Live::resume(&server, &chat, "ann", Some(4)).await;
    assert_eq!((&established["last_seq"], &established["resumed"]), (&json!(3), &json!(false)));
    live.say("goes on", "m").await;
    assert_eq!(live.event("message_received").await["seq"], 4);
}

#[tokio::test]
async fn a_replay_and_what_is_sent_meanwhile_make_one_sequence() {
    let database = TestDatabase::create().await;
    let mut limits = Limits::default();
    // So little that the replay must come to what the inbox could not keep, and that it is left behind now and then.
    limits.realtime.outbox_bytes = 2_000;
    let server = TestServer::start_with(database.url(), limits, Arc::new(SystemClock)).await;
    let client = server.client();
    let chat = client.new_chat("ann").await;
    fill(&client, &chat, 500).await;
    let writing = tokio::spawn({
        let (client, chat) = (client.clone(), chat.clone());
        async move { fill(&client, &chat, 500).await }
    });
    let mut seen = 0;
    while seen < 1_000 {
        let (mut live, _) = Live::resume(&server, &chat, "ann", Some(seen)).await;
        while seen < 1_000 {
            match live.next_unless_closed().await {
                Ok(event) => assert_eq!(event["message"]["seq"], seen + 1, "{event}"),
                Err(code) => {
                    assert_eq!(code, 4008);
                    break;
                }
            }
            seen += 1;
        }
    }
    writing.await.unwrap();
}

#[tokio::test]
async fn own_messages_sent_during_a_replay_are_acknowledged_in_their_place() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let chat = client.new_chat("ann").await;
    fill(&client, &chat, 300).await;
    let (mut live, _) = Live::resume(&server, &chat, "ann", Some(0)).await;
    for n in 0..20 {
        live.say("during the replay", &format!("m{n}")).await;
    }
    let mut acknowledged = Vec::new();
    for seq in 1..=320 {
        let event = live.next().await;
        match event["event_type"].as_str().unwrap() {
            "message_received" => {
                assert_eq!(event["seq"], seq, "{event}");
                acknowledged.push(event["client_message_id"].as_str().unwrap().to_owned());
            }
            "message_created" => assert_eq!(event["message"]["seq"], seq, "{event}"),
            other => panic!("{other}"),
        }
    }
    assert_eq!(acknowledged, (0..20).map(|n| format!("m{n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_does_not_keep_up_is_closed_and_misses_nothing_on_return() {
    let database = TestDatabase::create().await;
    let mut limits = Limits::default();
    limits.realtime.outbox_bytes = 256 * 1024;
    limits.realtime.write = Duration::from_secs(1);
    let server = TestServer::start_with(database.url(), limits, Arc::new(SystemClock)).await;
    let client = server.client();
    let chat = client.new_chat("ann").await;
    let mut slow = Live::connect(&server, &chat, "ann").await;
    // More than the inbox and the kernel's buffers hold.
    let content = "x".repeat(30_000);
    let closed = r#"parlor_websocket_closes_total{code="4008"} 1"#;
    let mut sent = 0;
    loop {
        assert!(sent < 5_000, "it is not closed");
        client.send_message(&chat, &json!({ "content": content }), 201).await;
        sent += 1;
        let metrics = String::from_utf8(client.get("/metrics", 200).await.body).unwrap();
        if metrics.lines().any(|line| line == closed) {
            break;
        }
    }
    // What it still gets is without a gap, and it ends with the reason if that could be written.
    let mut seen = 0;
    while let Some(Ok(message)) = futures_util::StreamExt::next(&mut slow.stream).await {
        match message {
            Message::Text(text) => {
                let event: Value = serde_json::from_str(&text).unwrap();
                seen += 1;
                assert_eq!(event["message"]["seq"], seen);
            }
            Message::Close(frame) => assert_eq!(u16::from(frame.unwrap().code), 4008),
            _ => {}
        }
    }
    assert!(seen < sent, "{seen} of {sent}");
    let (mut live, _) = Live::resume(&server, &chat, "ann", Some(seen)).await;
    take(&mut live, seen + 1, sent).await;
}

#[tokio::test]
async fn a_restart_loses_nothing() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let chat = server.client().new_chat("ann").await;
    let mut live = Live::connect(&server, &chat, "ann").await;
    live.say("before", "m1").await;
    live.event("message_received").await;
    server.begin_shutdown();
    assert_eq!(live.closed_at_last().await, 1001);
    server.stopped().await;
    let server = TestServer::start(&database).await;
    server.client().send_message(&chat, &json!({ "content": "meanwhile" }), 201).await;
    let (mut live, established) = Live::resume(&server, &chat, "ann", Some(1)).await;
    assert_eq!(established["resumed"], true);
    take(&mut live, 2, 2).await;
    live.say("before", "m1").await;
    assert_eq!(live.event("message_received").await["seq"], 1, "stored before the restart");
}

#[tokio::test]
async fn what_another_node_has_stored_comes_before_the_next_message_of_the_own_node() {
    let database = TestDatabase::create().await;
    let nodes = TestServer::start_nodes(&database).await;
    let (here, there) = (&nodes[0], &nodes[nodes.len() - 1]);
    let chat = here.client().new_chat("ann").await;
    let mut live = Live::connect(here, &chat, "ann").await;
    live.say("here", "m1").await;
    assert_eq!(live.event("message_received").await["seq"], 1);
    for _ in 0..120 {
        there.client().send_message(&chat, &json!({ "content": "there" }), 201).await;
    }
    live.say("here again", "m2").await;
    take(&mut live, 2, 121).await;
    assert_eq!(live.event("message_received").await["seq"], 122);
}

#[tokio::test]
async fn a_ticket_opens_one_connection_to_its_chat_for_its_user() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let chat = client.new_chat("ann").await;
    let path = format!("/api/v1/chats/{chat}/tickets");
    let body = || Some(json!({ "user_id": "bob" }).to_string().into_bytes());
    let issued = client.send(reqwest::Method::POST, &path, body(), 201).await.json();
    let by_ticket = format!("/ws/chat?ticket={}", issued["ticket"].as_str().unwrap());

    let refused = Live::ask(server.address, &format!("{by_ticket}&user_id=eve"), &[]).await.err().expect("refused");
    assert_eq!(refused.problem["errors"][0]["pointer"], "/query/user_id");
    let mut bob = Live::ask(server.address, &by_ticket, &[]).await.expect("a refusal does not use the ticket up");
    let established = bob.event("connection_established").await;
    assert_eq!((&established["user_id"], &established["chat_id"]), (&json!("bob"), &json!(chat)));
    bob.event("user_created").await;
    for ticket in [by_ticket.as_str(), "/ws/chat?ticket=plt_x", "/ws/chat?ticket="] {
        let refused = Live::ask(server.address, ticket, &[]).await.err().expect("refused");
        assert_eq!((refused.status, &refused.problem["code"]), (401, &json!("unauthorized")), "{ticket}");
    }
    let issued = client.send(reqwest::Method::POST, &path, body(), 201).await.json();
    let resuming = format!("/ws/chat?ticket={}&chat_id={chat}&after_seq=0", issued["ticket"].as_str().unwrap());
    let mut bob = Live::ask(server.address, &resuming, &[]).await.unwrap();
    assert_eq!(bob.event("connection_established").await["resumed"], true);
    let issued = client.send(reqwest::Method::POST, &path, body(), 201).await.json();
    let other = client.new_chat("ann").await;
    let by_ticket = format!("/ws/chat?ticket={}", issued["ticket"].as_str().unwrap());
    for chat in [other.as_str(), &Uuid::nil().to_string(), "7", ""] {
        let refused =
            Live::ask(server.address, &format!("{by_ticket}&chat_id={chat}"), &[]).await.err().expect("refused");
        assert_eq!(
            (refused.status, &refused.problem["errors"][0]["pointer"]),
            (400, &json!("/query/chat_id")),
            "{chat}"
        );
    }
    Live::ask(server.address, &by_ticket, &[]).await.expect("a wrong chat does not use the ticket up");
    let used = Live::ask(server.address, &format!("{by_ticket}&chat_id={chat}"), &[]).await.err().expect("refused");
    assert_eq!(used.status, 401);
}

#[tokio::test]
async fn ten_thousand_who_leave_half_way_leave_nothing_behind() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let chat = client.new_chat("ann").await;
    let ask = format!(
        "GET /ws/chat?user_id=ann&chat_id={chat} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut leaving = tokio::task::JoinSet::new();
    for part in 0..50 {
        let (address, ask) = (server.address, ask.clone());
        leaving.spawn(async move {
            for n in 0..200 {
                let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                // Nothing, a piece of the head, or all of it.
                let sent = ask.len() * ((part + n) % 3) / 2;
                tokio::io::AsyncWriteExt::write_all(&mut stream, &ask.as_bytes()[..sent]).await.unwrap();
            }
        });
    }
    leaving.join_all().await;
    client.until_metric("parlor_websocket_connections 0").await;
    client.delete_chat(&chat, &[], 200).await;
}

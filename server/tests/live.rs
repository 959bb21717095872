//! Live messaging: connecting, talking, and how a connection ends.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use parlor_server::{clock::SystemClock, config::Limits};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

use crate::support::{Client, KEY, Live, TestDatabase, TestServer, raw};

async fn start() -> (TestDatabase, TestServer, Client) {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    (database, server, client)
}

#[tokio::test]
async fn the_first_event_says_who_is_where_by_headers_and_by_query_alike() {
    let (_database, server, client) = start().await;
    let chat = client.create_chat(&json!({ "user_id": "ann" }), 201).await.json();
    let id = chat["id"].as_str().unwrap();
    let headers = [("X-API-Key", KEY), ("X-User-ID", "ann"), ("X-Chat-ID", id)];
    let by_query = format!("/ws/chat?api_key={KEY}&user_id=ann&chat_id={id}");
    let slash = format!("/ws/chat/?api_key={KEY}&user_id=ann&chat_id={id}");
    for (path, headers) in [("/ws/chat", &headers[..]), (&by_query, &[]), (&slash, &[])] {
        let mut live = Live::ask(server.address, path, headers).await.unwrap();
        let event = live.event("connection_established").await;
        assert_eq!(event["user_id"], "ann");
        assert_eq!(event["chat_id"], chat["id"]);
        assert_eq!(event["tenant_id"], chat["tenant_id"]);
        assert_eq!((&event["last_seq"], &event["resumed"]), (&json!(0), &json!(false)));
        assert!(event["timestamp"].as_str().unwrap().ends_with('Z'));
    }
}

#[tokio::test]
async fn a_message_is_acknowledged_to_its_sender_and_shown_to_everybody_else() {
    let (_database, server, client) = start().await;
    let chat = client.new_chat("ann").await;
    let mut ann = Live::connect(&server, &chat, "ann").await;
    let mut bob = Live::connect(&server, &chat, "bob").await;
    assert_eq!(bob.event("user_created").await["user_id"], "bob");

    ann.send(&json!({ "content": "hello", "metadata": { "mood": "fine" }, "client_message_id": "a1" })).await;
    let received = ann.event("message_received").await;
    assert_eq!((&received["seq"], &received["client_message_id"]), (&json!(1), &json!("a1")));
    assert_eq!((&received["user_id"], &received["chat_id"]), (&json!("ann"), &json!(chat)));
    let created = bob.event("message_created").await;
    assert_eq!(created["message"]["id"], received["message_id"]);
    assert_eq!(created["message"]["content"], "hello");
    assert_eq!(created["message"]["metadata"], json!({ "mood": "fine" }));
    assert_eq!(created["message"]["sender_id"], "ann");
    let listed = client.list_messages(&chat, &[], 200).await.json();
    assert_eq!(listed["messages"], json!([created["message"]]), "the same by REST");

    let by_rest = client.send_message(&chat, &json!({ "content": "by REST" }), 201).await.json();
    for live in [&mut ann, &mut bob] {
        assert_eq!(live.event("message_created").await["message"], by_rest);
    }
    bob.send(&json!({ "content": "hi" })).await;
    assert_eq!(bob.event("message_received").await["client_message_id"], Value::Null);
    assert_eq!(ann.event("message_created").await["message"]["seq"], 3);
}

#[tokio::test]
async fn many_messages_at_once_are_numbered_in_the_order_they_were_sent() {
    let (_database, server, client) = start().await;
    let chat = client.new_chat("ann").await;
    let mut ann = Live::connect(&server, &chat, "ann").await;
    for n in 1..=200 {
        ann.say(&format!("message {n}"), &n.to_string()).await;
    }
    for n in 1..=200 {
        let received = ann.event("message_received").await;
        assert_eq!((&received["seq"], &received["client_message_id"]), (&json!(n), &json!(n.to_string())));
    }
}

#[tokio::test]
async fn the_same_name_again_gets_the_first_acknowledgement() {
    let (_database, server, client) = start().await;
    let chat = client.new_chat("ann").await;
    let mut ann = Live::connect(&server, &chat, "ann").await;
    let mut other = Live::connect(&server, &chat, "ann").await;
    ann.say("once", "m").await;
    let first = ann.event("message_received").await;
    ann.say("twice", "m").await;
    let second = ann.event("message_received").await;
    assert_eq!(
        (&second["message_id"], &second["seq"], &second["created_at"]),
        (&first["message_id"], &first["seq"], &first["created_at"])
    );
    ann.say("another", "n").await;
    assert_eq!(other.event("message_created").await["message"]["content"], "once");
    assert_eq!(other.event("message_created").await["message"]["content"], "another");
}

#[tokio::test]
async fn what_is_wrong_with_a_frame_is_said_and_the_connection_stays() {
    let (_database, server, client) = start().await;
    let chat = client.new_chat("ann").await;
    let mut ann = Live::connect(&server, &chat, "ann").await;
    let long = "x".repeat(32_769);
    for (frame, sentence) in [
        ("hello".to_owned(), "The frame is not valid JSON at line 1, column 1"),
        ("[]".to_owned(), "The frame must be an object"),
        (String::new(), "The frame is missing"),
        (r#"{"type":"shout"}"#.to_owned(), "/type must be one of message, typing, cancel, ping"),
        (r#"{"content":""}"#.to_owned(), "/content must not be empty"),
        (r#"{"content":7}"#.to_owned(), "/content must be a string"),
        (json!({ "content": long }).to_string(), "/content must have at most 32768 characters"),
        (r#"{"content":"x","to":"bob"}"#.to_owned(), "/to is not a known member"),
        (r#"{"content":"x","metadata":[]}"#.to_owned(), "/metadata must be an object"),
    ] {
        ann.send_text(&frame).await;
        let error = ann.event("error").await;
        assert_eq!((&error["code"], &error["message"]), (&json!("invalid_request"), &json!(sentence)), "{frame}");
        assert_eq!((&error["retryable"], &error["client_message_id"]), (&json!(false), &Value::Null));
    }
    ann.say("", "m7").await;
    assert_eq!(ann.event("error").await["client_message_id"], "m7");
    ann.say("still here", "m8").await;
    assert_eq!(ann.event("message_received").await["seq"], 1);
}

#[tokio::test]
async fn a_closed_chat_can_be_watched_and_takes_no_messages() {
    let (_database, server, client) = start().await;
    let chat = client.new_chat("ann").await;
    let mut ann = Live::connect(&server, &chat, "ann").await;
    client.update_chat(&chat, &json!({ "status": "closed" }), 200).await;
    assert_eq!(ann.event("chat_updated").await["chat"]["status"], "closed");
    ann.say("hello?", "m").await;
    let error = ann.event("error").await;
    assert_eq!((&error["code"], &error["client_message_id"]), (&json!("chat_closed"), &json!("m")));
    client.update_chat(&chat, &json!({ "status": "active" }), 200).await;
    assert_eq!(ann.event("chat_updated").await["chat"]["status"], "active");
    ann.say("hello?", "m").await;
    assert_eq!(ann.event("message_received").await["seq"], 1);
}

#[tokio::test]
async fn typing_is_told_to_the_others_and_a_ping_is_answered() {
    let (_database, server, client) = start().await;
    let chat = client.new_chat("ann").await;
    let mut ann = Live::connect(&server, &chat, "ann").await;
    let mut second_tab = Live::connect(&server, &chat, "ann").await;
    let mut bob = Live::connect(&server, &chat, "bob").await;
    bob.event("user_created").await;
    ann.send(&json!({ "type": "ping" })).await;
    ann.event("pong").await;
    ann.send(&json!({ "type": "typing" })).await;
    let typing = bob.event("user_typing").await;
    assert_eq!((&typing["user_id"], &typing["chat_id"]), (&json!("ann"), &json!(chat)));
    bob.send(&json!({ "type": "typing" })).await;
    for live in [&mut ann, &mut second_tab] {
        assert_eq!(live.event("user_typing").await["user_id"], "bob", "and not that ann herself is typing");
    }
    ann.stream.send(Message::Ping("are you there".into())).await.unwrap();
    let pong = ann.stream.next().await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong("are you there".into()));
}

#[tokio::test]
async fn a_connection_is_refused_before_the_switch_with_a_problem() {
    let (_database, server, client) = start().await;
    let chat = client.new_chat("ann").await;
    let stranger = server.client_of("stranger").await;
    let foreign = stranger.new_chat("eve").await;
    let nobody = "01890000-0000-7000-8000-000000000000";
    let headers = |key: &str, user: &str, chat: &str| {
        [("X-API-Key", key), ("X-User-ID", user), ("X-Chat-ID", chat)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    for (query, headers, status, code) in [
        ("", headers("wrong", "ann", &chat), 401, "unauthorized"),
        ("", headers(KEY, "ann", nobody), 404, "chat_not_found"),
        ("", headers(KEY, "ann", "seven"), 404, "chat_not_found"),
        ("", headers(KEY, "ann", &foreign), 404, "chat_not_found"),
        ("", headers(KEY, "", &chat), 400, "invalid_request"),
        ("?after_seq=-1", headers(KEY, "ann", &chat), 400, "invalid_request"),
        ("?after=1", headers(KEY, "ann", &chat), 400, "invalid_request"),
        ("?api_key=wrong", headers(KEY, "ann", &chat), 401, "unauthorized"),
    ] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let refused = Live::ask(server.address, &format!("/ws/chat{query}"), &headers).await.err().expect("refused");
        assert_eq!((refused.status, &refused.problem["code"]), (status, &json!(code)), "{query} {headers:?}");
    }
    let refused = Live::ask(server.address, &format!("/ws/chat?api_key={KEY}"), &[]).await.err().expect("refused");
    let pointers: Vec<_> =
        refused.problem["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(pointers, ["/header/X-User-ID", "/header/X-Chat-ID"], "everything that is missing");
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused_and_says_what_is_missing() {
    let (_database, server, client) = start().await;
    let chat = client.new_chat("ann").await;
    let get = |headers: &str| {
        format!("GET /ws/chat?user_id=ann&chat_id={chat} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n{headers}\r\n")
    };
    let upgrade = "Connection: close, Upgrade\r\nUpgrade: websocket\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (headers, pointer) in [
        ("Connection: close\r\n".to_owned(), "/header/Upgrade"),
        (format!("{upgrade}{key}Sec-WebSocket-Version: 8\r\n"), "/header/Sec-WebSocket-Version"),
        (format!("{upgrade}Sec-WebSocket-Version: 13\r\n"), "/header/Sec-WebSocket-Key"),
    ] {
        let answer = raw(server.address, get(&headers).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains(pointer), "{answer}");
        let right = headers.contains("Version: 13");
        assert_eq!(answer.contains("sec-websocket-version: 13\r\n"), !right, "{answer}");
    }
    let old = get(&format!("{upgrade}{key}Sec-WebSocket-Version: 13\r\n")).replace("HTTP/1.1", "HTTP/1.0");
    let answer = raw(server.address, old.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.0 400 ") && answer.contains("/header/Upgrade"), "{answer}");
    let post = format!(
        "POST /ws/chat HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: {KEY}\r\nContent-Length: 0\r\n\r\n"
    );
    let answer = raw(server.address, post.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET"), "{answer}");
}

#[tokio::test]
async fn frames_that_break_the_protocol_end_the_connection_with_their_code() {
    let (_database, server, client) = start().await;
    let chat = client.new_chat("ann").await;
    let connect = || Live::connect(&server, &chat, "ann");

    let mut live = connect().await;
    live.stream.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(live.closed().await, 1003);

    let mut live = connect().await;
    let invalid = frame(true, 1, &[0xc3, 0x28]);
    write(&mut live, &invalid).await;
    assert_eq!(live.closed().await, 1007);

    let mut live = connect().await;
    write(&mut live, &frame(true, 3, b"reserved")).await;
    assert_eq!(live.closed().await, 1002);

    let mut live = connect().await;
    let text = br#"{"content":"in three pieces"}"#;
    write(&mut live, &frame(false, 1, &text[..5])).await;
    write(&mut live, &frame(false, 0, &text[5..9])).await;
    write(&mut live, &frame(true, 0, &text[9..])).await;
    assert_eq!(live.event("message_received").await["seq"], 1);
}

/// A client's frame (RFC 6455, section 5.2), masked with zeros.
fn frame(last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::from(last) << 7 | opcode];
    match u16::try_from(payload.len()).unwrap() {
        short @ 0..126 => bytes.push(0x80 | u8::try_from(short).unwrap()),
        long => {
            bytes.push(0x80 | 0x7e);
            bytes.extend(long.to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

async fn write(live: &mut Live, bytes: &[u8]) {
    use tokio::io::AsyncWriteExt as _;
    live.stream.get_mut().write_all(bytes).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_frames_ends_the_connection() {
    let (_database, server, client) = start().await;
    let chat = client.new_chat("ann").await;
    let mut ann = Live::connect(&server, &chat, "ann").await;
    for _ in 0..1_000 {
        if ann.stream.send(Message::text(r#"{"type":"typing"}"#)).await.is_err() {
            break;
        }
    }
    assert_eq!(ann.closed().await, 4009);
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_taken_for_gone() {
    let database = TestDatabase::create().await;
    let mut limits = Limits::default();
    limits.realtime.ping = Duration::from_millis(20);
    limits.realtime.idle = Duration::from_secs(2);
    let server = TestServer::start_with(database.url(), limits, Arc::new(SystemClock)).await;
    let chat = server.client().new_chat("ann").await;
    let mut ann = Live::connect(&server, &chat, "ann").await;
    // Reading answers pings; whoever does not read does not answer.
    let listening = tokio::spawn(async move {
        let mut pings = 0;
        while pings < 150 {
            match ann.stream.next().await.unwrap().unwrap() {
                Message::Ping(_) => pings += 1,
                other => panic!("{other:?}"),
            }
        }
    });
    let mut silent = Live::connect(&server, &chat, "ann").await;
    server.client().until_metric(r#"parlor_websocket_closes_total{code="4010"} 1"#).await;
    assert_eq!(silent.closed_at_last().await, 4010);
    listening.await.unwrap();
}

#[tokio::test]
async fn a_chat_in_use_is_deleted_by_force_only() {
    let (_database, server, client) = start().await;
    let chat = client.new_chat("ann").await;
    let stranger = server.client_of("stranger").await;
    let mut ann = Live::connect(&server, &chat, "ann").await;
    assert_eq!(stranger.delete_chat(&chat, &[], 404).await.problem(), "chat_not_found");
    assert_eq!(client.delete_chat(&chat, &[], 409).await.problem(), "chat_in_use");
    assert_eq!(client.delete_chat(&chat, &[("force", "false")], 409).await.problem(), "chat_in_use");
    ann.say("still here", "m").await;
    ann.event("message_received").await;
    client.delete_chat(&chat, &[("force", "true")], 200).await;
    assert_eq!(ann.closed().await, 4004);

    let chat = client.new_chat("ann").await;
    Live::connect(&server, &chat, "ann").await.close().await;
    client.until_metric("parlor_websocket_connections 0").await;
    client.delete_chat(&chat, &[], 200).await;
}

#[tokio::test]
async fn a_revoked_key_ends_its_connections() {
    let (_database, server, client) = start().await;
    let chat = client.new_chat("ann").await;
    let issued = server.tenants.create_key("default", "", None).await.unwrap();
    let headers = [("X-API-Key", issued.key.reveal()), ("X-User-ID", "ann"), ("X-Chat-ID", chat.as_str())];
    let mut revoked = Live::ask(server.address, "/ws/chat", &headers).await.unwrap();
    revoked.event("connection_established").await;
    let mut other = Live::connect(&server, &chat, "ann").await;
    server.tenants.revoke_key(issued.record.id).await.unwrap();
    assert_eq!(revoked.closed().await, 4001);
    other.say("still here", "m").await;
    other.event("message_received").await;
}

#[tokio::test]
async fn stopping_sends_what_waits_and_says_that_another_server_may_be_there() {
    let (_database, server, client) = start().await;
    let chat = client.new_chat("ann").await;
    let mut ann = Live::connect(&server, &chat, "ann").await;
    // What waits for a connection that still replays is left to its next one.
    client.send_message(&chat, &json!({ "content": "first words" }), 201).await;
    ann.event("message_created").await;
    client.send_message(&chat, &json!({ "content": "last words" }), 201).await;
    server.begin_shutdown();
    ann.event("message_created").await;
    assert_eq!(ann.closed().await, 1001);
    server.stopped().await;
}

#[tokio::test]
async fn a_client_that_closes_is_answered_with_its_own_code() {
    let (_database, server, client) = start().await;
    let chat = client.new_chat("ann").await;
    let mut ann = Live::connect(&server, &chat, "ann").await;
    let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame { code: CloseCode::Normal, reason: "done".into() };
    ann.stream.send(Message::Close(Some(frame))).await.unwrap();
    assert_eq!(ann.closed().await, 1000);
    client.until_metric("parlor_websocket_connections 0").await;
}

//! The longest content is taken in every script and escaping, by REST and by WebSocket; a message that is larger than the
//! server takes is answered by an error, and the connection goes on.

use std::{fmt::Write as _, iter, sync::Arc};

use futures_util::SinkExt as _;
use parlor_server::{
    chat::{ClientMessageId, Content, Metadata},
    clock::SystemClock,
    config::{Limits, RealtimeLimits},
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::support::{Live, TestDatabase, TestServer, requests};

/// One character of each length in UTF-8, and those that JSON must escape.
const CHARACTERS: [char; 8] = ['x', 'é', '日', '🦀', '\u{10ffff}', '"', '\\', '\u{1}'];

/// `text` in JSON, without escapes where JSON allows that.
fn plain(text: &str) -> String {
    json!(text).to_string()
}

/// `text` in JSON, each UTF-16 unit as an escape.
fn escaped(text: &str) -> String {
    let mut json = "\"".to_owned();
    for unit in text.encode_utf16() {
        write!(json, "\\u{unit:04x}").unwrap();
    }
    json + "\""
}

/// A message of `content`, which is JSON, with the largest metadata that there may be.
fn message(content: &str, client_message_id: &str) -> String {
    let metadata = format!(r#"{{"a":"{}"}}"#, "\\u00e9".repeat((Metadata::MAX_BYTES - 8) / 6));
    let name = escaped(client_message_id);
    format!(r#"{{"content":{content},"metadata":{metadata},"client_message_id":{name}}}"#)
}

/// Starts a server with one chat.
async fn start(realtime: RealtimeLimits) -> (TestDatabase, TestServer, String) {
    let database = TestDatabase::create().await;
    let limits = Limits { realtime, ..Limits::default() };
    let server = TestServer::start_with(database.url(), limits, Arc::new(SystemClock)).await;
    let chat = server.client().new_chat("ann").await;
    (database, server, chat)
}

#[tokio::test]
async fn the_longest_content_is_taken_in_every_script_and_escaping() {
    let (_database, server, chat) = start(RealtimeLimits::default()).await;
    let client = server.client();
    let mut live = Live::connect(&server, &chat, "ann").await;
    let path = requests::messages(&chat);
    let mut seq = 0;
    for character in CHARACTERS {
        let text = character.to_string().repeat(Content::MAX_CHARS);
        let longer = format!("{text}{character}");
        for (way, write) in [("plain", plain as fn(&str) -> String), ("escaped", escaped)] {
            // The longest names, too.
            let [by_rest, by_socket] = ["rest", "socket"].map(|from| {
                let name = format!("{} {way} by {from} ", u32::from(character));
                name.chars().chain(iter::repeat('é')).take(ClientMessageId::MAX_CHARS).collect::<String>()
            });
            let body = message(&write(&text), &by_rest).into_bytes();
            let stored = client.send(Method::POST, &path, Some(body), 201).await.json();
            assert!(stored["content"] == text, "{character:?} {way}");
            live.event("message_created").await;
            live.send_text(&message(&write(&text), &by_socket)).await;
            let received = live.event("message_received").await;
            assert_eq!(received["client_message_id"], by_socket);
            seq += 2;
            assert_eq!(received["seq"], seq, "{character:?} {way}");
            let page = client.list_messages(&chat, &[("after_seq", &(seq - 1).to_string())], 200).await.json();
            assert!(page["messages"][0]["content"] == text, "{character:?} {way}");

            let body = message(&write(&longer), "longer").into_bytes();
            let refused = client.send(Method::POST, &path, Some(body), 400).await;
            let wrong = ("/content".to_owned(), "must have at most 32768 characters".to_owned());
            assert_eq!(refused.errors(), [wrong], "{character:?} {way}");
            live.send_text(&message(&write(&longer), "longer")).await;
            let error = live.event("error").await;
            assert_eq!((&error["code"], &error["client_message_id"]), (&json!("invalid_request"), &json!("longer")));
        }
    }
    server.stop().await;
}

fn piece(opcode: Data, content: &[u8], is_last: bool) -> Message {
    Message::Frame(Frame::message(content.to_vec(), OpCode::Data(opcode), is_last))
}

/// Expects an error with this code about the message with this name.
async fn refused(live: &mut Live, code: &str, name: &Value) {
    let error = live.event("error").await;
    assert_eq!((&error["code"], &error["client_message_id"]), (&json!(code), name));
    assert_eq!(error["retryable"], code == "unavailable");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_answered_and_the_connection_goes_on() {
    let (_database, server, chat) = start(RealtimeLimits::default()).await;
    let mut live = Live::connect(&server, &chat, "ann").await;
    let limit = RealtimeLimits::default().message_bytes;
    let frame = |bytes: usize, name: &str| {
        let empty = json!({ "content": "", "client_message_id": name }).to_string();
        json!({ "content": "日".repeat((bytes - empty.len()) / 3 + 1), "client_message_id": name }).to_string()
    };
    for bytes in [limit + 3, limit * 3, limit * 20] {
        live.say("before", &format!("before {bytes}")).await;
        // Once it is stored: a refusal waits for no database, so that it may come before the receipt.
        assert_eq!(live.event("message_received").await["client_message_id"], format!("before {bytes}"));
        live.send_text(&frame(bytes, "large")).await;
        live.say("after", &format!("after {bytes}")).await;
        refused(&mut live, "payload_too_large", &json!("large")).await;
        assert_eq!(live.event("message_received").await["client_message_id"], format!("after {bytes}"));
    }
    live.send_text(&"x".repeat(limit + 1)).await;
    refused(&mut live, "payload_too_large", &Value::Null).await;

    // In fragments, cut within a character, with a ping in between.
    let text = frame(limit * 2, "pieces").into_bytes();
    let cut = (limit / 2..text.len()).find(|place| text[*place] & 0xc0 == 0x80).unwrap();
    let (first, rest) = text.split_at(cut);
    live.stream.feed(piece(Data::Text, first, false)).await.unwrap();
    live.stream.feed(Message::Ping(Vec::new().into())).await.unwrap();
    live.stream.feed(piece(Data::Continue, rest, false)).await.unwrap();
    live.stream.feed(piece(Data::Continue, b"", true)).await.unwrap();
    live.stream.flush().await.unwrap();
    refused(&mut live, "payload_too_large", &json!("pieces")).await;
    live.say("after", "after the pieces").await;
    live.event("message_received").await;
    server.stop().await;
}

#[tokio::test]
async fn what_is_too_large_to_be_skipped_ends_the_connection() {
    let limits = RealtimeLimits { skipped_bytes: 1024 * 1024, ..RealtimeLimits::default() };
    let (_database, server, chat) = start(limits).await;
    let mut live = Live::connect(&server, &chat, "ann").await;
    // The head of a frame of 1 GiB.
    let mut head = vec![0x81, 0xff];
    head.extend((1024_u64 * 1024 * 1024).to_be_bytes());
    head.extend([0; 4]);
    live.stream.get_mut().write_all(&head).await.unwrap();
    assert_eq!(live.closed().await, 1009);
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_messages_that_are_too_large_ends_the_connection() {
    let limits = RealtimeLimits { message_bytes: 20_000, burst: 5, ..RealtimeLimits::default() };
    let (_database, server, chat) = start(limits).await;
    let mut live = Live::connect(&server, &chat, "ann").await;
    let large = "x".repeat(20_001);
    for _ in 0..50 {
        if live.stream.send(Message::text(large.clone())).await.is_err() {
            break;
        }
    }
    assert_eq!(live.closed_at_last().await, 4009);
    server.stop().await;
}

#[tokio::test]
async fn messages_that_arrive_hold_bounded_memory_together() {
    let limits = RealtimeLimits { arriving_bytes: 100_000, ..RealtimeLimits::default() };
    let (_database, server, chat) = start(limits).await;
    let mut slow = Live::connect(&server, &chat, "ann").await;
    let mut live = Live::connect(&server, &chat, "ann").await;
    let large = |name: &str| json!({ "content": "x".repeat(30_000), "client_message_id": name }).to_string();
    let text = json!({ "content": "日".repeat(25_000), "client_message_id": "slow" }).to_string().into_bytes();
    let (first, rest) = text.split_at(72_000);
    slow.stream.send(piece(Data::Text, first, false)).await.unwrap();
    // Until the server has read the head of that frame there is room.
    let mut round = 0;
    loop {
        live.send_text(&large(&format!("round {round}"))).await;
        match live.next_unless_closed().await.unwrap() {
            event if event["event_type"] == "message_received" && round < 1_000 => round += 1,
            error => {
                assert_eq!((&error["code"], &error["retryable"]), (&json!("unavailable"), &json!(true)), "{error}");
                assert_eq!(error["client_message_id"], format!("round {round}"));
                break;
            }
        }
    }
    live.say("a short one needs no room", "short").await;
    live.event("message_received").await;
    slow.stream.send(piece(Data::Continue, rest, true)).await.unwrap();
    while slow.next().await["client_message_id"] != "slow" {}
    live.event("message_created").await;
    live.send_text(&large("there is room again")).await;
    assert_eq!(live.event("message_received").await["client_message_id"], "there is room again");
    server.stop().await;
}

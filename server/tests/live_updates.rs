//! What live connections are told beside messages, under which subprotocol, and whose a message with a name is.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::support::{KEY, Live, TestDatabase, TestServer, raw, requests};

/// Checks that nothing has come since: the server answers in order.
async fn nothing_more(live: &mut Live) {
    live.send(&json!({ "type": "ping" })).await;
    live.event("pong").await;
}

#[tokio::test]
async fn each_change_of_a_chat_is_told_to_all_its_open_connections() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let chat = client.create_chat(&json!({ "user_id": "ann", "metadata": { "a": 1 } }), 201).await.json();
    let chat = chat["id"].as_str().unwrap();
    let mut ann = Live::connect(&server, chat, "ann").await;
    let mut second_tab = Live::connect(&server, chat, "ann").await;
    let mut bob = Live::connect(&server, chat, "bob").await;
    bob.event("user_created").await;
    let other = client.new_chat("ann").await;
    let mut elsewhere = Live::connect(&server, &other, "ann").await;
    client.send_message(chat, &json!({ "content": "x" }), 201).await;
    for live in [&mut ann, &mut second_tab, &mut bob] {
        live.event("message_created").await;
    }
    for patch in [
        json!({ "title": "renamed" }),
        json!({ "metadata": { "a": null, "b": [1, { "c": 2.50 }] } }),
        json!({ "status": "closed" }),
        json!({ "status": "active" }),
        json!({ "title": "all at once", "metadata": { "d": true }, "status": "closed" }),
    ] {
        let updated = client.update_chat(chat, &patch, 200).await.json();
        for live in [&mut ann, &mut second_tab, &mut bob] {
            assert_eq!(live.event("chat_updated").await["chat"], updated, "{patch}");
        }
        // The same again changes nothing, and neither does what is refused or asks for nothing.
        client.update_chat(chat, &patch, 200).await;
        client.update_chat(chat, &json!({}), 200).await;
        client.update_chat(chat, &json!({ "title": "" }), 400).await;
        for live in [&mut ann, &mut second_tab, &mut bob, &mut elsewhere] {
            nothing_more(live).await;
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn the_last_of_many_changes_at_once_is_told_last() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let chat = client.new_chat("ann").await;
    let mut ann = Live::connect(&server, &chat, "ann").await;
    let patches = (0..20).map(|n| {
        let (client, chat) = (client.clone(), chat.clone());
        async move { client.update_chat(&chat, &json!({ "title": format!("title {n}") }), 200).await }
    });
    futures_util::future::join_all(patches).await;
    let current = client.get_chat(&chat, 200).await.json();
    let mut last = Value::Null;
    while last != current {
        last = ann.event("chat_updated").await["chat"].clone();
    }
    nothing_more(&mut ann).await;
    server.stop().await;
}

#[tokio::test]
async fn a_change_by_a_caller_that_goes_away_is_told_if_it_was_made() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let chat = client.new_chat("ann").await;
    let mut ann = Live::connect(&server, &chat, "ann").await;
    let mut made = 0;
    for n in 0..20_u64 {
        let title = format!("title {n}");
        let body = json!({ "title": title }).to_string();
        let request = format!(
            "PATCH {} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            requests::chat(&chat),
            body.len()
        );
        let mut caller = TcpStream::connect(server.address).await.unwrap();
        caller.write_all(request.as_bytes()).await.unwrap();
        // Goes away at a different time each time: before, while and after the change is made.
        sleep(Duration::from_micros(100 * n)).await;
        drop(caller);
        let is_made = async {
            while client.get_chat(&chat, 200).await.json()["title"] != title {
                sleep(Duration::from_millis(1)).await;
            }
        };
        // A request that was not looked at before its caller had gone is never done.
        if timeout(Duration::from_millis(500), is_made).await.is_ok() {
            made += 1;
            while ann.event("chat_updated").await["chat"]["title"] != title {}
        }
    }
    assert!(made > 0, "none was made");
    server.stop().await;
}

#[tokio::test]
async fn the_subprotocol_is_chosen_if_it_is_offered_and_others_do_no_harm() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let chat = server.client().new_chat("ann").await;
    let chosen = async |offers: &[&str], query: &str| {
        let offers: Vec<String> = offers.iter().map(|offer| format!("Sec-WebSocket-Protocol: {offer}\r\n")).collect();
        let offers = offers.concat();
        let request = format!(
            "GET /ws/chat?{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{offers}\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        // A close frame, which ends the connection, and so the answer.
        let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
        let answer = raw(server.address, &[request.as_bytes(), &close].concat()).await;
        let head = answer.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
        let protocols: Vec<String> =
            head.lines().filter_map(|line| Some(line.strip_prefix("sec-websocket-protocol: ")?.to_owned())).collect();
        (head.split(' ').nth(1).unwrap().to_owned(), protocols)
    };
    let ours = vec!["parlor.v1".to_owned()];
    let by_key = format!("api_key={KEY}&user_id=ann&chat_id={chat}");
    for (offers, expected) in [
        (&["parlor.v1"][..], &ours),
        (&["chat, parlor.v1"], &ours),
        (&["chat,\tparlor.v1 ,superchat"], &ours),
        (&["chat", "parlor.v1"], &ours),
        (&["parlor.v1, parlor.v1"], &ours),
        (&[], &vec![]),
        (&["chat"], &vec![]),
        (&["graphql-ws, mqtt"], &vec![]),
        (&["parlor.v2"], &vec![]),
        (&["parlor.v10"], &vec![]),
        (&["Parlor.V1"], &vec![]),
        (&[""], &vec![]),
    ] {
        assert_eq!(chosen(offers, &by_key).await, ("101".to_owned(), expected.clone()), "{offers:?}");
    }
    let ticket = server.client().create_ticket(&chat, &json!({ "user_id": "ann" }), 201).await.json();
    let by_ticket = format!("ticket={}", ticket["ticket"].as_str().unwrap());
    assert_eq!(chosen(&["parlor.v1"], &by_ticket).await, ("101".to_owned(), ours));
    // An offer is no credential.
    let without = format!("/ws/chat?user_id=ann&chat_id={chat}");
    let refused = Live::ask(server.address, &without, &[("Sec-WebSocket-Protocol", "parlor.v1")]).await;
    assert_eq!(refused.err().expect("refused").status, 401);
    server.stop().await;
}

/// Reads `count` events that are about messages: the type, the sender and the name of each.
async fn about_messages(live: &mut Live, count: usize) -> Vec<(String, Value, Value)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let event = live.next().await;
        let message = event.get("message").unwrap_or(&event);
        let sender = message.get("sender_id").or_else(|| message.get("user_id")).unwrap();
        let name = message["client_message_id"].clone();
        seen.push((event["event_type"].as_str().unwrap().to_owned(), sender.clone(), name));
    }
    seen
}

#[tokio::test]
async fn two_people_in_a_chat_may_give_their_messages_the_same_name() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let chat = server.client().new_chat("ann").await;
    let mut ann = Live::connect(&server, &chat, "ann").await;
    let mut bob = Live::connect(&server, &chat, "bob").await;
    bob.event("user_created").await;
    let event = |kind: &str, sender: &str| (format!("message_{kind}"), json!(sender), json!("same"));
    ann.say("from ann", "same").await;
    assert_eq!(about_messages(&mut ann, 1).await, [event("received", "ann")]);
    bob.say("from bob", "same").await;
    assert_eq!(about_messages(&mut bob, 2).await, [event("created", "ann"), event("received", "bob")]);
    assert_eq!(about_messages(&mut ann, 1).await, [event("created", "bob")]);
    // A repetition is acknowledged with one's own message.
    for (live, seq) in [(&mut ann, 1), (&mut bob, 2)] {
        live.say("again", "same").await;
        assert_eq!(live.event("message_received").await["seq"], seq);
    }
    // In a replay each sees whose is whose.
    let (mut ann_again, _) = Live::resume(&server, &chat, "ann", Some(0)).await;
    assert_eq!(about_messages(&mut ann_again, 2).await, [event("created", "ann"), event("created", "bob")]);
    server.stop().await;
}

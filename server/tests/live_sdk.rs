//! The SDK's live sessions against the real server, over connections that break.

use std::{collections::HashMap, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use parlor_sdk::{Client, Event};

use crate::support::{Chaos, KEY, TestDatabase, TestServer};

const MESSAGES: u64 = 10_000;
const CUTS: usize = 200;
/// Bytes of a connection at most before it is cut.
const BYTES: usize = 60_000;
/// Of the breaks; a failure is seen again under the same one.
const SEED: u64 = 20_240_115;

/// A client that comes back at once: the pauses between two attempts are drawn by lot, and the lot is nought.
fn client(address: std::net::SocketAddr) -> Client {
    Client::builder(format!("http://{address}"), KEY).randomness(|| 0.0).build().unwrap()
}

/// Longer than it takes anywhere; a message that was lost would be waited for.
const PATIENCE: Duration = Duration::from_mins(5);

#[tokio::test]
async fn of_ten_thousand_messages_over_two_hundred_cuts_each_comes_once_and_in_order() {
    tokio::time::timeout(PATIENCE, send_and_read()).await.expect("every message comes");
}

async fn send_and_read() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let chat = server.client().new_chat("ann").await.parse().unwrap();
    let chaos = Chaos::to(server.address, CUTS, BYTES, SEED).await;
    let client = client(chaos.address);

    let mut events = connect(&client, chat, "bob").await.split().1;
    let reading = tokio::spawn(async move {
        let mut next = 1;
        while next <= MESSAGES {
            let event = events.next().await.expect("the session goes on").unwrap();
            assert!(!matches!(event, Event::Gap(_) | Event::Unknown(_)), "{event:?}");
            if let Some(seq) = event.seq() {
                assert_eq!(seq, next, "{event:?}");
                next += 1;
            }
        }
    });

    let (sender, mut own) = connect(&client, chat, "ann").await.split();
    // Somebody must take what comes.
    let draining = tokio::spawn(async move { while own.next().await.is_some() {} });
    let receipts: HashMap<String, u64> = stream::iter(0..MESSAGES)
        .map(|n| {
            sender.send("over a broken line").client_message_id(format!("m{n}")).timeout(Duration::MAX).into_future()
        })
        .buffered(64)
        .map_ok(|receipt| (receipt.client_message_id, receipt.seq))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(receipts.len() as u64, MESSAGES);
    reading.await.unwrap();

    let mut stored = 0;
    let direct = self::client(server.address);
    let mut messages = std::pin::pin!(direct.list_messages(chat).limit(100).items());
    while let Some(message) = messages.try_next().await.unwrap() {
        stored += 1;
        assert_eq!(receipts[&message.client_message_id.unwrap()], stored, "a receipt names its message");
    }
    assert_eq!(stored, MESSAGES, "nothing is stored twice");
    assert!(chaos.cuts() >= CUTS, "{} cuts", chaos.cuts());
    sender.close().await;
    draining.await.unwrap();
    server.stop().await;
}

/// Connects, however often it takes.
async fn connect(client: &Client, chat: uuid::Uuid, user: &str) -> parlor_sdk::Session {
    loop {
        if let Ok(session) = client.connect(chat, user).after_seq(0).await {
            return session;
        }
    }
}

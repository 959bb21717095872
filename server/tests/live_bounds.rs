//! What a live connection may send before a message is complete.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use parlor_server::{
    clock::SystemClock,
    config::{Limits, RealtimeLimits},
};
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::support::{Live, TestDatabase, TestServer};

/// Longer than anything takes; a test that waits so long has failed.
const DEADLINE: Duration = Duration::from_mins(1);

async fn start(realtime: RealtimeLimits) -> (TestDatabase, TestServer) {
    let database = TestDatabase::create().await;
    let limits = Limits { realtime, ..Limits::default() };
    let server = TestServer::start_with(database.url(), limits, Arc::new(SystemClock)).await;
    (database, server)
}

fn piece(opcode: Data, content: &str, is_last: bool) -> Message {
    Message::Frame(Frame::message(content.to_owned(), OpCode::Data(opcode), is_last))
}

/// Sends `frame` again and again, and returns the code that the server closes with.
async fn code_after(live: Live, first: Message, frame: impl Fn() -> Vec<Message>) -> u16 {
    let (mut sender, mut receiver) = live.stream.split();
    let send = async {
        let mut sent = sender.feed(first).await;
        while sent.is_ok() {
            for frame in frame() {
                sent = sender.feed(frame).await;
            }
        }
        // What was closed is for the other half to tell.
        std::future::pending::<()>().await;
    };
    let receive = async {
        loop {
            match receiver.next().await {
                Some(Ok(Message::Close(close))) => return close.expect("a reason").code.into(),
                Some(Ok(_)) => {}
                other => panic!("{other:?} is no close frame"),
            }
        }
    };
    timeout(DEADLINE, async {
        tokio::select! {
            () = send => unreachable!(),
            code = receive => code,
        }
    })
    .await
    .expect("the server closes the connection")
}

#[tokio::test]
async fn pieces_without_content_do_not_escape_the_bound_of_a_message() {
    // The bound on control frames is another test's.
    let (_database, server) = start(RealtimeLimits { burst: u32::MAX, ..RealtimeLimits::default() }).await;
    let chat = server.client().new_chat("ann").await;
    let first = || piece(Data::Text, "", false);
    let empty = || piece(Data::Continue, "", false);
    let ping = || Message::Ping(Vec::new().into());
    let live = Live::connect(&server, &chat, "ann").await;
    assert_eq!(code_after(live, first(), || vec![empty()]).await, 1009);
    let live = Live::connect(&server, &chat, "ann").await;
    let between = || vec![empty(), ping()];
    assert_eq!(code_after(live, first(), between).await, 1009, "control frames between them change nothing");
    server.stop().await;
}

#[tokio::test]
async fn a_message_that_does_not_end_is_not_waited_for_however_alive_its_sender_is() {
    let short = RealtimeLimits {
        ping: Duration::from_millis(50),
        message: Duration::from_millis(200),
        ..RealtimeLimits::default()
    };
    let (_database, server) = start(short).await;
    let chat = server.client().new_chat("ann").await;
    let mut live = Live::connect(&server, &chat, "ann").await;
    live.stream.send(piece(Data::Text, "{", false)).await.unwrap();
    // Reading answers the server's pings.
    assert_eq!(timeout(DEADLINE, live.closed_at_last()).await.expect("an end"), 4008);
    server.stop().await;
}

#[tokio::test]
async fn control_frames_and_small_pieces_use_nothing_up() {
    let (_database, server) = start(RealtimeLimits { burst: u32::MAX, ..RealtimeLimits::default() }).await;
    let chat = server.client().new_chat("ann").await;
    let mut live = Live::connect(&server, &chat, "ann").await;
    for _ in 0..40_000 {
        live.stream.feed(Message::Pong(Vec::new().into())).await.unwrap();
    }
    live.stream.flush().await.unwrap();
    for name in ["first", "second"] {
        let frame = json!({ "content": "x".repeat(10_000), "client_message_id": name }).to_string();
        let pieces: Vec<&str> = frame.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap()).collect();
        for (index, text) in pieces.iter().enumerate() {
            let opcode = if index == 0 { Data::Text } else { Data::Continue };
            live.stream.feed(piece(opcode, text, index + 1 == pieces.len())).await.unwrap();
        }
        live.stream.flush().await.unwrap();
        assert_eq!(live.event("message_received").await["client_message_id"], name);
    }
    server.stop().await;
}

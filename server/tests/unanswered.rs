//! Questions that wait for the assistant when the process ends are not answered; the clients of their chats are told.

use std::{
    net::{SocketAddr, TcpListener},
    process::Command,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use parlor_server::assistant::{AssistantError, Conversation, Provider, ProviderConfig, TokenStream};
use serde_json::{Value, json};

use crate::support::{
    Client, KEY, Live, ServerProcess, TestDatabase, TestServer, WriteLock,
    upstream::{Step, Upstream, piece, stream as stream_head},
};

/// Chats with questions that a killed process leaves behind.
const CHATS: usize = 20;

/// The process, with an assistant at `upstream`; without one if there is none.
fn command(database: &TestDatabase, upstream: Option<SocketAddr>) -> Command {
    let mut command = ServerProcess::command(database.url());
    command.env("PARLOR_BOOTSTRAP_API_KEY", KEY);
    if let Some(address) = upstream {
        command
            .env("PARLOR_ASSISTANT", "openai")
            .env("PARLOR_OPENAI_BASE_URL", format!("http://{address}/v1"))
            .env("PARLOR_OPENAI_MODEL", "model");
    }
    command
}

/// Connects `ann`, and takes the first event.
async fn connect(address: SocketAddr, chat: &str, after: Option<i64>) -> Live {
    let query = after.map_or_else(String::new, |after| format!("?after_seq={after}"));
    let headers = [("X-API-Key", KEY), ("X-User-ID", "ann"), ("X-Chat-ID", chat)];
    let mut live = Live::ask(address, &format!("/ws/chat{query}"), &headers).await.unwrap();
    live.event("connection_established").await;
    live
}

/// Takes the event that tells of an abandoned question.
async fn is_told(live: &mut Live) {
    let error = live.event("error").await;
    let (code, retryable, message) = (&error["code"], &error["retryable"], error["message"].as_str().unwrap());
    assert_eq!((code, retryable), (&json!("assistant_failed"), &json!(true)), "{error}");
    assert!(message.contains("ask again") && message.contains("client_message_id"), "{message}");
}

/// Checks that nothing more was sent.
async fn is_told_nothing(live: &mut Live) {
    live.send(&json!({ "type": "ping" })).await;
    live.event("pong").await;
}

async fn ask(client: &Client, chat: &str, question: &str) {
    let message = json!({ "content": question, "client_message_id": question });
    client.send_message(chat, &message, 201).await;
}

#[tokio::test]
async fn after_kill_nine_each_connection_to_a_chat_with_a_lost_question_is_told_once() {
    let database = TestDatabase::create().await;
    // Accepts no connection, so that every question of either process waits in the backlog and none fails.
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = || Some(upstream.local_addr().unwrap());
    let process = ServerProcess::spawn(&mut command(&database, upstream()));
    let client = Client::new(process.address).key(KEY);
    let mut chats = Vec::new();
    for _ in 0..CHATS {
        let chat = client.new_chat("ann").await;
        for question in ["one?", "two?", "three?"] {
            ask(&client, &chat, question).await;
        }
        chats.push(chat);
    }
    let (empty, said, closed) = (client.new_chat("ann").await, client.new_chat("ann").await, chats.pop().unwrap());
    client.send_message(&said, &json!({ "content": "hello", "sender_role": "assistant" }), 201).await;
    client.update_chat(&closed, &json!({ "status": "closed" }), 200).await;
    process.kill();

    let process = ServerProcess::spawn(&mut command(&database, upstream()));
    let client = Client::new(process.address).key(KEY);
    for chat in &chats {
        let mut live = connect(process.address, chat, None).await;
        is_told(&mut live).await;
        is_told_nothing(&mut live).await;
        let mut resumed = connect(process.address, chat, Some(1)).await;
        for seq in 2..=3 {
            assert_eq!(resumed.event("message_created").await["message"]["seq"], seq);
        }
        is_told(&mut resumed).await;
        is_told_nothing(&mut resumed).await;
    }
    for chat in [&empty, &said, &closed] {
        is_told_nothing(&mut connect(process.address, chat, None).await).await;
    }
    // The answer to a question that this process was asked is on its way: nothing is told of it.
    let asked = &chats[0];
    ask(&client, asked, "again?").await;
    let mut live = connect(process.address, asked, None).await;
    let event = live.next().await;
    assert_eq!(event["event_type"], "message_stream_started", "{event}");
    process.kill();

    let process = ServerProcess::spawn(&mut command(&database, None));
    for chat in &chats {
        is_told_nothing(&mut connect(process.address, chat, None).await).await;
    }
    process.finish();
}

#[tokio::test]
async fn after_kill_nine_in_the_middle_of_an_answer_a_client_that_resumes_is_told_and_sees_no_stream() {
    let database = TestDatabase::create().await;
    let half = "data: {\"choices\":[{\"delta\":{\"content\":\"Half\"}}]}\n\n";
    let upstream = Upstream::start(vec![stream_head(), piece(half), Step::Hold]).await;
    let process = ServerProcess::spawn(&mut command(&database, Some(upstream.address)));
    let client = Client::new(process.address).key(KEY);
    let chat = client.new_chat("ann").await;
    let mut live = connect(process.address, &chat, None).await;
    ask(&client, &chat, "question").await;
    for event in ["message_created", "message_stream_started", "message_stream_token"] {
        live.event(event).await;
    }
    process.kill();

    let process = ServerProcess::spawn(&mut command(&database, Some(upstream.address)));
    let mut resumed = connect(process.address, &chat, Some(1)).await;
    is_told(&mut resumed).await;
    is_told_nothing(&mut resumed).await;
    let messages = Client::new(process.address).key(KEY).list_messages(&chat, &[], 200).await.json();
    assert_eq!(messages["total"], 1, "nothing of the answer is stored");
    process.finish();
}

#[tokio::test]
async fn the_time_for_the_first_token_is_a_setting() {
    let database = TestDatabase::create().await;
    let upstream = Upstream::start(vec![Step::Hold]).await;
    let mut command = command(&database, Some(upstream.address));
    let process = ServerProcess::spawn(command.env("PARLOR_ASSISTANT_FIRST_TOKEN_TIMEOUT", "1"));
    let client = Client::new(process.address).key(KEY);
    let chat = client.new_chat("ann").await;
    let mut live = connect(process.address, &chat, None).await;
    ask(&client, &chat, "question").await;
    for event in ["message_created", "message_stream_started"] {
        live.event(event).await;
    }
    // By default it would take a minute, for which the test does not wait.
    let error = live.event("error").await;
    assert_eq!((&error["code"], &error["retryable"]), (&json!("assistant_failed"), &json!(true)));
    assert_eq!(live.event("message_stream_ended").await["finish_reason"], "error");
    process.finish();
}

#[tokio::test]
async fn after_sigterm_the_connections_of_waiting_questions_are_told_before_they_are_closed() {
    let database = TestDatabase::create().await;
    let upstream = Upstream::start(vec![Step::Hold]).await;
    let process = ServerProcess::spawn(&mut command(&database, Some(upstream.address)));
    let client = Client::new(process.address).key(KEY);
    let mut connections = Vec::new();
    for n in 0..5 {
        let chat = client.new_chat("ann").await;
        let mut live = connect(process.address, &chat, None).await;
        // One that is asked already, and in most chats others behind it.
        for question in 0..=n {
            ask(&client, &chat, &format!("{question}?")).await;
        }
        let mut seen = 0;
        while seen < n + 2 {
            let event = live.next().await;
            assert!(["message_created", "message_stream_started"].contains(&event["event_type"].as_str().unwrap()));
            seen += 1;
        }
        connections.push(live);
    }
    process.signal("TERM");
    for live in &mut connections {
        assert_eq!(until_closed(live).await, (1, 1001));
    }
    assert!(process.wait().success());
}

/// How many abandoned questions a connection is told of until it is closed, and the code that it is closed with.
async fn until_closed(live: &mut Live) -> (usize, u16) {
    let mut told = 0;
    loop {
        match live.next_unless_closed().await {
            Ok(event) if event["event_type"] == "error" => {
                assert_eq!((&event["code"], &event["retryable"]), (&json!("assistant_failed"), &json!(true)));
                told += 1;
            }
            Ok(event) => {
                assert_eq!((&event["event_type"], &event["seq"]), (&json!("message_stream_ended"), &Value::Null));
            }
            Err(code) => return (told, code),
        }
    }
}

/// An assistant that says these words and then goes on without an end.
#[derive(Debug)]
struct Endless(&'static [&'static str]);

impl Provider for Endless {
    fn answer(&self, _conversation: Conversation) -> TokenStream {
        let words = self.0.iter().map(|word| Ok((*word).to_owned()));
        stream::iter(words).chain(stream::pending()).boxed()
    }
}

#[tokio::test]
async fn a_question_that_waits_for_answers_of_other_chats_is_told_of_at_a_stop() {
    let database = TestDatabase::create().await;
    let server = TestServer::start_as(database.url(), |config| {
        config.assistant = ProviderConfig::Custom(Arc::new(Endless(&[])));
        config.limits.realtime.answers = 1;
    })
    .await;
    let client = server.client();
    let mut connections = Vec::new();
    for n in 0..3 {
        let chat = client.new_chat("ann").await;
        let mut live = connect(server.address, &chat, None).await;
        ask(&client, &chat, "question").await;
        live.event("message_created").await;
        if n == 0 {
            live.event("message_stream_started").await;
        }
        connections.push(live);
    }
    server.begin_shutdown();
    for live in &mut connections {
        assert_eq!(until_closed(live).await, (1, 1001));
    }
    server.stopped().await;
}

#[tokio::test]
async fn a_question_that_is_stored_while_the_server_stops_is_told_of() {
    let database = TestDatabase::create().await;
    let provider = ProviderConfig::Custom(Arc::new(Endless(&["word"])));
    let server = TestServer::start_as(database.url(), |config| config.assistant = provider).await;
    let client = server.client();
    let (streaming, late) = (client.new_chat("ann").await, client.new_chat("owner").await);
    let mut stream = connect(server.address, &streaming, None).await;
    ask(&client, &streaming, "question").await;
    for event in ["message_created", "message_stream_started", "message_stream_token"] {
        stream.event(event).await;
    }
    // She is not the owner, so her first message also stores a user, which the lock keeps from being stored.
    let mut live = connect(server.address, &late, None).await;
    let lock = WriteLock::take(&database).await;
    live.say("too late?", "m1").await;
    client.until_metric("parlor_writer_requests_total 4").await;
    // The answer as far as it has come is stored behind the question, and until then connections stay open.
    server.begin_shutdown();
    lock.release().await;
    assert_eq!(live.event("message_received").await["seq"], 1);
    is_told(&mut live).await;
    assert_eq!(live.closed().await, 1001);
    let ended = stream.event("message_stream_ended").await;
    assert_eq!((&ended["content"], &ended["seq"]), (&json!("word"), &json!(2)));
    assert_eq!(stream.closed().await, 1001, "what was answered in part is not told of");
    server.stopped().await;
}

/// An assistant that goes on without an end, except for the question `fail`: it fails as soon as `gate` is closed. Until
/// then it blocks its thread, so that its answer cannot be cancelled first.
#[derive(Debug)]
struct FailsLate {
    asked: tokio::sync::mpsc::UnboundedSender<()>,
    gate: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Provider for FailsLate {
    fn answer(&self, conversation: Conversation) -> TokenStream {
        if conversation.turns.last().unwrap().content != "fail" {
            return stream::pending().boxed();
        }
        let (asked, gate) = (self.asked.clone(), self.gate.clone());
        let fail = async move {
            asked.send(()).unwrap();
            _ = tokio::task::block_in_place(|| gate.lock().unwrap().recv_timeout(Duration::from_secs(20)));
            Err(AssistantError::Malformed)
        };
        stream::once(fail).boxed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_question_whose_answer_fails_while_the_server_stops_is_told_of_once() {
    let database = TestDatabase::create().await;
    let (open, gate) = mpsc::channel();
    let (asked, mut is_asked) = tokio::sync::mpsc::unbounded_channel();
    let provider = ProviderConfig::Custom(Arc::new(FailsLate { asked, gate: Arc::new(Mutex::new(gate)) }));
    let server = TestServer::start_as(database.url(), |config| config.assistant = provider).await;
    let client = server.client();
    let (failing, waiting) = (client.new_chat("ann").await, client.new_chat("ann").await);
    let mut failed = connect(server.address, &failing, None).await;
    let mut told = connect(server.address, &waiting, None).await;
    ask(&client, &waiting, "one?").await;
    ask(&client, &waiting, "two?").await;
    ask(&client, &failing, "fail").await;
    for event in ["message_created", "message_stream_started"] {
        failed.event(event).await;
    }
    is_asked.recv().await.unwrap();
    server.begin_shutdown();
    // From here on no answer begins or goes on.
    assert_eq!(until_told(&mut told).await, 2);
    drop(open);
    assert_eq!(until_closed(&mut failed).await, (1, 1001));
    server.stopped().await;
}

/// Waits until a connection is told of an abandoned question; returns how many messages it was sent before.
async fn until_told(live: &mut Live) -> usize {
    let mut messages = 0;
    loop {
        let event = live.next().await;
        match event["event_type"].as_str().unwrap() {
            "message_created" => messages += 1,
            "error" => return messages,
            other => assert!(other.starts_with("message_stream_"), "{event}"),
        }
    }
}

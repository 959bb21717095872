//! The assistant's answers: streamed to everybody, one at a time, stored when they end.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use parlor_server::{
    assistant::{AssistantError, Conversation, Provider, ProviderConfig, TokenStream},
    chat::Role,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::{Client, Live, TestDatabase, TestServer};

type Token = Result<String, AssistantError>;

/// An assistant whose tokens a test gives out one by one.
#[derive(Debug, Default)]
struct Script {
    asked: Mutex<Vec<Conversation>>,
    answers: Mutex<Vec<mpsc::UnboundedReceiver<Token>>>,
}

impl Script {
    /// The next answer: what is sent here is its tokens; dropped, it ends.
    fn answer(&self) -> mpsc::UnboundedSender<Token> {
        let (tokens, answer) = mpsc::unbounded_channel();
        self.answers.lock().unwrap().insert(0, answer);
        tokens
    }

    /// What each question said, as roles and words.
    fn asked(&self) -> Vec<Vec<(Role, String)>> {
        let turns = |asked: &Conversation| asked.turns.iter().map(|turn| (turn.role, turn.content.clone())).collect();
        self.asked.lock().unwrap().iter().map(turns).collect()
    }
}

impl Provider for Script {
    fn answer(&self, conversation: Conversation) -> TokenStream {
        self.asked.lock().unwrap().push(conversation);
        let answer = self.answers.lock().unwrap().pop();
        let answer = answer.expect("an answer is written in the script");
        stream::unfold(answer, |mut answer| async { Some((answer.recv().await?, answer)) }).boxed()
    }
}

async fn start(script: &Arc<Script>) -> (TestDatabase, TestServer, Client, String) {
    let database = TestDatabase::create().await;
    let provider = ProviderConfig::Custom(script.clone());
    let server = TestServer::start_as(database.url(), |config| config.assistant = provider).await;
    let client = server.client();
    let chat = client.new_chat("ann").await;
    (database, server, client, chat)
}

/// Says something, and returns the beginning of its answer.
async fn ask(live: &mut Live, question: &str, name: &str) -> Value {
    live.say(question, name).await;
    live.event("message_received").await;
    live.event("message_stream_started").await
}

#[expect(clippy::unnecessary_wraps, reason = "what a stream yields")]
fn token(text: &str) -> Token {
    Ok(text.to_owned())
}

/// Takes an answer's tokens up to its end, checks their places, and returns the text and the last event.
async fn rest(live: &mut Live, mut text: String, mut next: i64) -> (String, Value) {
    loop {
        let event = live.next().await;
        if event["event_type"] == "message_stream_ended" {
            return (text, event);
        }
        assert_eq!((&event["event_type"], &event["index"]), (&json!("message_stream_token"), &json!(next)), "{event}");
        text.push_str(event["token"].as_str().unwrap());
        next += 1;
    }
}

#[tokio::test]
async fn the_echo_streams_the_users_words_back_to_everybody_and_stores_them() {
    let database = TestDatabase::create().await;
    let server = TestServer::start_as(database.url(), |config| {
        config.assistant = ProviderConfig::Echo { pause: Duration::ZERO };
    })
    .await;
    let client = server.client();
    let chat = client.new_chat("ann").await;
    let mut ann = Live::connect(&server, &chat, "ann").await;
    let mut other = Live::connect(&server, &chat, "ann").await;
    ann.say("one  two\nthree", "m").await;
    ann.event("message_received").await;
    other.event("message_created").await;
    let mut ends = Vec::new();
    for live in [&mut ann, &mut other] {
        let started = live.event("message_stream_started").await;
        let (text, ended) = rest(live, String::new(), 0).await;
        assert_eq!(text, "one  two\nthree");
        assert_eq!(ended["message_id"], started["message_id"]);
        assert_eq!(
            (&ended["content"], &ended["seq"], &ended["finish_reason"]),
            (&json!(text), &json!(2), &json!("stop"))
        );
        ends.push(ended);
    }
    let stored = &client.list_messages(&chat, &[], 200).await.json()["messages"][1];
    assert_eq!((&stored["id"], &stored["content"]), (&ends[0]["message_id"], &json!("one  two\nthree")));
    assert_eq!(
        (&stored["sender_role"], &stored["metadata"]),
        (&json!("assistant"), &json!({ "finish_reason": "stop" }))
    );

    client.send_message(&chat, &json!({ "content": "by REST" }), 201).await;
    ann.event("message_created").await;
    ann.event("message_stream_started").await;
    assert_eq!(rest(&mut ann, String::new(), 0).await.0, "by REST");
    client.send_message(&chat, &json!({ "content": "a tenant's own", "sender_role": "assistant" }), 201).await;
    ann.event("message_created").await;
    ann.say("next", "n").await;
    assert_eq!(ann.event("message_received").await["seq"], 6, "nobody answers an assistant");
}

#[tokio::test]
async fn who_joins_in_the_middle_gets_all_so_far_and_then_the_rest() {
    let script = Arc::new(Script::default());
    let (_database, server, _client, chat) = start(&script).await;
    let tokens = script.answer();
    let mut ann = Live::connect(&server, &chat, "ann").await;
    let started = ask(&mut ann, "question", "m").await;
    let (mut early, _) = Live::resume(&server, &chat, "ann", None).await;
    assert_eq!(early.event("message_stream_started").await["message_id"], started["message_id"]);
    for word in ["The ", "answer "] {
        tokens.send(token(word)).unwrap();
        ann.event("message_stream_token").await;
    }
    let (mut late, _) = Live::resume(&server, &chat, "ann", Some(0)).await;
    assert_eq!(late.event("message_created").await["message"]["content"], "question");
    assert_eq!(late.event("message_stream_started").await["message_id"], started["message_id"]);
    let so_far = late.event("message_stream_token").await;
    assert_eq!((&so_far["token"], &so_far["index"]), (&json!("The answer "), &json!(1)));
    tokens.send(token("is 42.")).unwrap();
    drop(tokens);
    for (live, text, next) in [(&mut ann, "The answer ", 2), (&mut early, "", 0), (&mut late, "The answer ", 2)] {
        let (text, ended) = rest(live, text.to_owned(), next).await;
        assert_eq!((text.as_str(), &ended["content"], &ended["seq"]), ("The answer is 42.", &json!(text), &json!(2)));
    }
}

#[tokio::test]
async fn answers_of_a_chat_come_one_after_the_other_and_see_what_was_said_before() {
    let script = Arc::new(Script::default());
    let (_database, server, _client, chat) = start(&script).await;
    let (first, second) = (script.answer(), script.answer());
    let mut ann = Live::connect(&server, &chat, "ann").await;
    ask(&mut ann, "one?", "m1").await;
    ann.say("two?", "m2").await;
    ann.event("message_received").await;
    first.send(token("One!")).unwrap();
    drop(first);
    assert_eq!(rest(&mut ann, String::new(), 0).await.1["seq"], 3);
    ann.event("message_stream_started").await;
    second.send(token("Two!")).unwrap();
    drop(second);
    assert_eq!(rest(&mut ann, String::new(), 0).await.1["seq"], 4);
    let (user, assistant) = (Role::User, Role::Assistant);
    let said =
        |turns: &[(Role, &str)]| turns.iter().map(|(role, text)| (*role, (*text).to_owned())).collect::<Vec<_>>();
    assert_eq!(script.asked(), [said(&[(user, "one?")]), said(&[(user, "one?"), (assistant, "One!"), (user, "two?")])]);
}

#[tokio::test]
async fn a_cancelled_answer_keeps_what_has_come_and_the_next_question_is_answered() {
    let script = Arc::new(Script::default());
    let (_database, server, client, chat) = start(&script).await;
    let (first, second) = (script.answer(), script.answer());
    let mut ann = Live::connect(&server, &chat, "ann").await;
    let mut bob = Live::connect(&server, &chat, "ann").await;
    ask(&mut ann, "question", "m").await;
    first.send(token("The an")).unwrap();
    ann.event("message_stream_token").await;
    bob.send(&json!({ "type": "cancel" })).await;
    let (_, ended) = rest(&mut ann, String::new(), 1).await;
    assert_eq!((&ended["content"], &ended["finish_reason"]), (&json!("The an"), &json!("cancelled")));
    assert!(first.is_closed(), "nobody listens to the provider any more");
    let stored = &client.list_messages(&chat, &[], 200).await.json()["messages"][1];
    assert_eq!((&stored["content"], &stored["metadata"]), (&json!("The an"), &json!({ "finish_reason": "cancelled" })));

    ask(&mut ann, "again", "m2").await;
    // Of an answer of which nothing has come, nothing is stored.
    ann.send(&json!({ "type": "cancel" })).await;
    let (_, ended) = rest(&mut ann, String::new(), 0).await;
    assert_eq!(
        (&ended["content"], &ended["seq"], &ended["finish_reason"]),
        (&json!(""), &Value::Null, &json!("cancelled"))
    );
    drop(second);
    assert_eq!(client.get_chat(&chat, 200).await.json()["message_count"], 3);
}

#[tokio::test]
async fn an_assistant_that_fails_leaves_the_chat_usable() {
    let script = Arc::new(Script::default());
    let (_database, server, client, chat) = start(&script).await;
    let (broken, silent, whole) = (script.answer(), script.answer(), script.answer());
    let mut ann = Live::connect(&server, &chat, "ann").await;
    for (answer, said) in [(broken, "Half an ans"), (silent, "")] {
        ann.send(&json!({ "content": "question" })).await;
        ann.event("message_received").await;
        ann.event("message_stream_started").await;
        if !said.is_empty() {
            answer.send(token(said)).unwrap();
            ann.event("message_stream_token").await;
        }
        answer.send(Err(AssistantError::Interrupted)).unwrap();
        let error = ann.event("error").await;
        assert_eq!((&error["code"], &error["retryable"]), (&json!("assistant_failed"), &json!(true)));
        let (_, ended) = rest(&mut ann, String::new(), 0).await;
        assert_eq!((&ended["content"], &ended["finish_reason"]), (&json!(said), &json!("error")));
        assert_eq!(ended["seq"].is_null(), said.is_empty());
    }
    ask(&mut ann, "question", "m3").await;
    whole.send(token("Whole.")).unwrap();
    drop(whole);
    assert_eq!(rest(&mut ann, String::new(), 0).await.1["finish_reason"], "stop");
    assert_eq!(client.get_chat(&chat, 200).await.json()["message_count"], 5);
}

#[tokio::test]
async fn stopping_stores_what_has_come_of_an_answer() {
    let script = Arc::new(Script::default());
    let (database, server, _client, chat) = start(&script).await;
    let tokens = script.answer();
    let mut ann = Live::connect(&server, &chat, "ann").await;
    ask(&mut ann, "question", "m").await;
    tokens.send(token("As far as")).unwrap();
    ann.event("message_stream_token").await;
    server.begin_shutdown();
    let ended = ann.event("message_stream_ended").await;
    assert_eq!((&ended["content"], &ended["finish_reason"]), (&json!("As far as"), &json!("interrupted")));
    assert_eq!(ann.closed().await, 1001);
    server.stopped().await;
    let server = TestServer::start(&database).await;
    let messages = server.client().list_messages(&chat, &[], 200).await.json();
    let stored = &messages["messages"][1];
    assert_eq!(
        (&stored["content"], &stored["metadata"]),
        (&json!("As far as"), &json!({ "finish_reason": "interrupted" }))
    );
}

#[tokio::test]
async fn a_provider_that_panics_fails_one_answer() {
    let script = Arc::new(Script::default());
    let (_database, server, _client, chat) = start(&script).await;
    let mut ann = Live::connect(&server, &chat, "ann").await;
    // Nothing is written in the script.
    ann.say("question", "m1").await;
    ann.event("message_received").await;
    assert_eq!(ann.event("error").await["code"], "assistant_failed");
    let tokens = script.answer();
    ask(&mut ann, "question", "m2").await;
    tokens.send(token("Provider.")).unwrap();
    drop(tokens);
    assert_eq!(rest(&mut ann, String::new(), 0).await.1["seq"], 3);
}

#[tokio::test]
async fn no_client_can_take_the_place_of_an_answer() {
    let script = Arc::new(Script::default());
    let (_database, server, client, chat) = start(&script).await;
    let (first, second) = (script.answer(), script.answer());
    let mut ann = Live::connect(&server, &chat, "ann").await;
    let id = ask(&mut ann, "question", "m1").await["message_id"].clone();
    ann.say("I was first", id.as_str().unwrap()).await;
    ann.event("message_received").await;
    first.send(token("Provider.")).unwrap();
    drop(first);
    let (_, ended) = rest(&mut ann, String::new(), 0).await;
    assert_eq!((&ended["message_id"], &ended["seq"]), (&id, &json!(3)));
    drop(second);
    assert_eq!(client.list_messages(&chat, &[], 200).await.json()["messages"][2]["content"], "Provider.");
}

#[tokio::test]
async fn closing_a_chat_stops_its_answer_and_stores_what_has_come() {
    let script = Arc::new(Script::default());
    let (_database, server, client, chat) = start(&script).await;
    let first = script.answer();
    let mut ann = Live::connect(&server, &chat, "ann").await;
    ask(&mut ann, "one?", "m1").await;
    first.send(token("As far as")).unwrap();
    ann.event("message_stream_token").await;
    ann.say("two?", "m2").await;
    ann.event("message_received").await;
    let updated = client.update_chat(&chat, &json!({ "status": "closed" }), 200).await.json();
    assert_eq!((&updated["status"], &updated["message_count"]), (&json!("closed"), &json!(3)));
    first.closed().await;
    let (_, ended) = rest(&mut ann, String::new(), 1).await;
    assert_eq!(
        (&ended["content"], &ended["seq"], &ended["finish_reason"]),
        (&json!("As far as"), &json!(3), &json!("cancelled"))
    );
    let stored = &client.list_messages(&chat, &[], 200).await.json()["messages"][2];
    assert_eq!(
        (&stored["content"], &stored["metadata"]),
        (&json!("As far as"), &json!({ "finish_reason": "cancelled" }))
    );
    server.stop().await;
}

#[tokio::test]
async fn what_waits_in_a_chat_that_is_closed_is_not_answered() {
    let script = Arc::new(Script::default());
    let (_database, server, client, chat) = start(&script).await;
    let (first, second) = (script.answer(), script.answer());
    let mut ann = Live::connect(&server, &chat, "ann").await;
    ask(&mut ann, "one?", "m1").await;
    for (question, name) in [("two?", "m2"), ("three?", "m3")] {
        ann.say(question, name).await;
        ann.event("message_received").await;
    }
    client.update_chat(&chat, &json!({ "status": "closed" }), 200).await;
    first.closed().await;
    let (_, ended) = rest(&mut ann, String::new(), 0).await;
    assert!(ended["seq"].is_null() && ended["finish_reason"] == "cancelled", "{ended}");
    server.stop().await;
    drop(second);
    // The second question may have been asked before the chat was closed; the third one was not.
    assert!(script.asked().len() <= 2);
}

#[tokio::test]
async fn only_its_own_tenant_stops_an_answer_by_closing_the_chat() {
    let script = Arc::new(Script::default());
    let (_database, server, client, chat) = start(&script).await;
    let tokens = script.answer();
    let mut ann = Live::connect(&server, &chat, "ann").await;
    ask(&mut ann, "question", "m").await;
    client.update_chat(&uuid::Uuid::nil().to_string(), &json!({ "status": "closed" }), 404).await;
    let stranger = server.client_of("stranger").await;
    stranger.update_chat(&chat, &json!({ "status": "closed" }), 404).await;
    stranger.delete_chat(&chat, &[("force", "true")], 404).await;
    client.update_chat(&chat, &json!({ "title": "Other" }), 200).await;
    ann.event("chat_updated").await;
    tokens.send(token("Provider.")).unwrap();
    drop(tokens);
    assert_eq!(rest(&mut ann, String::new(), 0).await.1["finish_reason"], "stop");
    server.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_not_complete_says_why_and_whether_asking_again_can_help() {
    let script = Arc::new(Script::default());
    let (_database, server, client, chat) = start(&script).await;
    let mut ann = Live::connect(&server, &chat, "ann").await;
    let cases = [
        (AssistantError::LengthLimit, "length", None),
        (AssistantError::Unauthorized, "error", Some(false)),
        (AssistantError::NotFound, "error", Some(false)),
        (AssistantError::Status(400), "error", Some(false)),
        (AssistantError::ContextTooLong, "error", Some(false)),
        (AssistantError::Filtered, "error", Some(false)),
        (AssistantError::RateLimited, "error", Some(true)),
        (AssistantError::Status(503), "error", Some(true)),
        (AssistantError::Stalled(Duration::from_secs(1)), "error", Some(true)),
        (AssistantError::Failed, "error", Some(true)),
    ];
    for (index, (error, finish_reason, retryable)) in cases.into_iter().enumerate() {
        let tokens = script.answer();
        ask(&mut ann, "question", &format!("m{index}")).await;
        tokens.send(token("Half")).unwrap();
        ann.event("message_stream_token").await;
        tokens.send(Err(error.clone())).unwrap();
        if let Some(retryable) = retryable {
            let event = ann.event("error").await;
            let seen = (&event["code"], &event["retryable"]);
            assert_eq!(seen, (&json!("assistant_failed"), &json!(retryable)), "{error}");
        }
        let ended = ann.event("message_stream_ended").await;
        assert_eq!((&ended["content"], &ended["finish_reason"]), (&json!("Half"), &json!(finish_reason)), "{error}");
        let stored = client.list_messages(&chat, &[("order", "desc"), ("limit", "1")], 200).await.json();
        assert_eq!(stored["messages"][0]["metadata"], json!({ "finish_reason": finish_reason }), "{error}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_chat_deleted_in_the_middle_of_an_answer_is_gone() {
    let script = Arc::new(Script::default());
    let (_database, server, client, chat) = start(&script).await;
    let tokens = script.answer();
    let mut ann = Live::connect(&server, &chat, "ann").await;
    ask(&mut ann, "question", "m").await;
    client.delete_chat(&chat, &[("force", "true")], 200).await;
    assert_eq!(ann.closed().await, 4004);
    // The provider is told that nobody listens any more.
    tokens.closed().await;
    client.get_chat(&chat, 404).await;
    server.stop().await;
}

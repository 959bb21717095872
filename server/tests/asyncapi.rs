//! The document about live messaging is the truth, too: committed, derived and served are the same, and every event and
//! every frame is as it says. [`Live::next`] holds each event of every test against it; here are all kinds of them.

use std::{collections::BTreeSet, time::Duration};

use parlor_server::assistant::ProviderConfig;
use serde_json::{Map, Value, json};

use crate::{
    document::{check_derived, check_served},
    support::{ASYNCAPI, KEY, Live, TestDatabase, TestServer, asyncapi, described::validator, objections},
};

#[test]
fn the_committed_document_is_the_derived_one() {
    check_derived("asyncapi", ASYNCAPI);
}

#[tokio::test]
async fn the_served_document_is_the_committed_one() {
    check_served("/asyncapi.json", ASYNCAPI).await;
}

fn messages() -> &'static Map<String, Value> {
    asyncapi()["components"]["messages"].as_object().unwrap()
}

/// The frames that the document shows of a message.
fn examples(message: &Value) -> impl Iterator<Item = &Value> {
    message["examples"].as_array().into_iter().flatten().map(|example| &example["payload"])
}

/// The names of the messages of the operations with this action: what the server receives, or what it sends.
fn names(action: &str) -> BTreeSet<&'static str> {
    let operations = asyncapi()["operations"].as_object().unwrap().values();
    let messages = operations.filter(|operation| operation["action"] == action).flat_map(|operation| {
        operation["messages"].as_array().unwrap().iter().map(|message| message["$ref"].as_str().unwrap())
    });
    messages.map(|reference| reference.strip_prefix("#/channels/chat/messages/").unwrap()).collect()
}

#[test]
fn every_message_is_described_and_its_examples_are_as_described() {
    for (name, message) in messages() {
        for words in ["title", "summary", "description"] {
            assert!(message[words].as_str().is_some_and(|text| text.len() > 3), "{name} has no {words}");
        }
        assert!(examples(message).next().is_some(), "{name} has no example");
        for example in examples(message) {
            assert_eq!(objections(name, example), Vec::<String>::new(), "{example}");
        }
    }
    assert_eq!(messages().len(), names("receive").len() + names("send").len());
}

/// The schemas would be worth nothing if they let everything pass.
#[test]
fn a_message_that_is_not_as_described_is_objected_to() {
    for (name, message) in messages() {
        let schema = asyncapi().pointer(&message["payload"]["$ref"].as_str().unwrap()[1..]).unwrap();
        let example = examples(message).next().unwrap();
        for member in schema["required"].as_array().unwrap() {
            let mut less = example.clone();
            less.as_object_mut().unwrap().remove(member.as_str().unwrap());
            assert_ne!(objections(name, &less), Vec::<String>::new(), "{name} without {member}");
        }
        for member in example.as_object().unwrap().keys() {
            let mut other = example.clone();
            other[member] = json!([[]]);
            assert_ne!(objections(name, &other), Vec::<String>::new(), "{name} with another {member}");
        }
        let mut more = example.clone();
        more["new"] = 1.into();
        assert_eq!(
            objections(name, &more).is_empty(),
            names("send").contains(name.as_str()),
            "{name} with a new member"
        );
    }
}

/// Reads until an event of this type, and notes the types of all.
async fn until(live: &mut Live, event_type: &str, seen: &mut BTreeSet<String>) -> Value {
    loop {
        let event = live.next().await;
        let found = event["event_type"].as_str().unwrap().to_owned();
        let is_it = found == event_type;
        seen.insert(found);
        if is_it {
            return event;
        }
    }
}

#[tokio::test]
async fn every_kind_of_event_is_as_described() {
    let database = TestDatabase::create().await;
    let echo = ProviderConfig::Echo { pause: Duration::ZERO };
    let server = TestServer::start_as(database.url(), |config| config.assistant = echo).await;
    let chat = server.client().new_chat("ann").await;
    let mut seen = BTreeSet::from(["connection_established".to_owned()]);
    let mut ann = Live::connect(&server, &chat, "ann").await;
    let mut bob = Live::connect(&server, &chat, "bob").await;
    until(&mut bob, "user_created", &mut seen).await;
    ann.say("one two three", "a1").await;
    until(&mut ann, "message_received", &mut seen).await;
    until(&mut bob, "message_created", &mut seen).await;
    for live in [&mut ann, &mut bob] {
        let ended = until(live, "message_stream_ended", &mut seen).await;
        assert_eq!((&ended["content"], &ended["seq"]), (&json!("one two three"), &json!(2)));
    }
    bob.send(&json!({ "type": "typing" })).await;
    until(&mut ann, "user_typing", &mut seen).await;
    server.client().update_chat(&chat, &json!({ "title": "renamed" }), 200).await;
    until(&mut ann, "chat_updated", &mut seen).await;
    ann.send(&json!({ "type": "ping" })).await;
    until(&mut ann, "pong", &mut seen).await;
    ann.say("", "a2").await;
    until(&mut ann, "error", &mut seen).await;
    let (mut later, established) = Live::resume(&server, &chat, "ann", Some(0)).await;
    assert_eq!((&established["resumed"], &established["last_seq"]), (&json!(true), &json!(2)));
    for role in ["user", "assistant"] {
        assert_eq!(until(&mut later, "message_created", &mut seen).await["message"]["sender_role"], role);
    }
    assert_eq!(seen.iter().map(String::as_str).collect::<BTreeSet<_>>(), names("send"));
    server.stop().await;
}

#[tokio::test]
async fn every_frame_that_is_shown_is_answered_as_described() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let chat = server.client().new_chat("ann").await;
    let mut live = Live::connect(&server, &chat, "ann").await;
    for name in names("receive") {
        let answers = &asyncapi()["operations"][format!("receive_{name}")]["reply"]["messages"];
        for example in examples(&messages()[name]) {
            live.send(example).await;
            match answers[0]["$ref"].as_str().unwrap().rsplit('/').next().unwrap() {
                // Nothing but a failure is answered; the pong shows that there was none.
                "error" => {
                    live.send(&json!({ "type": "ping" })).await;
                    live.event("pong").await
                }
                answer => live.event(answer).await,
            };
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_is_accepted_when_its_query_is_as_described() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let chat = server.client().new_chat("ann").await;
    let ticket = server.client().create_ticket(&chat, &json!({ "user_id": "ann" }), 201).await.json();
    let ticket = ticket["ticket"].as_str().unwrap();
    let validator = validator(&asyncapi()["channels"]["chat"]["bindings"]["ws"]["query"]);
    let key = [("api_key", json!(KEY)), ("user_id", json!("ann")), ("chat_id", json!(chat))];
    let long = "u".repeat(256);
    let mut refused = 0;
    for (base, more) in [
        (&key[..], None),
        (&key[..], Some(("after_seq", json!(0)))),
        (&key[..], Some(("after_seq", json!(-1)))),
        (&key[..], Some(("colour", json!("red")))),
        (&key[..], Some(("ticket", json!(ticket)))),
        (&key[..1], Some(("user_id", json!(long)))),
        (&[], Some(("ticket", json!(&ticket[1..])))),
        (&[("ticket", json!(ticket))], Some(("after_seq", json!(-1)))),
        (&[("ticket", json!(ticket))], Some(("user_id", json!("ann")))),
        (&[("ticket", json!(ticket))], Some(("after_seq", json!(0)))),
    ] {
        let query: Map<String, Value> =
            base.iter().cloned().chain(more).map(|(name, value)| (name.to_owned(), value)).collect();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
        let asked = Live::ask(server.address, &format!("/ws/chat?{}", pairs.join("&")), &[]).await;
        assert_eq!(asked.is_ok(), validator.is_valid(&query.clone().into()), "{query:?}");
        refused += usize::from(asked.is_err());
    }
    assert_eq!(refused, 7);
    server.stop().await;
}

#[tokio::test]
async fn what_refuses_a_handshake_is_listed() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let listed = asyncapi()["channels"]["chat"]["x-refusals"].as_array().unwrap();
    for (query, code) in [
        (String::new(), "unauthorized"),
        (format!("api_key={KEY}"), "invalid_request"),
        (format!("api_key={KEY}&user_id=u&chat_id=nothing"), "chat_not_found"),
    ] {
        let refused = Live::ask(server.address, &format!("/ws/chat?{query}"), &[]).await.err().expect("refused");
        assert_eq!(refused.problem["code"], code);
        assert!(listed.iter().any(|one| one["code"] == code && one["status"] == refused.status), "{code}");
    }
    server.stop().await;
}

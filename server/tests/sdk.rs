//! The SDK against the real server.

use std::sync::Arc;

use parlor_sdk::{ChatFilter, ChatPatch, ErrorKind, NewChat, NewMessage, Order, Role, Status};
use parlor_server::{chat::Ticket, clock::SystemClock, config::Limits};
use serde_json::json;

use crate::support::{KEY, TestDatabase, TestServer, WriteLock};

fn client(server: &TestServer, key: &str) -> parlor_sdk::Client {
    parlor_sdk::Client::new(format!("http://{}", server.address), key).unwrap()
}

#[tokio::test]
async fn a_chat_is_created_and_comes_back_typed() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let metadata = json!({ "department": "technical", "nested": { "list": [1, null, "é"] } });
    let new = NewChat::new("user123").title("Support Session").metadata(&metadata);
    let response = client(&server, KEY).create_chat(new).with_response().await.unwrap();
    assert_eq!(response.status().as_u16(), 201);
    assert!(response.request_id().is_some());
    let chat = response.into_value();
    assert_eq!((chat.user_id.as_str(), chat.title.as_str()), ("user123", "Support Session"));
    assert_eq!(serde_json::Value::from(chat.config.metadata), metadata);
    assert_eq!(chat.created_at, chat.updated_at);
    assert_eq!(chat.last_message_at, None);
    assert_eq!(chat.id.get_version_num(), 7);
    server.stop().await;
}

#[tokio::test]
async fn a_chat_is_talked_in_read_changed_and_deleted() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let sdk = client(&server, KEY);
    let big = r#"{"n":123456789012345678901234567890,"department":"technical"}"#;
    let metadata = serde_json::value::RawValue::from_string(big.to_owned()).unwrap();
    let chat = sdk.create_chat(NewChat::new("Zoë / 1").metadata(metadata)).await.unwrap();
    assert_eq!(chat.config.metadata.as_str(), big);
    for n in 1..=7 {
        let sent = sdk.send_message(chat.id, NewMessage::new(format!("message {n}"))).await.unwrap();
        assert_eq!(sent.seq, n);
        assert!(sent.client_message_id.is_some(), "one is made when none is given");
    }
    let named = || NewMessage::new("once").role(Role::Assistant).client_message_id("m1");
    let first = sdk.send_message(chat.id, named()).await.unwrap();
    assert_eq!(sdk.send_message(chat.id, named()).await.unwrap().id, first.id);

    let mut backwards = sdk.list_messages(chat.id).order(Order::Desc).limit(3).after_seq(2).items();
    let mut seqs = Vec::new();
    while let Some(message) = backwards.next().await {
        seqs.push(message.unwrap().seq);
    }
    assert_eq!(seqs, [8, 7, 6, 5, 4, 3]);
    let page = sdk.list_messages(chat.id).limit(2).offset(4).await.unwrap();
    assert_eq!((page.total, page.items.len(), page.has_more), (Some(8), 2, true));

    let closed = sdk.update_chat(chat.id, ChatPatch::new().metadata(json!({ "n": null })).close()).await.unwrap();
    assert_eq!((&closed.status, closed.config.metadata.as_str()), (&Status::Closed, r#"{"department":"technical"}"#));
    let refused = sdk.send_message(chat.id, NewMessage::new("late")).await.unwrap_err();
    assert_eq!(refused.code().unwrap().as_str(), "chat_closed");
    assert_eq!(sdk.get_chat(chat.id).await.unwrap().message_count, 8);
    assert_eq!(sdk.list_user_chats("Zoë / 1").await.unwrap().items[0].id, chat.id);

    sdk.delete_chat(chat.id).force().await.unwrap();
    let gone = sdk.get_chat(chat.id).await.unwrap_err();
    assert_eq!((gone.status().unwrap().as_u16(), gone.code().unwrap().as_str()), (404, "chat_not_found"));
    server.stop().await;
}

#[tokio::test]
async fn a_ticket_is_made_and_can_be_redeemed() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let sdk = client(&server, KEY);
    let chat = sdk.create_chat(NewChat::new("owner")).await.unwrap();
    let made = sdk.create_ticket(chat.id, "Zoë").await.unwrap();
    let ticket = Ticket::presented(&made.ticket).unwrap();
    let grant = server.tickets.redeem(&ticket, None).await.unwrap().granted().unwrap();
    assert_eq!((grant.chat_id, grant.user_id.as_str()), (chat.id, "Zoë"));
    let refused = sdk.create_ticket(chat.id, "").await.unwrap_err();
    assert_eq!(refused.problem().unwrap().errors[0].pointer, "/user_id");
    let nowhere = sdk.create_ticket(parlor_sdk::uuid::Uuid::nil(), "Zoë").await.unwrap_err();
    assert_eq!(nowhere.code().unwrap().as_str(), "chat_not_found");
    server.stop().await;
}

#[tokio::test]
async fn a_filtered_stream_skips_and_repeats_nothing_while_chats_come_and_go() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let sdk = client(&server, KEY);
    let mut expected = Vec::new();
    for n in 0..25 {
        let department = if n % 2 == 0 { "technical" } else { "sales" };
        let new = NewChat::new("u").metadata(json!({ "department": department, "n": n }));
        let chat = sdk.create_chat(new).await.unwrap();
        if n % 2 == 0 {
            expected.push(chat.id);
        }
    }
    let filter = ChatFilter::new().status(Status::Active).metadata("department", "technical");
    let mut stream = sdk.list_chats().filter(filter).order(Order::Asc).limit(4).items();
    let mut read = Vec::new();
    while let Some(chat) = stream.next().await {
        let chat = chat.unwrap();
        sdk.delete_chat(chat.id).await.unwrap();
        read.push(chat.id);
    }
    assert_eq!(read, expected);
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM chats").await, 12);
    server.stop().await;
}

#[tokio::test]
async fn failures_come_back_typed() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let wrong_key = client(&server, "an-unknown-api-key").create_chat(NewChat::new("u")).await.unwrap_err();
    assert_eq!(wrong_key.status().unwrap().as_u16(), 401);
    assert_eq!(wrong_key.code().unwrap().as_str(), "unauthorized");
    assert!(!wrong_key.is_retryable() && !wrong_key.was_maybe_processed());

    let invalid = client(&server, KEY).create_chat(NewChat::new("").title("\n")).await.unwrap_err();
    let problem = invalid.problem().unwrap();
    let pointers: Vec<&str> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["/user_id", "/title"]);
    assert_eq!(invalid.request_id(), Some(problem.request_id.as_str()));

    let keyed = |user: &str| client(&server, KEY).create_chat(NewChat::new(user)).idempotency_key("k");
    keyed("one").await.unwrap();
    let reused = keyed("other").await.unwrap_err();
    assert_eq!(reused.code().unwrap().as_str(), "idempotency_key_reused");
    server.stop().await;
}

#[tokio::test]
async fn an_unreachable_server_is_a_typed_failure() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let gone = client(&server, KEY);
    server.stop().await;
    let error = gone.create_chat(NewChat::new("u")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.is_retryable() && !error.was_maybe_processed());
}

#[tokio::test]
async fn retries_ride_out_a_locked_database_and_create_one_chat() {
    let database = TestDatabase::create().await;
    let defaults = Limits::default();
    let mut writer = defaults.writer;
    writer.patience = std::time::Duration::from_millis(100);
    let limits = Limits { writer, ..defaults };
    let server = TestServer::start_with(database.url(), limits, Arc::new(SystemClock)).await;
    let lock = WriteLock::take(&database).await;
    let sdk = client(&server, KEY);
    let call = tokio::spawn(async move { sdk.create_chat(NewChat::new("u")).await });
    // Released once the first attempt has been answered 503.
    let refused = "parlor_http_requests_total{operation=\"create_chat\",status=\"503\"} 1\n";
    while !String::from_utf8(server.client().get("/metrics", 200).await.body).unwrap().contains(refused) {
        tokio::task::yield_now().await;
    }
    lock.release().await;
    call.await.unwrap().unwrap();
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM chats").await, 1);
    server.stop().await;
}

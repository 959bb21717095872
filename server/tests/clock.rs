//! A clock that is wrong for a moment: what is recorded afterwards has the true time again, and nothing is deleted.

use std::sync::Arc;

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use parlor_server::{
    chat::{Idempotency, Ticket},
    clock::{Clock as _, STEP_BACK_TOLERANCE},
    config::Limits,
};
use serde_json::{Value, json};

use crate::support::{Client, Live, ManualClock, Page, TestDatabase, TestServer};

/// How wrong the clock is.
const YEAR: Duration = Duration::days(365);

async fn start(database: &TestDatabase, clock: &ManualClock) -> TestServer {
    TestServer::start_with(database.url(), Limits::default(), Arc::new(clock.clone())).await
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

async fn create(client: &Client, key: &str) -> Value {
    client.clone().header("Idempotency-Key", key).create_chat(&json!({ "user_id": "ann" }), 201).await.json()
}

async fn new_ticket(client: &Client, chat: &str) -> String {
    let issued = client.create_ticket(chat, &json!({ "user_id": "ann" }), 201).await.json();
    issued["ticket"].as_str().unwrap().to_owned()
}

/// Every operation that records a time, on chats that were there and on new ones.
async fn write_all(client: &Client, chat: &str, name: &str) -> (Value, String) {
    let created = create(client, name).await;
    client.send_message(chat, &json!({ "content": name }), 201).await;
    client.update_chat(chat, &json!({ "title": name }), 200).await;
    let ticket = new_ticket(client, chat).await;
    (created, ticket)
}

/// Checks that every time which is recorded or told from here on is that of the clock, which stands.
async fn all_times_are_the_clock_s(server: &TestServer, clock: &ManualClock, chats: [&str; 2]) {
    let (client, now) = (server.client(), clock.now());
    let time = json!(text(now));
    let created = client.create_chat(&json!({ "user_id": "ann" }), 201).await.json();
    assert_eq!((&created["created_at"], &created["updated_at"]), (&time, &time));
    assert_eq!(created["title"], now.format("Chat of %-d %b %Y, %H:%M").to_string());
    for chat in chats {
        let message = client.send_message(chat, &json!({ "content": "by REST" }), 201).await.json();
        assert_eq!(message["created_at"], time);
        let details = client.get_chat(chat, 200).await.json();
        assert_eq!((&details["last_message_at"], &details["updated_at"]), (&time, &time));
        let patched = client.update_chat(chat, &json!({ "metadata": { "at": time } }), 200).await.json();
        assert_eq!(patched["updated_at"], time);

        let issued = client.create_ticket(chat, &json!({ "user_id": "ann" }), 201).await.json();
        assert_eq!(issued["expires_at"], text(now + Duration::minutes(1)));
        let path = format!("/ws/chat?ticket={}", issued["ticket"].as_str().unwrap());
        let mut live = Live::ask(server.address, &path, &[]).await.unwrap();
        assert_eq!(live.event("connection_established").await["timestamp"], time);
        live.send(&json!({ "content": "live" })).await;
        let received = live.event("message_received").await;
        assert_eq!((&received["timestamp"], &received["created_at"]), (&time, &time));
        live.close().await;
    }
    // Lists find by id what was created by time.
    let (second, hour) = (Duration::seconds(1), Duration::hours(1));
    let ids = async |parameters: &[(&str, &str)]| client.list_chats(parameters, 200).await.each("chats", "id");
    let id = created["id"].as_str().unwrap().to_owned();
    let (after, before) = (text(now - second), text(now + second));
    assert_eq!(ids(&[("created_after", &after), ("created_before", &before)]).await, std::slice::from_ref(&id));
    for beyond in [[("created_after", text(now + hour))], [("created_before", text(now - hour))]] {
        let [(name, value)] = &beyond;
        for chat in client.list_chats(&[(name, value)], 200).await.json()["chats"].as_array().unwrap() {
            let created: DateTime<Utc> = chat["created_at"].as_str().unwrap().parse().unwrap();
            assert!(if *name == "created_after" { created > now + hour } else { created < now - hour }, "{chat}");
        }
    }
    let deleted = client.delete_chat(&id, &[], 200).await.json();
    assert_eq!(deleted["deleted_at"], time);
}

#[test]
fn operators_are_told_the_tolerance() {
    let page = Page::read("docs/OPERATIONS.md");
    page.says(&format!("steps back by up to {} seconds", STEP_BACK_TOLERANCE.num_seconds()));
    page.says(&format!("by more than {} seconds, is refused", STEP_BACK_TOLERANCE.num_seconds()));
    page.says(&format!("expires {} hours after the time", Idempotency::RETENTION.num_hours()));
}

#[tokio::test]
async fn one_wrong_moment_leaves_all_later_times_at_the_true_one() {
    for error in [YEAR, -YEAR] {
        let database = TestDatabase::create().await;
        let clock = ManualClock::new();
        let server = start(&database, &clock).await;
        let client = server.client();
        let old = create(&client, "old").await;
        let chat = old["id"].as_str().unwrap();
        let (before, good) = write_all(&client, chat, "before").await;
        let expiring = server.tenants.create_key("default", "", Some(Duration::hours(1))).await.unwrap();
        let expiring = Client::new(server.address).key(expiring.key.reveal());

        let right = clock.now() + Duration::seconds(10);
        clock.set(right + error);
        let (wrong, strange) = write_all(&client, chat, "wrong").await;
        assert_eq!(wrong["created_at"], text(right + error));
        if error > Duration::zero() {
            expiring.list_chats(&[], 401).await;
        }

        clock.set(right);
        all_times_are_the_clock_s(&server, &clock, [chat, wrong["id"].as_str().unwrap()]).await;
        let path = format!("/ws/chat?ticket={strange}");
        let refused =
            Live::ask(server.address, &path, &[]).await.err().expect("a ticket of the wrong moment is refused");
        assert_eq!((refused.status, &refused.problem["code"]), (401, &json!("unauthorized")));
        let good = server.tickets.redeem(&Ticket::presented(&good).unwrap(), None).await.unwrap().granted();
        assert!(good.is_some(), "a ticket of before lives for its minute");
        assert_eq!(create(&client, "before").await["id"], before["id"], "a key of before is remembered");
        if error > Duration::zero() {
            assert_eq!(create(&client, "wrong").await["id"], wrong["id"]);
        }
        expiring.list_chats(&[], 200).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn over_a_small_step_back_times_and_ids_keep_their_order() {
    let database = TestDatabase::create().await;
    let clock = ManualClock::new();
    let server = start(&database, &clock).await;
    let client = server.client();
    let first = create(&client, "first").await;
    let chat = first["id"].as_str().unwrap();
    let message = client.send_message(chat, &json!({ "content": "first" }), 201).await.json();
    clock.turn_back(Duration::seconds(2));
    let second = create(&client, "second").await;
    assert_eq!(second["created_at"], first["created_at"]);
    assert!(second["id"].as_str() > first["id"].as_str());
    assert_eq!(
        client.send_message(chat, &json!({ "content": "second" }), 201).await.json()["created_at"],
        message["created_at"]
    );
    let patched = client.update_chat(chat, &json!({ "title": "x" }), 200).await.json();
    assert_eq!((&patched["updated_at"], &patched["last_message_at"]), (&first["created_at"], &first["created_at"]));
    // Further back than the tolerance, seen from the times that are recorded.
    clock.turn_back(Duration::seconds(4));
    all_times_are_the_clock_s(&server, &clock, [chat, second["id"].as_str().unwrap()]).await;
    server.stop().await;
}

#[tokio::test]
async fn what_another_node_has_recorded_with_a_wrong_clock_holds_up_no_node() {
    let database = TestDatabase::create().await;
    let (clock, wrong) = (ManualClock::new(), ManualClock::new());
    wrong.advance(YEAR);
    // One after the other, since a SQLite file has one server at a time.
    let node = start(&database, &clock).await;
    let chat = create(&node.client(), "node").await;
    node.stop().await;
    let other = start(&database, &wrong).await;
    let chats = [chat, create(&other.client(), "other").await];
    let ids = chats.each_ref().map(|chat| chat["id"].as_str().unwrap());
    for chat in ids {
        other.client().send_message(chat, &json!({ "content": "from the future" }), 201).await;
        other.client().update_chat(chat, &json!({ "title": "from the future" }), 200).await;
    }
    other.stop().await;
    clock.advance(Duration::seconds(10));
    let node = start(&database, &clock).await;
    all_times_are_the_clock_s(&node, &clock, ids).await;
    node.stop().await;
}

#[tokio::test]
async fn a_start_with_a_clock_that_is_behind_forgets_nothing() {
    let database = TestDatabase::create().await;
    let clock = ManualClock::new();
    let server = start(&database, &clock).await;
    let first = create(&server.client(), "k").await;
    let ticket = new_ticket(&server.client(), first["id"].as_str().unwrap()).await;
    server.stop().await;
    let right = clock.now() + Duration::seconds(10);
    clock.turn_back(YEAR);
    let server = start(&database, &clock).await;
    assert_eq!(create(&server.client(), "k").await["id"], first["id"]);
    server.stop().await;
    clock.set(right);
    let server = start(&database, &clock).await;
    assert_eq!(create(&server.client(), "k").await["id"], first["id"]);
    let path = format!("/ws/chat?ticket={ticket}");
    let mut live = Live::ask(server.address, &path, &[]).await.unwrap();
    live.event("connection_established").await;
    live.close().await;
    server.stop().await;
}

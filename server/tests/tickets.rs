//! Tickets: given for a key, taken once, dead with whatever they hang on.

use std::{sync::Arc, time::Duration};

use parlor_server::{
    chat::{Redemption, Ticket, TicketGrant, Tickets},
    clock::Clock as _,
    config::Limits,
    error::Error,
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Client, ManualClock, TestDatabase, TestServer};

const NOBODY: &str = "018d0c8e-5a40-7b7c-8c9d-0e1f2a3b4c5d";

async fn new_ticket(client: &Client, chat: &str) -> Ticket {
    let answer = client.create_ticket(chat, &json!({ "user_id": "user123" }), 201).await.json();
    Ticket::presented(answer["ticket"].as_str().unwrap()).unwrap()
}

async fn redeem(tickets: &Tickets, ticket: &Ticket) -> Option<TicketGrant> {
    tickets.redeem(ticket, None).await.unwrap().granted()
}

#[tokio::test]
async fn a_ticket_is_good_for_its_chat_and_its_user_once() {
    let database = TestDatabase::create().await;
    let clock = ManualClock::new();
    let server = TestServer::start_with(database.url(), Limits::default(), Arc::new(clock.clone())).await;
    let issued = server.tenants.create_key("default", "", None).await.unwrap();
    let client = Client::new(server.address).key(issued.key.reveal());
    let chat = client.new_chat("owner").await;
    // Who joins need be neither the owner nor known.
    let answer = client.create_ticket(&chat, &json!({ "user_id": "Zoë / 1" }), 201).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("location"), None);
    let body = answer.json();
    assert_eq!(body["expires_at"], "2024-01-15T10:31:00Z");
    let ticket = Ticket::presented(body["ticket"].as_str().unwrap()).unwrap();
    let other = new_ticket(&client, &chat).await;

    let grant = redeem(&server.tickets, &ticket).await.unwrap();
    assert_eq!((grant.tenant, grant.key), (issued.record.tenant_id, issued.record.id));
    assert_eq!((grant.chat_id.to_string(), grant.user_id.as_str()), (chat, "Zoë / 1"));
    assert_eq!(redeem(&server.tickets, &ticket).await, None);
    assert_eq!(redeem(&server.tickets, &other).await.unwrap().user_id.as_str(), "user123");
    assert_eq!(redeem(&server.tickets, &Ticket::generate(&mut rand::rng())).await, None);
    assert_eq!(client.list_user_chats("Zoë%20%2F%201", &[], 404).await.problem(), "user_not_found");
    server.stop().await;
}

#[tokio::test]
async fn a_ticket_can_be_made_for_a_closed_chat_and_for_none_that_is_not_there() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let request = json!({ "user_id": "user123" });
    let closed = client.new_chat("owner").await;
    client.update_chat(&closed, &json!({ "status": "closed" }), 200).await;
    new_ticket(&client, &closed).await;
    let deleted = client.new_chat("owner").await;
    client.delete_chat(&deleted, &[], 200).await;
    let foreign = server.client_of("other").await.new_chat("owner").await;
    for id in [NOBODY, "x", &deleted, &foreign] {
        assert_eq!(client.create_ticket(id, &request, 404).await.problem(), "chat_not_found", "{id}");
    }
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM tickets").await, 1);
    server.stop().await;
}

#[tokio::test]
async fn what_a_ticket_is_made_from_is_checked() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let chat = client.new_chat("owner").await;
    for (request, errors) in [
        (json!({}), &[("/user_id", "is required")][..]),
        (json!({ "user_id": null }), &[("/user_id", "must be a string")]),
        (json!({ "user_id": 7 }), &[("/user_id", "must be a string")]),
        (json!({ "user_id": "" }), &[("/user_id", "must not be empty")]),
        (json!({ "user_id": "a\nb" }), &[("/user_id", "must not contain control characters")]),
        (json!({ "user_id": "u".repeat(256) }), &[("/user_id", "must have at most 255 characters")]),
        (
            json!({ "userid": "u", "expires_in": 9 }),
            &[
                ("/user_id", "is required"),
                ("/userid", "is not a known member"),
                ("/expires_in", "is not a known member"),
            ],
        ),
        (json!(["user123"]), &[("", "must be an object")]),
    ] {
        let expected: Vec<_> = errors.iter().map(|(at, what)| ((*at).to_owned(), (*what).to_owned())).collect();
        assert_eq!(client.create_ticket(&chat, &request, 400).await.errors(), expected, "{request}");
    }
    let plain = client.clone().header("Content-Type", "text/plain");
    let answer = plain.create_ticket(&chat, &json!({ "user_id": "user123" }), 415).await;
    assert_eq!(answer.problem(), "unsupported_media_type");
    server.stop().await;
}

#[tokio::test]
async fn an_idempotency_key_is_ignored_and_every_request_makes_another_ticket() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let keyed = server.client().header("Idempotency-Key", "k");
    let chat = keyed.new_chat("owner").await;
    let tickets = [new_ticket(&keyed, &chat).await, new_ticket(&keyed, &chat).await];
    assert_ne!(tickets[0].reveal(), tickets[1].reveal());
    for ticket in &tickets {
        redeem(&server.tickets, ticket).await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn of_many_who_present_one_ticket_to_two_nodes_one_gets_in() {
    let database = TestDatabase::create().await;
    let nodes = TestServer::start_nodes(&database).await;
    let client = nodes[0].client();
    let chat = client.new_chat("owner").await;
    for _ in 0..5 {
        let ticket = new_ticket(&client, &chat).await;
        let mut tries = JoinSet::new();
        for n in 0..32 {
            let (tickets, ticket) = (nodes[n % nodes.len()].tickets.clone(), ticket.clone());
            tries.spawn(async move {
                loop {
                    match tickets.redeem(&ticket, None).await {
                        // A slow machine does not connect to the database this often in time.
                        Err(Error::Unavailable(_)) => {}
                        outcome => return outcome.unwrap(),
                    }
                }
            });
        }
        let granted = tries.join_all().await.into_iter().filter_map(Redemption::granted).count();
        assert_eq!(granted, 1);
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_ticket_expires_at_its_moment() {
    let database = TestDatabase::create().await;
    let clock = ManualClock::new();
    let limits = Limits { ticket: Duration::from_secs(10), ..Limits::default() };
    let server = TestServer::start_with(database.url(), limits, Arc::new(clock.clone())).await;
    let client = server.client();
    let chat = client.new_chat("owner").await;
    let (early, late) = (new_ticket(&client, &chat).await, new_ticket(&client, &chat).await);
    clock.advance(chrono::Duration::seconds(10) - chrono::Duration::microseconds(1));
    redeem(&server.tickets, &early).await.unwrap();
    clock.advance(chrono::Duration::microseconds(1));
    assert_eq!(redeem(&server.tickets, &late).await, None);
    server.stop().await;
}

#[tokio::test]
async fn a_ticket_dies_with_the_key_that_made_it_and_no_other() {
    let database = TestDatabase::create().await;
    let clock = ManualClock::new();
    let server = TestServer::start_with(database.url(), Limits::default(), Arc::new(clock.clone())).await;
    let revoked = server.tenants.create_key("default", "", None).await.unwrap();
    let lifetime = Some(chrono::Duration::seconds(30));
    let expiring = server.tenants.create_key("default", "", lifetime).await.unwrap();
    let client = |key: &str| Client::new(server.address).key(key);
    let chat = server.client().new_chat("owner").await;
    let of_revoked = new_ticket(&client(revoked.key.reveal()), &chat).await;
    let of_expiring = new_ticket(&client(expiring.key.reveal()), &chat).await;
    let of_other = new_ticket(&server.client(), &chat).await;
    server.tenants.revoke_key(revoked.record.id).await.unwrap();
    assert_eq!(redeem(&server.tickets, &of_revoked).await, None);
    // A key that a node still remembers makes tickets that nobody can use.
    let too_late = new_ticket(&client(revoked.key.reveal()), &chat).await;
    assert_eq!(redeem(&server.tickets, &too_late).await, None);
    clock.advance(expiring.record.expires_at.unwrap() - clock.now());
    assert_eq!(redeem(&server.tickets, &of_expiring).await, None);
    assert!(redeem(&server.tickets, &of_other).await.is_some());
    server.stop().await;
}

#[tokio::test]
async fn a_deleted_chat_takes_its_tickets_along_even_those_that_are_being_made() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    for _ in 0..10 {
        let chat = client.new_chat("owner").await;
        let ticket = new_ticket(&client, &chat).await;
        let mut making = JoinSet::new();
        for _ in 0..8 {
            let (client, path) = (client.clone(), crate::support::requests::tickets(&chat));
            let body = json!({ "user_id": "user123" }).to_string().into_bytes();
            making.spawn(async move { client.attempt(reqwest::Method::POST, &path, Some(body)).await.unwrap().0 });
        }
        client.delete_chat(&chat, &[], 200).await;
        assert!(making.join_all().await.iter().all(|status| [201, 404].contains(&status.as_u16())));
        assert_eq!(redeem(&server.tickets, &ticket).await, None);
        assert_eq!(database.count("SELECT COUNT(*) AS n FROM tickets").await, 0);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_ticket_survives_a_restart_and_an_expired_one_is_swept_away_by_it() {
    let database = TestDatabase::create().await;
    let clock = ManualClock::new();
    let start = || TestServer::start_with(database.url(), Limits::default(), Arc::new(clock.clone()));
    let server = start().await;
    let client = server.client();
    let chat = client.new_chat("owner").await;
    client.clone().header("Idempotency-Key", "k").new_chat("owner").await;
    let expired = new_ticket(&client, &chat).await;
    clock.advance(chrono::Duration::seconds(30));
    let ticket = new_ticket(&client, &chat).await;
    server.stop().await;

    clock.advance(chrono::Duration::seconds(30));
    let server = start().await;
    while database.count("SELECT COUNT(*) AS n FROM tickets").await > 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(redeem(&server.tickets, &expired).await, None);
    assert!(redeem(&server.tickets, &ticket).await.is_some());
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM idempotency_records").await, 1);
    server.stop().await;
}

#[tokio::test]
async fn the_database_keeps_no_ticket_in_clear() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let chat = client.new_chat("owner").await;
    let ticket = new_ticket(&client, &chat).await;
    let text = if database.is_postgres() { "tickets::text" } else { "hash || user_id" };
    let random = &ticket.reveal()[4..];
    let found = format!("SELECT COUNT(*) AS n FROM tickets WHERE {text} LIKE '%{random}%'");
    assert_eq!(database.count(&found).await, 0);
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM tickets WHERE length(hash) = 32").await, 1);
    server.stop().await;
}

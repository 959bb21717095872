//! "What is not there yet".

use std::collections::BTreeSet;

use reqwest::{Method, header::HeaderName};
use serde_json::json;
use tokio::task::JoinSet;

use super::{NOBODY, Operation, USER};
use crate::support::{Client, KEY, TestDatabase, TestServer, raw};

#[tokio::test]
async fn a_burst_is_answered_in_full() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let id = client.new_chat(USER).await;
    let mut burst = JoinSet::new();
    for n in 0..400 {
        let (client, id) = (client.clone(), id.clone());
        burst.spawn(async move {
            // The helpers know the one status that is right.
            match n % 4 {
                0 => client.create_chat(&json!({ "user_id": USER }), 201).await,
                1 => client.send_message(&id, &json!({ "content": "x" }), 201).await,
                2 => client.list_messages(&id, &[], 200).await,
                _ => client.key("wrong").get_chat(&id, 401).await,
            }
        });
    }
    for answer in burst.join_all().await {
        let mut names = answer.headers.keys().map(HeaderName::as_str);
        assert!(names.all(|name| !name.starts_with("ratelimit") && name != "retry-after"), "{:?}", answer.headers);
    }
    server.stop().await;
}

#[tokio::test]
async fn other_origins_are_told_nothing() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let page = Client::new(server.address)
        .header("Origin", "https://example.com")
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "x-api-key");
    let client = page.clone().key(KEY);
    let mut answers = vec![
        page.list_chats(&[], 401).await,
        client.get_chat(NOBODY, 404).await,
        client.get("/nope", 404).await,
        client.get("/healthz", 200).await,
        client.get("/openapi.json", 200).await,
    ];
    let operations = Operation::all();
    for operation in &operations {
        let path = operation.ready(&client).await;
        let methods = operations.iter().filter(|other| other.path == operation.path).map(|other| other.method.as_str());
        let mut expected: BTreeSet<&str> = methods.collect();
        if expected.contains("GET") {
            expected.insert("HEAD");
        }
        for client in [&client, &page] {
            let preflight = client.send(Method::OPTIONS, &path, None, 405).await;
            assert_eq!(preflight.problem(), "method_not_allowed");
            let allowed: BTreeSet<&str> = preflight.header("allow").unwrap().split(", ").collect();
            assert_eq!(allowed, expected, "{path}");
            answers.push(preflight);
        }
        answers.push(operation.call(&client, &path).await);
    }
    for answer in answers {
        let mut names = answer.headers.keys().map(HeaderName::as_str);
        assert!(names.all(|name| !name.starts_with("access-control-")), "{:?}", answer.headers);
    }
    server.stop().await;
}

#[tokio::test]
async fn http_2_is_not_spoken() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    // Closed without an answer, which the client could not read.
    assert_eq!(raw(server.address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await, "");
    server.client().get("/healthz", 200).await;
    server.stop().await;
}

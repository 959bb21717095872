//! "Not implemented yet".

use reqwest::header::HeaderName;
use serde_json::json;
use tokio::task::JoinSet;

use super::USER;
use crate::support::{TestDatabase, TestServer, raw};

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
async fn http_2_is_not_spoken() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    // Closed without an answer, which the client could not read.
    assert_eq!(raw(server.address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await, "");
    server.client().get("/healthz", 200).await;
    server.stop().await;
}

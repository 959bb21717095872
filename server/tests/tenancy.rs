//! What belongs to another tenant is not found. The walk is over the document, so that no operation can be forgotten.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Client, TestDatabase, TestServer};

/// What another tenant gets when it asks `operation` for somebody's resource.
enum Stranger {
    /// Not found, with this code.
    NotFound(&'static str),
    /// Its own, empty list.
    Empty,
    /// Something new of its own.
    OwnNew,
}

/// How to call each operation on a chat `{chat_id}` of `{user_id}`, and what a stranger gets.
fn call(operation: &str) -> (Option<Value>, Stranger) {
    match operation {
        "create_chat" => (Some(json!({ "user_id": "shared" })), Stranger::OwnNew),
        "list_chats" => (None, Stranger::Empty),
        "list_user_chats" => (None, Stranger::NotFound("user_not_found")),
        "get_chat" | "delete_chat" | "list_messages" => (None, Stranger::NotFound("chat_not_found")),
        "update_chat" => (Some(json!({ "title": "taken over" })), Stranger::NotFound("chat_not_found")),
        "send_message" => (Some(json!({ "content": "intruding" })), Stranger::NotFound("chat_not_found")),
        "create_ticket" => (Some(json!({ "user_id": "shared" })), Stranger::NotFound("chat_not_found")),
        unknown => panic!("{unknown} is new: say here what another tenant gets when it calls it"),
    }
}

async fn everything(owner: &Client, id: &str) -> Value {
    json!([
        owner.get_chat(id, 200).await.json(),
        owner.list_messages(id, &[], 200).await.json(),
        owner.list_user_chats("shared", &[], 200).await.json(),
        owner.list_chats(&[], 200).await.json(),
    ])
}

#[tokio::test]
async fn another_tenant_s_resources_are_not_found_by_any_operation() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let document = Client::new(server.address).get("/openapi.json", 200).await.json();
    let owner = server.client_of("owner").await;
    let id = owner.new_chat("shared").await;
    owner.update_chat(&id, &json!({ "metadata": { "department": "technical" } }), 200).await;
    owner.send_message(&id, &json!({ "content": "private", "client_message_id": "m1" }), 201).await;
    let before = everything(&owner, &id).await;

    let mut walked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let operation = operation["operationId"].as_str().unwrap();
            // A tenant of its own for each, so that what one operation makes does not hide what another leaks.
            let stranger = server.client_of(operation).await;
            let (body, expected) = call(operation);
            let path = path.replace("{chat_id}", &id).replace("{user_id}", "shared");
            let method: Method = method.to_uppercase().parse().unwrap();
            let send =
                |status| stranger.send(method.clone(), &path, body.map(|body| body.to_string().into_bytes()), status);
            match expected {
                Stranger::NotFound(code) => assert_eq!(send(404).await.problem(), code, "{operation}"),
                Stranger::Empty => assert_eq!(send(200).await.json()["chats"], json!([]), "{operation}"),
                Stranger::OwnNew => assert_ne!(send(201).await.json()["id"], id, "{operation}"),
            }
            assert_eq!(everything(&owner, &id).await, before, "{operation} changed what the owner sees");
            walked += 1;
        }
    }
    assert!(walked >= 9, "only {walked} operations");
    server.stop().await;
}

#[tokio::test]
async fn filters_and_cursors_do_not_reach_over_to_another_tenant() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let (owner, stranger) = (server.client_of("owner").await, server.client_of("stranger").await);
    let labelled = json!({ "user_id": "shared", "metadata": { "department": "technical" } });
    for client in [&owner, &owner, &stranger] {
        client.create_chat(&labelled, 201).await;
    }
    let filter = [("metadata", "department:technical"), ("limit", "1")];
    let page = owner.list_chats(&filter, 200).await;
    let cursor = page.json()["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(stranger.list_chats(&[("metadata", "department:technical")], 200).await.each("chats", "id").len(), 1);
    let stolen: Answer = stranger.list_chats(&[filter[0], filter[1], ("cursor", &cursor)], 400).await;
    assert_eq!(stolen.errors(), [("/query/cursor".to_owned(), "is not a cursor of this list".to_owned())]);
    server.stop().await;
}

//! The document is the truth: committed, derived and served are the same, and the server keeps its word.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::support::{Client, TestDatabase, TestServer};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.json");
const COMMITTED_31: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi-3.1.json");

pub(crate) fn committed() -> Value {
    serde_json::from_str(&fs::read_to_string(COMMITTED).unwrap()).unwrap()
}

/// Whether `parlor <command> --check` finds `committed` to be what it derives.
pub(crate) fn check_derived(command: &str, committed: &str) {
    let check =
        Command::new(env!("CARGO_BIN_EXE_parlor")).args([command, "--check", "--output", committed]).output().unwrap();
    assert!(
        check.status.success(),
        "{}{}",
        String::from_utf8_lossy(&check.stdout),
        String::from_utf8_lossy(&check.stderr)
    );
}

/// Whether `path` is answered with what `committed` holds.
pub(crate) async fn check_served(path: &str, committed: &str) {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let answer = Client::new(server.address).get(path, 200).await;
    assert!(answer.body == fs::read(committed).unwrap(), "answer and committed differ");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    server.stop().await;
}

#[test]
fn the_committed_document_is_the_derived_one() {
    check_derived("openapi", COMMITTED);
}

#[test]
fn the_committed_document_in_openapi_3_1_is_the_derived_one() {
    check_derived("openapi-3.1", COMMITTED_31);
}

#[tokio::test]
async fn the_served_document_in_openapi_3_1_is_the_committed_one() {
    check_served("/openapi-3.1.json", COMMITTED_31).await;
}

#[tokio::test]
async fn the_served_document_is_the_committed_one() {
    check_served("/openapi.json", COMMITTED).await;
}

#[tokio::test]
async fn swagger_ui_shows_this_document_and_asks_the_server_it_came_from() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = Client::new(server.address);
    assert_eq!(client.get("/docs", 303).await.header("location"), Some("/docs/"));
    let page = String::from_utf8(client.get("/docs/", 200).await.body).unwrap();
    assert!(page.contains("swagger-ui"), "{page}");
    let start = String::from_utf8(client.get("/docs/swagger-initializer.js", 200).await.body).unwrap();
    for option in ["\"persistAuthorization\": true", "\"tryItOutEnabled\": true", "./openapi.json", "followLinks"] {
        assert!(start.contains(option), "{option} in {start}");
    }
    let mut shown = client.get("/docs/openapi.json", 200).await.json();
    let first = shown["servers"].as_array_mut().unwrap().remove(0);
    assert_eq!(first["url"], "/");
    assert_eq!(shown, committed());
    server.stop().await;
}

#[tokio::test]
async fn the_example_request_is_answered_like_the_example_answer() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let document = committed();
    let operation = &document["paths"]["/api/v1/chats/"]["post"];
    let request = &operation["requestBody"]["content"]["application/json"]["example"];
    let shown = &operation["responses"]["201"]["content"]["application/json"]["example"];
    let answer = server.client().create_chat(request, 201).await;
    let got = answer.json();
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&got), members(shown));
    for same in ["user_id", "title", "config", "last_message_at"] {
        assert_eq!(got[same], shown[same]);
    }
    for header in operation["responses"]["201"]["headers"].as_object().unwrap().keys() {
        let expected = header != "Idempotency-Replayed";
        assert_eq!(answer.header(header).is_some(), expected, "{header}");
    }
    server.stop().await;
}

#[tokio::test]
async fn each_failure_looks_like_its_example() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let document = committed();
    let responses = &document["paths"]["/api/v1/chats/"]["post"]["responses"];
    let user = json!({ "user_id": "u" });
    let idempotent = server.client().header("Idempotency-Key", "k");
    idempotent.create_chat(&json!({ "user_id": "other" }), 201).await;
    let failures = [
        (400, server.client().create_chat(&json!({}), 400).await),
        (401, Client::new(server.address).key("an-unknown-api-key").create_chat(&user, 401).await),
        (413, server.client().create_chat_from(" ".repeat(256 * 1024 + 1), 413).await),
        (415, server.client().header("Content-Type", "text/plain").create_chat(&user, 415).await),
        (422, idempotent.create_chat(&user, 422).await),
    ];
    for (status, answer) in failures {
        let code = answer.problem();
        let mut shown =
            responses[status.to_string()]["content"]["application/problem+json"]["examples"][&code]["value"].clone();
        let mut got = answer.json();
        for varying in ["request_id", "detail"] {
            assert!(shown[varying].is_string(), "{status} {code} shows a {varying}");
            (shown[varying], got[varying]) = (Value::Null, Value::Null);
        }
        assert_eq!(got, shown);
    }
    server.stop().await;
}

#[test]
fn the_document_names_every_field_of_the_seed() {
    let document = committed();
    let chat = &document["components"]["schemas"]["Chat"];
    let seed = ["id", "user_id", "tenant_id", "title", "config", "created_at", "updated_at", "last_message_at"];
    assert_eq!(chat["required"], json!(seed));
    assert_eq!(chat["properties"].as_object().unwrap().keys().collect::<Vec<_>>(), seed);
    let request = &document["components"]["schemas"]["CreateChatRequest"];
    assert_eq!(request["required"], json!(["user_id"]));
    assert_eq!(request["additionalProperties"], false);
}

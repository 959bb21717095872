//! The tables: "Operations", "Fields" and "Live messaging".

use std::{collections::BTreeSet, fs, io::ErrorKind, net::TcpListener, time::Duration};

use parlor_server::assistant::ProviderConfig;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Operation, USER, expected_members, members};
use crate::support::{KEY, Live, TestDatabase, TestServer, requests};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/COMPATIBILITY.md");

/// `value` with its members and without what they say. Metadata is the caller's own.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let member = |(name, value): (&String, &Value)| {
                (name.clone(), if name == "metadata" { Value::Null } else { shape(value) })
            };
            object.iter().map(member).collect()
        }
        Value::Array(items) => json!([shape(items.first().expect("a list that shows an item"))]),
        _ => Value::Null,
    }
}

#[test]
fn the_page_s_table_is_the_document_s() {
    let page = fs::read_to_string(PAGE).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>())
        .filter(|row| row.len() > 3 && row[1].contains(" /api/"))
        .collect();
    let operations = Operation::all();
    assert_eq!(rows.len(), operations.len(), "the page has each operation");
    for operation in operations {
        let name = format!("{} {}", operation.method, operation.path);
        let row = rows.iter().find(|row| row[1] == name).unwrap_or_else(|| panic!("the page has no {name}"));
        let numbers = row[3].split(|c: char| !c.is_ascii_digit()).filter(|number| number.len() == 3);
        let mut expected: BTreeSet<u16> = numbers.map(|number| number.parse().unwrap()).collect();
        // The list below the table.
        expected.insert(503);
        if operation.object.get("requestBody").is_some() {
            expected.extend([413, 415]);
        }
        if operation.takes("header", Some("Idempotency-Key")) {
            expected.insert(422);
        }
        if operation.method == Method::DELETE {
            expected.insert(400);
        }
        let (success, _) = operation.success();
        let documented: BTreeSet<u16> = operation.failures().map(|(status, _)| status).chain([success]).collect();
        if row[2] == "ours" {
            assert!(expected.is_subset(&documented), "{name}: {expected:?} of {documented:?}");
        } else {
            assert_eq!(expected, documented, "{name}");
        }
    }
}

#[tokio::test]
async fn each_answer_has_the_members_that_the_page_and_the_document_show() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    for operation in Operation::all() {
        let path = operation.ready(&client).await;
        let answer = operation.call(&client, &path).await;
        let (_, documented) = operation.success();
        let shown = &documented["content"][answer.header("content-type").unwrap()]["example"];
        let got = answer.json();
        for (pointer, expected) in expected_members(&operation.id) {
            assert_eq!(members(got.pointer(pointer).unwrap()), expected, "{} {pointer}", operation.id);
        }
        // As text, since the order of members is no part of a value.
        assert_eq!(shape(&got).to_string(), shape(shown).to_string(), "{}", operation.id);
        assert!(documented["headers"].get("X-Request-Id").is_some() && answer.header("x-request-id").is_some());
    }
    server.stop().await;
}

#[tokio::test]
async fn what_a_new_chat_links_to_can_be_called() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let operations = Operation::all();
    let find = |id: &Value| operations.iter().find(|operation| *id == operation.id).unwrap_or_else(|| panic!("{id}"));
    let create = find(&json!("create_chat"));
    let links = create.success().1["links"].as_object().unwrap();
    assert!(!links.is_empty());
    for (name, link) in links {
        let created = create.call(&client, &create.path).await.json();
        let operation = find(&link["operationId"]);
        let mut path = operation.path.clone();
        for (parameter, expression) in link["parameters"].as_object().unwrap() {
            let pointer = expression.as_str().unwrap().strip_prefix("$response.body#").unwrap();
            let value = created.pointer(pointer).unwrap().as_str().unwrap();
            let place = format!("{{{parameter}}}");
            assert!(path.contains(&place), "{name} names a parameter that {path} has not");
            path = path.replace(&place, value);
        }
        assert!(!path.contains('{'), "{name} leaves {path}");
        operation.call(&client, &path).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn users_are_compared_exactly() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    for (user, encoded) in [
        ("zoë", "zo%C3%AB"),
        ("zoe\u{308}", "zoe%CC%88"),
        ("Zoë", "Zo%C3%AB"),
        (" zoë", "%20zo%C3%AB"),
        ("zoë ", "zo%C3%AB%20"),
        ("ZOË", "ZO%C3%8B"),
    ] {
        assert_eq!(client.list_user_chats(encoded, &[], 404).await.problem(), "user_not_found", "{user:?}");
        let id = client.new_chat(user).await;
        let (own, filtered) =
            (client.list_user_chats(encoded, &[], 200).await, client.list_chats(&[("user_id", user)], 200).await);
        for list in [own, filtered] {
            assert_eq!(list.each("chats", "id"), [id.as_str()], "{user:?}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_message_s_metadata_has_the_bounds_of_a_chat_s_and_keeps_its_digits() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let id = client.new_chat(USER).await;
    let path = requests::messages(&id);
    let send = async |metadata: &str, status| {
        let body = format!(r#"{{"content": "x", "metadata": {metadata}}}"#);
        client.send(Method::POST, &path, Some(body.into_bytes()), status).await
    };
    let long = |bytes: usize| format!(r#"{{"m":"{}"}}"#, "x".repeat(bytes - r#"{"m":""}"#.len()));
    let deep = |levels: usize| format!(r#"{{"m":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
    let exact = r#"{"n":1.10,"huge":123456789012345678901234567890}"#;
    for (metadata, kept) in
        [(long(16 * 1024), long(16 * 1024)), (deep(32), deep(32)), (exact.replace(',', " ,\n"), exact.to_owned())]
    {
        let sent = String::from_utf8(send(&metadata, 201).await.body).unwrap();
        let listed = String::from_utf8(client.list_messages(&id, &[], 200).await.body).unwrap();
        for text in [sent, listed] {
            assert!(text.contains(&format!(r#""metadata":{kept}"#)), "{text}");
        }
    }
    for (metadata, detail) in
        [(long(16 * 1024 + 1), "must have at most 16384 bytes"), (deep(33), "must be at most 32 levels deep")]
    {
        assert_eq!(send(&metadata, 400).await.errors(), [("/metadata".to_owned(), detail.to_owned())]);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_media_url_is_not_fetched() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let media = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a.png", media.local_addr().unwrap());
    let id = client.new_chat(USER).await;
    let message = json!({ "content": "x", "media_type": "image/png", "media_url": url });
    assert_eq!(client.send_message(&id, &message, 201).await.json()["media_url"], url);
    client.list_messages(&id, &[], 200).await;
    server.stop().await;
    media.set_nonblocking(true).unwrap();
    let visitor = media.accept().map_err(|error| error.kind());
    assert!(matches!(visitor, Err(ErrorKind::WouldBlock)), "{visitor:?}");
}

#[tokio::test]
async fn a_client_of_the_family_talks_over_a_websocket() {
    let database = TestDatabase::create().await;
    let echo = ProviderConfig::Echo { pause: Duration::ZERO };
    let server = TestServer::start_as(database.url(), |config| config.assistant = echo).await;
    let id = server.client().new_chat(USER).await;
    let query = format!("/ws/chat?api_key={KEY}&user_id=somebody&chat_id={id}");
    let headers = [("X-API-Key", KEY), ("X-User-ID", "somebody"), ("X-Chat-ID", &id)];
    for (path, headers, is_new) in [(query.as_str(), &[][..], true), ("/ws/chat", &headers[..], false)] {
        let mut live = Live::ask(server.address, path, headers).await.unwrap();
        let established = live.event("connection_established").await;
        assert_eq!((&established["user_id"], &established["chat_id"]), (&json!("somebody"), &json!(id)));
        if is_new {
            assert_eq!(live.event("user_created").await["user_id"], "somebody");
        }
        live.send(&json!({ "content": "hello", "metadata": {} })).await;
        assert_eq!(live.event("message_received").await["chat_id"], json!(id));
        let answer = live.event("message_stream_started").await["message_id"].clone();
        assert_eq!(live.event("message_stream_token").await["token"], "hello");
        let ended = live.event("message_stream_ended").await;
        assert_eq!((&ended["message_id"], &ended["content"]), (&answer, &json!("hello")));
        live.send(&json!({ "content": 7 })).await;
        assert!(live.event("error").await["message"].is_string());
        live.close().await;
    }
    server.stop().await;
}

//! The sentences of `docs/COMPATIBILITY.md` that no other test checks.

use std::{collections::BTreeSet, fs, io::ErrorKind, net::TcpListener, sync::Arc, time};

use chrono::Duration;
use parlor_server::{
    assistant::Provider,
    chat::{ClientMessageId, Content, Idempotency, IdempotencyKey, Metadata, Title, UserId, Window},
    config::Limits,
};
use reqwest::{Method, StatusCode, header::HeaderName};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{Answer, Client, KEY, Live, ManualClock, Page, TestDatabase, TestServer, raw, requests};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/COMPATIBILITY.md");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.json");

/// The owner of every chat of these tests, unless a test says otherwise.
const USER: &str = "user123";
/// An id that no chat has.
const NOBODY: &str = "018d0c8e-5a40-7b7c-8c9d-0e1f2a3b4c5d";

const CHAT: [&str; 8] =
    ["id", "user_id", "tenant_id", "title", "config", "created_at", "updated_at", "last_message_at"];
const MESSAGE: [&str; 10] = [
    "id",
    "content",
    "sender_role",
    "media_type",
    "media_url",
    "created_at",
    "metadata",
    "seq",
    "client_message_id",
    "sender_id",
];
const PROBLEM: [&str; 6] = ["type", "title", "status", "detail", "code", "request_id"];

/// An operation of the document.
struct Operation {
    id: String,
    method: Method,
    path: String,
    object: Value,
}

impl Operation {
    fn all() -> Vec<Self> {
        let document: Value = serde_json::from_str(&fs::read_to_string(DOCUMENT).unwrap()).unwrap();
        let mut all = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, object) in methods.as_object().unwrap() {
                let id = object["operationId"].as_str().unwrap().to_owned();
                let method = method.to_uppercase().parse().unwrap();
                all.push(Self { id, method, path: path.clone(), object: object.clone() });
            }
        }
        assert!(all.len() >= 9, "only {} operations", all.len());
        all
    }

    /// The status and the documented response of a success.
    fn success(&self) -> (u16, &Value) {
        let responses = self.object["responses"].as_object().unwrap();
        let mut successes = responses.iter().filter(|(status, _)| status.starts_with('2'));
        let (Some((status, response)), None) = (successes.next(), successes.next()) else {
            panic!("{} must have one success", self.id)
        };
        (status.parse().unwrap(), response)
    }

    /// The documented failures, each with its status.
    fn failures(&self) -> impl Iterator<Item = (u16, &Value)> {
        let responses = self.object["responses"].as_object().unwrap().iter();
        let statuses = responses.map(|(status, response)| (status.parse().unwrap(), response));
        statuses.filter(|(status, _)| *status >= 300)
    }

    fn takes(&self, kind: &str, name: Option<&str>) -> bool {
        let parameters = self.object["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        parameters.iter().any(|parameter| parameter["in"] == kind && name.is_none_or(|name| parameter["name"] == name))
    }

    /// The documented example of its body.
    fn body(&self) -> Option<Vec<u8>> {
        let body = self.object.get("requestBody")?;
        Some(body["content"]["application/json"]["example"].to_string().into_bytes())
    }

    /// Its path for a new chat of [`USER`] with one message, so that whatever it does is done to nothing else.
    async fn ready(&self, client: &Client) -> String {
        let id = client.new_chat(USER).await;
        client.send_message(&id, &json!({ "content": "x" }), 201).await;
        let path = self.path.replace("{chat_id}", &id).replace("{user_id}", USER);
        assert!(!path.contains('{'), "{} has a parameter that is new: say here what it is", self.id);
        path
    }

    /// Calls it as the document shows it, and expects its success.
    async fn call(&self, client: &Client, path: &str) -> Answer {
        client.send(self.method.clone(), path, self.body(), self.success().0).await
    }
}

fn members(value: &Value) -> Vec<&str> {
    value.as_object().unwrap_or_else(|| panic!("{value} must be an object")).keys().map(String::as_str).collect()
}

/// What the page says about the members of the answer of `operation`: those of the object at each pointer.
fn expected_members(operation: &str) -> Vec<(&'static str, Vec<&'static str>)> {
    let chat = |more: &[&'static str]| [&CHAT, more].concat();
    let page = |list| vec![list, "total", "offset", "limit", "has_more", "next_cursor"];
    match operation {
        "create_chat" => vec![("", chat(&[]))],
        "get_chat" | "update_chat" => vec![("", chat(&["message_count", "status"]))],
        "list_user_chats" => vec![("", page("chats")), ("/chats/0", chat(&["message_count"]))],
        "list_chats" => vec![
            ("", vec!["chats", "next_cursor", "has_more"]),
            ("/chats/0", chat(&["message_count", "status"])),
            ("/chats/0/config", vec!["metadata"]),
        ],
        "delete_chat" => vec![("", vec!["success", "message", "deleted_at"])],
        "list_messages" => vec![("", page("messages")), ("/messages/0", MESSAGE.to_vec())],
        "send_message" => vec![("", MESSAGE.to_vec())],
        "create_ticket" => vec![("", vec!["ticket", "expires_at"])],
        unknown => panic!("{unknown} is new: say here which members its answer has"),
    }
}

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

/// The status that a problem with `code` has.
fn status_of(code: &str) -> u16 {
    match code {
        "invalid_request" => 400,
        "unauthorized" => 401,
        "not_found" | "chat_not_found" | "user_not_found" | "no_chats" => 404,
        "method_not_allowed" => 405,
        "chat_in_use" | "chat_closed" => 409,
        "payload_too_large" => 413,
        "unsupported_media_type" => 415,
        "idempotency_key_reused" => 422,
        "internal" => 500,
        "unavailable" => 503,
        unknown => panic!("{unknown} is new: say here which status it has"),
    }
}

/// A well-formed problem: its members, and that they agree.
fn check_problem(problem: &Value) {
    let code = problem["code"].as_str().unwrap();
    let status = status_of(code);
    let errors = (status == 400).then_some("errors");
    assert_eq!(members(problem), PROBLEM.into_iter().chain(errors).collect::<Vec<_>>());
    assert_eq!(problem["type"], "about:blank");
    assert_eq!(problem["status"], status, "{code}");
    assert_eq!(problem["title"], StatusCode::from_u16(status).unwrap().canonical_reason().unwrap());
    for text in ["detail", "request_id"] {
        assert!(problem[text].as_str().is_some_and(|text| !text.is_empty()), "{text} of {problem}");
    }
    if errors.is_some() {
        let errors = problem["errors"].as_array().unwrap();
        assert!(!errors.is_empty() && errors.iter().all(|error| members(error) == ["pointer", "detail"]), "{problem}");
    }
}

/// Status line and headers without the date, in order; and the body.
fn parts(answer: &str) -> (BTreeSet<&str>, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?} must have a head"));
    (head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("date:")).collect(), body)
}

fn pointers(answer: &Answer) -> Vec<String> {
    answer.errors().into_iter().map(|(pointer, _)| pointer).collect()
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
        // The sentence below the table.
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

#[test]
fn the_page_s_numbers_are_the_server_s() {
    const MAX_LIMIT: u32 = Window::<()>::MAX_LIMIT;
    const DEFAULT_LIMIT: u32 = Window::<()>::DEFAULT_LIMIT;
    let (page, limits) = (Page::read("docs/COMPATIBILITY.md"), Limits::default());
    let kib = |bytes: usize| format!("{} KiB", bytes / 1024);
    for words in [
        format!("{}–{} characters, no control characters", UserId::MIN_CHARS, UserId::MAX_CHARS),
        format!("{}–{} characters after trimming", Title::MIN_CHARS, Title::MAX_CHARS),
        format!("at most {} without white space and {} levels", kib(Metadata::MAX_BYTES), Metadata::MAX_DEPTH),
        format!("a UUID of version 7; {}–32,768 characters", Content::MIN_CHARS),
        format!("`client_message_id`**, {}–{} characters", ClientMessageId::MIN_CHARS, ClientMessageId::MAX_CHARS),
        format!("{}–{} visible ASCII characters", IdempotencyKey::MIN_CHARS, IdempotencyKey::MAX_CHARS),
        format!("for {} hours the same request", Idempotency::RETENTION.num_hours()),
        format!("`limit` is 1–{MAX_LIMIT} and {DEFAULT_LIMIT} by default"),
        format!("over {MAX_LIMIT} is 400, not clamped"),
        format!("{} for a body (413)", kib(limits.body_bytes)),
    ] {
        page.says(&words);
    }
    assert_eq!(Content::MAX_CHARS, 32_768);
    Page::read("docs/API-DESIGN.md").says(&format!("`limit` 1–{MAX_LIMIT} ({DEFAULT_LIMIT})"));
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

#[test]
fn each_documented_failure_is_a_problem_in_its_place() {
    for operation in Operation::all() {
        for (status, response) in operation.failures() {
            let place = format!("{} {status}", operation.id);
            assert_eq!(members(&response["content"]), ["application/problem+json"], "{place}");
            let examples = response["content"]["application/problem+json"]["examples"].as_object().unwrap();
            assert!(!examples.is_empty(), "{place}");
            for (code, example) in examples {
                let problem = &example["value"];
                check_problem(problem);
                assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)), "{place}");
                assert_eq!(example["summary"], problem["detail"], "{place}");
            }
            for (header, with) in [("WWW-Authenticate", 401), ("Retry-After", 503), ("X-Request-Id", status)] {
                assert_eq!(response["headers"].get(header).is_some(), status == with, "{header} of {place}");
            }
        }
    }
}

#[tokio::test]
async fn each_failure_has_the_members_of_a_problem_and_no_others() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let id = client.new_chat(USER).await;
    client.update_chat(&id, &json!({ "status": "closed" }), 200).await;
    for (answer, code) in [
        (client.get("/nope", 404).await, "not_found"),
        (client.get_chat(NOBODY, 404).await, "chat_not_found"),
        (client.list_user_chats("nobody", &[], 404).await, "user_not_found"),
        (client.send(Method::PUT, &requests::chat(&id), None, 405).await, "method_not_allowed"),
        (client.send_message(&id, &json!({ "content": "x" }), 409).await, "chat_closed"),
        (client.list_chats(&[("limit", "0")], 400).await, "invalid_request"),
        (Client::new(server.address).get_chat(&id, 401).await, "unauthorized"),
    ] {
        assert_eq!(answer.problem(), code);
        check_problem(&answer.json());
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
async fn each_operation_is_called_with_and_without_its_slash() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    for operation in Operation::all() {
        for slash in ["", "/"] {
            let path = operation.ready(&client).await;
            let path = format!("{}{slash}", path.trim_end_matches('/'));
            let answer = operation.call(&client, &path).await;
            assert_eq!(members(&answer.json()), expected_members(&operation.id)[0].1, "{} {path}", operation.method);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn user_is_no_chat_s_id() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    client.new_chat("messages").await;
    client.new_chat("tickets").await;
    for path in ["user/messages", "user/messages/", "user/tickets", "user/tickets/", "user/nobody"] {
        let path = &format!("/api/v1/chats/{path}");
        let body = || Some(json!({ "content": "x" }).to_string().into_bytes());
        for method in [Method::POST, Method::PATCH, Method::DELETE] {
            let answer = client.send(method, path, body(), 405).await;
            assert_eq!(answer.problem(), "method_not_allowed");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{path}");
        }
    }
    for path in ["/api/v1/chats/user", "/api/v1/chats/user/"] {
        assert_eq!(client.get(path, 404).await.problem(), "chat_not_found");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_can_be_got_can_be_asked_for_its_head() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let ask = async |method: &str, path: &str, key: &str| {
        let key = format!("X-API-Key: {key}\r\nX-Request-Id: same");
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{key}\r\nConnection: close\r\n\r\n");
        raw(server.address, request.as_bytes()).await
    };
    let mut asked = vec![
        (requests::chat(NOBODY), KEY, "404"),
        ("/api/v1/chats/user/nobody".to_owned(), KEY, "404"),
        ("/api/v1/chats/?limit=0".to_owned(), KEY, "400"),
        ("/api/v1/chats/".to_owned(), "wrong", "401"),
    ];
    for operation in Operation::all().into_iter().filter(|operation| operation.method == Method::GET) {
        asked.push((operation.ready(&client).await, KEY, "200"));
    }
    assert!(asked.len() >= 8);
    for (path, key, status) in asked {
        let (got, head) = (ask("GET", &path, key).await, ask("HEAD", &path, key).await);
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {got}");
        let ((got, body), (head, nothing)) = (parts(&got), parts(&head));
        assert!(!body.is_empty());
        assert_eq!(nothing, "", "{path}");
        assert!(head.is_subset(&got), "{path}: {head:?} of {got:?}");
        // What is known only once there is a body may be left out (RFC 9110, section 9.3.2).
        assert!(got.difference(&head).all(|line| line.starts_with("content-length:")), "{path}: {head:?} of {got:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_operation_without_query_parameters_ignores_the_query() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let mut without = 0;
    for operation in Operation::all() {
        let path = operation.ready(&client).await;
        let path = format!("{path}?limit=0&force=maybe&limit=1&&=%ff");
        if operation.takes("query", None) {
            let answer = client.send(operation.method.clone(), &path, None, 400).await;
            assert_eq!(answer.problem(), "invalid_request", "{}", operation.id);
        } else {
            operation.call(&client, &path).await;
            without += 1;
        }
    }
    assert_eq!(without, 5, "create, get, update, send and create ticket");
    server.stop().await;
}

#[tokio::test]
async fn who_calls_is_asked_before_anything_else_is_looked_at() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let anybody = Client::new(server.address).header("Content-Type", "text/plain").header("Idempotency-Key", "a b");
    for operation in Operation::all() {
        let path = operation.path.replace(['{', '}'], "");
        for stranger in [anybody.clone(), anybody.clone().key("wrong")] {
            let path = format!("{path}?limit=0&nope=1&cursor=x");
            let answer = stranger.send(operation.method.clone(), &path, operation.body(), 401).await;
            assert_eq!(answer.problem(), "unauthorized");
            assert!(answer.header("www-authenticate").is_some());
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn members_given_twice_are_refused_by_every_operation_with_a_body() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    for operation in Operation::all().into_iter().filter(|operation| operation.object.get("requestBody").is_some()) {
        let path = operation.ready(&client).await;
        let before = database.count("SELECT COUNT(*) AS n FROM messages").await;
        let send = async |body: String| client.send(operation.method.clone(), &path, Some(body.into()), 400).await;
        let example = String::from_utf8(operation.body().unwrap()).unwrap();
        let first: Value = serde_json::from_str(&example).unwrap();
        let first = members(&first)[0];
        let again = example.replacen('{', &format!("{{\"{first}\": \"x\", "), 1);
        let twice = (format!("/{first}"), "is given twice".to_owned());
        assert!(send(again).await.errors().contains(&twice), "{} {twice:?}", operation.id);
        // A ticket has no metadata.
        if operation.id != "create_ticket" {
            let deep = r#"{"user_id": "u", "content": "x", "metadata": {"a": [{"b": 1, "b": 1}]}}"#;
            let twice = ("/metadata/a/0/b".to_owned(), "is given twice".to_owned());
            assert!(send(deep.to_owned()).await.errors().contains(&twice), "{}", operation.id);
        }
        assert_eq!(database.count("SELECT COUNT(*) AS n FROM messages").await, before);
        if operation.method == Method::PATCH {
            assert_eq!(client.get(&path, 200).await.json()["status"], "active");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn null_is_absent_in_a_message_too() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let id = client.new_chat(USER).await;
    let mut message = json!({ "content": "x" });
    let without = client.send_message(&id, &message, 201).await.json();
    for name in ["sender_role", "sender_id", "media_type", "media_url", "metadata", "client_message_id"] {
        message[name] = Value::Null;
    }
    let mut with = client.send_message(&id, &message, 201).await.json();
    for own in ["id", "seq", "created_at"] {
        with[own] = without[own].clone();
    }
    assert_eq!(with, without);
    assert_eq!(without["id"].as_str().unwrap().parse::<Uuid>().unwrap().get_version_num(), 7);
    server.stop().await;
}

#[tokio::test]
async fn one_400_names_what_is_wrong_with_a_message_and_its_key() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let id = client.new_chat(USER).await;
    let keyed = client.header("Idempotency-Key", "two words");
    let answer = keyed.send_message(&id, &json!({ "metadata": 1, "x": 2 }), 400).await;
    assert_eq!(pointers(&answer), ["/header/Idempotency-Key", "/content", "/metadata", "/x"]);
    server.stop().await;
}

#[tokio::test]
async fn every_other_media_type_is_refused_by_every_operation_with_a_body() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    for operation in Operation::all().into_iter().filter(|operation| operation.object.get("requestBody").is_some()) {
        let path = operation.ready(&client).await;
        for other in ["application/merge-patch+json", "application/json-patch+json", "text/json", "*/*"] {
            let other = client.clone().header("Content-Type", other);
            let answer = other.send(operation.method.clone(), &path, operation.body(), 415).await;
            assert_eq!(answer.problem(), "unsupported_media_type", "{}", operation.id);
        }
        let body = String::from_utf8(operation.body().unwrap()).unwrap();
        let head = format!("{} {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}", operation.method);
        let length = body.len();
        let request = format!("{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        let answer = raw(server.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 415 ") && answer.contains("unsupported_media_type"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_body_may_have_64_kib_whatever_it_is_for() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    for operation in Operation::all().into_iter().filter(|operation| operation.object.get("requestBody").is_some()) {
        let mut body = operation.body().unwrap();
        body.resize(64 * 1024, b' ');
        let path = operation.ready(&client).await;
        let send = async |body, status| client.send(operation.method.clone(), &path, Some(body), status).await;
        send(body.clone(), operation.success().0).await;
        body.push(b' ');
        assert_eq!(send(body, 413).await.problem(), "payload_too_large");
    }
    server.stop().await;
}

#[tokio::test]
async fn answers_are_json_whatever_is_accepted() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    for accept in ["text/html", "application/xml;q=0.9", "application/json;q=0", "*/*;q=0", "not a media type", ""] {
        let client = server.client().header("Accept", accept);
        for operation in Operation::all() {
            let path = operation.ready(&client).await;
            let answer = operation.call(&client, &path).await;
            assert_eq!(answer.header("content-type"), Some("application/json"), "{accept:?} {}", operation.id);
            assert!(answer.json().is_object());
        }
        assert_eq!(client.get("/nope", 404).await.problem(), "not_found");
        assert_eq!(client.get_chat(NOBODY, 404).await.problem(), "chat_not_found");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_page_has_fifty_of_the_fifty_one_there_are() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let (mut chats, mut messages) = (Vec::new(), Vec::new());
    for _ in 0..51 {
        chats.insert(0, client.new_chat(USER).await);
    }
    for _ in 0..51 {
        let sent = client.send_message(&chats[0], &json!({ "content": "x" }), 201).await.json();
        messages.push(sent["id"].as_str().unwrap().to_owned());
    }
    for (answer, list, all) in [
        (client.list_chats(&[], 200).await, "chats", &chats),
        (client.list_user_chats(USER, &[], 200).await, "chats", &chats),
        (client.list_messages(&chats[0], &[], 200).await, "messages", &messages),
    ] {
        assert_eq!(answer.each(list, "id"), all[..50]);
        assert_eq!(answer.json()["has_more"], true);
    }
    for answer in [client.list_user_chats(USER, &[], 200).await, client.list_messages(&chats[0], &[], 200).await] {
        assert_eq!(answer.json()["limit"], 50);
        assert_eq!(answer.json()["total"], 51);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_page_past_the_last_message_is_empty_and_its_total_right() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let id = client.new_chat(USER).await;
    for _ in 0..3 {
        client.send_message(&id, &json!({ "content": "x" }), 201).await;
    }
    for (offset, order) in [(3, "asc"), (4, "desc"), (1_000_000, "asc")] {
        let page = client.list_messages(&id, &[("offset", &offset.to_string()), ("order", order)], 200).await.json();
        let expected = json!({
            "messages": [], "total": 3, "offset": offset, "limit": 50, "has_more": false, "next_cursor": null,
        });
        assert_eq!(page, expected);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_cursor_goes_on_under_another_limit_in_every_list_and_belongs_to_no_other() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let mut chats = Vec::new();
    for _ in 0..5 {
        chats.push(client.new_chat(USER).await);
    }
    for chat in &chats[..2] {
        for _ in 0..5 {
            client.send_message(chat, &json!({ "content": "x" }), 201).await;
        }
    }
    let of_user = format!("/api/v1/chats/user/{USER}");
    let (messages, others) = (requests::messages(&chats[0]), requests::messages(&chats[1]));
    let lists = [("/api/v1/chats/", "chats"), (of_user.as_str(), "chats"), (messages.as_str(), "messages")];
    for (path, list) in lists {
        let get = async |query: &str| client.get(&format!("{path}?{query}"), 200).await;
        let all = get("limit=100").await.each(list, "id");
        assert_eq!(all.len(), 5);
        let first = get("limit=2").await;
        let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
        assert_eq!(first.each(list, "id"), all[..2]);
        for (limit, until) in [("&limit=1", 3), ("&limit=2", 4), ("&limit=3", 5), ("&limit=100", 5), ("", 5)] {
            let page = get(&format!("cursor={cursor}{limit}")).await;
            assert_eq!(page.each(list, "id"), all[2..until], "{path} {limit}");
            assert_eq!(page.json()["has_more"], until < 5);
            for unknown in ["total", "offset"] {
                assert_eq!(page.json().get(unknown), (path != lists[0].0).then_some(&Value::Null), "{unknown}");
            }
        }
        for (other, _) in lists.iter().filter(|(other, _)| *other != path) {
            let answer = client.get(&format!("{other}?cursor={cursor}"), 400).await;
            assert_eq!(pointers(&answer), ["/query/cursor"], "{path} at {other}");
        }
        let reversed = if list == "chats" { "asc" } else { "desc" };
        let mut foreign = vec![format!("{path}?order={reversed}&cursor={cursor}")];
        if list == "messages" {
            foreign.extend([format!("{others}?cursor={cursor}"), format!("{path}?after_seq=1&cursor={cursor}")]);
        }
        for foreign in foreign {
            assert_eq!(pointers(&client.get(&foreign, 400).await), ["/query/cursor"], "{foreign}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn created_after_and_before_exclude_the_moment_they_name() {
    let database = TestDatabase::create().await;
    let clock = Arc::new(ManualClock::new());
    let server = TestServer::start_with(database.url(), Limits::default(), clock).await;
    let client = server.client();
    let id = client.new_chat(USER).await;
    let (before, at, after) = ("2024-01-15T10:29:59.999999Z", "2024-01-15T10:30:00Z", "2024-01-15T10:30:00.000001Z");
    assert_eq!(client.get_chat(&id, 200).await.json()["created_at"], at);
    for (name, moment, found) in [
        ("created_after", before, true),
        ("created_after", at, false),
        ("created_after", after, false),
        ("created_before", before, false),
        ("created_before", at, false),
        ("created_before", after, true),
    ] {
        let listed = client.list_chats(&[(name, moment)], 200).await.each("chats", "id");
        assert_eq!(listed.contains(&id), found, "{name}={moment}");
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
async fn only_what_is_created_for_good_has_an_idempotency_key() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    client.clone().header("Idempotency-Key", "used").create_chat(&json!({ "user_id": USER }), 201).await;
    for key in ["used", "new", "", "two words", "é", &"k".repeat(256)] {
        let keyed = client.clone().header("Idempotency-Key", key);
        for operation in Operation::all() {
            let is_keyed = operation.method == Method::POST && operation.id != "create_ticket";
            assert_eq!(operation.takes("header", Some("Idempotency-Key")), is_keyed, "{}", operation.id);
            if is_keyed {
                continue;
            }
            let path = operation.ready(&client).await;
            let answer = operation.call(&keyed, &path).await;
            assert_eq!(answer.header("idempotency-replayed"), None, "{} {key:?}", operation.id);
        }
        // The second is done too, and not answered like the first.
        let id = client.new_chat(USER).await;
        for title in ["first", "second"] {
            assert_eq!(keyed.update_chat(&id, &json!({ "title": title }), 200).await.json()["title"], title);
        }
        keyed.delete_chat(&id, &[], 200).await;
        assert_eq!(keyed.delete_chat(&id, &[], 404).await.problem(), "chat_not_found");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_refused_message_leaves_its_key_free() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let id = client.new_chat(USER).await;
    let closed = client.new_chat(USER).await;
    client.update_chat(&closed, &json!({ "status": "closed" }), 200).await;
    for (key, place, status) in [("unknown", NOBODY, 404), ("unreadable", "x", 404), ("closed", &closed, 409)] {
        let keyed = client.clone().header("Idempotency-Key", key);
        for _ in 0..2 {
            let refused = keyed.send_message(place, &json!({ "content": key }), status).await;
            assert_eq!(refused.header("idempotency-replayed"), None);
        }
        let sent = keyed.send_message(&id, &json!({ "content": "another" }), 201).await;
        assert_eq!(sent.header("idempotency-replayed"), None, "{key}");
    }
    assert_eq!(client.get_chat(&id, 200).await.json()["message_count"], 3);
    server.stop().await;
}

#[tokio::test]
async fn a_message_s_name_outlives_its_key() {
    let database = TestDatabase::create().await;
    let clock = ManualClock::new();
    let start = || TestServer::start_with(database.url(), Limits::default(), Arc::new(clock.clone()));
    let server = start().await;
    let id = server.client().new_chat(USER).await;
    let named = json!({ "content": "named", "client_message_id": "é".repeat(128) });
    let nameless = json!({ "content": "nameless" });
    let send = async |client: Client, key: &str, message: &Value| {
        let answer = client.header("Idempotency-Key", key).send_message(&id, message, 201).await;
        (answer.json()["seq"].as_i64().unwrap(), answer.header("idempotency-replayed").is_some())
    };
    assert_eq!(send(server.client(), "a", &named).await, (1, false));
    assert_eq!(send(server.client(), "b", &nameless).await, (2, false));
    clock.advance(Duration::hours(24) - Duration::microseconds(1));
    assert_eq!(send(server.client(), "b", &nameless).await, (2, true));
    clock.advance(Duration::microseconds(1));
    assert_eq!(send(server.client(), "b", &nameless).await, (3, false));
    let other = json!({ "content": "other words", "client_message_id": named["client_message_id"] });
    assert_eq!(send(server.client(), "a", &other).await, (1, true));
    server.stop().await;
    clock.advance(Duration::days(1_000));
    let server = start().await;
    assert_eq!(send(server.client(), "c", &named).await, (1, true));
    assert_eq!(server.client().get_chat(&id, 200).await.json()["message_count"], 3);
    server.stop().await;
}

#[tokio::test]
async fn delete_succeeds_on_every_chat_with_and_without_force() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    for force in [[].as_slice(), &[("force", "true")], &[("force", "false")]] {
        for (messages, status) in [(0, "active"), (0, "closed"), (3, "active"), (3, "closed")] {
            let id = client.new_chat(USER).await;
            for _ in 0..messages {
                client.send_message(&id, &json!({ "content": "x" }), 201).await;
            }
            client.update_chat(&id, &json!({ "status": status }), 200).await;
            assert_eq!(client.delete_chat(&id, force, 200).await.json()["success"], true);
            assert_eq!(client.delete_chat(&id, force, 404).await.problem(), "chat_not_found");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_of_the_family_talks_over_a_websocket() {
    let database = TestDatabase::create().await;
    let echo = Provider::Echo { pause: time::Duration::ZERO };
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
async fn what_is_below_http_is_answered_without_a_body_and_without_an_id() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let get = |target: &str, headers: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n").into_bytes();
    for (bytes, status) in [
        (b"this is not HTTP\r\n\r\n".to_vec(), "400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), "400"),
        (b"GET / HTTP/7.0\r\nHost: x\r\n\r\n".to_vec(), "400"),
        (get("/healthz", "bad header\r\n"), "400"),
        (get("/healthz", "Content-Length: x\r\n"), "400"),
        (get("/healthz", "X-Request-Id: sane\r\nContent-Length: x\r\n"), "400"),
        (get(&format!("/{}", "x".repeat(70_000)), ""), "414"),
        (get("/healthz", &"X: y\r\n".repeat(200)), "431"),
    ] {
        let answer = raw(server.address, &bytes).await;
        let (head, body) = parts(&answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}");
        assert!(body.is_empty() && !answer.to_ascii_lowercase().contains("x-request-id"), "{head:?}");
    }
    // Whoever speaks HTTP/2 at once gets no answer that it could not read.
    assert_eq!(raw(server.address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await, "");
    server.client().get("/healthz", 200).await;
    server.stop().await;
}

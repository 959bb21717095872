//! "Choices", in the order of its paragraphs.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{NOBODY, Operation, USER, expected_members, members, parts, pointers};
use crate::support::{Client, KEY, TestDatabase, TestServer, raw, requests};

const PROBLEM: [&str; 6] = ["type", "title", "status", "detail", "code", "request_id"];

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
        let merge_patch = "application/merge-patch+json";
        let takes_patches = operation.method == Method::PATCH;
        assert_eq!(operation.object["description"].to_string().contains(merge_patch), takes_patches);
        for other in [merge_patch, "application/json-patch+json", "text/json", "*/*"] {
            if takes_patches && other == merge_patch {
                continue;
            }
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

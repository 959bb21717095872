//! Cross-origin requests: what a page of another site may send and read, by REST and by WebSocket.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Client, KEY, Live, LogFile, ServerProcess, TestDatabase, TestServer, raw, requests};

const PAGE: &str = "https://page.example";
const OTHER: &str = "https://other.example";
/// What every page may read besides the headers that need no permission.
const EXPOSED: [&str; 6] =
    ["X-Request-Id", "Location", "Idempotency-Replayed", "RateLimit", "RateLimit-Policy", "Retry-After"];
/// What pages send.
const SENT: [&str; 8] = [
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "Last-Event-ID",
    "X-API-Key",
    "X-Chat-ID",
    "X-Request-Id",
    "X-User-ID",
];
/// An id that no chat has.
const NOBODY: &str = "018d0c8e-5a40-7b7c-8c9d-0e1f2a3b4c5d";

fn words(list: &str) -> BTreeSet<String> {
    list.split(',').map(|word| word.trim().to_ascii_lowercase()).collect()
}

/// Checks that pages of `origin` may read an answer with these headers, and all that is to be read of it.
fn is_readable(headers: &dyn Fn(&str) -> Option<String>, origin: &str, what: &str) {
    assert_eq!(headers("access-control-allow-origin").as_deref(), Some(origin), "{what}");
    let exposed = words(&headers("access-control-expose-headers").unwrap_or_default());
    assert_eq!(exposed, words(&EXPOSED.join(",")), "{what}");
    assert_eq!(headers("access-control-allow-credentials"), None, "{what}: nothing is ambient");
}

fn check(answer: &Answer, origin: &str, what: &str) {
    is_readable(&|name| answer.header(name).map(str::to_owned), origin, what);
}

/// The header `name` of an answer in bytes.
fn header(answer: &str, name: &str) -> Option<String> {
    let head = answer.split("\r\n\r\n").next().unwrap();
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
}

/// Requests by `client`, of which each is answered otherwise: the answer, and what it is.
async fn all_kinds(client: &Client) -> Vec<(Answer, &'static str)> {
    let chat = client.new_chat("u").await;
    let closed = client.new_chat("u").await;
    client.update_chat(&closed, &json!({ "status": "closed" }), 200).await;
    let keyed = client.clone().header("Idempotency-Key", "k");
    keyed.create_chat(&json!({ "user_id": "u" }), 201).await;
    let text = client.clone().header("Content-Type", "text/plain");
    let large = vec![b' '; 8 * 1024 * 1024];
    let head = client.attempt(Method::HEAD, &requests::chat(&chat), None).await.unwrap();
    assert_eq!(head.0, 200);
    vec![
        (client.create_chat(&json!({ "user_id": "u" }), 201).await, "201"),
        (keyed.create_chat(&json!({ "user_id": "u" }), 201).await, "201, replayed"),
        (client.get_chat(&chat, 200).await, "200"),
        (head.1, "HEAD"),
        (client.list_chats(&[], 200).await, "a list"),
        (client.update_chat(&chat, &json!({ "title": "t" }), 200).await, "PATCH"),
        (client.create_chat(&json!({}), 400).await, "400"),
        (client.clone().key("wrong").list_chats(&[], 401).await, "401"),
        (client.get_chat(NOBODY, 404).await, "404 of a chat"),
        (client.get("/nope", 404).await, "404 of a path"),
        (client.send(Method::PUT, "/api/v1/chats/", None, 405).await, "405"),
        (client.send(Method::OPTIONS, "/api/v1/chats/", None, 405).await, "OPTIONS that is no preflight"),
        (client.send_message(&closed, &json!({ "content": "x" }), 409).await, "409"),
        (client.create_chat_from(large, 413).await, "413"),
        (text.create_chat_from("{}", 415).await, "415"),
        (keyed.create_chat(&json!({ "user_id": "v" }), 422).await, "422"),
        (client.get("/ws/chat", 400).await, "a handshake that is none"),
        (client.get("/openapi.json", 200).await, "the document"),
        (client.get("/healthz", 200).await, "health"),
        (client.delete_chat(&chat, &[], 200).await, "DELETE"),
    ]
}

/// Deletes all chats, and with them what is remembered of keys.
async fn delete_all(client: &Client) {
    for id in client.list_chats(&[("limit", "100")], 200).await.each("chats", "id") {
        client.delete_chat(&id, &[], 200).await;
    }
}

#[tokio::test]
async fn a_page_of_any_origin_can_read_every_answer() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    for client in [server.client(), server.client().header("Origin", PAGE), server.client().header("Origin", "null")] {
        for (answer, what) in all_kinds(&client).await {
            check(&answer, "*", what);
            assert_eq!(answer.header("vary"), None, "{what}: it is the same for every origin");
        }
        delete_all(&server.client()).await;
    }
    for (request, status) in [
        ("this is not HTTP\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nOrigin: {PAGE}\r\nbad header\r\n\r\n"), "400"),
        (format!("GET /{} HTTP/1.1\r\nHost: x\r\nOrigin: {PAGE}\r\n\r\n", "x".repeat(70_000)), "431"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nOrigin: {PAGE}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), "501"),
    ] {
        let answer = raw(server.address, request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        is_readable(&|name| header(&answer, name), "*", status);
    }
    server.stop().await;

    // There is no room for a live connection.
    let server = TestServer::start_as(database.url(), |config| config.limits.realtime.connections = 0).await;
    let page = server.client().header("Origin", PAGE);
    check(&page.get("/ws/chat", 503).await, "*", "503");
    server.stop().await;
}

#[tokio::test]
async fn a_preflight_is_answered_without_a_key_whatever_it_is_for() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let document: Value = Client::new(server.address).get("/openapi.json", 200).await.json();
    let paths = document["paths"].as_object().unwrap().iter().map(|(path, methods)| {
        let path = path.replace("{chat_id}", NOBODY).replace("{user_id}", "u");
        (path, methods.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect::<Vec<_>>())
    });
    let others = ["/nope", "/ws/chat", "/api/v1/chats", "/openapi.json"].map(|path| (path.to_owned(), Vec::new()));
    for (path, methods) in paths.chain(others) {
        for method in methods.iter().map(String::as_str).chain(["GET", "POST", "PATCH", "DELETE"]) {
            let preflight = Client::new(server.address)
                .header("Origin", PAGE)
                .header("Access-Control-Request-Method", method)
                .header("Access-Control-Request-Headers", "content-type,x-api-key");
            let answer = preflight.send(Method::OPTIONS, &path, None, 204).await;
            check(&answer, "*", &path);
            assert!(answer.body.is_empty() && answer.header("x-request-id").is_some(), "{path}");
            assert_eq!(answer.header("access-control-max-age"), Some("7200"), "{path}");
            let allowed = words(answer.header("access-control-allow-methods").unwrap());
            assert!(allowed.contains(&method.to_ascii_lowercase()), "{method} {path}");
            let allowed = words(answer.header("access-control-allow-headers").unwrap());
            assert!(words(&SENT.join(",")).is_subset(&allowed), "{allowed:?}");
            assert!(allowed.contains("*"), "and what else a page's libraries send");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn listed_origins_and_the_server_s_own_can_read_every_answer() {
    let database = TestDatabase::create().await;
    let server = TestServer::start_as(database.url(), |config| config.origins = vec![OTHER.into(), PAGE.into()]).await;
    let own = format!("http://{}", server.address);
    for origin in [PAGE, own.as_str()] {
        let client = server.client().header("Origin", origin);
        for (answer, what) in all_kinds(&client).await {
            check(&answer, origin, what);
            assert_eq!(answer.header("vary"), Some("Origin"), "{what}");
        }
        let preflight = Client::new(server.address).header("Origin", origin);
        let preflight = preflight.header("Access-Control-Request-Method", "POST");
        check(&preflight.send(Method::OPTIONS, "/api/v1/chats/", None, 204).await, origin, "a preflight");
        delete_all(&server.client()).await;
    }
    // Clients that are no pages are answered as before; a cache must know that pages would be answered otherwise.
    for (answer, what) in all_kinds(&server.client()).await {
        assert_eq!(answer.header("access-control-allow-origin"), None, "{what}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{what}");
    }
    let answer = raw(server.address, b"this is not HTTP\r\n\r\n").await;
    assert_eq!(header(&answer, "vary").as_deref(), Some("Origin"));
    assert_eq!(header(&answer, "access-control-allow-origin"), None);
    server.stop().await;
}

#[tokio::test]
async fn unlisted_origins_are_refused_by_rest_and_websocket_alike_and_told_so() {
    let database = TestDatabase::create().await;
    let server = TestServer::start_as(database.url(), |config| config.origins = vec![PAGE.into()]).await;
    let chat = server.client().new_chat("ann").await;
    let by_key = format!("/ws/chat?api_key={KEY}&user_id=ann&chat_id={chat}");
    let ticket = server.client().create_ticket(&chat, &json!({ "user_id": "ann" }), 201).await.json();
    let by_ticket = format!("/ws/chat?ticket={}", ticket["ticket"].as_str().unwrap());
    for origin in [OTHER, "null", "", "https://page.example.evil", "https://PAGE.example", "http://page.example"] {
        let page = server.client().header("Origin", origin);
        let preflight = page.clone().header("Access-Control-Request-Method", "POST");
        for answer in [
            page.create_chat(&json!({ "user_id": "u" }), 403).await,
            page.get_chat(&chat, 403).await,
            page.get("/nope", 403).await,
            page.send(Method::PUT, "/api/v1/chats/", None, 403).await,
            preflight.send(Method::OPTIONS, "/api/v1/chats/", None, 403).await,
        ] {
            assert_eq!(answer.problem(), "forbidden", "{origin}");
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains("origin") && detail.contains(origin), "{detail}");
            assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
            assert_eq!(answer.header("vary"), Some("Origin"), "{origin}");
        }
        for path in [&by_key, &by_ticket] {
            let refused = Live::ask(server.address, path, &[("Origin", origin)]).await.err().expect("refused");
            assert_eq!((refused.status, &refused.problem["code"]), (403, &json!("forbidden")), "{origin}");
        }
    }
    // The listed one beside another does not help.
    let two =
        format!("GET /healthz HTTP/1.1\r\nHost: x\r\nOrigin: {PAGE}\r\nOrigin: {OTHER}\r\nConnection: close\r\n\r\n");
    assert!(raw(server.address, two.as_bytes()).await.starts_with("HTTP/1.1 403 "));
    assert_eq!(server.client().list_chats(&[], 200).await.each("chats", "id"), [chat], "nothing was done");
    let own = format!("http://{}", server.address);
    for headers in [&[("Origin", PAGE)][..], &[("Origin", own.as_str())], &[]] {
        Live::ask(server.address, &by_key, headers).await.unwrap();
    }
    Live::ask(server.address, &by_ticket, &[("Origin", PAGE)]).await.expect("the refusals have not used the ticket up");
    server.stop().await;
}

#[tokio::test]
async fn what_needs_no_credential_and_is_not_for_the_public_is_not_readable_across_origins() {
    let database = TestDatabase::create().await;
    for origins in [vec![], vec![PAGE.to_owned()]] {
        let server = TestServer::start_as(database.url(), |config| {
            config.demo = true;
            config.origins.clone_from(&origins);
        })
        .await;
        let page = Client::new(server.address).header("Origin", PAGE);
        for path in ["/metrics", "/metrics/", "/demo/", "/demo/chat.mjs"] {
            let (_, answer) = page.attempt(Method::GET, path, None).await.unwrap();
            assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
            let preflight = page.clone().header("Access-Control-Request-Method", "POST");
            let (status, answer) = preflight.attempt(Method::OPTIONS, path, None).await.unwrap();
            assert!(status.is_client_error(), "{path}: {status}");
            assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn refused_origins_are_in_the_log_and_cannot_flood_it() {
    let database = TestDatabase::create().await;
    let mut command = ServerProcess::command(database.url());
    command.env("PARLOR_BOOTSTRAP_API_KEY", KEY).env("PARLOR_ALLOWED_ORIGINS", PAGE).env("PARLOR_LOG", "warn");
    let log = LogFile::of(&mut command);
    let process = ServerProcess::spawn(&mut command);
    let client = Client::new(process.address).key(KEY);
    for _ in 0..50 {
        client.clone().header("Origin", OTHER).get("/api/v1/chats/?metadata=private:value", 403).await;
    }
    client.header("Origin", PAGE).list_chats(&[], 200).await;
    process.finish();
    let (lines, log) = (log.lines(), log.text());
    let refused: Vec<&Value> = lines.iter().filter(|line| line["origin"] == OTHER).collect();
    // One in ten seconds; a slow machine may take longer than that for all of them.
    assert!((1..=10).contains(&refused.len()), "{log}");
    assert_eq!((&refused[0]["level"], &refused[0]["path"]), (&json!("WARN"), &json!("/api/v1/chats/")), "{log}");
    assert!(refused[0]["message"].as_str().unwrap().contains("--allowed-origins"), "{log}");
    assert!(!log.contains("private"), "{log}");
}

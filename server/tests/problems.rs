//! Bad input, each with its exact answer. Every failure is a problem document.

use parlor_server::config::{HttpLimits, Limits};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    document::committed,
    support::{Client, KEY, TestDatabase, TestServer, raw},
};

/// Every request of the table is refused with exactly these errors, and stores nothing.
async fn refused(server: &TestServer, body: impl Into<Vec<u8>>, errors: &[(&str, &str)]) {
    let body = body.into();
    let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    let answer = server.client().create_chat_from(body, 400).await;
    let expected: Vec<(String, String)> =
        errors.iter().map(|(pointer, detail)| ((*pointer).to_owned(), (*detail).to_owned())).collect();
    assert_eq!(answer.errors(), expected, "{shown}");
}

#[tokio::test]
async fn every_wrong_body_is_refused_with_all_that_is_wrong_and_leaves_nothing() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let s = &server;

    // Not JSON, or not an object.
    refused(s, "", &[("", "is missing")]).await;
    refused(s, "{", &[("", "is not valid JSON at line 1, column 1")]).await;
    refused(s, "{\"user_id\": \"u\",}", &[("", "is not valid JSON at line 1, column 17")]).await;
    refused(s, "{\"user_id\": \"u\"} x", &[("", "is not valid JSON at line 1, column 18")]).await;
    refused(s, "{'user_id': 'u'}", &[("", "is not valid JSON at line 1, column 2")]).await;
    refused(s, "\u{feff}{\"user_id\": \"u\"}", &[("", "is not valid JSON at line 1, column 1")]).await;
    refused(s, b"{\"user_id\": \"\xff\"}", &[("", "is not UTF-8 at byte 13")]).await;
    refused(s, "{\"user_id\": \"a\u{0}b\"}", &[("", "is not valid JSON at line 1, column 14")]).await;
    for other in ["null", "[]", "7", "\"text\"", "true"] {
        refused(s, other, &[("", "must be an object")]).await;
    }
    refused(s, "[".repeat(60_000), &[("", "is not valid JSON at line 1, column 60000")]).await;
    refused(s, format!("{}{}", "[".repeat(30_000), "]".repeat(30_000)), &[("", "must be an object")]).await;
    refused(s, r#"{"\ud800": 1}"#, &[("", "has a member name that is not Unicode text")]).await;

    // The user.
    refused(s, "{}", &[("/user_id", "is required")]).await;
    refused(s, r#"{"user_id": null}"#, &[("/user_id", "must be a string")]).await;
    for other in ["7", "7.5", "true", "[]", "{}", "[\"u\"]"] {
        refused(s, format!("{{\"user_id\": {other}}}"), &[("/user_id", "must be a string")]).await;
    }
    refused(s, r#"{"user_id": ""}"#, &[("/user_id", "must not be empty")]).await;
    refused(s, r#"{"user_id": "\ud800"}"#, &[("/user_id", "must be Unicode text")]).await;
    let long = json!({ "user_id": "é".repeat(256) }).to_string();
    refused(s, long, &[("/user_id", "must have at most 255 characters")]).await;
    for control in ["\\u0000", "\\n", "\\u007f", "\\u0085", "\\u001b[31m"] {
        let body = format!("{{\"user_id\": \"a{control}b\"}}");
        refused(s, body, &[("/user_id", "must not contain control characters")]).await;
    }

    // The title.
    refused(s, r#"{"user_id": "u", "title": 7}"#, &[("/title", "must be a string")]).await;
    refused(s, r#"{"user_id": "u", "title": ""}"#, &[("/title", "must not be empty")]).await;
    refused(s, r#"{"user_id": "u", "title": "   "}"#, &[("/title", "must not be empty")]).await;
    for nothing in ["\\ufeff", " \\u00a0\\u3000", "\\u2003"] {
        refused(s, format!(r#"{{"user_id": "u", "title": "{nothing}"}}"#), &[("/title", "must not be empty")]).await;
    }
    for invisible in ["\\u180e", "\\u200b", "\\u2060\\u00ad", "\\u3164", "\\udb40\\udc41"] {
        let body = format!(r#"{{"user_id": "u", "title": "{invisible}"}}"#);
        refused(s, body, &[("/title", "must have a visible character")]).await;
    }
    let control = r#"{"user_id": "u", "title": "a\u0000"}"#;
    refused(s, control, &[("/title", "must not contain control characters")]).await;
    let long = json!({ "user_id": "u", "title": "x".repeat(256) }).to_string();
    refused(s, long, &[("/title", "must have at most 255 characters")]).await;

    // The metadata.
    for other in ["7", "\"text\"", "[]", "true"] {
        refused(s, format!(r#"{{"user_id": "u", "metadata": {other}}}"#), &[("/metadata", "must be an object")]).await;
    }
    let large = json!({ "user_id": "u", "metadata": { "m": "x".repeat(16 * 1024) } }).to_string();
    refused(s, large, &[("/metadata", "must have at most 16384 bytes")]).await;
    let deep = format!(r#"{{"user_id":"u","metadata":{{"m":{}{}}}}}"#, "[".repeat(32), "]".repeat(32));
    refused(s, deep, &[("/metadata", "must be at most 32 levels deep")]).await;
    let deepest = format!(r#"{{"user_id":"u","metadata":{{"m":{}{}}}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    refused(s, deepest, &[("/metadata", "must be at most 32 levels deep")]).await;
    let twice = r#"{"user_id": "u", "metadata": {"a": [{"b": 1, "b": 2}]}}"#;
    refused(s, twice, &[("/metadata/a/0/b", "is given twice")]).await;
    let number = r#"{"user_id": "u", "metadata": {"a/b": 1e999}}"#;
    refused(s, number, &[("/metadata/a~1b", "has a string that is not Unicode or a number out of range")]).await;

    // Members.
    refused(s, r#"{"user_id": "u", "user_id": "v"}"#, &[("/user_id", "is given twice")]).await;
    refused(s, r#"{"user_id": "u", "tenant_id": "t"}"#, &[("/tenant_id", "is not a known member")]).await;
    refused(s, r#"{"user_id": "u", "a/~b": 1}"#, &[("/a~1~0b", "is not a known member")]).await;
    refused(
        s,
        r#"{"user_id": 1, "title": [], "metadata": "m", "x": 1, "y": 2, "y": 3}"#,
        &[
            ("/y", "is given twice"),
            ("/user_id", "must be a string"),
            ("/title", "must be a string"),
            ("/metadata", "must be an object"),
            ("/x", "is not a known member"),
            ("/y", "is not a known member"),
        ],
    )
    .await;

    assert_eq!(database.count("SELECT COUNT(*) AS n FROM chats").await, 0);
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM users").await, 0);
    server.stop().await;
}

#[tokio::test]
async fn thousands_of_wrong_things_are_answered_in_bounds() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let most = committed()["components"]["schemas"]["Problem"]["properties"]["errors"]["maxItems"].as_u64().unwrap();
    let names = || 0..most + 1;
    // The header is looked at before the body, which alone has too much.
    let client = server.client().header("Idempotency-Key", "");
    let members: Vec<String> = names().map(|name| format!("\"{name}\":1")).collect();
    let in_body = client.create_chat_from(format!("{{{}}}", members.join(",")), 400).await.errors();
    assert_eq!(in_body.len() as u64, most);
    assert_eq!((in_body[0].0.as_str(), in_body[1].0.as_str()), ("/header/Idempotency-Key", "/user_id"));
    let parameters: Vec<String> = names().map(|name| name.to_string()).collect();
    let in_query = client.get(&format!("/api/v1/chats/?{}", parameters.join("&")), 400).await.errors();
    assert_eq!(in_query.len() as u64, most);
    server.stop().await;
}

#[tokio::test]
async fn what_has_too_long_a_name_is_pointed_at_from_outside() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let most = &committed()["components"]["schemas"]["FieldError"]["properties"]["pointer"]["maxLength"];
    let most = usize::try_from(most.as_u64().unwrap()).unwrap();
    for (length, shown) in [(most - 1, format!("/{}", "é".repeat(most - 1))), (most, String::new())] {
        let name = "é".repeat(length);
        let body = json!({ "user_id": "u", &name: 1 }).to_string();
        refused(&server, body, &[(&shown, "is not a known member")]).await;
    }
    let name = "n".repeat(most);
    let twice = format!(r#"{{"user_id":"u","metadata":{{"a":{{"{name}":1,"{name}":2}}}}}}"#);
    refused(&server, twice, &[("/metadata/a", "is given twice")]).await;
    let errors = server.client().get(&format!("/api/v1/chats/?{name}=1"), 400).await.errors();
    assert_eq!(errors, [("/query".to_owned(), "is not a known parameter".to_owned())]);
    server.stop().await;
}

#[tokio::test]
async fn a_body_must_be_declared_as_json() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    for wrong in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json; charset=latin1",
        "multipart/form-data; boundary=x",
        "",
    ] {
        let client = server.client().header("Content-Type", wrong);
        let answer = client.create_chat(&json!({ "user_id": "u" }), 415).await;
        assert_eq!(answer.problem(), "unsupported_media_type", "{wrong}");
    }
    let both = server.client().header("Content-Type", "application/json").header("Content-Type", "text/plain");
    both.create_chat(&json!({ "user_id": "u" }), 415).await;
    for right in ["application/json", "Application/JSON;charset=\"utf-8\"", "application/json; odd=parameter"] {
        server.client().header("Content-Type", right).create_chat(&json!({ "user_id": "u" }), 201).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_declared_or_not() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let answer = server.client().create_chat_from(" ".repeat(256 * 1024 + 1), 413).await;
    assert_eq!(answer.problem(), "payload_too_large");
    assert_eq!(answer.json()["detail"], "The body must have at most 262144 bytes.");

    // Chunked, so that the length is known only when it is too late.
    let head = "POST /api/v1/chats/ HTTP/1.1\r\nHost: x\r\nX-API-Key: test-bootstrap-api-key\r\n\
        Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
    let request = format!("{head}{}0\r\n\r\n", chunk.repeat(5));
    let answer = raw(server.address, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("payload_too_large"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_refusal_before_the_body_was_read_says_so_and_can_be_read() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    // A client that reads only once it has sent everything, and what it sends.
    let megabytes = " ".repeat(20 * 1024 * 1024);
    for (line, key, body, status) in [
        ("POST /api/v1/chats/", KEY, megabytes.as_str(), 413),
        ("POST /api/v1/chats/", "wrong-api-key-0000", megabytes.as_str(), 401),
        ("POST /api/v1/chats/", "wrong-api-key-0000", "{}", 401),
        ("POST /nope", KEY, "{}", 404),
        ("PUT /api/v1/chats/", KEY, "{}", 405),
        ("GET /healthz", KEY, "{}", 200),
    ] {
        for framing in [format!("Content-Length: {}\r\n\r\n{body}", body.len()), {
            format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
        }] {
            let request = format!(
                "{line} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n{framing}"
            );
            let answer = raw(server.address, request.as_bytes()).await;
            let head = answer.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
            assert!(head.starts_with(&format!("http/1.1 {status} ")), "{line}: {answer}");
            assert!(head.contains("\r\nconnection: close"), "{line}: {head}");
        }
    }
    // A body that was read leaves the connection open.
    let valid = r#"{"user_id":"u"}"#;
    let request = format!(
        "POST /api/v1/chats/ HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{valid}",
        valid.len()
    );
    let last = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answers = raw(server.address, format!("{request}{request}{last}").as_bytes()).await;
    assert_eq!(answers.matches("HTTP/1.1 201 ").count(), 2, "{answers}");
    assert_eq!(answers.to_ascii_lowercase().matches("connection: close").count(), 1, "{answers}");
    server.stop().await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    for path in
        ["/nope", "/api", "/api/v1", "/api/v1/chats//", "/api/v2/chats/", "/docs/nope.js", "/%ff", "/api/v1/chats/%ff"]
    {
        assert_eq!(client.get(path, 404).await.problem(), "not_found", "{path}");
    }
    for target in ["CONNECT example.com:80", "OPTIONS *", "GET http://example.com/nope", "BREW /nope"] {
        let request = format!("{target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = raw(server.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("not_found"), "{target}: {answer}");
    }
    for (method, path, allow) in [
        (Method::PUT, "/api/v1/chats/", "POST, GET, HEAD"),
        (Method::DELETE, "/api/v1/chats", "POST, GET, HEAD"),
        (Method::POST, "/api/v1/chats/018d0c8e-5a40-7b7c-8c9d-0e1f2a3b4c5d/", "GET, PATCH, DELETE, HEAD"),
        (Method::POST, "/healthz", "GET, HEAD"),
        (Method::OPTIONS, "/openapi.json", "GET, HEAD"),
        (Method::POST, "/docs/", "GET, HEAD"),
        (Method::DELETE, "/docs/index.html", "GET, HEAD"),
    ] {
        let answer = client.send(method.clone(), path, None, 405).await;
        assert_eq!(answer.problem(), "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_any_other_replaced() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = |id: &str| server.client().header("X-Request-Id", id);
    assert_eq!(client("trace-7").get("/healthz", 200).await.header("x-request-id"), Some("trace-7"));
    assert_eq!(client("trace-7").get("/nope", 404).await.json()["request_id"], "trace-7");
    let long = "x".repeat(129);
    for forged in ["a b", "<script>", "", long.as_str()] {
        let answer = client(forged).get("/healthz", 200).await;
        assert_ne!(answer.header("x-request-id").unwrap(), forged);
    }
    server.stop().await;
}

#[tokio::test]
async fn no_failure_shows_what_it_was_sent_or_how_it_is_built() {
    let database = TestDatabase::create().await;
    let limits = Limits::from(HttpLimits { body_bytes: 1_000, ..HttpLimits::default() });
    let server = TestServer::start_with(database.url(), limits, std::sync::Arc::new(parlor_server::clock::SystemClock));
    let server = server.await;
    let secret = "s3cret-value";
    let bodies = [
        format!("{{\"user_id\": \"{secret}\", "),
        json!({ "user_id": { "a": secret } }).to_string(),
        json!({ "user_id": secret, "metadata": secret }).to_string(),
        json!({ "user_id": secret.repeat(40) }).to_string(),
    ];
    for body in bodies {
        let answer = server.client().create_chat_from(body, 400).await;
        check(&String::from_utf8(answer.body).unwrap(), secret);
    }
    let answer = Client::new(server.address).key(secret).create_chat(&json!({ "user_id": "u" }), 401).await;
    check(&String::from_utf8(answer.body).unwrap(), secret);
    server.stop().await;
}

fn check(body: &str, secret: &str) {
    for word in [secret, "::", "serde", "poem", "SELECT", "INSERT", "panicked", ".rs"] {
        assert!(!body.contains(word), "{word:?} in {body}");
    }
    assert!(serde_json::from_str::<Value>(body).is_ok());
}

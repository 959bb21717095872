//! Secrets that the server echoes are neither kept nor printed.

use std::error::Error as StdError;

use parlor_sdk::{Error, ErrorKind, NewChat, RetryPolicy};

use crate::clock::VirtualClock;
use crate::server::{Server, Step, answer};
use crate::{KEY, builder};

const TOKEN: &str = "gateway-credential-77";
const TICKET: &str = "plt_0123456789ABCDEFGHIJKLMNOPQRSTUV";
const SECRETS: [&str; 3] = [KEY, TOKEN, TICKET];
const PROBLEM: (&str, &str) = ("Content-Type", "application/problem+json");

/// Returns all text that can be read from an error.
fn everything(error: &Error) -> String {
    let mut texts = vec![format!("{error}"), format!("{error:?}"), format!("{error:#?}")];
    texts.extend(error.problem().map(|problem| format!("{problem:?} {}", serde_json::to_string(problem).unwrap())));
    texts.extend(error.body().map(str::to_owned));
    texts.extend(error.request_id().map(str::to_owned));
    texts.extend(error.code().map(|code| code.as_str().to_owned()));
    for (name, value) in error.headers().into_iter().flatten() {
        texts.push(format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
    }
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    texts.extend(causes.map(|cause| format!("{cause} {cause:?}")));
    texts.join("\n")
}

fn problem_with(member: &str, secret: &str) -> Step {
    let value = serde_json::json!(format!("It is {secret}."));
    answer(400, &[PROBLEM], &format!(r#"{{"{member}":{value}}}"#))
}

/// Returns every place of a response in which a server may echo a secret.
fn places(secret: &'static str) -> Vec<(&'static str, Step)> {
    let text = serde_json::json!(secret);
    let pointer = format!(r#"{{"errors":[{{"pointer":{text},"detail":""}}]}}"#);
    let detail = format!(r#"{{"errors":[{{"pointer":"","detail":{text}}}]}}"#);
    let cut = format!("{}{secret}", "x".repeat(16 * 1024 - 12));
    vec![
        ("problem type", problem_with("type", secret)),
        ("problem title", problem_with("title", secret)),
        ("problem detail", problem_with("detail", secret)),
        ("problem code", problem_with("code", secret)),
        ("problem request_id", problem_with("request_id", secret)),
        ("debug page", answer(500, &[("Content-Type", "text/html")], &format!("<pre>X-API-Key: {secret}</pre>"))),
        ("the end of the kept body", answer(502, &[], &cut)),
        ("header", answer(503, &[("X-Debug", secret)], "")),
        ("request id", answer(404, &[("X-Request-Id", secret)], "")),
        ("content type", answer(404, &[("Content-Type", secret)], "")),
        ("path of a redirect", answer(302, &[("Location", &format!("/login/{secret}/"))], "")),
        ("query of a redirect", answer(302, &[("Location", &format!("/login?key={secret}"))], "")),
        ("success that is none", answer(200, &[("Content-Type", "text/html")], &format!("<p>{secret}</p>"))),
        ("cause of a decode failure", answer(201, &[], &format!("\"{secret}\""))),
        ("pointer of a field", answer(400, &[PROBLEM], &pointer)),
        ("detail of a field", answer(400, &[PROBLEM], &detail)),
    ]
}

#[tokio::test]
async fn secrets_are_redacted_in_every_part_of_a_response() {
    for secret in SECRETS {
        for (place, step) in places(secret) {
            let server = Server::start([step]);
            let client = builder(&server, &VirtualClock::new()).retry(RetryPolicy::never()).build().unwrap();
            let call = client.create_chat(NewChat::new("user123")).header("Authorization", format!("Bearer {TOKEN}"));
            let error = call.await.unwrap_err();
            let text = everything(&error);
            assert!(!text.contains(&secret[4..]), "{place}: {text}");
        }
    }
}

#[tokio::test]
async fn the_rest_of_the_response_is_kept() {
    let server = Server::start([answer(418, &[("X-Debug", "harmless")], &format!("the key {KEY} is short and stout"))]);
    let client = builder(&server, &VirtualClock::new()).build().unwrap();
    let error = client.create_chat(NewChat::new("user123")).await.unwrap_err();
    assert_eq!(error.body(), Some("the key *** is short and stout"));
    assert_eq!(error.headers().unwrap()["x-debug"], "harmless");
}

#[tokio::test]
async fn a_decode_error_names_status_content_type_and_address_without_the_query() {
    let page = answer(200, &[("Content-Type", "text/html; charset=utf-8")], "<h1>Welcome</h1>");
    let server = Server::start([page]);
    let client = builder(&server, &VirtualClock::new()).build().unwrap();
    let call = client.list_user_chats("user123").cursor("cursor-that-is-long");
    let error = call.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    let address = format!("{}/api/v1/chats/user/user123", server.url());
    for part in ["200 OK", "text/html; charset=utf-8", &address] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(!error.to_string().contains("cursor-that-is-long"), "{error}");
}

#[tokio::test]
async fn debug_is_a_sentence() {
    let server = Server::start([answer(201, &[("Content-Type", "application/json")], "{}")]);
    let client = builder(&server, &VirtualClock::new()).build().unwrap();
    let error = client.create_chat(NewChat::new("user123")).await.unwrap_err();
    let (debug, pretty) = (format!("{error:?}"), format!("{error:#?}"));
    assert!(debug.starts_with(&error.to_string()) && debug.contains("missing field"), "{debug}");
    assert!(!debug.contains(['{', '\n']) && !debug.contains("Some("), "{debug}");
    assert_eq!(debug, pretty);
}

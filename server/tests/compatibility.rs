//! The sentences of `docs/COMPATIBILITY.md` that no other test checks, by its headings. Here is what several of them
//! need, and the numbers of the whole page.

mod chosen;
mod missing;
mod ours;
mod tables;

use std::{collections::BTreeSet, fs};

use parlor_server::{
    chat::{ClientMessageId, Content, Idempotency, IdempotencyKey, Metadata, Title, UserId, Window},
    config::Limits,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Page};

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

/// Status line and headers without the date, in order; and the body.
fn parts(answer: &str) -> (BTreeSet<&str>, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?} must have a head"));
    (head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("date:")).collect(), body)
}

fn pointers(answer: &Answer) -> Vec<String> {
    answer.errors().into_iter().map(|(pointer, _)| pointer).collect()
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
        format!("For {} hours the same request", Idempotency::RETENTION.num_hours()),
        format!("`limit` is 1–{MAX_LIMIT} and {DEFAULT_LIMIT} by default"),
        format!("over {MAX_LIMIT} is 400, not clamped"),
        format!("{} for a body (413)", kib(limits.http.body_bytes)),
        format!("{} for a message, by REST (413) and by WebSocket", kib(limits.http.message_body_bytes)),
    ] {
        page.says(&words);
    }
    assert_eq!(Content::MAX_CHARS, 32_768);
    assert_eq!(limits.http.message_body_bytes, limits.realtime.message_bytes);
    Page::read("docs/API-DESIGN.md").says(&format!("`limit` 1–{MAX_LIMIT} ({DEFAULT_LIMIT})"));
}

//! The peer as the benchmark meets it: a process, on SQLite.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, tungstenite};

const KEY: &str = "peer-test-key";

struct Peer {
    address: String,
    child: Child,
    _folder: TempDir,
}

impl Peer {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_parlor-bench-axum"))
            .env("DATABASE_URL", format!("sqlite://{}", folder.path().join("peer.db").display()))
            .env("PEER_API_KEY", KEY)
            .env("PEER_LISTEN", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listens on http://").unwrap().to_owned();
        Self { address, child, _folder: folder }
    }

    async fn post(&self, path: &str, key: &str, body: Value) -> (StatusCode, Value) {
        let request = client().post(format!("http://{}{path}", self.address));
        let request = request.header("X-API-Key", key).header("Content-Type", "application/json");
        answer(request.body(body.to_string())).await
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(client().get(format!("http://{}{path}", self.address)).header("X-API-Key", KEY)).await
    }

    async fn new_chat(&self) -> Value {
        let body = json!({ "user_id": "user123", "title": "Support", "metadata": { "department": "technical" } });
        let (status, chat) = self.post("/api/v1/chats/", KEY, body).await;
        assert_eq!(status, StatusCode::CREATED, "{chat}");
        chat
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn client() -> reqwest::Client {
    // Fails when another test was first.
    _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.unwrap();
    (answer.status(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
}

/// The members that the interface requires of `schema`, in the order of their names.
fn required(schema: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(include_str!("../../../../openapi.json")).unwrap();
    let required = document["components"]["schemas"][schema]["required"].as_array().unwrap();
    let mut names: Vec<String> = required.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    names.sort_unstable();
    names
}

fn members(answer: &Value) -> Vec<String> {
    let mut names: Vec<String> = answer.as_object().unwrap().keys().cloned().collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_chat_is_created_and_found() {
    let peer = Peer::start();
    let mut chat = peer.new_chat().await;
    assert_eq!(members(&chat), required("Chat"));
    let path = format!("/api/v1/chats/{}", chat["id"].as_str().unwrap());
    let (status, details) = peer.get(&path).await;
    assert_eq!((status, members(&details)), (StatusCode::OK, required("ChatDetails")));
    chat["message_count"] = json!(0);
    chat["status"] = json!("active");
    assert_eq!(details, chat);
    let (status, _) = peer.get("/api/v1/chats/018d0c8e-5a40-7b7c-8c9d-0e1f2a3b4c5d").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_request_that_is_not_right_is_refused() {
    let peer = Peer::start();
    let (status, _) = peer.post("/api/v1/chats/", "another-key", json!({ "user_id": "user123" })).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (status, _) = peer.post("/api/v1/chats/", KEY, json!({ "user_id": "" })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn messages_are_numbered_whichever_way_they_come() {
    let peer = Peer::start();
    let chat = peer.new_chat().await;
    let chat = chat["id"].as_str().unwrap();
    for seq in 1..=2 {
        let path = format!("/api/v1/chats/{chat}/messages");
        let (status, message) = peer.post(&path, KEY, json!({ "content": "Hello" })).await;
        assert_eq!((status, members(&message)), (StatusCode::CREATED, required("Message")));
        assert_eq!((&message["seq"], &message["sender_id"]), (&json!(seq), &json!("user123")));
    }

    let url = format!("ws://{}/ws/chat?api_key={KEY}&user_id=guest&chat_id={chat}", peer.address);
    let stream = TcpStream::connect(&peer.address).await.unwrap();
    let (mut live, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    assert_eq!(event(&mut live).await["type"], "connected");
    live.send(tungstenite::Message::text(json!({ "content": "Hello" }).to_string())).await.unwrap();
    let received = event(&mut live).await;
    assert_eq!((&received["type"], &received["seq"]), (&json!("message_received"), &json!(3)));
    assert_eq!(received["sender_id"], "guest");

    let (_, details) = peer.get(&format!("/api/v1/chats/{chat}")).await;
    assert_eq!((&details["message_count"], &details["last_message_at"]), (&json!(3), &received["created_at"]));
}

async fn event(live: &mut WebSocketStream<TcpStream>) -> Value {
    serde_json::from_str(live.next().await.unwrap().unwrap().to_text().unwrap()).unwrap()
}

#[tokio::test]
async fn the_floors_answer_without_a_database() {
    let peer = Peer::start();
    assert_eq!(peer.get("/healthz").await.0, StatusCode::NO_CONTENT);
    let body = json!({ "user_id": "user123", "metadata": { "department": "technical" } });
    assert_eq!(peer.post("/echo", KEY, body.clone()).await, (StatusCode::OK, body));
}

//! A scripted server for live sessions: one act for each connection it accepts, and none after the last.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use parlor_sdk::http;
use parlor_sdk::uuid::Uuid;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::wait::with_timeout;

pub(crate) const CHAT_ID: Uuid = Uuid::from_u128(0xa1b2_c3d4_e5f6_4a7b_8c9d_0e1f_2a3b_4c5d);
pub(crate) const TIME: &str = "2024-01-15T10:31:00.123456Z";

type Script = Pin<Box<dyn Future<Output = Option<Peer>> + Send>>;

/// The script for one connection. A returned peer stays open until the whole script has ended.
pub(crate) enum Act {
    Serve(Box<dyn FnOnce(Peer) -> Script + Send>),
    Refuse(u16, &'static str),
}

/// Runs the script, then drops the connection without a close frame.
pub(crate) fn serve<F>(act: impl FnOnce(Peer) -> F + Send + 'static) -> Act
where
    F: Future<Output = ()> + Send + 'static,
{
    Act::Serve(Box::new(|peer| {
        Box::pin(async move {
            act(peer).await;
            None
        })
    }))
}

/// Runs the script, then keeps the connection open without reading or writing.
pub(crate) fn serve_then_stall<F>(act: impl FnOnce(Peer) -> F + Send + 'static) -> Act
where
    F: Future<Output = Peer> + Send + 'static,
{
    Act::Serve(Box::new(|peer| Box::pin(async move { Some(act(peer).await) })))
}

/// Rejects the handshake with a problem.
pub(crate) fn refuse(status: u16, code: &'static str) -> Act {
    Act::Refuse(status, code)
}

/// A client's handshake.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, Vec<u8>>,
}

impl Handshake {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| std::str::from_utf8(value).unwrap())
    }

    pub(crate) fn after_seq(&self) -> Option<u64> {
        self.target.split_once("after_seq=").map(|(_, seq)| seq.parse().unwrap())
    }
}

pub(crate) struct LiveServer {
    url: String,
    handshakes: Arc<Mutex<Vec<Handshake>>>,
    script: JoinHandle<()>,
}

impl LiveServer {
    pub(crate) async fn start(script: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let handshakes = Arc::default();
        let (script, seen) = (Vec::from_iter(script), Arc::clone(&handshakes));
        let script = tokio::spawn(async move {
            let mut kept = Vec::new();
            for act in script {
                let (stream, _) = listener.accept().await.unwrap();
                kept.extend(play(stream, act, &seen).await);
            }
        });
        Self { url, handshakes, script }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn handshakes(&self) -> Vec<Handshake> {
        self.handshakes.lock().unwrap().clone()
    }

    /// Returns the `after_seq` of each connection.
    pub(crate) fn positions(&self) -> Vec<Option<u64>> {
        self.handshakes().iter().map(Handshake::after_seq).collect()
    }

    /// Waits until the script has ended, and fails if it failed.
    pub(crate) async fn finish(self) {
        with_timeout(self.script).await.unwrap();
    }
}

async fn play(stream: TcpStream, act: Act, seen: &Mutex<Vec<Handshake>>) -> Option<Peer> {
    let refusal = match &act {
        Act::Serve(_) => None,
        Act::Refuse(status, code) => Some((*status, *code)),
    };
    let mut handshake = None;
    #[expect(clippy::result_large_err, reason = "required by tungstenite")]
    let callback = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        handshake = Some(read(request));
        match refusal {
            None => Ok(response),
            Some((status, code)) => Err(problem(status, code)),
        }
    };
    let accepted = tokio_tungstenite::accept_hdr_async(stream, callback).await;
    let handshake = handshake.expect("a request");
    seen.lock().unwrap().push(handshake.clone());
    match act {
        Act::Serve(serve) => serve(Peer { socket: accepted.unwrap(), handshake }).await,
        Act::Refuse(..) => None,
    }
}

fn read(request: &Request) -> Handshake {
    let headers = request.headers().iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    Handshake { target: request.uri().to_string(), headers: headers.collect() }
}

fn problem(status: u16, code: &str) -> ErrorResponse {
    let body = json!({"type": "about:blank", "title": "Scripted", "status": status, "detail": "Scripted detail.",
        "code": code, "request_id": "request-1"})
    .to_string();
    http::Response::builder()
        .status(status)
        .header("Content-Type", "application/problem+json")
        .header("Content-Length", body.len())
        .body(Some(body))
        .unwrap()
}

/// The server's end of a connection.
pub(crate) struct Peer {
    socket: WebSocketStream<TcpStream>,
    pub(crate) handshake: Handshake,
}

impl Peer {
    /// Sends the first event of every connection.
    pub(crate) async fn send_greeting(&mut self, last_seq: u64, resumed: bool) {
        self.send(
            json!({"event_type": "connection_established", "timestamp": TIME, "user_id": "ada", "chat_id": CHAT_ID,
            "tenant_id": "t", "last_seq": last_seq, "resumed": resumed}),
        )
        .await;
    }

    pub(crate) async fn send(&mut self, event: Value) {
        self.send_frame(Message::text(event.to_string())).await;
    }

    pub(crate) async fn send_frame(&mut self, message: Message) {
        // Fails if the client has already disconnected.
        drop(with_timeout(self.socket.send(message)).await);
    }

    /// Returns the next frame of the client; none if the connection is closed.
    pub(crate) async fn receive_frame(&mut self) -> Option<Message> {
        with_timeout(self.socket.next()).await?.ok()
    }

    /// Returns the next text frame of the client, ignoring pings and pongs.
    pub(crate) async fn receive(&mut self) -> Value {
        loop {
            match self.receive_frame().await {
                Some(Message::Text(text)) => return serde_json::from_str(&text).unwrap(),
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("expected a text frame, not {other:?}"),
            }
        }
    }

    /// Returns the id of the client's next message.
    pub(crate) async fn receive_message(&mut self) -> String {
        self.receive().await["client_message_id"].as_str().unwrap().to_owned()
    }

    /// Waits until the client has disconnected, and returns its close code.
    pub(crate) async fn receive_close(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(message) = self.receive_frame().await {
            if let Message::Close(frame) = message {
                code = frame.map(|frame| frame.code.into());
            }
        }
        code
    }

    pub(crate) async fn close(self, code: u16) {
        self.close_because(code, "scripted reason").await;
    }

    pub(crate) async fn close_because(mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        drop(with_timeout(self.socket.close(Some(frame))).await);
        self.receive_close().await;
    }
}

/// The event of a stored message; with an id if this client sent it.
pub(crate) fn created(seq: u64, client_message_id: Option<&str>) -> Value {
    json!({
        "event_type": "message_created", "timestamp": TIME, "chat_id": CHAT_ID,
        "message": {
            "id": Uuid::from_u128(seq.into()), "content": format!("message {seq}"), "sender_role": "user",
            "media_type": null, "media_url": null, "created_at": TIME, "metadata": {"n": seq}, "seq": seq,
            "client_message_id": client_message_id, "sender_id": "ada"
        }
    })
}

pub(crate) fn received(seq: u64, client_message_id: &str) -> Value {
    json!({
        "event_type": "message_received", "timestamp": TIME, "message_id": Uuid::from_u128(seq.into()),
        "chat_id": CHAT_ID, "user_id": "ada", "seq": seq, "client_message_id": client_message_id, "created_at": TIME
    })
}

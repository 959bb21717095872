//! A server of live sessions that plays a script: one act for each connection it accepts, and none after the last.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

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

pub(crate) const CHAT_ID: Uuid = Uuid::from_u128(0xa1b2_c3d4_e5f6_4a7b_8c9d_0e1f_2a3b_4c5d);
pub(crate) const TIME: &str = "2024-01-15T10:31:00.123456Z";

/// How long anything may take before a test fails rather than hangs, in real time.
const PATIENCE: Duration = Duration::from_secs(20);

type Played = Pin<Box<dyn Future<Output = Option<Peer>> + Send>>;

/// What to do with a connection. One that is returned stays open as it is until the script is over.
pub(crate) enum Act {
    Talk(Box<dyn FnOnce(Peer) -> Played + Send>),
    Refuse(u16, &'static str),
}

/// Talks, and then lets go of the connection without a word.
pub(crate) fn talk<F>(act: impl FnOnce(Peer) -> F + Send + 'static) -> Act
where
    F: Future<Output = ()> + Send + 'static,
{
    Act::Talk(Box::new(|peer| {
        Box::pin(async move {
            act(peer).await;
            None
        })
    }))
}

/// Talks, and then does not touch the connection any more.
pub(crate) fn fall_silent<F>(act: impl FnOnce(Peer) -> F + Send + 'static) -> Act
where
    F: Future<Output = Peer> + Send + 'static,
{
    Act::Talk(Box::new(|peer| Box::pin(async move { Some(act(peer).await) })))
}

/// Answers the handshake with a problem.
pub(crate) fn refuse(status: u16, code: &'static str) -> Act {
    Act::Refuse(status, code)
}

/// What a client asked for.
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

    /// What each connection wanted to go on after.
    pub(crate) fn positions(&self) -> Vec<Option<u64>> {
        self.handshakes().iter().map(Handshake::after_seq).collect()
    }

    /// Waits until the script has been played, and fails as it does.
    pub(crate) async fn finish(self) {
        patiently(self.script).await.unwrap();
    }
}

async fn play(stream: TcpStream, act: Act, seen: &Mutex<Vec<Handshake>>) -> Option<Peer> {
    let refusal = match &act {
        Act::Talk(_) => None,
        Act::Refuse(status, code) => Some((*status, *code)),
    };
    let mut handshake = None;
    #[expect(clippy::result_large_err, reason = "tungstenite wants it so")]
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
        Act::Talk(talk) => talk(Peer { socket: accepted.unwrap(), handshake }).await,
        Act::Refuse(..) => None,
    }
}

fn read(request: &Request) -> Handshake {
    let headers = request.headers().iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    Handshake { target: request.uri().to_string(), headers: headers.collect() }
}

fn problem(status: u16, code: &str) -> ErrorResponse {
    let body = json!({"type": "about:blank", "title": "Scripted", "status": status, "detail": "It was so written.",
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
    /// The first event of every connection.
    pub(crate) async fn greet(&mut self, last_seq: u64, resumed: bool) {
        self.say(
            json!({"event_type": "connection_established", "timestamp": TIME, "user_id": "ada", "chat_id": CHAT_ID,
            "tenant_id": "t", "last_seq": last_seq, "resumed": resumed}),
        )
        .await;
    }

    pub(crate) async fn say(&mut self, event: Value) {
        self.say_raw(Message::text(event.to_string())).await;
    }

    pub(crate) async fn say_raw(&mut self, message: Message) {
        // The client need not be there any more.
        drop(patiently(self.socket.send(message)).await);
    }

    /// The next frame of the client; none when the connection is gone.
    pub(crate) async fn hear_raw(&mut self) -> Option<Message> {
        patiently(self.socket.next()).await?.ok()
    }

    /// The next thing the client has to say; pings do not count.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            match self.hear_raw().await {
                Some(Message::Text(text)) => return serde_json::from_str(&text).unwrap(),
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("the client has something to say, and not {other:?}"),
            }
        }
    }

    /// The next message of the client: its name.
    pub(crate) async fn hear_message(&mut self) -> String {
        self.hear().await["client_message_id"].as_str().unwrap().to_owned()
    }

    /// Waits until the client has gone, and returns the code it gave.
    pub(crate) async fn hear_goodbye(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(message) = self.hear_raw().await {
            if let Message::Close(frame) = message {
                code = frame.map(|frame| frame.code.into());
            }
        }
        code
    }

    pub(crate) async fn close(self, code: u16) {
        self.close_because(code, "it was so written").await;
    }

    pub(crate) async fn close_because(mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        drop(self.socket.close(Some(frame)).await);
        self.hear_goodbye().await;
    }
}

/// A message of somebody, or of this client when it has a name.
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

pub(crate) async fn patiently<F: IntoFuture>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future.into_future()).await.expect("the other end to do its part")
}

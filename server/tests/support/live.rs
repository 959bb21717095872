use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _, http::HeaderValue},
};

use super::{Client, KEY, TestServer, objections};

/// Longer than anything takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A live connection, by hand.
pub(crate) struct Live {
    pub(crate) stream: WebSocketStream<TcpStream>,
}

/// A handshake that was refused.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) problem: Value,
}

impl Live {
    /// Asks for `path`, with `headers`.
    pub(crate) async fn ask(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Self, Refused> {
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            let name: tokio_tungstenite::tungstenite::http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        match timeout(PATIENCE, client_async(request, stream)).await.unwrap() {
            Ok((stream, _)) => Ok(Self { stream }),
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                let problem = serde_json::from_slice(body).unwrap_or(Value::Null);
                Err(Refused { status: response.status().as_u16(), problem })
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Connects `user` to `chat` with the bootstrap key, and takes the first event.
    pub(crate) async fn connect(server: &TestServer, chat: &str, user: &str) -> Self {
        Self::resume(server, chat, user, None).await.0
    }

    /// The same after a message; returns the first event, too.
    pub(crate) async fn resume(server: &TestServer, chat: &str, user: &str, after: Option<i64>) -> (Self, Value) {
        let query = after.map_or_else(String::new, |after| format!("?after_seq={after}"));
        let headers = [("X-API-Key", KEY), ("X-User-ID", user), ("X-Chat-ID", chat)];
        let mut live = Self::ask(server.address, &format!("/ws/chat{query}"), &headers).await.unwrap();
        let established = live.event("connection_established").await;
        (live, established)
    }

    /// Sends a frame of JSON.
    pub(crate) async fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// Says something under a name of its own.
    pub(crate) async fn say(&mut self, content: &str, name: &str) {
        self.send(&json!({ "content": content, "client_message_id": name })).await;
    }

    /// The next event, which must be as `asyncapi.json` describes it.
    pub(crate) async fn next(&mut self) -> Value {
        let message = self.message().await;
        let Message::Text(text) = &message else { panic!("{message:?} is no event") };
        let event: Value = serde_json::from_str(text).unwrap();
        let objections = objections(event["event_type"].as_str().unwrap(), &event);
        assert_eq!(objections, Vec::<String>::new(), "{event}");
        event
    }

    /// The next event, or the code that the server closes with.
    pub(crate) async fn next_unless_closed(&mut self) -> Result<Value, u16> {
        match self.message().await {
            Message::Text(text) => Ok(serde_json::from_str(&text).unwrap()),
            Message::Close(frame) => Err(frame.expect("a reason").code.into()),
            other => panic!("{other:?} is no event"),
        }
    }

    /// The next event, which must have this type.
    pub(crate) async fn event(&mut self, event_type: &str) -> Value {
        let event = self.next().await;
        assert_eq!(event["event_type"], event_type, "{event}");
        event
    }

    /// The code that the server closes with, next.
    pub(crate) async fn closed(&mut self) -> u16 {
        match self.message().await {
            Message::Close(Some(frame)) => frame.code.into(),
            other => panic!("{other:?} is no reason to close"),
        }
    }

    /// The code that the server closes with, whatever comes before.
    pub(crate) async fn closed_at_last(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.message().await {
                return frame.expect("a reason").code.into();
            }
        }
    }

    /// Ends the connection as a client that has finished.
    pub(crate) async fn close(mut self) {
        self.stream.close(None).await.unwrap();
        while let Some(Ok(_)) = self.stream.next().await {}
    }

    /// The next message that is no ping.
    async fn message(&mut self) -> Message {
        // Around the loop: the server's pings would renew the patience for ever.
        let message = async {
            loop {
                match self.stream.next().await.expect("the connection is open").unwrap() {
                    Message::Ping(_) | Message::Pong(_) => {}
                    message => return message,
                }
            }
        };
        timeout(PATIENCE, message).await.expect("something comes")
    }
}

impl Client {
    /// Waits until `/metrics` says this.
    pub(crate) async fn until_metric(&self, line: &str) {
        let wait = async {
            loop {
                let text = String::from_utf8(self.get("/metrics", 200).await.body).unwrap();
                if text.lines().any(|one| one == line) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{line}"));
    }
}

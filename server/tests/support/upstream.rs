use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::sleep,
};

/// A model's server that takes one request and plays a script.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    request: oneshot::Receiver<Received>,
    bodies: Arc<Mutex<Vec<Value>>>,
    task: JoinHandle<()>,
}

/// What a script does.
pub(crate) enum Step {
    /// Writes these bytes.
    Write(Vec<u8>),
    /// Waits until the other side closes the connection.
    Hold,
    /// Waits for another request on this connection.
    NextRequest,
    /// Writes these bytes this many times, each after a pause.
    Repeat(Vec<u8>, u32, Duration),
}

/// The request that came.
pub(crate) struct Received {
    /// The request line and the headers.
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// A status line, headers and a body.
pub(crate) fn response(status: &str, headers: &str, body: &str) -> Step {
    let length = body.len();
    Step::Write(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes())
}

/// The head of an answer whose body comes in pieces.
pub(crate) fn stream() -> Step {
    Step::Write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec(),
    )
}

/// A piece of the body, which the other side gets as a piece.
pub(crate) fn piece(bytes: impl AsRef<[u8]>) -> Step {
    Step::Write(piece_bytes(bytes))
}

/// The bytes of such a piece.
pub(crate) fn piece_bytes(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// The proper end of a body that came in pieces.
pub(crate) fn end() -> Step {
    Step::Write(b"0\r\n\r\n".to_vec())
}

impl Upstream {
    /// Listens. The connection is closed at the end of the script.
    pub(crate) async fn start(script: Vec<Step>) -> Self {
        Self::start_many(vec![script]).await
    }

    /// The same with a script for each connection, one connection after the other.
    pub(crate) async fn start_many(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (received, request) = oneshot::channel();
        let bodies = Arc::<Mutex<Vec<Value>>>::default();
        let seen = bodies.clone();
        let task = tokio::spawn(async move {
            let mut received = Some(received);
            for script in scripts {
                let mut connection = BufReader::new(listener.accept().await.unwrap().0);
                let request = receive(&mut connection).await;
                seen.lock().unwrap().push(request.body.clone());
                if let Some(received) = received.take() {
                    _ = received.send(request);
                }
                play(script, &mut connection, &seen).await;
            }
        });
        Self { address, request, bodies, task }
    }

    /// The bodies of the requests so far.
    pub(crate) fn received(&self) -> Vec<Value> {
        self.bodies.lock().unwrap().clone()
    }

    /// The request, once it has come.
    pub(crate) async fn request(&mut self) -> Received {
        (&mut self.request).await.unwrap()
    }

    /// Waits until the script has been played.
    pub(crate) async fn finished(self) {
        self.task.await.unwrap();
    }
}

async fn play(script: Vec<Step>, connection: &mut BufReader<TcpStream>, seen: &Mutex<Vec<Value>>) {
    for step in script {
        match step {
            Step::Write(bytes) => {
                if connection.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            // A reset ends it as well as a proper close.
            Step::Hold => _ = connection.read_to_end(&mut Vec::new()).await,
            Step::NextRequest => {
                let request = receive(connection).await;
                seen.lock().unwrap().push(request.body);
            }
            Step::Repeat(bytes, times, pause) => {
                for _ in 0..times {
                    sleep(pause).await;
                    if connection.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

async fn receive(connection: &mut BufReader<TcpStream>) -> Received {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(connection.read_line(&mut head).await.unwrap() > 0, "the request has a whole head");
    }
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap()];
    connection.read_exact(&mut body).await.unwrap();
    Received { head, body: serde_json::from_slice(&body).unwrap() }
}

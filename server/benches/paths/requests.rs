//! Whole requests, from the socket through HTTP, the handler and the database and back, one after the other over one
//! connection. Client and server share a thread; SQLite has its own.

use std::{sync::Arc, time::Duration};

use parlor_server::{
    app::{App, BoundPort},
    config::Config,
    tenant::ApiKey,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Runtime,
};
use tokio_util::sync::CancellationToken;

use super::{CREATE_CHAT, KEY, SteppingClock, Work, place, url, work};

/// `GET /healthz`: what any request costs.
pub(super) fn healthz() -> Work {
    let mut connection = Connection::open();
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    work(move || connection.ask(request, 200))
}

/// `get_chat`
pub(super) fn get_chat() -> Work {
    let mut connection = Connection::open();
    let created = connection.ask(&create(), 201);
    let path = created.split_once("location: ").and_then(|(_, rest)| rest.split_once("\r\n")).unwrap().0;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n\r\n");
    work(move || connection.ask(request.as_bytes(), 200))
}

/// `create_chat`
pub(super) fn create_chat() -> Work {
    let mut connection = Connection::open();
    let request = create();
    work(move || connection.ask(&request, 201))
}

fn create() -> Vec<u8> {
    let head = format!(
        "POST /api/v1/chats/ HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        CREATE_CHAT.len()
    );
    [head.as_bytes(), CREATE_CHAT].concat()
}

/// A client's end of a connection to a server of its own.
struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
    runtime: Runtime,
    _folder: TempDir,
}

impl Connection {
    fn open() -> Self {
        let (runtime, folder) = place();
        let mut config = Config::new(url(&folder).parse().unwrap());
        config.bootstrap_key = Some(ApiKey::chosen(KEY).unwrap());
        // Nothing that a slow machine would do more often.
        config.limits.key_cache = Duration::from_hours(1);
        let stream = runtime.block_on(async {
            let port = BoundPort::bind(([127, 0, 0, 1], 0).into()).unwrap();
            let app = App::open_at(config, port, Arc::new(SteppingClock::default())).await.unwrap();
            let address = app.address();
            tokio::spawn(app.run(CancellationToken::new()));
            TcpStream::connect(address).await.unwrap()
        });
        Self { stream, answer: vec![0; 4_096], runtime, _folder: folder }
    }

    /// Sends a request and returns its answer, a JSON object, as it comes.
    fn ask(&mut self, request: &[u8], status: u16) -> String {
        let Self { stream, answer, runtime, .. } = self;
        let length = runtime.block_on(async {
            stream.write_all(request).await.unwrap();
            let mut length = 0;
            while !answer[..length].ends_with(b"}") {
                length += stream.read(&mut answer[length..]).await.unwrap();
            }
            length
        });
        let answer = std::str::from_utf8(&answer[..length]).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        answer.to_owned()
    }
}

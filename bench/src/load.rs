//! Load: keep-alive connections that each send a request, wait for its answer, and send the next.
//!
//! HTTP by hand, as little as the answers need, so that the load costs the machine less than what it measures.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

/// What one run of load saw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// How many answers.
    pub(crate) answers: usize,
    /// Answers a second.
    pub(crate) rate: f64,
    /// Half of the answers took at most this.
    pub(crate) p50: Duration,
    /// Of a hundred answers one took longer.
    pub(crate) p99: Duration,
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Opens one.
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 * 1024) })
    }

    /// Sends `request` and returns the answer's body.
    ///
    /// # Errors
    /// Any answer but a 2xx is one.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        if !text.starts_with("http/1.1 2") {
            return Err(io::Error::other(text));
        }
        let length = text.split("content-length:").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
        let whole = head + length.unwrap_or(0_usize);
        while self.buffer.len() < whole {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(&self.buffer[head..whole])
    }
}

/// A `GET` of `path`.
pub(crate) fn get(path: &str, key: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n\r\n").into_bytes()
}

/// A `POST` of JSON to `path`.
pub(crate) fn post(path: &str, key: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends `requests` in turn over `connections` connections for `time`.
pub(crate) async fn for_time(
    address: SocketAddr,
    requests: Arc<[Vec<u8>]>,
    connections: usize,
    time: Duration,
) -> io::Result<Seen> {
    let started = Instant::now();
    run(address, requests, connections, move |_| started.elapsed() < time).await
}

/// Sends `request` `count` times over `connections` connections.
pub(crate) async fn times(address: SocketAddr, request: Vec<u8>, connections: usize, count: usize) -> io::Result<Seen> {
    let each = count.div_ceil(connections);
    run(address, Arc::from([request]), connections, move |sent| sent < each).await
}

async fn run(
    address: SocketAddr,
    requests: Arc<[Vec<u8>]>,
    connections: usize,
    goes_on: impl Fn(usize) -> bool + Clone + Send + 'static,
) -> io::Result<Seen> {
    let started = Instant::now();
    let mut senders = JoinSet::new();
    for sender in 0..connections {
        let (requests, goes_on) = (requests.clone(), goes_on.clone());
        senders.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut latencies = Vec::new();
            while goes_on(latencies.len()) {
                // Each sender begins elsewhere.
                let request = &requests[(sender * 7_919 + latencies.len()) % requests.len()];
                let sent = Instant::now();
                connection.exchange(request).await?;
                latencies.push(sent.elapsed());
            }
            io::Result::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(sender) = senders.join_next().await {
        latencies.extend(sender.map_err(io::Error::other)??);
    }
    let elapsed = started.elapsed();
    latencies.sort_unstable();
    let at = |share: usize| latencies.get(latencies.len() * share / 100).copied().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "far fewer answers than 2^52")]
    let rate = latencies.len() as f64 / elapsed.as_secs_f64();
    Ok(Seen { answers: latencies.len(), rate, p50: at(50), p99: at(99) })
}

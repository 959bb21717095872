//! Live connections: what they cost when idle, and how fast they carry.
//!
//! WebSocket by hand, as little as the measurement needs, so that the load costs the machine less than what it measures.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{Barrier, Notify},
    task::JoinSet,
};

use crate::{
    Options, Outcome,
    load::{self, Connection, post},
    mebibytes, median, member, millis, row,
    server::{KEY, Server},
};

/// Connections that are opened at one time.
const OPENING: usize = 64;
/// Listeners of the chat in which one speaks.
const LISTENERS: usize = 1_000;
/// Messages that the speaker has in flight.
const IN_FLIGHT: usize = 16;
/// Messages that are sent one at a time, each after everybody has the one before.
const SINGLES: usize = 200;

/// Measures all of it.
pub(crate) async fn live(options: &Options, server: &Server) -> Outcome<()> {
    let chats = new_chats(server.address, 100).await?;
    idle(options, server, &chats).await?;
    fan_out(options, server.address, &chats[0]).await?;
    acknowledged(options, server.address, &chats).await
}

/// Memory of connections that say nothing, and how fast they come.
async fn idle(options: &Options, server: &Server, chats: &[String]) -> Outcome<()> {
    let before = server.resident()?;
    let started = Instant::now();
    let connections: Vec<Live> = open(server.address, options.idle, |n| chats[n % chats.len()].as_str()).await?;
    #[expect(clippy::cast_precision_loss, reason = "far fewer connections than 2^52")]
    let rate = connections.len() as f64 / started.elapsed().as_secs_f64();
    // What the handshakes needed for a moment is given back.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = server.resident()?;
    row("WebSocket, connect", &format!("{rate:.0}/s, {OPENING} at a time"));
    let each = after.saturating_sub(before) / connections.len() as u64;
    row("WebSocket, idle", &format!("{} for {}: {each} B each", mebibytes(after - before), connections.len()));
    Ok(())
}

/// One speaks, a thousand listen.
async fn fan_out(options: &Options, address: SocketAddr, chat: &str) -> Outcome<()> {
    let listeners = open(address, LISTENERS, |_| chat).await?;
    let messages = options.fan_out;
    let heard = Arc::new(Deliveries::default());
    let mut listening = JoinSet::new();
    for mut listener in listeners {
        let heard = heard.clone();
        listening.spawn(async move {
            for _ in 0..messages + SINGLES {
                listener.frame().await?;
                heard.add();
            }
            io::Result::Ok(())
        });
    }
    let mut speaker = Live::open(address, chat).await?;
    let frame = frame(r#"{"content":"A message of ordinary length, neither short nor long."}"#);
    let started = Instant::now();
    for n in 0..messages {
        if n >= IN_FLIGHT {
            speaker.frame().await?;
        }
        speaker.stream.write_all(&frame).await?;
    }
    for _ in 0..IN_FLIGHT.min(messages) {
        speaker.frame().await?;
    }
    heard.reach(messages * LISTENERS).await;
    #[expect(clippy::cast_precision_loss, reason = "far fewer deliveries than 2^52")]
    let rate = (messages * LISTENERS) as f64 / started.elapsed().as_secs_f64();
    let mut latencies = Vec::with_capacity(SINGLES);
    for single in 1..=SINGLES {
        let sent = Instant::now();
        speaker.stream.write_all(&frame).await?;
        speaker.frame().await?;
        heard.reach((messages + single) * LISTENERS).await;
        latencies.push(sent.elapsed());
    }
    latencies.sort_unstable();
    let (p50, p99) = (latencies[SINGLES / 2], latencies[SINGLES * 99 / 100]);
    row("WebSocket, 1 to 1,000", &format!("{rate:.0} deliveries/s with {IN_FLIGHT} messages in flight"));
    row("  until all have one message", &format!("p50 {:.1} ms, p99 {:.1} ms", millis(p50), millis(p99)));
    listening.join_all().await.into_iter().collect::<io::Result<()>>()?;
    Ok(())
}

/// Sends that wait for their acknowledgement, beside the same by REST.
async fn acknowledged(options: &Options, address: SocketAddr, chats: &[String]) -> Outcome<()> {
    let time = Duration::from_secs(options.seconds);
    let body = r#"{"content":"A message of ordinary length, neither short nor long."}"#;
    let requests: Arc<[Vec<u8>]> =
        chats.iter().map(|chat| post(&format!("/api/v1/chats/{chat}/messages"), KEY, body)).collect();
    let (mut live, mut rest) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        live.push(speak(address, chats, options.connections, time).await?);
        rest.push(load::for_time(address, requests.clone(), options.connections, time).await?.rate);
    }
    let (live, rest) = (median(live.into_iter()), median(rest.into_iter()));
    row("send by WebSocket", &format!("{live:.0}/s acknowledged, {:.2} × REST ({rest:.0}/s)", live / rest));
    Ok(())
}

/// Connections that each send a message, wait for its acknowledgement, and send the next; acknowledgements a second.
async fn speak(address: SocketAddr, chats: &[String], connections: usize, time: Duration) -> Outcome<f64> {
    // A chat each: nobody hears anybody else.
    let speakers = open(address, connections, |n| chats[n % chats.len()].as_str()).await?;
    let start = Arc::new(Barrier::new(connections));
    let mut speaking = JoinSet::new();
    let frame = Arc::new(frame(r#"{"content":"A message of ordinary length, neither short nor long."}"#));
    for mut speaker in speakers {
        let (start, frame) = (start.clone(), frame.clone());
        speaking.spawn(async move {
            start.wait().await;
            let (started, mut sent) = (Instant::now(), 0_u32);
            while started.elapsed() < time {
                speaker.stream.write_all(&frame).await?;
                speaker.frame().await?;
                sent += 1;
            }
            io::Result::Ok(sent)
        });
    }
    let sent: Vec<u32> = speaking.join_all().await.into_iter().collect::<io::Result<_>>()?;
    Ok(sent.into_iter().map(f64::from).sum::<f64>() / time.as_secs_f64())
}

async fn new_chats(address: SocketAddr, count: usize) -> Outcome<Vec<String>> {
    let mut connection = Connection::open(address).await?;
    let mut chats = Vec::new();
    for _ in 0..count {
        let answer = connection.exchange(&post("/api/v1/chats/", KEY, r#"{"user_id":"listener"}"#)).await?;
        chats.push(member(answer, "id")?);
    }
    Ok(chats)
}

async fn open<'a>(address: SocketAddr, count: usize, chat: impl Fn(usize) -> &'a str) -> io::Result<Vec<Live>> {
    stream::iter(0..count).map(|n| Live::open(address, chat(n))).buffer_unordered(OPENING).try_collect().await
}

/// What all listeners have heard.
#[derive(Default)]
struct Deliveries {
    count: AtomicUsize,
    wanted: AtomicUsize,
    reached: Notify,
}

impl Deliveries {
    fn add(&self) {
        if self.count.fetch_add(1, Ordering::SeqCst) + 1 == self.wanted.load(Ordering::SeqCst) {
            self.reached.notify_one();
        }
    }

    /// Waits until there are so many.
    async fn reach(&self, wanted: usize) {
        self.wanted.store(wanted, Ordering::SeqCst);
        while self.count.load(Ordering::SeqCst) < wanted {
            self.reached.notified().await;
        }
    }
}

/// A live connection.
struct Live {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Live {
    /// Connects, and takes the first event.
    async fn open(address: SocketAddr, chat: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let head = format!(
            "GET /ws/chat?api_key={KEY}&user_id=listener&chat_id={chat} HTTP/1.1\r\nHost: localhost\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let mut live = Self { stream, read: Vec::new() };
        let end = loop {
            if let Some(end) = live.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            live.fill().await?;
        };
        if !live.read.starts_with(b"HTTP/1.1 101 ") {
            return Err(io::Error::other(String::from_utf8_lossy(&live.read).into_owned()));
        }
        live.read.drain(..end);
        live.frame().await?;
        live.read = Vec::new();
        Ok(live)
    }

    /// Takes the next frame that is no ping.
    async fn frame(&mut self) -> io::Result<()> {
        loop {
            if let Some((opcode, length)) = head(&self.read)
                && self.read.len() >= length
            {
                self.read.drain(..length);
                match opcode {
                    1 => return Ok(()),
                    9 => {}
                    other => return Err(io::Error::other(format!("a frame of kind {other}"))),
                }
            } else {
                self.fill().await?;
            }
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The kind of the first frame in `bytes`, and its length with its head (RFC 6455, section 5.2); a server does not mask.
fn head(bytes: &[u8]) -> Option<(u8, usize)> {
    let opcode = bytes.first()? & 0x0f;
    let length = match *bytes.get(1)? {
        126 => 4 + usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        127 => return Some((opcode, usize::MAX)),
        short => 2 + usize::from(short),
    };
    Some((opcode, length))
}

/// A client's frame of text, masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 126).expect("a short text");
    let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}

//! Measures Parlor on this machine and prints a table.
//!
//! ```text
//! cargo build --release && cargo run --release -p parlor-bench
//! ```
//!
//! What is compared is measured side by side in one run, in turns, since machines have moods; each figure is the median
//! of its rounds.

mod live;
mod load;
mod server;

use std::{
    error::Error,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Parser;
use futures_util::TryStreamExt as _;
use load::{Connection, Seen, get, post};
use server::{KEY, Server, resident};

/// Measures live connections, reads, pages at depth, and the SDK's memory.
#[derive(Debug, Parser)]
struct Options {
    /// The server's binary.
    #[arg(long, default_value = "target/release/parlor")]
    server: PathBuf,
    /// A database other than a new SQLite file.
    #[arg(long)]
    database_url: Option<String>,
    /// Messages in the chat whose pages are read.
    #[arg(long, default_value_t = 1_000_000)]
    messages: usize,
    /// Rounds of each measurement.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of load in each round.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Connections under load.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Live connections that say nothing. Each takes a descriptor here and one of the server's (`ulimit -n`).
    #[arg(long, default_value_t = 5_000)]
    idle: usize,
    /// Messages that one sends to a thousand listeners.
    #[arg(long, default_value_t = 1_000)]
    fan_out: usize,
}

/// Items on a page.
const LIMIT: usize = 100;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let options = Options::parse();
    let server = Server::start(&options.server, options.database_url.as_deref())?;
    row("machine", &machine());
    row("server, resident when idle", &mebibytes(server.resident()?));
    // First: memory that the rest has left would serve the connections.
    live::live(&options, &server).await?;
    reads(&options, &server).await?;
    pages(&options, &server).await?;
    row("server, resident at the end", &mebibytes(server.resident()?));
    Ok(())
}

/// `get_chat` beside `/healthz`: what the database adds to the least that an answer costs.
async fn reads(options: &Options, server: &Server) -> Outcome<()> {
    let mut chats = Vec::new();
    let mut connection = Connection::open(server.address).await?;
    for n in 0..1_000 {
        let body = format!(r#"{{"user_id":"user{}","metadata":{{"department":"technical"}}}}"#, n % 100);
        let answer = connection.exchange(&post("/api/v1/chats/", KEY, &body)).await?;
        chats.push(get(&format!("/api/v1/chats/{}", member(answer, "id")?), KEY));
    }
    let health: Arc<[Vec<u8>]> = Arc::from([get("/healthz", KEY)]);
    let chats: Arc<[Vec<u8>]> = chats.into();
    let (mut healths, mut gets) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        healths.push(round(options, server, &health).await?);
        gets.push(round(options, server, &chats).await?);
    }
    let rate = |rounds: &[Round]| median(rounds.iter().map(|round| round.seen.rate));
    for (name, rounds) in [("GET /healthz", &healths), ("get_chat", &gets)] {
        let p50 = median(rounds.iter().map(|round| round.seen.p50.as_secs_f64()));
        let p99 = median(rounds.iter().map(|round| round.seen.p99.as_secs_f64()));
        let cost = median(rounds.iter().map(|round| round.cost));
        let (rate, p50, p99, cost) = (rate(rounds), p50 * 1e3, p99 * 1e3, cost * 1e6);
        row(name, &format!("{rate:.0}/s, p50 {p50:.2} ms, p99 {p99:.2} ms, server {cost:.1} µs of CPU each"));
    }
    row("get_chat, share of /healthz", &format!("{:.0} %", rate(&gets) / rate(&healths) * 100.0));
    Ok(())
}

/// A round of load.
struct Round {
    seen: Seen,
    /// Seconds of processor time that an answer took the server. Steadier than the rate, which is the machine's too.
    cost: f64,
}

async fn round(options: &Options, server: &Server, requests: &Arc<[Vec<u8>]>) -> io::Result<Round> {
    let before = server.processor_time()?;
    let time = Duration::from_secs(options.seconds);
    let seen = load::for_time(server.address, requests.clone(), options.connections, time).await?;
    let taken = server.processor_time()?.saturating_sub(before);
    #[expect(clippy::cast_precision_loss, reason = "far fewer answers than 2^52")]
    Ok(Round { seen, cost: taken.as_secs_f64() / seen.answers as f64 })
}

/// The first page beside the last cursor page, and the SDK's memory on the way there.
async fn pages(options: &Options, server: &Server) -> Outcome<()> {
    let mut connection = Connection::open(server.address).await?;
    let answer = connection.exchange(&post("/api/v1/chats/", KEY, r#"{"user_id":"writer"}"#)).await?;
    let chat = member(answer, "id")?;
    let path = format!("/api/v1/chats/{chat}/messages");
    let message = post(&path, KEY, r#"{"content":"A message of ordinary length, neither short nor long."}"#);
    let sent = load::times(server.address, message, options.connections, options.messages).await?;
    row("send_message", &format!("{:.0}/s, p50 {:.2} ms, p99 {:.2} ms", sent.rate, millis(sent.p50), millis(sent.p99)));

    let cursor = read_by_the_sdk(server.address, &chat).await?;
    let first = get(&format!("{path}?limit={LIMIT}"), KEY);
    let last = get(&format!("{path}?limit={LIMIT}&cursor={cursor}"), KEY);
    // The server has closed the idle one meanwhile.
    let mut connection = Connection::open(server.address).await?;
    let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds * 300 {
        firsts.push(timed(&mut connection, &first).await?);
        lasts.push(timed(&mut connection, &last).await?);
    }
    let (first, last) = (median(firsts.into_iter()), median(lasts.into_iter()));
    row("list_messages, first page", &format!("{:.3} ms", first * 1e3));
    row("list_messages, last cursor page", &format!("{:.3} ms, {:.2} × the first", last * 1e3, last / first));
    Ok(())
}

/// Reads all messages through the SDK's stream; returns the cursor of the last page.
async fn read_by_the_sdk(address: SocketAddr, chat: &str) -> Outcome<String> {
    let client = parlor_sdk::Client::new(format!("http://{address}"), KEY)?;
    let limit = u32::try_from(LIMIT)?;
    let mut pages = std::pin::pin!(client.list_messages(chat.parse()?).limit(limit).pages());
    let (mut read, mut cursor, mut early) = (0, None, 0);
    let started = Instant::now();
    while let Some(page) = pages.try_next().await? {
        read += page.items.len();
        cursor = page.next_cursor.or(cursor);
        if read <= 20 * LIMIT {
            early = resident("self")?;
        }
    }
    let late = resident("self")?;
    row("SDK stream, messages read", &format!("{read} in {:.1} s", started.elapsed().as_secs_f64()));
    row("SDK stream, resident", &format!("{} after 20 pages, {} at the end", mebibytes(early), mebibytes(late)));
    cursor.ok_or_else(|| "there is only one page; take more --messages".into())
}

async fn timed(connection: &mut Connection, request: &[u8]) -> io::Result<f64> {
    let sent = Instant::now();
    connection.exchange(request).await?;
    Ok(sent.elapsed().as_secs_f64())
}

pub(crate) fn member(answer: &[u8], name: &str) -> Outcome<String> {
    let answer: serde_json::Value = serde_json::from_slice(answer)?;
    Ok(answer[name].as_str().ok_or("the answer lacks a member")?.to_owned())
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "memory of this size is far below 2^52")]
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!("{cores} cores, {}", model.map_or("unknown", |(_, model)| model))
}

pub(crate) fn row(name: &str, value: &str) {
    println!("{name:<34}{value}");
}

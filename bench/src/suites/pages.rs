//! Pages at depth, and the SDK's memory on the way there.

use std::{
    net::SocketAddr,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::{tell, within};
use crate::{
    Outcome,
    format::number,
    http::{CHATS, Connection, MESSAGE, get, new_chat, post},
    load::{self, Requests, Until},
    options::{Options, new_chats, parlor_key},
    results::{SuiteResults, Unit},
    server::{KEY, resident},
    stats::median,
};

/// Items on a page.
const LIMIT: usize = 100;
/// Readings of a page in a round.
const READINGS: usize = 300;
/// A million messages take a minute.
const STREAM: Duration = Duration::from_mins(10);

/// A page through the first one.
pub(crate) const DEEP: &str = "pages.deep";
/// The SDK's memory at the end of the stream, through that at its beginning.
pub(crate) const STREAM_GROWTH: &str = "pages.stream_growth";

/// The first page beside the last cursor page, and the SDK's memory on the way there.
pub(crate) async fn measure(options: &Options, results: &mut SuiteResults) -> Outcome<()> {
    let server = options.parlor().await?;
    let chat = new_chats(&server, std::iter::once(new_chat(0, "technical"))).await?.swap_remove(0);
    let path = format!("{CHATS}{chat}/messages");
    eprintln!("{} messages into one chat", options.messages());
    let message: Arc<[Vec<u8>]> = Arc::from([post(&path, MESSAGE)]);
    let senders = Requests::senders(server.address, &message, options.connections).await?;
    let round = load::measure(&server, senders, Until::Answers(options.messages())).await?;
    let key = parlor_key("send_message", &format!("{}, one chat", Options::connections(options.connections)));
    tell(&key, &round);
    results.add(&key, round);

    let read = within(STREAM, "the stream of the SDK", read_by_the_sdk(server.address, &chat)).await?;
    let count = f64::from(read.messages);
    let all = number(count, 0);
    results.figure("pages.stream", "Messages read as the SDK's stream", Unit::PerSecond, count / read.seconds);
    results.figure("pages.stream_early", "Client's memory after 20 pages of it", Unit::Bytes, read.early_bytes);
    results.figure("pages.stream_late", &format!("  after {all} messages"), Unit::Bytes, read.late_bytes);
    results.figure(STREAM_GROWTH, "  the one through the other", Unit::Times, read.late_bytes / read.early_bytes);

    let first = get(&format!("{path}?limit={LIMIT}"));
    let last = get(&format!("{path}?limit={LIMIT}&cursor={}", read.last_cursor));
    for _ in 0..options.rounds() {
        let mut connection = Connection::open(server.address).await?;
        let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
        for _ in 0..READINGS {
            firsts.push(timed(&mut connection, &first).await?);
            lasts.push(timed(&mut connection, &last).await?);
        }
        let (first, last) = (median(firsts), median(lasts));
        results.figure("pages.first", &format!("First page of {LIMIT} messages, p50"), Unit::Micros, first);
        results.figure("pages.last", &format!("Last page, by its cursor, of {all}, p50"), Unit::Micros, last);
        results.figure(DEEP, "  the one through the other", Unit::Times, last / first);
    }
    Ok(())
}

/// In microseconds.
async fn timed(connection: &mut Connection, request: &[u8]) -> Outcome<f64> {
    let sent = Instant::now();
    connection.exchange(request).await?;
    Ok(sent.elapsed().as_secs_f64() * 1e6)
}

/// What a client saw that reads all messages.
#[derive(Debug, Serialize, Deserialize)]
struct Read {
    messages: u32,
    seconds: f64,
    early_bytes: f64,
    late_bytes: f64,
    last_cursor: String,
}

/// Has this program read them, in a new process: this one's memory has seen other work.
async fn read_by_the_sdk(address: SocketAddr, chat: &str) -> Outcome<Read> {
    eprintln!("all of them through the SDK");
    let mut reader = Command::new(std::env::current_exe()?);
    reader.args(["stream", &format!("http://{address}"), chat]).kill_on_drop(true).stderr(Stdio::inherit());
    let output = reader.output().await?;
    if !output.status.success() {
        return Err("the stream of the SDK has failed".into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Reads all messages through the SDK's stream; returns what was seen, as JSON.
pub(crate) async fn stream(url: &str, chat: &str) -> Outcome<String> {
    let client = parlor_sdk::Client::new(url, KEY)?;
    let limit = u32::try_from(LIMIT)?;
    let mut pages = std::pin::pin!(client.list_messages(chat.parse()?).limit(limit).pages());
    let (mut messages, mut cursor, mut early) = (0, None, 0);
    let started = Instant::now();
    while let Some(page) = pages.try_next().await? {
        messages += u32::try_from(page.items.len())?;
        cursor = page.next_cursor.or(cursor);
        if messages <= 20 * limit {
            early = resident("self")?;
        }
    }
    let late = resident("self")?;
    let last_cursor = cursor.ok_or("there is only one page; take more --messages")?;
    #[expect(clippy::cast_precision_loss, reason = "memory of this size is far below 2^52")]
    let (early_bytes, late_bytes) = (early as f64, late as f64);
    let read = Read { messages, seconds: started.elapsed().as_secs_f64(), early_bytes, late_bytes, last_cursor };
    Ok(serde_json::to_string(&read)?)
}

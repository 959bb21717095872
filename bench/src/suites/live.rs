//! Live connections: what they cost when idle, and how fast they carry.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, task::JoinSet};

use super::within;
use crate::{
    Outcome,
    format::number,
    http::{MESSAGE, new_chat},
    machine::descriptors,
    options::{Options, new_chats},
    results::{SuiteResults, Unit},
    server::{Server, processor_micros},
    stats::percentile,
    websocket::{Live, OPENING, text},
};

/// Listeners of the chat in which one speaks.
const LISTENERS: usize = 1_000;
/// Messages that the speaker has in flight.
const IN_FLIGHT: usize = 16;
/// Messages that are sent one at a time, each after everybody has the one before.
const SINGLES: usize = 200;
/// Chats that idle connections are in.
const CHATS: usize = 100;
/// Descriptors that a process needs besides its connections.
const OTHER_DESCRIPTORS: usize = 200;
/// How long one part may take.
const LIMIT: Duration = Duration::from_mins(3);

/// Resident bytes of an idle connection.
pub(crate) const IDLE: &str = "live.idle_bytes";
/// Deliveries a second.
pub(crate) const DELIVERIES: &str = "live.deliveries";
/// Until all have one message, in microseconds: of a hundred messages one took longer.
pub(crate) const ALL_HAVE_P99: &str = "live.all_have_p99_us";

/// Measures all of it, each round on a new server: memory that other work has left would serve the connections.
pub(crate) async fn measure(options: &Options, results: &mut SuiteResults) -> Outcome<()> {
    let limit = descriptors()?;
    let wanted = options.idle();
    let count = wanted.min(limit.saturating_sub(OTHER_DESCRIPTORS));
    if count < wanted {
        let note = format!(
            "The limit of open files is {limit}: {count} idle connections were measured instead of {wanted} (raise it \
             with `ulimit -n`)."
        );
        eprintln!("{note}");
        results.notes.push(note);
    }
    if count < LISTENERS + 1 && limit < LISTENERS + OTHER_DESCRIPTORS {
        return Err(format!("the limit of open files is {limit}; {LISTENERS} listeners need more").into());
    }
    for round in 1..=options.rounds() {
        let server = options.parlor().await?;
        let chats = new_chats(&server, (0..CHATS).map(|user| new_chat(user, "technical"))).await?;
        within(LIMIT, "idle connections", idle(count, &server, &chats, results)).await?;
        drop(server);
        let server = options.parlor().await?;
        let chats = new_chats(&server, std::iter::once(new_chat(0, "technical"))).await?;
        within(LIMIT, "fan-out", fan_out(options, &server, &chats[0], results)).await?;
        eprintln!("round {round} of {} is over", options.rounds());
    }
    Ok(())
}

/// Memory of connections that say nothing, and how fast they come.
async fn idle(count: usize, server: &Server, chats: &[String], results: &mut SuiteResults) -> Outcome<()> {
    eprintln!("{count} idle connections");
    let before = server.resident()?;
    let started = Instant::now();
    let connections = Live::open_all(server.address, count, |n| chats[n % chats.len()].as_str()).await?;
    let taken = started.elapsed();
    // What the handshakes needed for a moment is given back.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let all = server.resident()?.saturating_sub(before);
    let count = f64::from(u32::try_from(connections.len())?);
    #[expect(clippy::cast_precision_loss, reason = "memory of this size is far below 2^52")]
    let each = all as f64 / count;
    let text = format!("Live connections opened, {OPENING} at a time");
    results.figure("live.connects", &text, Unit::PerSecond, count / taken.as_secs_f64());
    let text = format!("Server's memory for an idle live connection, with {}", number(count, 0));
    results.figure(IDLE, &text, Unit::Bytes, each);
    Ok(())
}

/// One speaks, a thousand listen.
async fn fan_out(options: &Options, server: &Server, chat: &str, results: &mut SuiteResults) -> Outcome<()> {
    eprintln!("1 speaks to {LISTENERS}");
    let messages = options.fan_out();
    let heard = Arc::new(Deliveries::default());
    let mut listening = JoinSet::new();
    for mut listener in Live::open_all(server.address, LISTENERS, |_| chat).await? {
        let heard = heard.clone();
        listening.spawn(async move {
            for _ in 0..messages + SINGLES {
                listener.frame().await?;
                heard.add();
            }
            io::Result::Ok(())
        });
    }
    let mut speaker = Live::open(server.address, chat).await?;
    let frame = text(MESSAGE);
    let own_before = processor_micros("self")?;
    let (before, started) = (server.processor_micros()?, Instant::now());
    for n in 0..messages {
        if n >= IN_FLIGHT {
            speaker.frame().await?;
        }
        speaker.send(&frame).await?;
    }
    for _ in 0..IN_FLIGHT.min(messages) {
        speaker.frame().await?;
    }
    heard.reach(messages * LISTENERS).await;
    let (taken, elapsed) = (server.processor_micros()? - before, started.elapsed());
    let own = processor_micros("self")? - own_before;
    let deliveries = f64::from(u32::try_from(messages * LISTENERS)?);
    let mut latencies = Vec::with_capacity(SINGLES);
    for single in 1..=SINGLES {
        let sent = Instant::now();
        speaker.send(&frame).await?;
        speaker.frame().await?;
        heard.reach((messages + single) * LISTENERS).await;
        latencies.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    listening.join_all().await.into_iter().collect::<io::Result<()>>()?;
    latencies.sort_unstable_by(f64::total_cmp);
    let text = format!("Deliveries of 1 to 1,000, {IN_FLIGHT} messages in flight");
    results.figure(DELIVERIES, &text, Unit::PerSecond, deliveries / elapsed.as_secs_f64());
    let text = "Server's processor time for a delivery";
    results.figure("live.delivery_cpu_us", text, Unit::Micros, taken / deliveries);
    let text = "  that of the load, which takes the message";
    results.figure("live.delivery_load_cpu_us", text, Unit::Micros, own / deliveries);
    let text = |share: &str| format!("One message at a time, until all 1,000 have it, {share}");
    results.figure("live.all_have_p50_us", &text("p50"), Unit::Micros, percentile(&latencies, 50));
    results.figure(ALL_HAVE_P99, &text("p99"), Unit::Micros, percentile(&latencies, 99));
    Ok(())
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

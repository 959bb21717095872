//! Ordinary clients beside an attack: what they see of it, and what it costs the server's memory.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    Outcome,
    http::{CHATS, Connection, get, new_chat, post},
    server::resident,
    stats::percentile,
};

/// A probe without an answer after this time has failed.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often the server's memory is read.
const MEMORY: Duration = Duration::from_millis(50);
/// The number of failures that are described; all are counted.
const DESCRIBED: usize = 5;

/// The requests of probes. The last one keeps its connection; the others open one each.
const KINDS: [&str; 4] = ["GET /healthz", "GET /readyz", "POST /api/v1/chats/", "GET /healthz on a kept connection"];
const KEPT: usize = 3;

/// The probes of one attack, in a thread of their own, so that the attacker does not delay them.
pub(super) struct Prober {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<Seen>>,
}

/// The results of the probes.
#[derive(Default)]
pub(super) struct Seen {
    /// The times of answers, the shortest first.
    pub(super) latencies: Vec<Duration>,
    /// Probes that failed.
    pub(super) failed: usize,
    /// The first of these failures.
    pub(super) failures: Vec<String>,
    /// The server's largest resident memory, in bytes.
    pub(super) peak: u64,
    /// The 99th percentile of each kind, for the log.
    pub(super) details: Vec<String>,
}

impl Seen {
    /// A percentile of the times; zero when there was no answer.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        if self.latencies.is_empty() { Duration::ZERO } else { percentile(&self.latencies, percent) }
    }
}

impl Prober {
    /// Starts to probe the server at `address` with the process id `process`: each kind from each source, every `every`.
    pub(super) fn start(address: SocketAddr, process: String, sources: Vec<IpAddr>, every: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(probe(address, &process, &sources, every, stopped))
        });
        Self { stop, thread }
    }

    /// Stops, waits for the probes under way, and returns what was seen.
    pub(super) async fn stop(self) -> Outcome<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await?;
        joined.map_err(|_| "the probes' thread panicked")?
    }
}

async fn probe(
    address: SocketAddr,
    process: &str,
    sources: &[IpAddr],
    every: Duration,
    stop: Arc<AtomicBool>,
) -> Outcome<Seen> {
    let mut running = JoinSet::new();
    let mut all = Vec::new();
    for source in sources {
        for kind in 0..KINDS.len() {
            let samples = Arc::new(Samples { source: *source, kind, ..Samples::default() });
            all.push(samples.clone());
            if kind == KEPT {
                running.spawn(keep_alive(address, samples, every, stop.clone()));
            } else {
                running.spawn(afresh(address, samples, every, stop.clone()));
            }
        }
    }
    let mut peak = 0;
    while !stop.load(Ordering::Relaxed) {
        // A server that has ended has no memory; its end is found by the one who started it.
        peak = peak.max(resident(process).unwrap_or_default());
        sleep(MEMORY).await;
    }
    running.join_all().await;
    let mut seen = Seen { peak, ..Seen::default() };
    for samples in all {
        let found = samples.found.lock().unwrap_or_else(PoisonError::into_inner);
        let mut latencies = found.latencies.clone();
        latencies.sort_unstable();
        if !latencies.is_empty() {
            let p99 = percentile(&latencies, 99);
            seen.details.push(format!("{} from {}: p99 {p99:.1?}", KINDS[samples.kind], samples.source));
        }
        seen.latencies.extend(latencies);
        seen.failed += found.failed;
        seen.failures.extend(found.failures.iter().cloned());
    }
    seen.latencies.sort_unstable();
    seen.failures.truncate(DESCRIBED);
    Ok(seen)
}

/// The probes of one kind from one source.
struct Samples {
    source: IpAddr,
    kind: usize,
    next: AtomicUsize,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    latencies: Vec<Duration>,
    failed: usize,
    failures: Vec<String>,
}

impl Default for Samples {
    fn default() -> Self {
        let source = std::net::Ipv4Addr::LOCALHOST.into();
        Self { source, kind: 0, next: AtomicUsize::new(0), found: Mutex::default() }
    }
}

impl Samples {
    fn request(&self) -> Vec<u8> {
        match self.kind {
            1 => get("/readyz"),
            2 => post(CHATS, &new_chat(self.next.fetch_add(1, Ordering::Relaxed), "probe")),
            _ => get("/healthz"),
        }
    }

    /// Takes the outcome of a probe that began at `started`.
    fn take(&self, started: Instant, outcome: Result<io::Result<()>, tokio::time::error::Elapsed>) {
        let took = started.elapsed();
        let failure = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string().lines().next().unwrap_or_default().to_owned()),
            Err(_) => Some(format!("no answer within {} s", TIMEOUT.as_secs())),
        };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            None => found.latencies.push(took),
            Some(failure) => {
                found.failed += 1;
                if found.failures.len() < DESCRIBED {
                    found.failures.push(format!("{} from {}: {failure}", KINDS[self.kind], self.source));
                }
            }
        }
    }
}

/// Sends a probe on a new connection at each tick, whether the earlier ones have their answers or not.
async fn afresh(address: SocketAddr, samples: Arc<Samples>, every: Duration, stop: Arc<AtomicBool>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut running = JoinSet::new();
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        while running.try_join_next().is_some() {}
        let samples = samples.clone();
        running.spawn(async move {
            let started = Instant::now();
            let exchange = async {
                let mut connection = Connection::open_from(samples.source, address).await?;
                connection.exchange(&samples.request()).await.map(drop)
            };
            samples.take(started, timeout(TIMEOUT, exchange).await);
        });
    }
    running.join_all().await;
}

/// Sends one probe after the other on one connection. When the server has closed it meanwhile, as it may at any time, the
/// request is sent again on a new one, as HTTP clients do.
async fn keep_alive(address: SocketAddr, samples: Arc<Samples>, every: Duration, stop: Arc<AtomicBool>) {
    let mut kept: Option<Connection> = None;
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        let exchange = async {
            let request = samples.request();
            if let Some(mut connection) = kept.take()
                && connection.exchange(&request).await.is_ok()
            {
                return Ok(connection);
            }
            let mut connection = Connection::open_from(samples.source, address).await?;
            connection.exchange(&request).await?;
            io::Result::Ok(connection)
        };
        let outcome =
            timeout(TIMEOUT, exchange).await.map(|answered| answered.map(|connection| kept = Some(connection)));
        samples.take(started, outcome);
        sleep(every).await;
    }
}

//! What becomes of memory and cost while a server's work grows: with few chats, and with millions.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::process::Command;

use super::tell;
use crate::{
    Outcome,
    format::number,
    http::{CHATS, Connection, MESSAGE, get, member, new_chat, post},
    load::{self, Requests, Sender, Until},
    machine::free,
    options::{Options, parlor_key},
    results::{Key, Round, SuiteResults, Unit},
    server::Server,
};

/// Chats of the small server.
const FEW: usize = 10_000;
/// Chats of each user, with few and with many: pages are equally full.
const CHATS_OF_A_USER: usize = 100;
/// Different labels, which share no divisor with the number of users.
const LABELS: usize = 97;
/// Chats that are read and written to later, spread evenly over all.
const SAMPLE: usize = 10_000;
/// Items on a page.
const LIMIT: usize = 20;
/// Connections that measure: few, so that waiting in queues is not what is compared.
const CONNECTIONS: usize = 4;
/// Chats that are created for one round: few enough that few stay few.
const CREATED: usize = 4_000;
/// Chats that are created between two looks at the clock.
const BATCH: usize = 50_000;
/// Disk that a chat takes with its indexes and its part of the log, generously.
const BYTES_OF_A_CHAT: u64 = 1_200;
/// How long the disk may take to write what it was given.
const SYNC: Duration = Duration::from_mins(5);
/// How often the progress is told.
const PROGRESS: Duration = Duration::from_secs(5);

/// The server's memory after the many creates, through that after the few.
pub(crate) const MEMORY: &str = "growth.memory";

/// What is asked of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// A chat by its ID.
    Get,
    /// The tenant's first page.
    List,
    /// A user's first page.
    ListOfUser,
    /// The first page of those with a label.
    ListOfLabel,
    /// A message into one of many chats.
    Send,
    /// A chat.
    Create,
}

/// In this order: the last one makes the few more.
pub(crate) const WORKS: [Work; 6] =
    [Work::Get, Work::List, Work::ListOfUser, Work::ListOfLabel, Work::Send, Work::Create];

impl Work {
    /// As reports have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get_chat",
            Self::List => "list_chats",
            Self::ListOfUser => "list_chats of a user",
            Self::ListOfLabel => "list_chats by label",
            Self::Send => "send_message",
            Self::Create => "create_chat",
        }
    }
}

/// The key of a load: the server has `chats`.
pub(crate) fn key(work: Work, many: bool) -> Key {
    parlor_key(work.name(), if many { "many chats" } else { "few chats" })
}

/// Fills a server through its interface, and compares it with a small one.
pub(crate) async fn measure(options: &Options, results: &mut SuiteResults) -> Outcome<()> {
    let chats = options.chats().max(4 * FEW);
    // With ten million: after fifty thousand, and after five million.
    let (early, late) = ((5 * FEW).min(chats / 4), chats / 2);
    let (data, needed) = (options.data(), chats as u64 * BYTES_OF_A_CHAT);
    let available = free(&data)?;
    if available < needed {
        let gigabytes = |bytes: u64| bytes.div_ceil(1_000_000_000);
        return Err(format!(
            "{} GB are needed in {}, and {} GB are free; take fewer --chats, or another folder",
            gigabytes(needed),
            data.display(),
            gigabytes(available),
        )
        .into());
    }
    results.notes.push(format!(
        "Few chats are {}, many are {} (for memory {} and {}), all created through the interface: {CHATS_OF_A_USER} of \
         each user, with one of {LABELS} labels. {CONNECTIONS} connections measure; a page has {LIMIT} chats.",
        count(FEW),
        count(chats),
        count(early),
        count(late),
    ));
    let large = options.parlor().await?;
    let fill = Fill::new(chats);
    let started = Instant::now();
    fill.go_on(options, &large, early, started).await?;
    let first = memory(&large, early, "growth.memory_early", results)?;
    fill.go_on(options, &large, late, started).await?;
    let second = memory(&large, late, "growth.memory_late", results)?;
    results.figure(MEMORY, "  the one through the other", Unit::Times, second / first);
    fill.go_on(options, &large, chats, started).await?;
    memory(&large, chats, "growth.memory_all", results)?;
    let seconds = started.elapsed().as_secs_f64();
    let all = f64::from(u32::try_from(chats)?);
    results.figure("growth.fill", "Chats created while it was filled", Unit::PerSecond, all / seconds);
    #[expect(clippy::cast_precision_loss, reason = "a disk of this size is far below 2^52")]
    let disk = large.database_bytes()? as f64;
    results.figure("growth.chat_bytes", "Disk that a chat takes with its indexes", Unit::Bytes, disk / all);

    // What the system has not written yet, it would write while something else is measured.
    eprintln!("waits until the disk has it all");
    let sync = Command::new("sync").arg("--file-system").arg(&data).kill_on_drop(true).status();
    tokio::time::timeout(SYNC, sync).await.map_err(|_| "the disk did not keep up")??;

    for round in 1..=options.rounds() {
        eprintln!("round {round} of {}", options.rounds());
        let small = options.parlor().await?;
        let few = Fill::new(FEW);
        few.go_on(options, &small, FEW, Instant::now()).await?;
        for work in WORKS {
            for (server, fill, many) in [(&small, &few, false), (&large, &fill, true)] {
                let round = ask(options, server, fill, work).await?;
                tell(&key(work, many), &round);
                results.add(&key(work, many), round);
            }
        }
    }
    Ok(())
}

/// A count, for readers.
fn count(chats: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "far fewer chats than 2^52")]
    number(chats as f64, 0)
}

fn memory(server: &Server, chats: usize, id: &str, results: &mut SuiteResults) -> Outcome<f64> {
    #[expect(clippy::cast_precision_loss, reason = "memory of this size is far below 2^52")]
    let resident = server.resident()? as f64;
    results.figure(id, &format!("Server's memory after {} creates", count(chats)), Unit::Bytes, resident);
    Ok(resident)
}

/// One work for one server.
async fn ask(options: &Options, server: &Server, fill: &Fill, work: Work) -> Outcome<Round> {
    let requests: Arc<[Vec<u8>]> = fill.requests(work).into();
    let (warm_up, until) = match work {
        Work::Create => (Until::Answers(CREATED / 10), Until::Answers(CREATED)),
        _ => (Until::Time(options.warm_up()), Until::Time(options.time())),
    };
    load::run(Requests::senders(server.address, &requests, CONNECTIONS).await?, warm_up).await?;
    load::measure(server, Requests::senders(server.address, &requests, CONNECTIONS).await?, until).await
}

/// The chats of a server, of which some are known by their IDs.
struct Fill {
    wanted: usize,
    users: usize,
    created: Arc<AtomicUsize>,
    known: Arc<Mutex<Vec<String>>>,
}

impl Fill {
    /// None yet of `wanted`.
    fn new(wanted: usize) -> Self {
        let users = wanted / CHATS_OF_A_USER;
        Self { wanted, users, created: Arc::default(), known: Arc::default() }
    }

    /// Creates chats until there are so many.
    async fn go_on(&self, options: &Options, server: &Server, until: usize, started: Instant) -> Outcome<()> {
        let mut told = Instant::now();
        loop {
            let created = self.created.load(Ordering::SeqCst);
            if created >= until {
                return Ok(());
            }
            let mut creators = Vec::new();
            for _ in 0..options.connections {
                creators.push(Creator::new(server.address, self).await?);
            }
            load::run(creators, Until::Answers(BATCH.min(until - created))).await?;
            if told.elapsed() > PROGRESS {
                told = Instant::now();
                self.tell(started);
            }
        }
    }

    fn tell(&self, started: Instant) {
        let created = self.created.load(Ordering::SeqCst);
        #[expect(clippy::cast_precision_loss, reason = "far fewer chats than 2^52")]
        let (done, left) = (created as f64, self.wanted.saturating_sub(created) as f64);
        let rate = done / started.elapsed().as_secs_f64();
        let (created, wanted) = (count(created), count(self.wanted));
        eprintln!("{created} of {wanted} chats, {}/s, {:.1} minutes remain", number(rate, 0), left / rate / 60.0);
    }

    /// What the senders send in turn.
    fn requests(&self, work: Work) -> Vec<Vec<u8>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let spread = |n: usize| n * self.users / 1_000;
        match work {
            Work::Get => known.iter().map(|chat| get(&format!("{CHATS}{chat}"))).collect(),
            Work::List => vec![get(&format!("{CHATS}?limit={LIMIT}"))],
            Work::ListOfUser => {
                (0..1_000).map(|n| get(&format!("{CHATS}user/user{}?limit={LIMIT}", spread(n)))).collect()
            }
            Work::ListOfLabel => (0..LABELS)
                .map(|label| get(&format!("{CHATS}?limit={LIMIT}&metadata=department:department{label}")))
                .collect(),
            Work::Send => known.iter().map(|chat| post(&format!("{CHATS}{chat}/messages"), MESSAGE)).collect(),
            Work::Create => (0..10_000).map(|n| request(n, self.users)).collect(),
        }
    }
}

/// What creates the `n`th chat.
fn request(n: usize, users: usize) -> Vec<u8> {
    post(CHATS, &new_chat(n % users, &format!("department{}", n % LABELS)))
}

/// One of those who fill a server.
struct Creator {
    connection: Connection,
    users: usize,
    every: usize,
    created: Arc<AtomicUsize>,
    known: Arc<Mutex<Vec<String>>>,
}

impl Creator {
    async fn new(address: SocketAddr, fill: &Fill) -> io::Result<Self> {
        Ok(Self {
            connection: Connection::open(address).await?,
            users: fill.users,
            every: (fill.wanted / SAMPLE).max(1),
            created: fill.created.clone(),
            known: fill.known.clone(),
        })
    }
}

impl Sender for Creator {
    async fn exchange(&mut self) -> io::Result<()> {
        let n = self.created.fetch_add(1, Ordering::SeqCst);
        let answer = self.connection.exchange(&request(n, self.users)).await?;
        if n.is_multiple_of(self.every) {
            let id = member(answer, "id")?;
            self.known.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        }
        Ok(())
    }
}

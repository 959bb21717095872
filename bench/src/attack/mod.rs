//! Attacks on a running server, and what ordinary clients see meanwhile.
//!
//! Each attack has a new server with an empty database. Times are reported and not judged, since they depend on the
//! machine; judged is that no probe fails, that memory is bounded and given back, and that the server serves afterwards.

mod crowd;
mod probe;
mod scripts;
mod stop;

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use crowd::{Crowd, Tally, sources};
use probe::{Prober, Seen};
use scripts::{ATTACKS, Attack, MESSAGE_BYTES, MESSAGES, Opening, Target};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    Outcome,
    database::Database,
    http::{CHATS, Connection, get, new_chat, post},
    machine,
    options::{named_revision, new_chats},
    report::{quantity, table},
    results::Unit,
    server::{Program, Server},
    tables,
    websocket::Live,
};

/// The name of the marks between which a page has the tables.
const MARK: &str = "attack figures";
/// How much more memory than an idle one an attacked server may take, in bytes.
const MEMORY: u64 = 64 * 1024 * 1024;
/// What counts as given back: memory within this of the idle server's, in bytes. Only ends the wait; it is not judged.
const GIVEN_BACK: u64 = 8 * 1024 * 1024;
/// The time within which memory has to be back under [`MEMORY`].
const BACK: Duration = Duration::from_mins(1);
/// The address of probes that is not an attacker's.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
/// Chats that are created before a server counts as warm.
const WARM_UP: usize = 300;
/// Descriptors that are kept for the probes and for what the server opens besides connections.
const SPARE_DESCRIPTORS: usize = 1_500;
/// Members of the chat that talk during [`Attack::talk`].
const TALKERS: usize = 4;
/// The pause between two messages of one of them.
const TALK: Duration = Duration::from_millis(10);

/// How to attack.
#[derive(Debug, Args)]
pub(crate) struct AttackOptions {
    /// Parlor's binary.
    #[arg(long, default_value = "target/release/parlor")]
    parlor: PathBuf,
    /// Seconds that each attack lasts.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// The most connections of an attack.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Attack once each, in turn from one address and from many, instead of from both.
    #[arg(long)]
    quick: bool,
    /// Only the attacks whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Milliseconds between two probes of one kind from one address.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    probe_millis: u64,
    /// Where databases are made [default: the folder for temporary files].
    #[arg(long)]
    data: Option<PathBuf>,
    /// What is attacked, as in a name of the revision.
    #[arg(long)]
    revision: Option<String>,
    /// The file to which the servers' logs are appended [default: standard error].
    #[arg(long)]
    log: Option<PathBuf>,
    /// Puts the tables between the marks of this page as well.
    #[arg(long)]
    into: Option<PathBuf>,
}

impl AttackOptions {
    fn program(&self) -> Program {
        Program { path: self.parlor.clone(), script: None, cores: None, log: self.log.clone() }
    }

    fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(std::env::temp_dir)
    }

    fn wants(&self, attack: &Attack) -> bool {
        self.only.as_ref().is_none_or(|part| attack.name.contains(part))
    }
}

/// Runs all attacks, then the stops beside stuck connections, and prints the tables.
pub(crate) async fn run(options: &AttackOptions) -> Outcome<ExitCode> {
    let machine = machine::Machine::look(&options.data(), named_revision(options.revision.as_deref()))?;
    let descriptors = machine::descriptors()?.saturating_sub(SPARE_DESCRIPTORS);
    let most = descriptors.min(options.connections);
    let mut notes = vec![format!("{} on {}.", machine.parlor, machine.line())];
    if ATTACKS.iter().any(|attack| attack.connections > most) {
        let cause = if descriptors < options.connections { "The limit of open files" } else { "An option" };
        notes.push(format!("{cause} bounds each attack to {most} connections."));
    }
    notes.push(format!(
        "Each attack lasts {} s, on a new server; probes come every {} ms of each kind, from the attacker's address and \
         from another one, and share the cores with both.",
        options.seconds, options.probe_millis
    ));
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for (n, attack) in ATTACKS.iter().enumerate().filter(|(_, attack)| options.wants(attack)) {
        for many in [false, true] {
            if options.quick && many != (n % 2 == 1) {
                continue;
            }
            let row = measure(options, attack, many, most).await?;
            tables::report(attack.name, &row.details, &row.failures);
            failures.extend(row.failures.iter().map(|failure| format!("{}: {failure}", attack.name)));
            rows.push(row);
        }
    }
    let mut stops = Vec::new();
    for attack in ATTACKS.iter().filter(|attack| attack.stop && options.wants(attack)) {
        let stop = stop::measure(options, attack).await?;
        let name = format!("SIGTERM beside \"{}\"", attack.name);
        tables::report(&name, &[], &stop.failures);
        failures.extend(stop.failures.iter().map(|failure| format!("{name}: {failure}")));
        stops.push(stop);
    }
    let text = format!("{}\n{}\n{}", tables::notes(&notes), attacks_table(&rows), stop::table_of(&stops));
    tables::finish(&text, options.into.as_deref().map(|page| (page, MARK)), &failures)
}

/// What one attack did.
struct Row {
    attack: &'static str,
    many: bool,
    wanted: usize,
    tally: Arc<Tally>,
    seen: Seen,
    idle: u64,
    after: u64,
    back: Duration,
    details: Vec<String>,
    failures: Vec<String>,
}

async fn measure(options: &AttackOptions, attack: &Attack, many: bool, most: usize) -> Outcome<Row> {
    let mut server = Server::start(&options.program(), Database::sqlite(&options.data())?).await?;
    let target = warm_up(&server).await?;
    let idle = server.resident()?;
    let wanted = attack.connections.min(most);
    let sources = sources(many);
    let every = Duration::from_millis(options.probe_millis);
    let prober = Prober::start(server.address, server.process(), vec![sources[0], ELSEWHERE], every);
    let tally = Arc::new(Tally::default());
    let time = Duration::from_secs(options.seconds);
    let script = Arc::new((attack.script)(&target));
    let talkers = if attack.talk { talk(&server, &target).await? } else { JoinSet::new() };
    match attack.opening {
        Opening::Evenly => {
            let crowd = Crowd::start(&script, &sources, server.address, wanted, time / 3, &tally);
            sleep(time).await;
            crowd.stop().await;
        }
        Opening::AtOnce => {
            let started = Instant::now();
            while started.elapsed() < time {
                let crowd = Crowd::start(&script, &sources, server.address, wanted, Duration::ZERO, &tally);
                sleep(Duration::from_secs(1)).await;
                crowd.stop().await;
            }
        }
    }
    drop(talkers);
    let seen = prober.stop().await?;
    let (after, back) = give_back(&server, idle, time).await?;
    let mut failures = Vec::new();
    if seen.failed > 0 {
        let first = seen.failures.first().map(String::as_str).unwrap_or_default();
        failures.push(format!("{} of {} probes failed: {first}", seen.failed, seen.failed + seen.latencies.len()));
    }
    let bytes = |bytes: u64| tables::bytes(bytes);
    if seen.peak > idle + MEMORY {
        failures.push(format!("memory rose from {} to {}", bytes(idle), bytes(seen.peak)));
    }
    if after > idle + MEMORY {
        failures.push(format!("memory is still {} after {} s", bytes(after), back.as_secs()));
    }
    let unexpected: Vec<u16> =
        tally.statuses().into_keys().filter(|status| !attack.statuses.contains(status)).collect();
    if !attack.statuses.is_empty() && (!unexpected.is_empty() || tally.statuses().is_empty()) {
        failures.push(format!("answered {:?} instead of {:?}", tally.statuses(), attack.statuses));
    }
    if !server.is_running()? {
        failures.push("the server has ended".to_owned());
    } else if let Err(error) = serves(&server).await {
        failures.push(format!("afterwards a request fails: {error}"));
    }
    let mut details = seen.details.clone();
    details.extend(seen.failures.iter().map(|failure| format!("failed: {failure}")));
    details.push(format!("statuses: {:?}", tally.statuses()));
    Ok(Row { attack: attack.name, many, wanted, tally, seen, idle, after, back, details, failures })
}

/// Brings a new server to the state whose memory is the idle one, and makes what attacks refer to.
async fn warm_up(server: &Server) -> Outcome<Target> {
    let chat = new_chats(server, (0..WARM_UP).map(|n| new_chat(n, "warm"))).await?.swap_remove(0);
    let mut connection = Connection::open(server.address).await?;
    let path = format!("{CHATS}{chat}/messages");
    let message = format!(r#"{{"content":"{}"}}"#, "x".repeat(MESSAGE_BYTES));
    for _ in 0..MESSAGES {
        connection.exchange(&post(&path, &message)).await?;
    }
    for path in ["/openapi.json", "/asyncapi.json", "/docs/swagger-ui-bundle.js", "/readyz", &path] {
        connection.exchange(&get(path)).await?;
    }
    drop(Live::open(server.address, &chat).await?);
    sleep(Duration::from_millis(500)).await;
    Ok(Target { chat })
}

/// Lets members of the target's chat talk, and read what is said, until the tasks are dropped.
async fn talk(server: &Server, target: &Target) -> Outcome<JoinSet<()>> {
    let mut talkers = JoinSet::new();
    let message = format!(r#"{{"content":"{}"}}"#, "x".repeat(MESSAGE_BYTES));
    for _ in 0..TALKERS {
        let request = post(&format!("{CHATS}{}/messages", target.chat), &message);
        let mut connection = Connection::open(server.address).await?;
        talkers.spawn(async move {
            while connection.exchange(&request).await.is_ok() {
                sleep(TALK).await;
            }
        });
    }
    Ok(talkers)
}

/// Waits until the server's memory is about what it was. Returns its memory, and the time since the attack's end.
async fn give_back(server: &Server, idle: u64, time: Duration) -> Outcome<(u64, Duration)> {
    let started = Instant::now();
    loop {
        let (Ok(memory), elapsed) = (server.resident(), started.elapsed()) else { return Ok((0, started.elapsed())) };
        let limit = if memory > idle + MEMORY { BACK } else { time };
        if memory <= idle + GIVEN_BACK || elapsed >= limit {
            return Ok((memory, elapsed));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Creates a chat, as any client would.
async fn serves(server: &Server) -> Outcome<()> {
    let create = async {
        let mut connection = Connection::open_from(ELSEWHERE, server.address).await?;
        connection.exchange(&post(CHATS, &new_chat(0, "after"))).await.map(drop)
    };
    Ok(tokio::time::timeout(Duration::from_secs(10), create).await.map_err(|_| "no answer within 10 s")??)
}

fn attacks_table(rows: &[Row]) -> String {
    let names = [
        "attack",
        "from",
        "held",
        "p50",
        "p99",
        "longest",
        "failed",
        "idle",
        "peak",
        "after",
        "back in",
        "as it should be",
    ];
    let lines = rows.iter().map(|row| {
        let micros = |percent| quantity(row.seen.percentile(percent).as_secs_f64() * 1e6, Unit::Micros);
        let mut held = format!("{} of {}", row.tally.most(), row.wanted);
        if row.attack == "connect storm" {
            _ = write!(held, "; {} of {} prompt", row.tally.prompt(), row.tally.opened());
        }
        vec![
            row.attack.to_owned(),
            if row.many { "250 addresses" } else { "1 address" }.to_owned(),
            held,
            micros(50),
            micros(99),
            micros(100),
            row.seen.failed.to_string(),
            tables::bytes(row.idle),
            tables::bytes(row.seen.peak),
            tables::bytes(row.after),
            tables::seconds(row.back),
            if row.failures.is_empty() { "yes" } else { "**no**" }.to_owned(),
        ]
    });
    table(&names, 2, lines)
}

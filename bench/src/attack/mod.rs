//! Attacks on a running server, and what ordinary clients see meanwhile.
//!
//! Each attack has a new server with an empty database. Times are reported and not judged, since they depend on the
//! machine; judged is that no probe fails, that memory is bounded and given back, and that the server serves afterwards.

mod crowd;
mod probe;
mod scripts;
mod setup;
mod stop;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use crowd::attacker;
use crowd::{Crowd, Tally, sources};
use probe::{Prober, Seen};
use scripts::{ATTACKS, Attack, MESSAGE_BYTES, Opening, Target};
pub(crate) use setup::AttackOptions;
use setup::warm_up;
use tokio::{runtime::Handle, task::JoinSet, time::sleep};

use crate::{
    Outcome,
    database::Database,
    format::{quantity, table},
    http::{CHATS, Connection, get, new_chat, post},
    machine,
    options::named_revision,
    results::Unit,
    server::Server,
    tables,
};

/// The name of the marks between which a page has the tables.
const MARK: &str = "attack figures";
/// How much more memory than an idle one an attacked server may take, in bytes.
const MEMORY: u64 = 64 * 1024 * 1024;
/// What counts as given back: memory within this of the idle server's, in bytes. Only ends the wait; it is not judged.
const GIVEN_BACK: u64 = 8 * 1024 * 1024;
/// How long memory within the bound is waited for to be given back.
const SETTLE: Duration = Duration::from_secs(15);
/// The time within which memory has to be back under [`MEMORY`].
const BACK: Duration = Duration::from_mins(1);
/// How long after an attack's time the server may take to end connections that it must end: it may let the peer read why.
const END: Duration = Duration::from_secs(15);
/// The address of probes that is not an attacker's.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
/// Descriptors that are kept for the probes and for what the server opens besides connections.
const SPARE_DESCRIPTORS: usize = 1_500;
/// Members of the chat that talk during [`Attack::talk`].
const TALKERS: usize = 4;
/// The pause between two messages of one of them.
const TALK: Duration = Duration::from_millis(10);

/// Runs all attacks, then the stops beside stuck connections, and prints the tables.
pub(crate) async fn run(options: &AttackOptions, attacker: &Handle) -> Outcome<ExitCode> {
    let machine = machine::Machine::look(&options.trial.data(), named_revision(options.trial.revision.as_deref()))?;
    let descriptors = machine::descriptors()?.saturating_sub(SPARE_DESCRIPTORS);
    let most = descriptors.min(options.connections);
    let mut notes = vec![format!("{} on {}.", machine.parlor, machine.line())];
    if ATTACKS.iter().any(|attack| attack.connections > most) {
        let cause = if descriptors < options.connections { "The limit of open files" } else { "An option" };
        notes.push(format!("{cause} bounds each attack to {most} connections."));
    }
    notes.push(format!(
        "Each attack lasts {} s, on a new server; probes come every {} ms of each kind, from the attacker's address and \
         from another one, and share the cores with both; the attacker's thread has the lowest priority.",
        options.seconds, options.probe_millis
    ));
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for (n, attack) in ATTACKS.iter().enumerate().filter(|(_, attack)| options.trial.wants(attack.name)) {
        for many in [false, true] {
            if options.quick && many != (n % 2 == 1) {
                continue;
            }
            let row = measure(options, attacker, attack, many, most).await?;
            tables::report(attack.name, &row.details, &row.failures);
            failures.extend(row.failures.iter().map(|failure| format!("{}: {failure}", attack.name)));
            rows.push(row);
        }
    }
    let mut stops = Vec::new();
    for attack in ATTACKS.iter().filter(|attack| attack.stop && options.trial.wants(attack.name)) {
        let stop = stop::measure(options, attacker, attack).await?;
        let name = format!("SIGTERM beside \"{}\"", attack.name);
        tables::report(&name, &[], &stop.failures);
        failures.extend(stop.failures.iter().map(|failure| format!("{name}: {failure}")));
        stops.push(stop);
    }
    let text = format!("{}\n{}\n{}", tables::notes(&notes), attacks_table(&rows), stop::table_of(&stops));
    tables::finish(&text, options.trial.into.as_deref().map(|page| (page, MARK)), &failures)
}

/// The results of one attack.
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

async fn measure(options: &AttackOptions, attacker: &Handle, attack: &Attack, many: bool, most: usize) -> Outcome<Row> {
    let mut server = Server::start(&options.trial.program(), Database::sqlite(&options.trial.data())?).await?;
    let target = warm_up(&server).await?;
    let idle = server.resident()?;
    let wanted = attack.connections.min(most);
    let sources = sources(many);
    let every = Duration::from_millis(options.probe_millis);
    let (keys, cpu) = (key_metrics(&server).await?, server.processor_micros()?);
    let prober = Prober::start(server.address, server.process(), vec![sources[0], ELSEWHERE], every);
    let tally = Arc::new(Tally::default());
    let time = Duration::from_secs(options.seconds);
    let script = Arc::new((attack.script)(&target));
    let talkers = if attack.talk { talk(&server, &target).await? } else { JoinSet::new() };
    match attack.opening {
        Opening::Evenly => {
            let crowd = Crowd::start(attacker, &script, &sources, server.address, wanted, time / 3, &tally);
            sleep(time).await;
            let limit = Instant::now() + END;
            while attack.ended && tally.ended() == 0 && Instant::now() < limit {
                sleep(Duration::from_millis(50)).await;
            }
            crowd.stop().await;
        }
        Opening::AtOnce => {
            let started = Instant::now();
            while started.elapsed() < time {
                let crowd = Crowd::start(attacker, &script, &sources, server.address, wanted, Duration::ZERO, &tally);
                sleep(Duration::from_secs(1)).await;
                crowd.stop().await;
            }
        }
    }
    drop(talkers);
    let seen = prober.stop().await?;
    let cpu = Duration::from_secs_f64((server.processor_micros().unwrap_or(cpu) - cpu).max(0.0) / 1e6);
    let settle = if options.quick { Duration::ZERO } else { SETTLE };
    let (after, back) = give_back(&server, idle, settle).await;
    let afterwards = if server.is_running()? { serves(&server).await } else { Err("the server has ended".into()) };
    let mut details = seen.details.clone();
    details.extend(seen.failures.iter().map(|failure| format!("failed: {failure}")));
    details.push(format!(
        "opened {} connections, of which the server ended {}; statuses {:?}; processor time of the server {}",
        tally.opened(),
        tally.ended(),
        tally.statuses(),
        tables::seconds(cpu)
    ));
    let keys_after = key_metrics(&server).await.unwrap_or_default();
    details.extend(keys_after.difference(&keys).map(|line| format!("metric: {line}")));
    let mut row =
        Row { attack: attack.name, many, wanted, tally, seen, idle, after, back, details, failures: Vec::new() };
    row.judge(attack, afterwards);
    Ok(row)
}

impl Row {
    /// Notes all that was not as it should be.
    fn judge(&mut self, attack: &Attack, afterwards: Outcome<()>) {
        let mut failures = Vec::new();
        let (seen, idle) = (&self.seen, self.idle);
        if seen.failed > 0 {
            let first = seen.failures.first().map(String::as_str).unwrap_or_default();
            failures.push(format!("{} of {} probes failed: {first}", seen.failed, seen.failed + seen.latencies.len()));
        }
        if seen.peak > idle + MEMORY {
            failures.push(format!("memory rose from {} to {}", tables::bytes(idle), tables::bytes(seen.peak)));
        }
        if self.after > idle + MEMORY {
            failures.push(format!("memory is still {} after {} s", tables::bytes(self.after), self.back.as_secs()));
        }
        let statuses = self.tally.statuses();
        let expected = |status: &u16| attack.statuses.contains(status);
        if !attack.statuses.is_empty() && (statuses.is_empty() || !statuses.keys().all(expected)) {
            failures.push(format!("answered {statuses:?} instead of {:?}", attack.statuses));
        }
        if attack.ended && self.tally.ended() == 0 {
            failures.push("the server ended none of the connections".to_owned());
        }
        if let Err(error) = afterwards {
            failures.push(format!("afterwards: {error}"));
        }
        self.failures = failures;
    }
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

/// Waits until the server's memory is about what it was: while it is within the bound for at most `settle`, and above it
/// for at most [`BACK`]. Returns its memory, and the time since the attack's end.
async fn give_back(server: &Server, idle: u64, settle: Duration) -> (u64, Duration) {
    let started = Instant::now();
    loop {
        // A server that has ended has no memory.
        let (memory, elapsed) = (server.resident().unwrap_or_default(), started.elapsed());
        let limit = if memory > idle + MEMORY { BACK } else { settle };
        if memory <= idle + GIVEN_BACK || elapsed >= limit {
            return (memory, elapsed);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// The server's metrics about keys and authentication, a line each.
async fn key_metrics(server: &Server) -> Outcome<BTreeSet<String>> {
    let mut connection = Connection::open_from(ELSEWHERE, server.address).await?;
    let request = get("/metrics");
    let metrics = tokio::time::timeout(Duration::from_secs(10), connection.exchange(&request)).await??;
    let lines = String::from_utf8_lossy(metrics);
    let about_keys = |line: &&str| !line.starts_with('#') && (line.contains("_key") || line.contains("auth"));
    Ok(lines.lines().filter(about_keys).map(str::to_owned).collect())
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
        "connections held",
        "p50",
        "p99",
        "longest",
        "failed probes",
        "idle memory",
        "peak",
        "afterwards",
        "after",
        "passed",
    ];
    let lines = rows.iter().map(|row| {
        let micros = |percent| quantity(row.seen.percentile(percent).as_secs_f64() * 1e6, Unit::Micros);
        let mut held = format!("{} of {}", row.tally.most(), row.wanted);
        if row.attack == "connect storm" {
            _ = write!(held, "; {} of {} open in 0.9 s", row.tally.prompt(), row.tally.attempted());
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

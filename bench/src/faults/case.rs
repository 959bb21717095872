//! One fault under load: from the first request to the check of what is left.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep};

use super::{
    ledger::{self, Chat, Found},
    load::{HANG, Load, WORKERS},
    timeline::Timeline,
};
use crate::{
    Outcome,
    database::Database,
    server::{Program, Server},
    tables,
};

/// How long the load runs before the fault.
const BEFORE: Duration = Duration::from_millis(1_500);
/// How long it runs after recovery.
const AFTER: Duration = Duration::from_secs(1);
/// Upper bound on the wait for recovery; reaching it fails the case.
const RECOVERY: Duration = Duration::from_secs(30);
/// The number of lost changes that are described; all are counted.
const DESCRIBED: usize = 5;

/// What the server must do during a fault, and after it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Requests are refused, `/readyz` is not 200, and both recover by themselves.
    Refusal,
    /// `/readyz` is not 200; requests may succeed; both are well afterwards.
    Unready,
    /// No request fails that is sent later than this after the fault's beginning.
    ServiceAfter(Duration),
    /// `/readyz` is not 200, and there is no way back.
    UnreadyForGood,
    /// The same, and writes are refused: they would be lost.
    RefusalForGood,
    /// The same, and a restart finds everything.
    RefusalUntilRestart,
}

impl Expected {
    /// Whether service does not come back by itself.
    fn is_lasting(self) -> bool {
        matches!(self, Self::UnreadyForGood | Self::RefusalForGood | Self::RefusalUntilRestart)
    }
}

/// Ends a fault when it is asked to, or else when it is dropped.
pub(super) struct Undo {
    undo: Option<Box<dyn FnOnce() -> Outcome<()> + Send>>,
    began: Option<Instant>,
}

impl Undo {
    /// A fault that `undo` ends. Blocking.
    pub(super) fn new(undo: impl FnOnce() -> Outcome<()> + Send + 'static) -> Self {
        Self { undo: Some(Box::new(undo)), began: None }
    }

    /// A fault without an end.
    pub(super) fn none() -> Self {
        Self { undo: None, began: None }
    }

    /// A fault that took time to make, and whose times count from now on.
    pub(super) fn began_now(mut self) -> Self {
        self.began = Some(Instant::now());
        self
    }

    /// Ends the fault. Blocking.
    pub(super) fn undo(mut self) -> Outcome<()> {
        self.undo.take().map_or(Ok(()), |undo| undo())
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(undo) = self.undo.take()
            && let Err(error) = undo()
        {
            eprintln!("a fault may be left over: {error}");
        }
    }
}

/// Starts a load that begins with the fault; it ends when it is dropped.
type Beside = Box<dyn FnOnce(&Arc<Timeline>) -> JoinSet<()>>;

/// A fault that is ready to be injected into a running server.
pub(super) struct Case {
    /// Its name in tables.
    pub(super) name: &'static str,
    /// What must be seen.
    pub(super) expected: Expected,
    /// How long it lasts.
    pub(super) hold: Duration,
    /// Begins the fault. Blocking.
    inject: Box<dyn FnOnce() -> Outcome<Undo> + Send>,
    /// Whether this system may be unable to make the fault, in which case it is skipped.
    pub(super) optional: bool,
    /// Load that begins with the fault.
    pub(super) beside: Option<Beside>,
}

impl Case {
    /// A fault that every system can make.
    pub(super) fn new(
        name: &'static str,
        expected: Expected,
        hold: Duration,
        inject: impl FnOnce() -> Outcome<Undo> + Send + 'static,
    ) -> Self {
        Self { name, expected, hold, inject: Box::new(inject), optional: false, beside: None }
    }
}

/// What one case showed.
pub(super) struct Row {
    /// The fault.
    pub(super) name: &'static str,
    /// The kind of database.
    pub(super) database: &'static str,
    /// From the fault's beginning to the first 503.
    pub(super) refused: Option<Duration>,
    /// From the fault's beginning to the first answer of `/readyz` that is not 200.
    pub(super) unready: Option<Duration>,
    /// The longest time that a request took.
    pub(super) longest: Duration,
    /// From the fault's end until every kind of write has succeeded.
    pub(super) writes: Option<Duration>,
    /// From the fault's end until `/readyz` answers 200.
    pub(super) ready: Option<Duration>,
    /// What the restarted server has; `None`: the fault leaves no database to start on.
    pub(super) found: Option<Found>,
    /// What was not as it should be.
    pub(super) failures: Vec<String>,
}

/// Runs a case on a server, which is killed and, unless the fault has no end, started again as `program`. What `others`,
/// the loads of other servers on the same database, have had acknowledged is checked too. `None`: the system cannot make the fault.
pub(super) async fn measure(
    mut server: Server,
    program: &Program,
    case: Case,
    database: &'static str,
    others: Vec<Load>,
    notes: &mut Vec<String>,
) -> Outcome<Option<Row>> {
    let load = Load::start(server.address, WORKERS);
    let timeline = load.timeline.clone();
    sleep(BEFORE).await;
    let inject = case.inject;
    let before = Instant::now();
    let undo = match tokio::task::spawn_blocking(inject).await? {
        Ok(undo) => undo,
        Err(error) if case.optional => {
            notes.push(format!("Skipped on {database}: {}, since this system cannot make it: {error}.", case.name));
            return Ok(None);
        }
        Err(error) => return Err(format!("{}: {error}", case.name).into()),
    };
    let begun = undo.began.unwrap_or(before);
    let beside = case.beside.map(|beside| beside(&timeline));
    sleep(case.hold).await;
    let held = Instant::now();
    let mut failures = Vec::new();
    let lasting = case.expected.is_lasting();
    let is_lost = lasting && case.expected != Expected::RefusalUntilRestart;
    tokio::task::spawn_blocking(|| undo.undo()).await??;
    let ended = Instant::now();
    if !lasting {
        await_recovery(&timeline, ended).await;
        let recovered = Instant::now();
        sleep(AFTER).await;
        let late = timeline.failures(recovered, Instant::now());
        if let Some(event) = late.first() {
            failures.push(format!("{} requests failed after recovery, first: {event}", late.len()));
        }
    }
    drop(beside);
    judge(case.expected, &timeline, begun, held, &mut failures);
    let longest = timeline.longest().map_or(Duration::ZERO, |event| event.took);
    if longest >= HANG {
        failures.push(format!("a request took {} s or more", HANG.as_secs()));
    }
    let (writes, ready) = (timeline.writes(ended), timeline.ready(ended));
    if !lasting && (writes.is_none() || ready.is_none()) {
        failures.push(format!("no recovery within {} s: writes {writes:?}, readiness {ready:?}", RECOVERY.as_secs()));
    }
    if !server.is_running()? {
        failures.push("the server has ended".to_owned());
    }
    let (refused, unready) = (timeline.refused(begun), timeline.unready(begun));
    let database_handle = server.kill();
    let mut chats = load.stop().await;
    for other in others {
        chats.extend(other.stop().await);
    }
    let found = if is_lost { None } else { Some(check(program, database_handle, &chats, &mut failures).await?) };
    let row = Row { name: case.name, database, refused, unready, longest, writes, ready, found, failures };
    tables::report(&format!("{} ({database})", row.name), &row.details(), &row.failures);
    Ok(Some(row))
}

async fn await_recovery(timeline: &Timeline, ended: Instant) {
    while ended.elapsed() < RECOVERY && (timeline.writes(ended).is_none() || timeline.ready(ended).is_none()) {
        sleep(Duration::from_millis(20)).await;
    }
}

/// Compares what was seen between a fault's beginning and its end with what is expected.
fn judge(expected: Expected, timeline: &Timeline, begun: Instant, held: Instant, failures: &mut Vec<String>) {
    let within = |time: Option<Duration>| time.is_some_and(|time| begun + time <= held);
    if expected == Expected::Refusal && !within(timeline.refused(begun)) {
        failures.push("no request was answered 503".to_owned());
    }
    let ready = matches!(expected, Expected::ServiceAfter(_));
    if !ready && !within(timeline.unready(begun)) {
        failures.push("/readyz stayed 200".to_owned());
    }
    if let Expected::ServiceAfter(time) = expected {
        let failed = timeline.failures(begun + time, held);
        if let Some(event) = failed.first() {
            failures.push(format!("{} requests failed while others should go on, first: {event}", failed.len()));
        }
        let from = (begun + time).max(begun + held.duration_since(begun) / 2);
        if timeline.acknowledged(from, held) == 0 {
            failures.push("no write succeeded while others should go on".to_owned());
        }
    }
    if matches!(expected, Expected::RefusalForGood | Expected::RefusalUntilRestart) {
        let acknowledged = timeline.acknowledged(begun + held.duration_since(begun) / 2, held);
        if acknowledged > 0 {
            failures.push(format!("{acknowledged} writes were acknowledged on a database that is gone"));
        }
    }
}

/// Starts a server on the database and asks it for all that was acknowledged.
async fn check(program: &Program, database: Database, chats: &[Chat], failures: &mut Vec<String>) -> Outcome<Found> {
    let server = Server::start(program, database).await.map_err(|error| format!("the restart: {error}"))?;
    let found = ledger::check(server.address, chats).await?;
    if !found.lost.is_empty() {
        failures.push(format!("{} of {} acknowledged changes are lost", found.lost.len(), found.acknowledged));
    }
    if !found.wrong.is_empty() {
        failures.push(format!("{} answers contradict what was acknowledged or sent", found.wrong.len()));
    }
    Ok(found)
}

impl Row {
    /// What is told of it besides its failures.
    fn details(&self) -> Vec<String> {
        let time = |time: Option<Duration>| time.map_or_else(|| "never".to_owned(), tables::seconds);
        let mut details = vec![format!(
            "first 503 {}, /readyz not 200 {}, longest answer {}, writes back {}, /readyz 200 {}",
            time(self.refused),
            time(self.unready),
            tables::seconds(self.longest),
            time(self.writes),
            time(self.ready)
        )];
        if let Some(found) = &self.found {
            details.push(format!("{} acknowledged, {} lost", found.acknowledged, found.lost.len()));
            details.extend(found.lost.iter().take(DESCRIBED).map(|lost| format!("lost: {}", tables::short(lost))));
            details.extend(found.wrong.iter().take(DESCRIBED).map(|wrong| tables::short(wrong)));
        }
        details
    }
}

//! What is measured, and how much of it.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use crate::{
    Outcome,
    database::{Cluster, Database},
    http::Connection,
    results::Key,
    server::{Program, Server},
};

/// Figures that are measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// Parlor beside servers made by hand: creating, sending, reading, on SQLite and PostgreSQL.
    Compare,
    /// Live connections: idle memory, fan-out.
    Live,
    /// The SDK beside its HTTP client alone.
    Sdk,
    /// Pages at depth, and the SDK's memory while it reads all of them.
    Pages,
    /// Builds, the binary, start, idle memory, crates of the SDK.
    Sizes,
    /// Memory and cost with few chats and with millions. Takes long, and gigabytes of disk: only when it is named.
    Growth,
    /// All of the above.
    All,
}

/// In the order in which they run, the long ones last.
const SUITES: [Suite; 6] = [Suite::Compare, Suite::Live, Suite::Sdk, Suite::Pages, Suite::Sizes, Suite::Growth];

/// How to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What to measure [default: all but growth].
    #[arg(value_enum)]
    suites: Vec<Suite>,
    /// Try it: one short round, small sizes, no builds.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Rounds of each measurement [default: 3; quick: 1].
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of load in each round [default: 5; quick: 2].
    #[arg(long)]
    seconds: Option<u64>,
    /// Connections under load.
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// Live connections that say nothing [default: 10000; quick: 1000].
    #[arg(long)]
    idle: Option<usize>,
    /// Messages that one sends to a thousand listeners [default: 1000; quick: 300].
    #[arg(long)]
    fan_out: Option<usize>,
    /// Messages in the chat whose pages are read [default: 1000000; quick: 20000].
    #[arg(long)]
    messages: Option<usize>,
    /// Chats to which the database grows [default: 10000000; quick: 200000].
    #[arg(long)]
    chats: Option<usize>,
    /// Parlor's release binary.
    #[arg(long, default_value = "target/release/parlor")]
    pub(crate) parlor: PathBuf,
    /// The release binary of the peer on axum and sqlx; without it nothing is compared with it.
    #[arg(long)]
    axum: Option<PathBuf>,
    /// The program of the peer in Python; without it nothing is compared with it.
    #[arg(long, requires = "python")]
    fastapi: Option<PathBuf>,
    /// The Python that has what that peer needs.
    #[arg(long)]
    python: Option<PathBuf>,
    /// A database of PostgreSQL that others can be created from; without it only SQLite is measured.
    #[arg(long, requires = "psql")]
    postgres: Option<String>,
    /// PostgreSQL's client.
    #[arg(long)]
    psql: Option<PathBuf>,
    /// Where databases of SQLite are made: on the disk that is to be measured [default: the folder for temporary files].
    #[arg(long)]
    data: Option<PathBuf>,
    /// The cores of every server, as `taskset` has them, for example `0` [default: all].
    #[arg(long)]
    cores: Option<String>,
    /// The cores of the load [default: all].
    #[arg(long)]
    load_cores: Option<String>,
    /// Threads of the load. One costs the least, and is enough for two cores.
    #[arg(long, default_value_t = 1)]
    pub(crate) load_threads: usize,
    /// What is measured, as in a name of the revision.
    #[arg(long)]
    revision: Option<String>,
    /// Where results are written; those of suites that do not run now are kept.
    #[arg(long, default_value = "target/bench/results.json")]
    pub(crate) results: PathBuf,
}

/// A server that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// What all this is about.
    Parlor,
    /// axum and sqlx by hand, one transaction a request.
    Axum,
    /// The same in Python.
    FastApi,
    /// The peer on axum, asked for an answer that needs no database: the floor.
    Echo,
}

impl Subject {
    /// As reports have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Parlor => "Parlor",
            Self::Axum => "axum + sqlx",
            Self::FastApi => "FastAPI",
            Self::Echo => "axum, no database",
        }
    }
}

/// Where a server keeps its chats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// A file, in WAL mode, synced at each commit.
    Sqlite,
    /// A server of its own on this machine.
    Postgres,
}

impl Store {
    /// As reports have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

impl Suite {
    /// As the results file and the command line have it.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().expect("no suite is skipped").get_name().to_owned()
    }

    /// All that have figures.
    pub(crate) fn each() -> impl Iterator<Item = Self> {
        SUITES.into_iter()
    }
}

impl Options {
    /// The suites that were asked for.
    pub(crate) fn suites(&self) -> Vec<Suite> {
        let wanted = |suite: &Suite| match &self.suites[..] {
            [] => *suite != Suite::Growth,
            named => named.contains(suite) || named.contains(&Suite::All),
        };
        Suite::each().filter(wanted).collect()
    }

    fn size<T>(&self, given: Option<T>, full: T, quick: T) -> T {
        given.unwrap_or(if self.quick { quick } else { full })
    }

    /// Rounds of each measurement.
    pub(crate) fn rounds(&self) -> usize {
        self.size(self.rounds, 3, 1)
    }

    /// How long each round lasts.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.size(self.seconds, 5, 2))
    }

    /// How long a new server is under load before it is measured.
    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_millis(self.size(None, 1_000, 500))
    }

    /// Live connections that say nothing.
    pub(crate) fn idle(&self) -> usize {
        self.size(self.idle, 10_000, 1_000)
    }

    /// Messages that one sends to a thousand listeners.
    pub(crate) fn fan_out(&self) -> usize {
        self.size(self.fan_out, 1_000, 300)
    }

    /// Messages in the chat whose pages are read.
    pub(crate) fn messages(&self) -> usize {
        self.size(self.messages, 1_000_000, 20_000)
    }

    /// Chats to which the database grows.
    pub(crate) fn chats(&self) -> usize {
        self.size(self.chats, 10_000_000, 200_000)
    }

    /// `case` of what is measured under load.
    pub(crate) fn connections(count: usize) -> String {
        if count == 1 { "1 connection".to_owned() } else { format!("{count} connections") }
    }

    /// Where databases of SQLite are made.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// What is measured.
    pub(crate) fn revision(&self) -> String {
        named_revision(self.revision.as_deref())
    }

    /// The cores of the load, if they are not all.
    pub(crate) fn load_cores(&self) -> Option<&str> {
        self.load_cores.as_deref()
    }

    /// How to start a server; none if it is not there.
    pub(crate) fn program(&self, subject: Subject) -> Option<Program> {
        let all = || format!("0-{}", std::thread::available_parallelism().map_or(1, std::num::NonZero::get) - 1);
        // What the load is bound to would be inherited.
        let cores = self.cores.clone().or_else(|| self.load_cores.as_ref().map(|_| all()));
        let (path, script) = match subject {
            Subject::Parlor => (Some(&self.parlor), None),
            Subject::Axum | Subject::Echo => (self.axum.as_ref(), None),
            Subject::FastApi => (self.python.as_ref(), Some(self.fastapi.clone()?)),
        };
        Some(Program { path: path?.clone(), script, cores, log: None })
    }

    /// PostgreSQL, if it is there.
    pub(crate) fn cluster(&self) -> Option<Cluster> {
        Some(Cluster { url: self.postgres.clone()?, psql: self.psql.clone()? })
    }

    /// A new server on a new database; none if one of them is not there.
    pub(crate) async fn start(&self, subject: Subject, store: Store) -> Outcome<Option<Server>> {
        let Some(program) = self.program(subject) else { return Ok(None) };
        let database = match (store, self.cluster()) {
            (Store::Sqlite, _) => Database::sqlite(&self.data())?,
            (Store::Postgres, Some(cluster)) => Database::postgres(&cluster)?,
            (Store::Postgres, None) => return Ok(None),
        };
        Server::start(&program, database).await.map(Some)
    }

    /// Parlor on SQLite.
    pub(crate) async fn parlor(&self) -> Outcome<Server> {
        self.start(Subject::Parlor, Store::Sqlite).await?.ok_or_else(|| "Parlor is always there".into())
    }

    /// How figures were come by, for whoever reads them.
    pub(crate) fn notes(&self) -> Outcome<Vec<String>> {
        let cores = |cores: Option<&str>| cores.map_or("all cores".to_owned(), |cores| format!("the cores {cores}"));
        let (rounds, seconds) = (self.rounds(), self.time().as_secs());
        let mut notes = vec![format!(
            "Medians of {rounds} {}; a round of load lasts {seconds} s on a new server with an empty database, after {} s \
             of warming up. What is compared takes turns, and a ratio is the median of the rounds' ratios.",
            if rounds == 1 { "round" } else { "rounds" },
            self.warm_up().as_secs_f64(),
        )];
        notes.push(format!(
            "Load and servers share the machine: every server may use {}, the load {}, with {} {}.",
            cores(self.cores.as_deref()),
            cores(self.load_cores()),
            self.load_threads,
            if self.load_threads == 1 { "thread" } else { "threads" },
        ));
        if let Some(cluster) = self.cluster() {
            let version = cluster.version()?;
            notes.push(format!("{version} with its defaults, `fsync` on; its own processor time is not the server's."));
        }
        if self.quick {
            notes.push("A quick run, to try it: the sizes are small, and so is the worth of the figures.".to_owned());
        }
        Ok(notes)
    }
}

/// The program's name and version, with the name of its revision when there is one.
pub(crate) fn named_revision(revision: Option<&str>) -> String {
    let version = concat!("Parlor ", env!("CARGO_PKG_VERSION"));
    revision.map_or_else(|| version.to_owned(), |revision| format!("{version} ({revision})"))
}

/// The key of a load on Parlor and SQLite.
pub(crate) fn parlor_key(work: &str, case: &str) -> Key {
    Key::new(Store::Sqlite.name(), work, case, Subject::Parlor.name())
}

/// The time that Parlor or a peer takes to create some chats is of no interest: creates them, and returns their IDs.
pub(crate) async fn new_chats(server: &Server, bodies: impl Iterator<Item = String>) -> Outcome<Vec<String>> {
    let requests: Vec<Vec<u8>> = bodies.map(|body| crate::http::post(crate::http::CHATS, &body)).collect();
    let each = requests.len().div_ceil(16).max(1);
    let create = |requests: Vec<Vec<u8>>| async move {
        let mut connection = Connection::open(server.address).await?;
        let mut ids = Vec::new();
        for request in requests {
            ids.push(crate::http::member(connection.exchange(&request).await?, "id")?);
        }
        Outcome::Ok(ids)
    };
    let parts = requests.chunks(each).map(|part| create(part.to_vec()));
    Ok(futures_util::future::try_join_all(parts).await?.concat())
}

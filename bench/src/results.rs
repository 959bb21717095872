//! What was measured, as it is written to the results file.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{Outcome, machine::Machine, stats::median};

/// The results file: suites that ran at different times stand side by side, each with the machine it ran on.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    /// By the suite's name.
    pub(crate) suites: BTreeMap<String, SuiteResults>,
}

/// What one suite has measured.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SuiteResults {
    /// Where, and how.
    pub(crate) machine: Machine,
    /// How it was measured: what to know beside the figures, a sentence each.
    pub(crate) notes: Vec<String>,
    /// Runs of load.
    pub(crate) loads: Vec<Load>,
    /// Figures that no load has.
    pub(crate) figures: Vec<Figure>,
}

/// One work that one server was given, in some rounds.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Which.
    #[serde(flatten)]
    pub(crate) key: Key,
    /// In the order in which they were run.
    pub(crate) rounds: Vec<Round>,
}

/// What tells one load from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    /// `SQLite` or `PostgreSQL`.
    pub(crate) database: String,
    /// As in `create_chat`.
    pub(crate) work: String,
    /// What else is part of the work, as in `64 connections`.
    pub(crate) case: String,
    /// Who was given it, or what made the calls.
    pub(crate) subject: String,
}

impl Key {
    /// All of it.
    pub(crate) fn new(database: &str, work: &str, case: &str, subject: &str) -> Self {
        let [database, work, case, subject] = [database, work, case, subject].map(str::to_owned);
        Self { database, work, case, subject }
    }

    /// Whether it is the same work for another subject.
    pub(crate) fn is_of_same_work(&self, other: &Self) -> bool {
        (&self.database, &self.work, &self.case) == (&other.database, &other.work, &other.case)
    }
}

/// A round of load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Round {
    /// How many answers.
    pub(crate) answers: u32,
    /// Answers a second.
    pub(crate) rate: f64,
    /// Half of the answers took at most this, in microseconds.
    pub(crate) p50_us: f64,
    /// Of a hundred answers one took longer, in microseconds.
    pub(crate) p99_us: f64,
    /// Processor time that an answer took the server, in microseconds. Steadier than the rate, which is the machine's too.
    pub(crate) server_cpu_us: f64,
    /// Processor time that an answer took the load, in microseconds.
    pub(crate) load_cpu_us: f64,
    /// The server's resident memory at the end of the round.
    pub(crate) resident_bytes: u64,
}

impl Round {
    /// `resident_bytes`, to be counted with.
    pub(crate) fn resident(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "memory of this size is far below 2^52")]
        let bytes = self.resident_bytes as f64;
        bytes
    }
}

impl Load {
    /// The median of one member of the rounds.
    pub(crate) fn median(&self, member: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(member))
    }

    /// One member through that of `other`: the median of the rounds' ratios. What took turns in a round had the same
    /// machine, which from one round to the next may be another one.
    pub(crate) fn through(&self, other: &Self, member: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().zip(&other.rounds).map(|(own, other)| member(own) / member(other)))
    }
}

/// A figure, in as many values as there were rounds.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What goals and reports know it by.
    pub(crate) id: String,
    /// What it is, for readers.
    pub(crate) text: String,
    /// Of the values.
    pub(crate) unit: Unit,
    /// In the order in which they were measured.
    pub(crate) values: Vec<f64>,
}

/// The unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Of memory or disk.
    Bytes,
    /// Of time.
    Micros,
    /// Of time, when it is long.
    Seconds,
    /// Of something.
    PerSecond,
    /// Of something.
    Count,
    /// One figure through another.
    Times,
}

impl SuiteResults {
    /// Adds a round of load. Those of one work stand together, in whatever order they were measured.
    pub(crate) fn add(&mut self, key: &Key, round: Round) {
        if let Some(load) = self.loads.iter_mut().find(|load| load.key == *key) {
            load.rounds.push(round);
            return;
        }
        let last = self.loads.iter().rposition(|load| load.key.is_of_same_work(key));
        let place = last.map_or(self.loads.len(), |last| last + 1);
        self.loads.insert(place, Load { key: key.clone(), rounds: vec![round] });
    }

    /// Adds a value of a figure.
    pub(crate) fn figure(&mut self, id: &str, text: &str, unit: Unit, value: f64) {
        match self.figures.iter_mut().find(|figure| figure.id == id) {
            Some(figure) => figure.values.push(value),
            None => {
                let figure = Figure { id: id.to_owned(), text: text.to_owned(), unit, values: vec![value] };
                self.figures.push(figure);
            }
        }
    }
}

impl Results {
    /// The load of a suite.
    pub(crate) fn load(&self, suite: &str, key: &Key) -> Option<&Load> {
        self.suites.get(suite)?.loads.iter().find(|load| load.key == *key)
    }

    /// The median of a figure of any suite.
    pub(crate) fn value(&self, id: &str) -> Option<f64> {
        let mut figures = self.suites.values().flat_map(|suite| &suite.figures);
        Some(median(figures.find(|figure| figure.id == id)?.values.iter().copied()))
    }

    /// Reads the file.
    pub(crate) fn read(file: &Path) -> Outcome<Self> {
        let text = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", file.display()).into())
    }

    /// Reads the file if it is there: a suite that is run now takes the place of its earlier results in it.
    pub(crate) fn read_or_new(file: &Path) -> Outcome<Self> {
        if file.exists() { Self::read(file) } else { Ok(Self::default()) }
    }

    /// Writes the file, as a whole or not at all.
    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        replace(file, &text)
    }
}

/// Writes a file, as a whole or not at all.
pub(crate) fn replace(file: &Path, text: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = file.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: Round = Round {
        answers: 3,
        rate: 1.5,
        p50_us: 2.0,
        p99_us: 3.0,
        server_cpu_us: 4.0,
        load_cpu_us: 5.0,
        resident_bytes: 6,
    };

    #[test]
    fn loads_of_one_work_stand_together_whenever_they_were_measured() {
        let key = |work, subject| Key::new("SQLite", work, "1 connection", subject);
        let mut suite = SuiteResults::default();
        for (work, subject) in [
            ("create_chat", "Parlor"),
            ("create_chat", "axum + sqlx"),
            ("/healthz", "Parlor"),
            ("create_chat", "FastAPI"),
        ] {
            suite.add(&key(work, subject), ROUND);
        }
        assert_eq!(suite.loads[2].key, key("create_chat", "FastAPI"), "with those of its own work");
    }

    #[test]
    fn what_is_written_is_read() {
        let round = ROUND;
        let key = Key::new("SQLite", "create_chat", "1 connection", "Parlor");
        let mut suite = SuiteResults::default();
        suite.add(&key, round);
        suite.add(&key, Round { rate: 2.5, ..round });
        let other = Key::new("SQLite", "create_chat", "1 connection", "axum + sqlx");
        suite.add(&other, Round { rate: 0.5, ..round });
        suite.add(&other, Round { rate: 2.5, ..round });
        suite.figure("id", "What it is", Unit::Bytes, 7.0);
        suite.figure("id", "What it is", Unit::Bytes, 9.0);
        let results = Results { suites: BTreeMap::from([("compare".to_owned(), suite)]) };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/results.json");
        assert_eq!(Results::read_or_new(&file).unwrap(), Results::default());
        results.write(&file).unwrap();
        let read = Results::read_or_new(&file).unwrap();
        assert_eq!(read, results);
        assert!((read.load("compare", &key).unwrap().median(|round| round.rate) - 2.0).abs() < f64::EPSILON);
        let ratio =
            read.load("compare", &key).unwrap().through(read.load("compare", &other).unwrap(), |round| round.rate);
        assert!((ratio - 2.0).abs() < f64::EPSILON, "between 3 in one round and 1 in the other");
        assert!((read.value("id").unwrap() - 8.0).abs() < f64::EPSILON);
        assert_eq!(read.value("other"), None);
    }
}

//! Options of the fault driver.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::{database::Cluster, trial::TrialOptions};

/// How to inject faults.
#[derive(Debug, Args)]
pub(crate) struct FaultOptions {
    #[command(flatten)]
    pub(super) trial: TrialOptions,
    /// Seconds that each fault lasts; those that stop all processes of PostgreSQL take twice as long.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub(super) seconds: u64,
    /// A database of PostgreSQL that others can be created from; without it only SQLite is tried.
    #[arg(long, requires = "psql")]
    pub(super) postgres: Option<String>,
    /// PostgreSQL's client.
    #[arg(long)]
    pub(super) psql: Option<PathBuf>,
    /// The process id of that server, which is stopped and started again; without it these faults are skipped.
    #[arg(long)]
    pub(super) postgres_pid: Option<u32>,
}

impl FaultOptions {
    /// PostgreSQL, if it is there.
    pub(super) fn cluster(&self) -> Option<Cluster> {
        Some(Cluster { url: self.postgres.clone()?, psql: self.psql.clone()? })
    }

    /// How long a fault lasts.
    pub(super) fn hold(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

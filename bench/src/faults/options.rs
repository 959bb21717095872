//! Options of the fault driver.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::{database::Cluster, server::Program};

/// How to inject faults.
#[derive(Debug, Args)]
pub(crate) struct FaultOptions {
    /// Parlor's binary.
    #[arg(long, default_value = "target/release/parlor")]
    pub(super) parlor: PathBuf,
    /// Seconds that each fault lasts; those that stop all processes of PostgreSQL take twice as long.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub(super) seconds: u64,
    /// Only the faults whose name contains this.
    #[arg(long)]
    pub(super) only: Option<String>,
    /// A database of PostgreSQL that others can be created from; without it only SQLite is tried.
    #[arg(long, requires = "psql")]
    pub(super) postgres: Option<String>,
    /// PostgreSQL's client.
    #[arg(long)]
    pub(super) psql: Option<PathBuf>,
    /// The process id of that server, which is stopped and started again; without it these faults are skipped.
    #[arg(long)]
    pub(super) postgres_pid: Option<u32>,
    /// Where databases are made [default: the folder for temporary files].
    #[arg(long)]
    pub(super) data: Option<PathBuf>,
    /// Name of the revision under test, shown above the table.
    #[arg(long)]
    pub(super) revision: Option<String>,
    /// The file to which the servers' logs are appended [default: standard error].
    #[arg(long)]
    pub(super) log: Option<PathBuf>,
    /// Puts the table between the marks of this page as well.
    #[arg(long)]
    pub(super) into: Option<PathBuf>,
}

impl FaultOptions {
    /// How a server is started.
    pub(super) fn program(&self) -> Program {
        Program { path: self.parlor.clone(), script: None, cores: None, log: self.log.clone() }
    }

    /// Where databases are made.
    pub(super) fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// PostgreSQL, if it is there.
    pub(super) fn cluster(&self) -> Option<Cluster> {
        Some(Cluster { url: self.postgres.clone()?, psql: self.psql.clone()? })
    }

    /// How long a fault lasts.
    pub(super) fn hold(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Whether the fault of this name is wanted.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|part| name.contains(part))
    }
}

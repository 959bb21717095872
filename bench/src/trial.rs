//! Options that the attack driver and the fault driver share.

use std::path::PathBuf;

use clap::Args;

use crate::server::Program;

/// Selects the attacks or faults to run, and names the server.
#[derive(Debug, Args)]
pub(crate) struct TrialOptions {
    /// Parlor's binary.
    #[arg(long, default_value = "target/release/parlor")]
    pub(crate) parlor: PathBuf,
    /// Only the attacks or faults whose name contains this.
    #[arg(long)]
    pub(crate) only: Option<String>,
    /// Where databases are made [default: the folder for temporary files].
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// Name of the revision under test, shown above the tables.
    #[arg(long)]
    pub(crate) revision: Option<String>,
    /// The file to which the servers' logs are appended [default: standard error].
    #[arg(long)]
    pub(crate) log: Option<PathBuf>,
    /// Puts the tables between the marks of this page as well.
    #[arg(long)]
    pub(crate) into: Option<PathBuf>,
}

impl TrialOptions {
    /// The server's program and the file of its log.
    pub(crate) fn program(&self) -> Program {
        Program { path: self.parlor.clone(), script: None, cores: None, log: self.log.clone() }
    }

    /// The folder in which databases are made.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// Returns whether the attack or fault `name` is selected.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|part| name.contains(part))
    }
}

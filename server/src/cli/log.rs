//! Logging to standard error, as text or JSON.

use std::io::{self, IsTerminal as _};

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use super::Failure;
use crate::base::error::Error;

#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub(super) struct Log {
    /// What is logged: a level, or directives as in `info,parlor_server::store=debug`.
    #[arg(long = "log", env = "PARLOR_LOG", default_value = "info,sea_orm_migration=warn")]
    filter: String,
    /// How a line is written.
    #[arg(long = "log-format", env = "PARLOR_LOG_FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

impl Log {
    /// From here on events are written.
    pub(super) fn start(&self) -> Result<(), Failure> {
        let filter = EnvFilter::try_new(&self.filter)
            .map_err(|error| Error::Invalid(format!("--log {:?} cannot be understood: {error}", self.filter)))?;
        let registry = tracing_subscriber::registry().with(filter);
        let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
        match self.format {
            Format::Text => registry.with(lines.with_target(false)).init(),
            Format::Json => registry.with(lines.json().flatten_event(true)).init(),
        }
        Ok(())
    }
}

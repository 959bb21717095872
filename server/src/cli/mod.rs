//! The command line: `parlor [serve|openapi|openapi-3.1|asyncapi|tenant|key]`.

mod assistant;
mod document;
mod greeting;
mod key;
mod listen_address;
mod log;
mod secret_setting;
mod serve;
mod signals;
mod tenant;

use std::{convert::Infallible, ffi::OsString, fmt, io, process::ExitCode, str::FromStr, sync::Arc};

use clap::{Args, Parser, Subcommand, builder::ArgPredicate};

use crate::{
    base::{
        clock::{Moments, SystemClock},
        error::{Error, Result as AppResult},
        metrics::Metrics,
    },
    config::{Config, Limits},
    service::Tenants,
    store::{DatabaseUrl, Opener, Store},
};

/// Self-hosted, multi-tenant chat backend. Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "parlor", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API, Swagger UI and metrics (the default).
    Serve(Box<serve::Serve>),
    /// Write the OpenAPI document, or check the written one.
    Openapi(document::Document),
    /// Write the OpenAPI document in version 3.1, or check the written one.
    #[command(name = "openapi-3.1")]
    Openapi31(document::Document),
    /// Write the AsyncAPI document, or check the written one.
    Asyncapi(document::Document),
    /// Create and list tenants.
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Create, list and revoke API keys.
    #[command(subcommand)]
    Key(key::Key),
}

/// Where the data is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Database")]
struct Database {
    /// `sqlite://path` or `postgres://user:password@host/database`. A SQLite file that is missing is created by `serve`
    /// alone.
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        default_value = Config::DATABASE,
        default_value_if("database_url_file", ArgPredicate::IsPresent, None)
    )]
    database_url: Option<Unshown>,
    /// A file that holds the URL, in place of the URL.
    #[arg(long, env = "DATABASE_URL_FILE")]
    database_url_file: Option<OsString>,
}

/// An argument that may hold a secret: taken as it is and checked later, since clap repeats what it cannot parse.
#[derive(Clone)]
struct Unshown(String);

impl FromStr for Unshown {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Unshown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Database {
    fn url(self) -> AppResult<DatabaseUrl> {
        let url = secret_setting::secret("DATABASE_URL", self.database_url, self.database_url_file)?;
        url.as_deref().unwrap_or(Config::DATABASE).parse()
    }

    /// The operators' side of the database, while a server may be running on it.
    async fn tenants(self) -> AppResult<(Store, Tenants)> {
        let moments = Moments::new(Arc::new(SystemClock));
        let Limits { database, writer, .. } = Limits::default();
        let metrics = Metrics::new().writer;
        let opener = Opener::Command;
        let store = Store::open(&self.url()?, opener, moments.clone(), database, writer, metrics, Arc::new(())).await?;
        Ok((store.clone(), Tenants::new(store, moments)))
    }
}

/// Why a command failed, in a sentence for the terminal.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    App(#[from] Error),
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    /// Whatever is to be said has been said.
    #[error("")]
    Said,
}

impl Failure {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let Cli { command, serve } = Cli::parse();
    let outcome = match command.unwrap_or(Command::Serve(Box::new(serve))) {
        Command::Serve(command) => in_runtime(command.run()),
        Command::Openapi(command) => command.run(&document::OPENAPI),
        Command::Openapi31(command) => command.run(&document::OPENAPI_31),
        Command::Asyncapi(command) => command.run(&document::ASYNCAPI),
        Command::Tenant(command) => in_runtime(command.run()),
        Command::Key(command) => in_runtime(command.run()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Said) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("parlor: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn in_runtime(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::io("cannot start the runtime"))?
        .block_on(command)
}

/// Rows under a head, columns aligned, for the terminal.
fn print_table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_setting_has_a_group_in_the_help() {
        let command = Cli::command();
        for argument in command.get_arguments() {
            let group = argument.get_help_heading().unwrap_or_default();
            let groups = ["Server", "Database", "Assistant", "Demo", "Log"];
            assert!(groups.contains(&group), "{} is in the group {group:?}", argument.get_id());
        }
    }

    #[test]
    fn every_secret_can_be_in_a_file() {
        let command = Cli::command();
        let variables: Vec<&str> =
            command.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
        let is_secret = |variable: &str| variable.ends_with("_KEY") || variable == "DATABASE_URL";
        for secret in variables.iter().filter(|variable| is_secret(variable)) {
            assert!(variables.contains(&format!("{secret}_FILE").as_str()), "{secret}");
        }
    }

    #[test]
    fn the_table_of_settings_in_the_operations_page_is_the_command_line_s() {
        let page = include_str!("../../../docs/OPERATIONS.md");
        let rows = page.lines().filter(|line| line.starts_with("| `--")).map(|line| {
            let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            [cells[1], cells[2], cells[3]].map(str::to_owned)
        });
        let shown: Vec<_> = rows.collect();
        let settings = |command: &clap::Command| {
            let setting = |argument: &clap::Arg| {
                let variable = argument.get_env().expect("a setting has a variable").to_str().unwrap();
                let default = argument.get_default_values().first().map_or("none", |value| value.to_str().unwrap());
                [format!("--{}", argument.get_long().unwrap()), variable.to_owned(), default.to_owned()]
            };
            command.get_arguments().map(setting).collect::<Vec<_>>()
        };
        let command = Cli::command();
        assert_eq!(settings(&command), shown);
        assert_eq!(settings(command.find_subcommand("serve").unwrap()), shown);
        let others =
            command.get_subcommands().flat_map(clap::Command::get_subcommands).flat_map(clap::Command::get_arguments);
        let variables: Vec<_> = others.filter_map(|argument| argument.get_env()?.to_str()).collect();
        let each = ["DATABASE_URL", "DATABASE_URL_FILE"].repeat(5);
        assert_eq!(variables, each, "each command for tenants and keys, and nothing else");
    }
}

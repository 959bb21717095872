//! Measures Parlor, and what it is compared with, on this machine.
//!
//! `scripts/stages/attack.sh` attacks it and injects faults, with the same means.
//!
//! `scripts/bench.sh` builds all of it and runs this. What is compared is measured side by side in one run, in turns,
//! since machines have moods; each figure is the median of its rounds.

mod attack;
mod database;
mod faults;
mod format;
mod goals;
mod http;
mod load;
mod machine;
mod options;
mod plot;
mod report;
mod results;
mod server;
mod stats;
mod suites;
mod tables;
mod trial;
mod websocket;

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::{Parser, Subcommand};
use options::{Options, Suite};
use results::{Results, SuiteResults, replace};
use tokio::signal::unix::{SignalKind, signal};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Measures Parlor and its peers, and reports what was measured.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures, and prints the report.
    Run(Box<Options>),
    /// Prints the report on earlier results, as Markdown.
    Report {
        /// The results file.
        results: PathBuf,
        /// Draws the plot into this file as well.
        #[arg(long)]
        plot: Option<PathBuf>,
        /// Puts the report between the marks of this page instead of printing it.
        #[arg(long)]
        into: Option<PathBuf>,
    },
    /// Attacks Parlor, and measures what ordinary clients see and what it costs.
    Attack(Box<attack::AttackOptions>),
    /// Injects faults of the database under load, and checks that what was acknowledged is kept.
    Faults(Box<faults::FaultOptions>),
    /// Reads all messages of a chat through the SDK, in a process of its own, whose memory is what is measured.
    #[command(hide = true)]
    Stream {
        /// The server.
        url: String,
        /// The chat.
        chat: String,
    },
}

fn main() -> Outcome<ExitCode> {
    match Cli::parse().command {
        Command::Run(options) => run(&options),
        Command::Report { results, plot, into } => {
            let results = Results::read(&results)?;
            if let Some(plot) = plot {
                replace(&plot, plot::draw(&results).as_bytes())?;
            }
            let report = report::markdown(&results);
            match into {
                Some(page) => {
                    let text = std::fs::read_to_string(&page);
                    let text = text.map_err(|error| format!("{}: {error}", page.display()))?;
                    replace(&page, report::into_page(&text, report::FIGURES, &report)?.as_bytes())?;
                }
                None => print!("{report}"),
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Attack(options) => {
            // One thread: the attacker must leave a core to the server.
            let attacker = attack::attacker()?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(until_signalled(attack::run(&options, attacker.handle())))
        }
        Command::Faults(options) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(until_signalled(faults::run(&options)))
        }
        Command::Stream { url, chat } => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            println!("{}", runtime.block_on(suites::pages::stream(&url, &chat))?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run(options: &Options) -> Outcome<ExitCode> {
    if let Some(cores) = options.load_cores() {
        // Before there are other threads: they take after this one.
        let process = std::process::id().to_string();
        let done = std::process::Command::new("taskset").args(["--cpu-list", "--pid", cores, &process]).output()?;
        if !done.status.success() {
            return Err(format!("taskset: {}", String::from_utf8_lossy(&done.stderr)).into());
        }
    }
    let mut builder = match options.load_threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(options.load_threads).enable_all().build()?;
    runtime.block_on(until_signalled(measure(options)))
}

/// Runs `work` until it is done or a signal ends this process. What has been started ends with its handles, which are
/// dropped with the future.
async fn until_signalled(work: impl Future<Output = Outcome<ExitCode>>) -> Outcome<ExitCode> {
    let (mut interrupted, mut ended) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        outcome = work => outcome,
        _ = interrupted.recv() => Err("interrupted".into()),
        _ = ended.recv() => Err("ended by a signal".into()),
    }
}

/// Runs the suites, and writes the results after each: a later one that fails takes nothing away.
async fn measure(options: &Options) -> Outcome<ExitCode> {
    let mut results = Results::read_or_new(&options.results)?;
    let mut failures = Vec::new();
    for suite in options.suites() {
        let (name, started) = (suite.name(), Instant::now());
        eprintln!("=== {name}");
        let machine = machine::Machine::look(&options.data(), options.revision())?;
        if machine.syncs_nothing() {
            eprintln!("{} keeps nothing: on it a sync costs nothing, and figures mean little", machine.file_system);
        }
        let mut measured = SuiteResults { machine, notes: options.notes()?, ..SuiteResults::default() };
        let outcome = match suite {
            Suite::Compare => suites::compare::measure(options, &mut measured).await,
            Suite::Live => suites::live::measure(options, &mut measured).await,
            Suite::Sdk => suites::sdk::measure(options, &mut measured).await,
            Suite::Pages => suites::pages::measure(options, &mut measured).await,
            Suite::Sizes => suites::sizes::measure(options, &mut measured).await,
            Suite::Growth => suites::growth::measure(options, &mut measured).await,
            Suite::All => Ok(()),
        };
        if let Err(error) = outcome {
            eprintln!("FAILED: {error}");
            failures.push(name.clone());
        }
        results.suites.insert(name.clone(), measured);
        results.write(&options.results)?;
        eprintln!("=== {name} took {:.0} s", started.elapsed().as_secs_f64());
    }
    print(&results, &options.results)?;
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("not all was measured: {}", failures.join(", "));
    Ok(ExitCode::FAILURE)
}

/// The report on the terminal, and the plot beside the results.
fn print(results: &Results, file: &Path) -> Outcome<()> {
    let plot = file.with_extension("svg");
    replace(&plot, plot::draw(results).as_bytes())?;
    print!("{}", report::markdown(results));
    eprintln!("\nresults: {}\nplot: {}", file.display(), plot.display());
    Ok(())
}

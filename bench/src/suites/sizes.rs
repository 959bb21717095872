//! What a developer and an operator wait for and pay before the first request.

use std::{
    collections::BTreeSet,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::process::Command;

use crate::{
    Outcome,
    http::{Connection, get},
    options::Options,
    results::{SuiteResults, Unit},
};

/// Starts for their median, each on a new database.
const STARTS: usize = 11;
/// A build on a slow machine.
const BUILD: Duration = Duration::from_hours(1);

/// From the start of the process to its first answer, in microseconds.
pub(crate) const START: &str = "sizes.start_us";
/// The release binary, in bytes.
pub(crate) const BINARY: &str = "sizes.binary_bytes";
/// Crates that the SDK is built from, itself included.
pub(crate) const CRATES: &str = "sizes.sdk_crates";
/// The same with live sessions.
pub(crate) const REALTIME_CRATES: &str = "sizes.sdk_realtime_crates";

/// Measures all of it.
pub(crate) async fn measure(options: &Options, results: &mut SuiteResults) -> Outcome<()> {
    start(options, results).await?;
    let binary = f64::from(u32::try_from(std::fs::metadata(&options.parlor)?.len())?);
    results.figure(BINARY, "Release binary", Unit::Bytes, binary);
    results.figure(CRATES, "Crates of the SDK", Unit::Count, crates(&[]).await?);
    results.figure(REALTIME_CRATES, "  with live sessions", Unit::Count, crates(&["--features", "realtime"]).await?);
    if options.quick {
        return Ok(());
    }
    results.notes.push("Debug builds begin with nothing but the downloaded sources.".to_owned());
    cargo(&["fetch", "--locked"], None).await?;
    for (id, text, what) in [
        ("sizes.sdk_build_s", "Debug build of the SDK", &["--package", "parlor-sdk"][..]),
        ("sizes.server_build_s", "Debug build of the server", &["--package", "parlor-server"]),
        ("sizes.workspace_build_s", "Debug build of everything with all tests", &["--workspace", "--all-targets"]),
    ] {
        eprintln!("{text}");
        let target = tempfile::tempdir_in(options.data())?;
        let started = Instant::now();
        cargo(&[&["build", "--locked"], what].concat(), Some(target.path())).await?;
        results.figure(id, text, Unit::Seconds, started.elapsed().as_secs_f64());
    }
    Ok(())
}

/// How long a start takes, and what memory a server has that nobody has asked anything.
async fn start(options: &Options, results: &mut SuiteResults) -> Outcome<()> {
    eprintln!("{STARTS} starts");
    for _ in 0..STARTS {
        let started = Instant::now();
        let server = options.parlor().await?;
        Connection::open(server.address).await?.exchange(&get("/readyz")).await?;
        let answered = started.elapsed();
        results.figure(START, "Start to the first answer, new database", Unit::Micros, answered.as_secs_f64() * 1e6);
        #[expect(clippy::cast_precision_loss, reason = "memory of this size is far below 2^52")]
        let resident = server.resident()? as f64;
        results.figure("sizes.idle_bytes", "Server's memory after that", Unit::Bytes, resident);
    }
    Ok(())
}

/// Different crates in what `cargo tree` shows of the SDK.
async fn crates(features: &[&str]) -> Outcome<f64> {
    let tree = ["tree", "--locked", "--package", "parlor-sdk", "--edges", "normal", "--prefix", "none", "--no-dedupe"];
    let text = cargo(&[&tree, features].concat(), None).await?;
    let crates: BTreeSet<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    Ok(f64::from(u32::try_from(crates.len())?))
}

/// Runs cargo; returns what it prints.
async fn cargo(arguments: &[&str], target: Option<&Path>) -> Outcome<String> {
    let mut cargo = Command::new("cargo");
    cargo.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    if let Some(target) = target {
        cargo.env("CARGO_TARGET_DIR", target);
    }
    let output = tokio::time::timeout(BUILD, cargo.output()).await.map_err(|_| "cargo took more than an hour")??;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo {}:\n{words}", arguments.join(" ")).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

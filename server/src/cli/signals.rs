//! The signals that stop a server.

use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Failure;

/// The exit status after a second signal: 128 + SIGINT, as shells have it.
const INTERRUPTED: i32 = 130;
/// The bit of SIGHUP, signal 1, in a mask of signals.
const HANGUP_BIT: u64 = 1;

/// The first SIGTERM, SIGINT or SIGHUP asks the server to finish; the second ends the process at once. A SIGHUP that is
/// ignored at the start, as under `nohup`, stays ignored.
pub(super) fn stop_on_signals(shutdown: CancellationToken) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::io("cannot wait for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::io("cannot wait for SIGINT"))?;
    let mut hangup = if ignores_hangup() {
        None
    } else {
        Some(signal(SignalKind::hangup()).map_err(Failure::io("cannot wait for SIGHUP"))?)
    };
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = receive(hangup.as_mut()) => {}
            }
            if shutdown.is_cancelled() {
                tracing::warn!("ending at once, after a second signal");
                process::exit(INTERRUPTED);
            }
            tracing::info!("stopping: accepted requests finish; a second signal ends at once");
            shutdown.cancel();
        }
    });
    Ok(())
}

/// Waits for a signal; for ever if there is none to wait for.
async fn receive(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}

/// Whether the process was started with SIGHUP ignored. Linux says so in `/proc`; elsewhere the signal is taken.
fn ignores_hangup() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & HANGUP_BIT != 0)
}

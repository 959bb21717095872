//! The suites: what is measured.

pub(crate) mod compare;
pub(crate) mod growth;
pub(crate) mod live;
pub(crate) mod pages;
pub(crate) mod sdk;
pub(crate) mod sizes;

use std::time::Duration;

use crate::{
    Outcome,
    results::{Key, Round},
};

/// One line for a round of load that is over.
pub(crate) fn tell(key: &Key, round: &Round) {
    let Key { database, work, case, subject } = key;
    let Round { rate, p50_us, p99_us, server_cpu_us, load_cpu_us, .. } = round;
    eprintln!(
        "{database}, {work}, {case}, {subject}: {rate:.0}/s, p50 {:.2} ms, p99 {:.2} ms, CPU of the server \
         {server_cpu_us:.1} µs, of the load {load_cpu_us:.1} µs",
        p50_us / 1e3,
        p99_us / 1e3
    );
}

/// Gives up on what takes longer than `limit`.
pub(crate) async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let seconds = limit.as_secs();
    tokio::time::timeout(limit, work).await.map_err(|_| format!("{what} was not done within {seconds} s"))?
}

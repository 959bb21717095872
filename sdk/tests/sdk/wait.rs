//! Bounded waiting: a test that waits in vain fails, and does not hang.

use std::future::IntoFuture;
use std::time::{Duration, Instant};

/// Time limit for each wait of a test, in real time.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Awaits a future for at most [`TIMEOUT`].
pub(crate) async fn with_timeout<F: IntoFuture>(future: F) -> F::Output {
    let timed = tokio::time::timeout(TIMEOUT, future.into_future());
    timed.await.unwrap_or_else(|_| panic!("the other end did nothing for {TIMEOUT:?}"))
}

/// Calls `condition` until it is true, and lets other tasks run in between. Fails after [`TIMEOUT`].
pub(crate) async fn wait_until(description: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {TIMEOUT:?}: {description}");
        tokio::task::yield_now().await;
    }
}

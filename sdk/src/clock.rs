//! The clock as an injectable dependency.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

/// The future of a [`Clock`]'s wait.
pub type SleepFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The source of time for a client.
///
/// The default is Tokio's clock. A test can pass its own with [`ClientBuilder::clock`](crate::ClientBuilder::clock) to
/// test retries and deadlines without waiting. There are two ways to wait so that a virtual clock can tell them apart:
/// during a [`sleep`](Clock::sleep) nothing else happens in the call, so the clock may jump ahead; while the call waits
/// for [`sleep_until`](Clock::sleep_until), a request is in flight, and only the test knows how long that takes.
///
/// The connect timeout always uses Tokio's clock.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use std::time::{Duration, Instant, SystemTime};
/// use parlor_sdk::{Client, Clock, NewChat, SleepFuture};
///
/// /// Never waits, and records the requested delays.
/// #[derive(Debug, Clone, Default)]
/// struct RecordingClock(Arc<Mutex<Vec<Duration>>>);
///
/// impl Clock for RecordingClock {
///     fn now(&self) -> Instant { Instant::now() }
///     fn system_time(&self) -> SystemTime { SystemTime::now() }
///     fn sleep(&self, duration: Duration) -> SleepFuture {
///         self.0.lock().unwrap().push(duration);
///         Box::pin(std::future::ready(()))
///     }
///     fn sleep_until(&self, _: Instant) -> SleepFuture { Box::pin(std::future::pending()) }
/// }
///
/// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = server::Server::start([
/// #     server::answer(503, &[("Retry-After", "7")], ""),
/// #     server::created(server::CHAT),
/// # ]);
/// # let url = server.url();
/// let clock = RecordingClock::default();
/// let client = Client::builder(url, "your-tenant-api-key").clock(clock.clone()).build()?;
/// // The server answers 503 with `Retry-After: 7` first.
/// client.create_chat(NewChat::new("user123")).await?;
/// assert!(clock.0.lock().unwrap()[0] >= Duration::from_secs(7));
/// # Ok(())
/// # }
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the monotonic time, used for deadlines.
    fn now(&self) -> Instant;

    /// Returns the wall-clock time, used for a `Retry-After` date.
    fn system_time(&self) -> SystemTime;

    /// Waits before the next attempt.
    fn sleep(&self, duration: Duration) -> SleepFuture;

    /// Waits until [`now`](Clock::now) reaches `instant`: the time limit of a request in flight.
    fn sleep_until(&self, instant: Instant) -> SleepFuture;
}

/// Tokio's clock, so that `tokio::time::pause` in an application also applies to the SDK.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokioClock;

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn system_time(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) -> SleepFuture {
        Box::pin(tokio::time::sleep(duration))
    }

    fn sleep_until(&self, instant: Instant) -> SleepFuture {
        Box::pin(tokio::time::sleep_until(instant.into()))
    }
}

/// Runs `work`, and returns none if `end` is reached first.
pub(crate) async fn with_deadline<W: Future>(end: Option<Instant>, clock: &dyn Clock, work: W) -> Option<W::Output> {
    let Some(end) = end else { return Some(work.await) };
    let mut work = pin!(work);
    let mut reached = clock.sleep_until(end);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => reached.as_mut().poll(context).map(|()| None),
    })
    .await
}

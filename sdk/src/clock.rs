//! Time, as something that can be handed in.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

/// A future that is ready when a time has passed.
pub type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a client takes its time from.
///
/// The default is Tokio's clock. A test hands in its own ([`ClientBuilder::clock`](crate::ClientBuilder::clock)) to
/// see retries and deadlines without waiting for them. The two ways to wait differ so that it can:
/// during a [`sleep`](Clock::sleep) nothing else happens in the call, so a virtual clock may jump; while the call waits
/// for [`reached`](Clock::reached), a request is under way, so only the test knows how much time that takes.
///
/// The time limit for opening a connection is not taken from here but always from Tokio.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use std::time::{Duration, Instant, SystemTime};
/// use parlor_sdk::{Client, Clock, NewChat, Pause};
///
/// /// Never waits, and remembers what it was asked for.
/// #[derive(Debug, Clone, Default)]
/// struct Impatient(Arc<Mutex<Vec<Duration>>>);
///
/// impl Clock for Impatient {
///     fn now(&self) -> Instant { Instant::now() }
///     fn system_time(&self) -> SystemTime { SystemTime::now() }
///     fn sleep(&self, duration: Duration) -> Pause {
///         self.0.lock().unwrap().push(duration);
///         Box::pin(std::future::ready(()))
///     }
///     fn reached(&self, _: Instant) -> Pause { Box::pin(std::future::pending()) }
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
/// let clock = Impatient::default();
/// let client = Client::builder(url, "your-tenant-api-key").clock(clock.clone()).build()?;
/// // The server answers 503 with `Retry-After: 7` first.
/// client.create_chat(NewChat::new("user123")).await?;
/// assert!(clock.0.lock().unwrap()[0] >= Duration::from_secs(7));
/// # Ok(())
/// # }
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The monotonic time, for deadlines.
    fn now(&self) -> Instant;

    /// The time of day, for a `Retry-After` that is a date.
    fn system_time(&self) -> SystemTime;

    /// Waits between two attempts.
    fn sleep(&self, duration: Duration) -> Pause;

    /// Ready when [`now`](Clock::now) has reached `instant`: the end of an attempt that takes too long.
    fn reached(&self, instant: Instant) -> Pause;
}

/// Tokio's clock, so that an application's `tokio::time::pause` governs the SDK too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokioClock;

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn system_time(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) -> Pause {
        Box::pin(tokio::time::sleep(duration))
    }

    fn reached(&self, instant: Instant) -> Pause {
        Box::pin(tokio::time::sleep_until(instant.into()))
    }
}

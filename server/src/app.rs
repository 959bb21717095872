//! The server as a value: what it is built from, how it runs, and the order in which it stops.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    assistant::Assistant,
    base::{
        clock::{Clock, DeletionTime, Moments, SystemClock},
        error::{Error, Result},
        metrics::Metrics,
    },
    config::Config,
    demo,
    http::{cors::Cors, listen},
    realtime::{Answers, Broadcast, Hub, Parts, Realtime},
    router::{self, Services},
    service::{Authenticator, Bootstrap, Chats, Messages, Tenants, Tickets},
    store::{Opener, Store},
};

pub use crate::http::listen::BoundPort;

/// How often what has expired is swept away.
const SWEEP_INTERVAL: Duration = Duration::from_mins(10);

/// How long a start waits for a database that does not answer, as when many nodes start at once.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause before it asks again.
const START_PAUSE: Duration = Duration::from_millis(100);

/// A server that is ready to serve.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    listener: TcpListener,
    store: Store,
    moments: Moments,
    bootstrap: Bootstrap,
    drain_delay: Duration,
    services: Services,
}

impl App {
    /// Opens the database, brings it up to date, listens on `port`, and then makes sure that the database has a key: a key
    /// is stored only by a server that can be reached.
    ///
    /// # Errors
    /// [`Error::Database`] when the database cannot be opened, [`Error::Unavailable`] when it stops to answer;
    /// [`Error::Invalid`] when the assistant cannot be set up or the port cannot be listened on.
    pub async fn open(config: Config, port: BoundPort) -> Result<Self> {
        Self::open_at(config, port, Arc::new(SystemClock)).await
    }

    /// The same, with another clock.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_at(config: Config, port: BoundPort, clock: Arc<dyn Clock>) -> Result<Self> {
        let Config { database, bootstrap_key, keep_bootstrap_keys, assistant, origins, demo, limits } = config;
        let cors = Cors::new(&origins, router::PRIVATE)?;
        let assistant = Assistant::new(assistant, limits.assistant)?;
        let metrics = Arc::new(Metrics::new());
        let moments = Moments::new(clock.clone());
        let hub = Arc::new(Hub::new());
        let (prompts, prompted) = mpsc::unbounded_channel();
        let prompts = assistant.is_there().then_some(prompts);
        let listener = Arc::new(Broadcast::new(hub.clone(), moments.clone(), prompts));
        let (writer, metrics_of_writer) = (limits.writer, metrics.writer.clone());
        let opener = Opener::Server;
        let store =
            Store::open(&database, opener, moments.clone(), limits.database, writer, metrics_of_writer, listener);
        let store = store.await?;
        let tenants = Tenants::new(store.clone(), moments.clone());
        let address = port.address();
        let listener = port.listen()?;
        let bootstrap = {
            let attempt = || {
                let (tenants, key) = (tenants.clone(), bootstrap_key.clone());
                async move { tenants.bootstrap(key.as_ref(), keep_bootstrap_keys).await }
            };
            patiently(attempt).await?
        };
        let chats = Arc::new(Chats::new(store.clone(), moments.clone(), hub.clone()));
        let messages = Arc::new(Messages::new(store.clone()));
        let tickets = Arc::new(Tickets::new(store.clone(), moments.clone(), limits.ticket));
        let authenticator = Authenticator::new(store.clone(), clock, limits.key_cache_entries, limits.key_cache);
        let authenticator = Arc::new(authenticator);
        let demo = if demo {
            let attempt = || {
                let tenants = tenants.clone();
                async move { tenants.key_of_nobody(demo::KEY_NAME).await }
            };
            let (authenticator, chats, tickets) = (authenticator.clone(), chats.clone(), tickets.clone());
            // Not an end of the start: a first key that has just been stored must still be shown.
            let principal = patiently(attempt).await;
            let principal = principal.inspect_err(|error| tracing::error!(%error, "the demo is off: it has no key"));
            principal.ok().map(|principal| demo::Backend { principal, authenticator, chats, tickets })
        } else {
            None
        };
        let at_once = limits.realtime.answers;
        let answers =
            Answers::start(assistant, chats.clone(), messages.clone(), hub.clone(), moments.clone(), at_once, prompted);
        let realtime = Arc::new(Realtime::new(Parts {
            hub,
            chats: chats.clone(),
            messages: messages.clone(),
            tickets: tickets.clone(),
            authenticator: authenticator.clone(),
            answers,
            moments: moments.clone(),
            limits: limits.realtime,
            metrics: metrics.realtime.clone(),
        }));
        let drain_delay = limits.drain_delay;
        let read_limit = limits.database.read;
        let limits = Arc::new(limits.http);
        let services = Services {
            chats,
            messages,
            tickets,
            authenticator,
            store: store.clone(),
            metrics,
            limits,
            read_limit,
            realtime,
            cors,
            demo,
        };
        Ok(Self { address, listener, store, moments, bootstrap, drain_delay, services })
    }

    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What opening did about the database's first key.
    pub fn bootstrap(&self) -> &Bootstrap {
        &self.bootstrap
    }

    /// Returns whether the demo page is served at `/demo/`.
    pub fn has_demo(&self) -> bool {
        self.services.demo.is_some()
    }

    /// The operators' side: tenants and keys.
    pub fn tenants(&self) -> Tenants {
        Tenants::new(self.store.clone(), self.moments.clone())
    }

    /// What lets users connect without a key.
    pub fn tickets(&self) -> Arc<Tickets> {
        self.services.tickets.clone()
    }

    /// Serves until `shutdown` is cancelled. Then, in this order: `/readyz` answers 503, and everything else goes on for
    /// [`Limits::drain_delay`](crate::config::Limits::drain_delay); no connection is accepted any more; accepted requests finish, while answers that stream are
    /// stored as far as they have come and live connections are sent what waits for them and closed; the writer commits
    /// what is queued; the database is closed.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { listener, store, moments, drain_delay, services, .. } = self;
        let limits = services.limits.clone();
        let closing = CancellationToken::new();
        let delay = async {
            shutdown.cancelled().await;
            if !drain_delay.is_zero() {
                tokio::time::sleep(drain_delay).await;
                tracing::info!("closing the port after the drain delay");
            }
            closing.cancel();
        };
        let sweep = tokio::spawn(sweep(store.clone(), moments));
        let realtime = services.realtime.clone();
        let live = async {
            tokio::join!(realtime.watch_keys(), async {
                closing.cancelled().await;
                realtime.close().await;
            });
        };
        let requests = listen::serve(listener, router::stack(services, shutdown.clone()), &limits, closing.clone());
        tokio::join!(delay, requests, live);
        sweep.abort();
        store.close().await;
    }
}

/// Forgets what has expired, for ever.
async fn sweep(store: Store, moments: Moments) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    let mut deletion_time = DeletionTime::default();
    loop {
        interval.tick().await;
        match store.forget_expired(deletion_time.at(moments.now())).await {
            Ok(0) => {}
            Ok(rows) => tracing::debug!(rows, "forgot what had expired"),
            Err(error) => tracing::warn!(%error, "could not sweep away what has expired"),
        }
    }
}

/// Tries again while the database does not answer: a start has more time than a request.
async fn patiently<T, F: Future<Output = Result<T>>>(attempt: impl Fn() -> F) -> Result<T> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match attempt().await {
            Err(Error::Unavailable(_)) if Instant::now() < deadline => tokio::time::sleep(START_PAUSE).await,
            outcome => return outcome,
        }
    }
}

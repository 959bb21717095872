use std::{net::SocketAddr, sync::Arc};

use parlor_server::{
    app::{App, BoundPort},
    chat::Tickets,
    clock::{Clock, SystemClock},
    config::{Config, Limits},
    tenant::{ApiKey, Tenants},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Client, KEY, TestDatabase};

/// A server inside the test's process, on a port of its own.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) tenants: Tenants,
    pub(crate) tickets: Arc<Tickets>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl TestServer {
    /// With default limits and the machine's clock.
    pub(crate) async fn start(database: &TestDatabase) -> Self {
        Self::start_with(database.url(), Limits::default(), Arc::new(SystemClock)).await
    }

    /// The nodes that may share a database: two on PostgreSQL, one on SQLite.
    pub(crate) async fn start_nodes(database: &TestDatabase) -> Vec<Self> {
        let mut nodes = vec![Self::start(database).await];
        if database.is_postgres() {
            nodes.push(Self::start(database).await);
        }
        nodes
    }

    pub(crate) async fn start_with(database_url: &str, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self::open(database_url, |config| config.limits = limits, clock).await
    }

    /// Configured by `configure`.
    pub(crate) async fn start_as(database_url: &str, configure: impl FnOnce(&mut Config)) -> Self {
        Self::open(database_url, configure, Arc::new(SystemClock)).await
    }

    async fn open(database_url: &str, configure: impl FnOnce(&mut Config), clock: Arc<dyn Clock>) -> Self {
        let mut config = Config::new(database_url.parse().unwrap());
        config.bootstrap_key = Some(ApiKey::chosen(KEY).unwrap());
        configure(&mut config);
        let port = BoundPort::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let app = Box::pin(App::open_at(config, port, clock)).await.unwrap();
        let address = app.address();
        let shutdown = CancellationToken::new();
        let (tenants, tickets) = (app.tenants(), app.tickets());
        let task = tokio::spawn(app.run(shutdown.clone()));
        Self { address, tenants, tickets, shutdown, task }
    }

    /// A client with the bootstrap key.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address).key(KEY)
    }

    /// A client of a new tenant.
    pub(crate) async fn client_of(&self, tenant: &str) -> Client {
        self.tenants.create_tenant(tenant).await.unwrap();
        let issued = self.tenants.create_key(tenant, "", None).await.unwrap();
        Client::new(self.address).key(issued.key.reveal())
    }

    /// Asks the server to finish, without waiting for it.
    pub(crate) fn begin_shutdown(&self) {
        self.shutdown.cancel();
    }

    pub(crate) async fn stopped(self) {
        self.task.await.unwrap();
    }

    pub(crate) async fn stop(self) {
        self.begin_shutdown();
        self.stopped().await;
    }
}

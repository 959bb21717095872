//! What an operator can set: every limit with its name, unit and default in one place.

use std::{net::SocketAddr, time::Duration};

use crate::{
    assistant::{AssistantLimits, ProviderConfig},
    domain::ApiKey,
};
pub use crate::{
    http::limits::HttpLimits,
    realtime::RealtimeLimits,
    store::{DatabaseLimits, DatabaseUrl, WriterLimits},
};

/// How a server runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the data is.
    pub database: DatabaseUrl,
    /// A key to add to the tenant `default` when the database does not know it; `None`: an empty database gets a random one.
    pub bootstrap_key: Option<ApiKey>,
    /// Whether the bootstrap keys of earlier starts stay valid beside `bootstrap_key`; otherwise it replaces them.
    pub keep_bootstrap_keys: bool,
    /// Who answers users' messages.
    pub assistant: ProviderConfig,
    /// The origins whose pages may use the server, by REST and by WebSocket, as browsers write them in `Origin`:
    /// `https://example.org`. Empty: every origin.
    pub origins: Vec<String>,
    /// Whether there is a page at `/demo/` that lets anybody chat, without a key.
    pub demo: bool,
    /// The bounds.
    pub limits: Limits,
}

impl Config {
    /// The default address: this machine only.
    pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8000);
    /// The default database: a file in the current directory.
    pub const DATABASE: &str = "sqlite://parlor.db";

    /// On `database`, everything else by default.
    pub fn new(database: DatabaseUrl) -> Self {
        Self {
            database,
            bootstrap_key: None,
            keep_bootstrap_keys: false,
            assistant: ProviderConfig::None,
            origins: Vec::new(),
            demo: false,
            limits: Limits::default(),
        }
    }
}

/// Every bound of the server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The bounds of requests, responses and connections.
    pub http: HttpLimits,
    /// How long the port stays open and requests are served after a signal to stop, while `/readyz` answers 503: the time
    /// in which a load balancer notices. Zero closes the port at once.
    pub drain_delay: Duration,
    /// For how long an API key's lookup is remembered; so long a revoked key may still work. The contract allows 5 s.
    pub key_cache: Duration,
    /// How many lookups are remembered.
    pub key_cache_entries: u64,
    /// For how long a ticket can be used.
    pub ticket: Duration,
    /// The database's bounds.
    pub database: DatabaseLimits,
    /// The writer's bounds.
    pub writer: WriterLimits,
    /// The assistant's bounds.
    pub assistant: AssistantLimits,
    /// The bounds of live connections.
    pub realtime: RealtimeLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            http: HttpLimits::default(),
            drain_delay: Duration::ZERO,
            key_cache: Duration::from_secs(2),
            key_cache_entries: 10_000,
            ticket: Duration::from_mins(1),
            database: DatabaseLimits::default(),
            writer: WriterLimits { queue: 4_096, batch: 256, patience: Duration::from_secs(3) },
            assistant: AssistantLimits::default(),
            realtime: RealtimeLimits::default(),
        }
    }
}

/// The defaults, with these bounds of HTTP.
impl From<HttpLimits> for Limits {
    fn from(http: HttpLimits) -> Self {
        Self { http, ..Self::default() }
    }
}

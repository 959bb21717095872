//! What an operator can set: every limit with its name, unit and default in one place.

use std::{net::SocketAddr, time::Duration};

use crate::{
    assistant::{AssistantLimits, Provider},
    domain::ApiKey,
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
    pub assistant: Provider,
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
            assistant: Provider::None,
            origins: Vec::new(),
            demo: false,
            limits: Limits::default(),
        }
    }
}

/// Every bound of the server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes at most in a request's body, unless it is a message's; more is 413.
    pub body_bytes: usize,
    /// Bytes at most in the body of a message; more is 413. Enough for the longest content, metadata and names, each
    /// character written as an escape of its own: 12 bytes a character where two escapes are needed.
    pub message_body_bytes: usize,
    /// HTTP connections at one time, live connections apart. At the limit a new one displaces the one that has been waiting
    /// for its peer longest, of the client addresses that have the most; if the server works for all of them, it waits.
    pub connections: usize,
    /// HTTP connections at one time from one client address: an IPv4 address or an IPv6 network (/64). At the limit a new
    /// one displaces the one of that address that has been waiting for its peer longest; if the server works for all of
    /// them, the new one is closed. A reverse proxy is one address.
    pub connections_per_address: usize,
    /// Bytes of memory, estimated, that HTTP connections may hold for heads, bodies and answers. From half of it on, those
    /// are closed whose peers have done nothing for a second; beyond it, those that have been waiting longest.
    pub connection_bytes: usize,
    /// Bytes at most in a request's head, at least 8 KiB; more is 431.
    pub head_bytes: usize,
    /// How long a request's head may take to arrive, and how long an idle connection is kept.
    pub head: Duration,
    /// How long a request's body may take to arrive; longer is 400.
    pub body: Duration,
    /// How long a peer may send nothing of a body that it has announced; longer is 400.
    pub body_pause: Duration,
    /// Bytes of a body per second that a peer must send in the long run: each byte prolongs its time accordingly, to at most
    /// [`Self::body_pause`] from then on, and never beyond [`Self::body`].
    pub body_rate: u32,
    /// How long a peer may take nothing of an answer before its connection is closed.
    pub write: Duration,
    /// Bytes per second that a peer must take of an answer in the long run: each byte prolongs its time accordingly, to at
    /// most [`Self::write`] from then on.
    pub write_rate: u32,
    /// How long the port stays open and requests are served after a signal to stop, while `/readyz` answers 503: the time
    /// in which a load balancer notices. Zero closes the port at once.
    pub drain_delay: Duration,
    /// After a signal to stop: how long a peer may take to go on with a head, a body or an answer that has begun.
    pub stop_grace: Duration,
    /// How long accepted requests may take to finish after a signal to stop.
    pub drain: Duration,
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
            body_bytes: 256 * 1024,
            message_body_bytes: 512 * 1024,
            connections: 10_000,
            connections_per_address: 2_000,
            connection_bytes: 24 * 1024 * 1024,
            head_bytes: 32 * 1024,
            head: Duration::from_secs(30),
            body: Duration::from_secs(30),
            body_pause: Duration::from_secs(10),
            body_rate: 1_024,
            write: Duration::from_secs(30),
            write_rate: 1_024,
            drain_delay: Duration::ZERO,
            stop_grace: Duration::from_secs(1),
            drain: Duration::from_secs(30),
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

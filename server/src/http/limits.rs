//! Bounds of requests, responses and connections.

use std::time::Duration;

/// The bounds of HTTP.
#[derive(Debug, Clone)]
pub struct HttpLimits {
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
    /// After a signal to stop: how long a peer may take to go on with a head, a body or an answer that has begun.
    pub stop_grace: Duration,
    /// How long accepted requests may take to finish after a signal to stop.
    pub drain: Duration,
}

impl Default for HttpLimits {
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
            stop_grace: Duration::from_secs(1),
            drain: Duration::from_secs(30),
        }
    }
}

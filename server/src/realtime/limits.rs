use std::time::Duration;

/// Bounds of live connections.
#[derive(Debug, Clone, Copy)]
pub struct RealtimeLimits {
    /// Connections at most at one time; the next one is answered 503.
    pub connections: usize,
    /// Bytes at most that wait for a connection to take them; one that falls further behind is closed.
    pub outbox_bytes: usize,
    /// Bytes at most in a message, whole or in fragments; a larger one is skipped and answered by an error. Enough for the
    /// longest content, metadata and name, each character written as an escape.
    pub message_bytes: usize,
    /// Bytes of a message that are skipped at most, heads of frames included; beyond that the connection is closed.
    pub skipped_bytes: usize,
    /// Bytes of messages that are arriving, of all connections together; one of more than 16 KiB that finds no room is
    /// skipped and answered by an error.
    pub arriving_bytes: usize,
    /// Between two pings, less up to a fifth.
    pub ping: Duration,
    /// How long a peer may be silent before it is taken for gone.
    pub idle: Duration,
    /// How long a message of several pieces may take to arrive, longer by up to [`Self::ping`].
    pub message: Duration,
    /// How long a peer may take to take what is written.
    pub write: Duration,
    /// Messages of one connection that may be on their way to the database; its next frame is read after one has arrived.
    pub in_flight: usize,
    /// Frames that are no messages which one connection may send at once.
    pub burst: u32,
    /// The time after which it may send one more.
    pub refill: Duration,
    /// How often the keys that connections live by are looked up; so long a revoked one may go on. The contract allows 2 s.
    pub key_check: Duration,
    /// Answers of the assistant that may stream at one time; more wait.
    pub answers: usize,
    /// How long connections may take to close when the server stops.
    pub drain: Duration,
}

impl Default for RealtimeLimits {
    fn default() -> Self {
        Self {
            connections: 100_000,
            outbox_bytes: 1024 * 1024,
            message_bytes: 512 * 1024,
            skipped_bytes: 16 * 1024 * 1024,
            arriving_bytes: 32 * 1024 * 1024,
            ping: Duration::from_secs(25),
            idle: Duration::from_mins(1),
            message: Duration::from_secs(30),
            write: Duration::from_secs(10),
            in_flight: 32,
            burst: 200,
            refill: Duration::from_millis(20),
            key_check: Duration::from_secs(1),
            answers: 256,
            drain: Duration::from_secs(10),
        }
    }
}

//! What the server counts, in the OpenMetrics format that `GET /metrics` answers.

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// All of the server's metrics.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    in_flight: Gauge,
    durations: Family<OperationLabels, Histogram, fn() -> Histogram>,
    /// The writer's part.
    pub writer: WriterMetrics,
    /// The live connections' part.
    pub realtime: RealtimeMetrics,
}

/// How live connections are doing.
#[derive(Debug, Clone)]
pub struct RealtimeMetrics {
    connections: Gauge,
    closes: Family<CloseLabels, Counter>,
}

impl RealtimeMetrics {
    /// Counts an open connection, until what is returned is dropped.
    pub(crate) fn opened(&self) -> Counted {
        self.connections.inc();
        Counted(self.connections.clone())
    }

    /// Shows these codes before the first connection is closed with them.
    pub fn show(&self, codes: impl IntoIterator<Item = u16>) {
        for code in codes {
            drop(self.closes.get_or_create(&CloseLabels { code }));
        }
    }

    /// Counts one that the server closed.
    pub fn closed(&self, code: u16) {
        self.closes.get_or_create(&CloseLabels { code }).inc();
    }
}

/// How the group-commit writer is doing.
#[derive(Debug, Clone)]
pub struct WriterMetrics {
    /// Requests ever accepted.
    pub requests: Counter,
    /// Requests that wait for the next transaction.
    pub queued: Gauge,
    /// Requests a transaction.
    pub batch: Histogram,
    /// Seconds a transaction, from its beginning until it is durable.
    pub commit: Histogram,
    /// Transactions that failed.
    pub failures: Counter,
    /// Requests that wait because another session keeps a row locked.
    pub lock_waits: Gauge,
    /// SQLite: bytes of the write-ahead log that are in use.
    pub wal_bytes: Gauge,
    /// SQLite: bytes of the write-ahead log that a reader kept from being copied into the database.
    pub wal_retained_bytes: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CloseLabels {
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

/// 0.25 ms to 8 s: a commit on fast storage takes one, a request that waits for a busy database the other.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 16))
}

impl Metrics {
    /// The content type of [`Self::render`].
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Everything at zero.
    pub fn new() -> Self {
        let writer = WriterMetrics {
            requests: Counter::default(),
            queued: Gauge::default(),
            batch: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            commit: seconds(),
            failures: Counter::default(),
            lock_waits: Gauge::default(),
            wal_bytes: Gauge::default(),
            wal_retained_bytes: Gauge::default(),
        };
        let requests = Family::default();
        let durations = Family::new_with_constructor(seconds as fn() -> Histogram);
        let in_flight = Gauge::default();
        let mut registry = Registry::with_prefix("parlor");
        registry.register("http_requests", "Requests answered, by operation and status", requests.clone());
        registry.register("http_requests_in_flight", "Requests not yet answered", in_flight.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register("writer_requests", "Requests that the writer accepted", writer.requests.clone());
        registry.register("writer_queue", "Requests that wait for the next transaction", writer.queued.clone());
        registry.register("writer_batch_size", "Requests committed by one transaction", writer.batch.clone());
        registry.register_with_unit(
            "writer_commit_duration",
            "Time a transaction takes until it is durable",
            Unit::Seconds,
            writer.commit.clone(),
        );
        registry.register("writer_failures", "Transactions that failed", writer.failures.clone());
        registry.register(
            "writer_lock_waits",
            "Requests that wait because another session keeps a row locked",
            writer.lock_waits.clone(),
        );
        registry.register_with_unit(
            "sqlite_wal",
            "SQLite's write-ahead log as far as it is in use",
            Unit::Bytes,
            writer.wal_bytes.clone(),
        );
        registry.register_with_unit(
            "sqlite_wal_retained",
            "The part of SQLite's write-ahead log that a reader kept from being copied into the database",
            Unit::Bytes,
            writer.wal_retained_bytes.clone(),
        );
        let realtime = RealtimeMetrics { connections: Gauge::default(), closes: Family::default() };
        registry.register("websocket_connections", "Live connections that are open", realtime.connections.clone());
        registry.register(
            "websocket_closes",
            "Live connections that the server closed, by code",
            realtime.closes.clone(),
        );
        Self { registry, requests, in_flight, durations, writer, realtime }
    }

    /// Counts a request in flight, until what is returned is dropped: with its answer, or with its connection.
    pub fn accepted(&self) -> impl Drop + use<> {
        self.in_flight.inc();
        Counted(self.in_flight.clone())
    }

    /// Counts one answered request.
    pub fn answered(&self, operation: &'static str, status: u16, duration: Duration) {
        self.requests.get_or_create(&RequestLabels { operation, status }).inc();
        self.durations.get_or_create(&OperationLabels { operation }).observe(duration.as_secs_f64());
    }

    /// The metrics as text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }
}

/// Something that is counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

//! Bounds of the writer.

use std::time::Duration;

/// Bounds of the writer.
#[derive(Debug, Clone, Copy)]
pub struct WriterLimits {
    /// Requests that may wait; the next one is answered 503.
    pub queue: usize,
    /// Requests at most in one transaction.
    pub batch: usize,
    /// How long one transaction, and one request's wait for it, may take. The contract allows 5 s for the whole request.
    pub patience: Duration,
}

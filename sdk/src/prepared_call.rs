//! A call whose request is complete.

use std::time::{Duration, Instant};

use crate::idempotency_key::IdempotencyKey;
use crate::operation::Operation;
use crate::transport::Request;

/// A request ready to be sent, identical in every attempt.
pub(crate) struct PreparedCall {
    pub(crate) operation: Operation,
    pub(crate) request: Request,
    pub(crate) idempotency_key: Option<IdempotencyKey>,
    pub(crate) timeout: Duration,
    pub(crate) deadline: Option<Instant>,
}

impl PreparedCall {
    pub(crate) fn key(&self) -> Option<&str> {
        self.idempotency_key.as_ref().map(IdempotencyKey::as_str)
    }

    /// Returns the deadline of a call that starts now, or none if it is beyond the clock's range.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.deadline.into_iter().chain(now.checked_add(self.timeout)).min()
    }
}

//! What is known of a request beside its message: its id, and later its tenant.

use std::sync::{Arc, OnceLock};

use poem::{Request, http::HeaderMap};
use uuid::Uuid;

use crate::domain::TenantId;

/// The header in which a request may bring an id and every answer carries one.
pub(crate) const REQUEST_ID: &str = "x-request-id";

/// Names one request in answers and in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// Characters at most.
    pub(crate) const MAX_CHARS: usize = 128;

    /// The caller's id when it is sane, else a new one. Sane: some ASCII letters, digits, `-`, `_`, `.`, `:`, so that it
    /// can neither forge a log line nor bloat one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let sane = |id: &&str| {
            (1..=Self::MAX_CHARS).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
        };
        let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(sane);
        Self(given.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned))
    }

    /// What the document shows.
    pub(crate) fn example() -> Self {
        Self("5f0c4e2a-7f1d-4f0a-9d3a-2b8f6f1c9e11".to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Shared between the edge, which logs, and the extractors, which learn.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) request_id: RequestId,
    tenant: Arc<OnceLock<TenantId>>,
}

impl Context {
    pub(crate) fn new(request_id: RequestId) -> Self {
        Self { request_id, tenant: Arc::default() }
    }

    pub(crate) fn tenant(&self) -> Option<TenantId> {
        self.tenant.get().copied()
    }

    /// Remembers who calls, for the log.
    pub(crate) fn authenticated(request: &Request, tenant: TenantId) {
        if let Some(context) = request.extensions().get::<Self>() {
            _ = context.tenant.set(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: &'static str) -> String {
        let headers = [(REQUEST_ID, value)].map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        RequestId::of(&HeaderMap::from_iter(headers)).0
    }

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        assert_eq!(id("trace:7.a_B-9"), "trace:7.a_B-9");
        for forged in ["", "a b", "a\"b", "{}"] {
            assert!(Uuid::parse_str(&id(forged)).is_ok(), "{forged:?}");
        }
    }
}

//! Tenants and their API keys: who calls, and who may.

mod authenticate;
mod key;
mod tenants;

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use authenticate::{Authenticator, Principal};
pub use key::ApiKey;
pub use tenants::{Bootstrap, IssuedKey, KeyRecord, TenantRecord, Tenants};

/// Names one tenant. Everything stored belongs to exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(pub Uuid);

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

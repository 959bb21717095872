//! Tenants and their keys, as they are stored.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ApiKey;
use crate::base::secret::SecretHash;

/// Names one tenant. Everything stored belongs to exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(pub Uuid);

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A tenant, as operators see it.
#[derive(Debug, Clone)]
pub struct TenantRecord {
    /// Its identifier, the `tenant_id` of its chats.
    pub id: TenantId,
    /// Its name among operators; unique.
    pub name: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// An API key, as operators see it: everything but the key.
#[derive(Debug, Clone)]
pub struct KeyRecord {
    /// Its identifier, what `parlor key revoke` takes.
    pub id: Uuid,
    /// Whose key it is.
    pub tenant_id: TenantId,
    /// What it is for, in the operator's words; may be empty.
    pub name: String,
    /// Its first characters.
    pub hint: String,
    /// SHA-256 of the key.
    pub hash: SecretHash,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// From when on it is refused; `None`: never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked; `None`: it was not.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl KeyRecord {
    /// Whether the key may be used at `now`.
    pub fn is_valid(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expiry| now < expiry)
    }
}

/// A new key: the only moment at which it can be shown.
#[derive(Debug)]
pub struct IssuedKey {
    /// What is stored of it.
    pub record: KeyRecord,
    /// The key itself.
    pub key: ApiKey,
}

/// What a valid key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal {
    /// Whose key it is.
    pub tenant: TenantId,
    /// The key's id, what `parlor key revoke` takes.
    pub key: Uuid,
}

use std::fmt;

use chrono::Duration;
use sha2::{Digest as _, Sha256};

use crate::base::validation::Violation;

/// The caller's name for one intent, so that a repeated request has no second effect (`Idempotency-Key`,
/// draft-ietf-httpapi-idempotency-key-header): 1–255 visible ASCII characters, scoped to the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Characters at least.
    pub const MIN_CHARS: usize = 1;
    /// Characters at most.
    pub const MAX_CHARS: usize = 255;
    /// The rule as a regular expression.
    pub const PATTERN: &str = r"^[\x21-\x7e]+$";

    /// Takes `text` if it keeps the rules.
    pub fn new(text: &[u8]) -> Result<Self, Violation> {
        match std::str::from_utf8(text) {
            Ok(text)
                if (Self::MIN_CHARS..=Self::MAX_CHARS).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_graphic()) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(Violation::new(format!(
                "must have {} to {} visible ASCII characters",
                Self::MIN_CHARS,
                Self::MAX_CHARS
            ))),
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// SHA-256 of a request: tells a repetition from another request under the same key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Over the operation and the request's bytes, as they came. A repetition repeats the bytes; JSON that merely means
    /// the same is another request.
    pub fn of(operation: &str, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(operation.as_bytes());
        hash.update([0]);
        hash.update(body);
        Self(hash.finalize().into())
    }

    /// The 32 bytes, for storage.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}

/// A request that must have at most one effect.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The caller's key.
    pub key: IdempotencyKey,
    /// What was asked under it.
    pub fingerprint: Fingerprint,
}

impl Idempotency {
    /// How long an answer is kept for repetitions.
    pub const RETENTION: Duration = Duration::hours(24);
}

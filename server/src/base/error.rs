//! What can go wrong in a use case, in the domain's words: no HTTP, no SQL.

use std::{error::Error as StdError, fmt, sync::Arc};

use super::validation::Violation;

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a use case did not happen.
///
/// Cloneable, because one failed commit answers every request of its batch.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The idempotency key belongs to an earlier, different request.
    #[error("the idempotency key was used before with another request")]
    IdempotencyKeyReused,
    /// The tenant has no such chat.
    #[error("there is no such chat")]
    ChatNotFound,
    /// The tenant has no such user.
    #[error("there is no such user")]
    UserNotFound,
    /// The user is known and has no chats.
    #[error("the user has no chats")]
    NoChats,
    /// Connections to the chat are open.
    #[error("connections to the chat are open")]
    ChatInUse,
    /// The chat takes no messages.
    #[error("the chat is closed")]
    ChatClosed,
    /// The chat's metadata would break a rule.
    #[error("the metadata {}", .0.detail)]
    Metadata(Violation),
    /// Another tenant has this name already.
    #[error("a tenant named {0:?} exists already")]
    TenantExists(String),
    /// No tenant has this name.
    #[error("there is no tenant named {0:?}; `parlor tenant list` shows those there are")]
    TenantNotFound(String),
    /// No key has this id.
    #[error("there is no key with the id {0}; `parlor key list` shows those there are")]
    KeyNotFound(uuid::Uuid),
    /// A value an operator gave breaks a rule; the sentence says which.
    #[error("{0}")]
    Invalid(String),
    /// The database cannot be opened; the sentence names it, the reason and the remedy, and no password.
    #[error("{0}")]
    Database(String),
    /// Something outside, as a rule the database, does not answer now. Trying again later is right; whether the work
    /// was done is unknown.
    #[error("temporarily unavailable: {0}")]
    Unavailable(Cause),
    /// A fault of ours. The cause goes to the log and nowhere else.
    #[error("internal error: {0}")]
    Internal(Cause),
}

/// The reason behind an [`Error::Unavailable`] or [`Error::Internal`], for the log.
#[derive(Clone)]
pub struct Cause(Arc<dyn StdError + Send + Sync>);

impl Cause {
    /// Keeps `error` as the reason.
    pub fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(Arc::from(error.into()))
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

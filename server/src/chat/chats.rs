use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Idempotency, Metadata, Title, UserId};
use crate::{clock::Moments, error::Result, store::Store, tenant::TenantId};

/// A chat session of one user of one tenant.
///
/// Serialisable, because it is kept beside an idempotency key as the first answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chat {
    /// UUID version 7: time-ordered.
    pub id: Uuid,
    /// Whose chat it is.
    pub user_id: UserId,
    /// Whose user that is.
    pub tenant_id: TenantId,
    /// Given, or generated from the time of creation.
    pub title: Title,
    /// The application's own data.
    pub metadata: Metadata,
    /// When it was created, in whole microseconds.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When its last message was stored; `None` before the first.
    pub last_message_at: Option<DateTime<Utc>>,
}

/// What is needed to create a chat.
#[derive(Debug, Clone)]
pub struct NewChat {
    /// Whose chat it will be; the user is created with it if need be.
    pub user_id: UserId,
    /// `None`: generated.
    pub title: Option<Title>,
    /// The application's own data.
    pub metadata: Metadata,
}

/// A chat that exists now.
#[derive(Debug, Clone)]
pub struct Created {
    /// The chat as it was when it was created.
    pub chat: Chat,
    /// Whether an earlier request with the same idempotency key created it.
    pub replayed: bool,
}

/// What can be done with chats.
#[derive(Debug, Clone)]
pub struct Chats {
    store: Store,
    moments: Moments,
}

impl Chats {
    /// Works on `store`, with ids and times from `moments`.
    pub fn new(store: Store, moments: Moments) -> Self {
        Self { store, moments }
    }

    /// Creates a chat, and its user when the tenant has none of that name, in one transaction; returns after commit.
    ///
    /// # Errors
    /// [`IdempotencyKeyReused`](crate::error::Error::IdempotencyKeyReused) when `idempotency` names an earlier request
    /// with another fingerprint; `Unavailable` when the database does not answer.
    pub async fn create_chat(
        &self,
        tenant: TenantId,
        new: NewChat,
        idempotency: Option<Idempotency>,
    ) -> Result<Created> {
        let (id, now) = self.moments.next();
        let chat = Chat {
            id,
            user_id: new.user_id,
            tenant_id: tenant,
            title: new.title.unwrap_or_else(|| Title::generate(now)),
            metadata: new.metadata,
            created_at: now,
            updated_at: now,
            last_message_at: None,
        };
        self.store.tenant(tenant).create_chat(chat, idempotency).await
    }
}

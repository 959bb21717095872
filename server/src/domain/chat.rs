//! A chat, and what creating, changing and deleting one takes and gives.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Metadata, MetadataPatch, TenantId, Title, UserId};
use crate::base::{
    clock::next_time,
    error::{Error, Result},
};

/// A chat session of one user of one tenant.
///
/// Serialisable, because it is kept beside an idempotency key as the first answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chat {
    /// UUID version 7: lists by creation are in its order.
    pub id: Uuid,
    /// Whose chat it is.
    pub user_id: UserId,
    /// Whose user that is.
    pub tenant_id: TenantId,
    /// Given, or generated from the time of creation.
    pub title: Title,
    /// The application's own data.
    pub metadata: Metadata,
    /// Whether it takes messages.
    pub status: Status,
    /// How many messages it has, which is also the last one's `seq`.
    pub message_count: i64,
    /// When it was created, in whole microseconds.
    pub created_at: DateTime<Utc>,
    /// When it, or what belongs to it, last changed.
    pub updated_at: DateTime<Utc>,
    /// When its last message was stored; `None` before the first.
    pub last_message_at: Option<DateTime<Utc>>,
}

impl Chat {
    /// When it was last active: its last message, or its creation while it has none.
    pub fn active_at(&self) -> DateTime<Utc> {
        self.last_message_at.unwrap_or(self.created_at)
    }
}

/// Whether a chat takes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It does.
    Active,
    /// It does not, until it is made active again.
    Closed,
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

/// What is to change about a chat; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct ChatPatch {
    /// Another title.
    pub title: Option<Title>,
    /// A merge patch (RFC 7396) of the metadata.
    pub metadata: Option<MetadataPatch>,
    /// Closes the chat, or opens it again.
    pub status: Option<Status>,
}

/// A chat after a patch.
#[derive(Debug, Clone)]
pub struct Updated {
    /// The chat as it is now.
    pub chat: Chat,
    /// `true` if the patch changed anything.
    pub changed: bool,
}

/// Something that exists now.
#[derive(Debug, Clone)]
pub struct Created<T> {
    /// The thing as it was when it was created.
    pub resource: T,
    /// Whether an earlier request created it, which this one repeats.
    pub replayed: bool,
}

/// A chat that is gone.
#[derive(Debug, Clone, Copy)]
pub struct Deleted {
    /// Since when.
    pub at: DateTime<Utc>,
}

impl ChatPatch {
    /// Changes `chat` at `now`.
    ///
    /// # Errors
    /// [`Error::Metadata`] when the merged metadata breaks a rule.
    pub(crate) fn apply(&self, chat: &mut Chat, now: DateTime<Utc>) -> Result<()> {
        let before = chat.clone();
        if let Some(title) = &self.title {
            chat.title = title.clone();
        }
        if let Some(patch) = &self.metadata {
            chat.metadata = chat.metadata.merge(patch).map_err(Error::Metadata)?;
        }
        if let Some(status) = self.status {
            chat.status = status;
        }
        if *chat != before {
            // Another node's clock may be slightly ahead of this one's.
            chat.updated_at = next_time(chat.updated_at, now);
        }
        Ok(())
    }
}

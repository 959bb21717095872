//! What can be done with chats.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::timeout;
use uuid::Uuid;

use super::Connections;
use crate::{
    base::{
        clock::Moments,
        error::{Cause, Error, Result},
    },
    domain::{
        Chat, ChatFilter, ChatPatch, ChatWindow, Created, Deleted, Idempotency, NewChat, Page, Status, TenantId, Title,
        Updated, UserId,
    },
    store::Store,
};

/// How long closing a chat waits until the answer that streams in it is stored.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// What can be done with chats.
#[derive(Clone)]
pub struct Chats {
    store: Store,
    moments: Moments,
    connections: Arc<dyn Connections>,
}

impl Chats {
    /// Works on `store`, with ids and times from `moments`; respects the chats' `connections`.
    pub fn new(store: Store, moments: Moments, connections: Arc<dyn Connections>) -> Self {
        Self { store, moments, connections }
    }

    /// Creates a chat, and its user when the tenant has none of that name, in one transaction; returns after commit.
    ///
    /// # Errors
    /// [`Error::IdempotencyKeyReused`] when `idempotency` names an earlier request with another fingerprint;
    /// [`Error::Unavailable`] when the database does not answer.
    pub async fn create_chat(
        &self,
        tenant: TenantId,
        new: NewChat,
        idempotency: Option<Idempotency>,
    ) -> Result<Created<Chat>> {
        let (id, now) = self.moments.next();
        let chat = Chat {
            id,
            user_id: new.user_id,
            tenant_id: tenant,
            title: new.title.unwrap_or_else(|| Title::generate(now)),
            metadata: new.metadata,
            status: Status::Active,
            message_count: 0,
            created_at: now,
            updated_at: now,
            last_message_at: None,
        };
        self.store.tenant(tenant).create_chat(chat, idempotency).await
    }

    /// The chat `id`.
    ///
    /// # Errors
    /// [`Error::ChatNotFound`], [`Error::Unavailable`].
    pub async fn get_chat(&self, tenant: TenantId, id: Uuid) -> Result<Chat> {
        self.store.tenant(tenant).get_chat(id).await?.ok_or(Error::ChatNotFound)
    }

    /// A user's chats, in the order of `window`.
    ///
    /// # Errors
    /// [`Error::UserNotFound`]; [`Error::NoChats`] when the user has none at all; [`Error::Unavailable`].
    pub async fn list_user_chats(&self, tenant: TenantId, user: &UserId, window: ChatWindow) -> Result<Page<Chat>> {
        let scope = self.store.tenant(tenant);
        let page = scope.list_user_chats(user, window).await?;
        if page.items.is_empty() && !scope.has_chats(user).await? {
            return Err(if scope.has_user(user).await? { Error::NoChats } else { Error::UserNotFound });
        }
        Ok(page)
    }

    /// A tenant's chats that `filter` means, in the order of `window`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list_chats(&self, tenant: TenantId, filter: &ChatFilter, window: ChatWindow) -> Result<Page<Chat>> {
        self.store.tenant(tenant).list_chats(filter, window).await
    }

    /// Changes a chat and returns it as it is then. A patch that changes nothing is no change.
    ///
    /// Before a chat is closed, the answer that streams in it is cancelled and stored as far as it has come; one that is
    /// not stored within 2 seconds is lost. The chat's connections are told of a change.
    ///
    /// # Errors
    /// [`Error::ChatNotFound`]; [`Error::Metadata`] when the merged metadata breaks a rule; [`Error::Unavailable`].
    pub async fn update_chat(&self, tenant: TenantId, id: Uuid, patch: ChatPatch) -> Result<Chat> {
        let chats = self.clone();
        // A task of its own, since a caller may give up while the change is being committed, and the connections must be
        // told of it nevertheless.
        let update = tokio::spawn(async move { chats.update_and_tell(tenant, id, patch).await });
        update.await.unwrap_or_else(|error| Err(Error::Internal(Cause::new(error))))
    }

    async fn update_and_tell(&self, tenant: TenantId, id: Uuid, patch: ChatPatch) -> Result<Chat> {
        let scope = self.store.tenant(tenant);
        let closes = patch.status == Some(Status::Closed);
        // An answer is cancelled only by the tenant that has the chat.
        if closes && scope.get_chat(id).await?.is_some() {
            self.cancel_answer(id).await;
        }
        let Updated { chat, changed } = scope.update_chat(id, |chat| patch.apply(chat, self.moments.now())).await?;
        if changed {
            self.connections.chat_updated(&chat, self.moments.now());
        }
        if closes {
            // One that began meanwhile, which can no longer be stored.
            self.connections.cancel_answer(id);
        }
        Ok(chat)
    }

    async fn cancel_answer(&self, chat: Uuid) {
        if let Some(ended) = self.connections.cancel_answer(chat)
            && timeout(ANSWER_TIMEOUT, ended.cancelled()).await.is_err()
        {
            tracing::warn!(%chat, "an answer was not stored before its chat was closed");
        }
    }

    /// The chat `id`, for `user`, who joins it, and whether this made the user known.
    ///
    /// # Errors
    /// [`Error::ChatNotFound`], [`Error::Unavailable`].
    pub async fn join_chat(&self, tenant: TenantId, id: Uuid, user: &UserId) -> Result<(Chat, bool)> {
        let chat = self.get_chat(tenant, id).await?;
        let is_new = *user != chat.user_id && self.store.tenant(tenant).create_user(user, self.moments.now()).await?;
        Ok((chat, is_new))
    }

    /// Deletes a chat for good, with its messages and all that is kept of it, and ends its connections, which unless by
    /// `force` there must not be.
    ///
    /// # Errors
    /// [`Error::ChatNotFound`]; [`Error::ChatInUse`] without `force`; [`Error::Unavailable`].
    pub async fn delete_chat(&self, tenant: TenantId, id: Uuid, force: bool) -> Result<Deleted> {
        let scope = self.store.tenant(tenant);
        // That a chat is in use is nobody's business but its tenant's.
        if !force && self.connections.are_open(tenant, id) && scope.get_chat(id).await?.is_some() {
            return Err(Error::ChatInUse);
        }
        if !scope.delete_chat(id).await? {
            return Err(Error::ChatNotFound);
        }
        // Those that came meanwhile, too: there is nothing left to be connected to.
        self.connections.chat_deleted(id);
        Ok(Deleted { at: self.moments.now() })
    }
}

impl fmt::Debug for Chats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chats").finish_non_exhaustive()
    }
}

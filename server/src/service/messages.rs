use uuid::Uuid;

use crate::{
    base::error::{Error, Result},
    domain::{Chat, Created, Idempotency, Message, MessagePlace, NewMessage, Page, Role, TenantId, Window},
    store::Store,
};

/// What can be done with messages.
#[derive(Debug, Clone)]
pub struct Messages {
    store: Store,
}

impl Messages {
    /// Works on `store`.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Stores a message under the next `seq` of its chat; returns after commit. A message whose `client_message_id` its
    /// chat has already from the same sender is that one repeated, whatever else it says. Queued at the call, not when it is awaited:
    /// messages get their `seq` in the order of the calls.
    ///
    /// # Errors
    /// [`Error::ChatNotFound`]; [`Error::ChatClosed`]; [`Error::IdempotencyKeyReused`] when `idempotency` names an
    /// earlier request with another fingerprint; [`Error::Unavailable`].
    pub fn send_message(
        &self,
        tenant: TenantId,
        chat_id: Uuid,
        new: NewMessage,
        idempotency: Option<Idempotency>,
    ) -> impl Future<Output = Result<Created<Message>>> + Send + use<> {
        self.store.tenant(tenant).send_message(chat_id, new, idempotency)
    }

    /// A chat's messages by `seq`; of those after `after_seq` if given.
    ///
    /// # Errors
    /// [`Error::ChatNotFound`], [`Error::Unavailable`].
    pub async fn list_messages(
        &self,
        tenant: TenantId,
        chat_id: Uuid,
        after_seq: Option<i64>,
        window: Window<MessagePlace>,
    ) -> Result<Page<Message>> {
        self.store.tenant(tenant).list_messages(chat_id, after_seq, window).await?.ok_or(Error::ChatNotFound)
    }

    /// Returns the role of the last message of `chat`; `None` when it has no message.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn last_role(&self, chat: &Chat) -> Result<Option<Role>> {
        self.store.tenant(chat.tenant_id).last_role(chat).await
    }
}

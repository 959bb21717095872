//! Queries about messages.

use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, QueryTrait as _, Select,
};
use uuid::Uuid;

use super::{TenantScope, entity::message, failure::fault, from_micros};
use crate::{
    base::error::{Cause, Error, Result},
    domain::{
        Chat, ClientMessageId, Content, Created, Idempotency, MediaType, MediaUrl, Message, MessagePlace, Metadata,
        NewMessage, Order, Page, Role, Start, UserId, Window,
    },
};

impl TenantScope<'_> {
    /// Stores a message under the next `seq` of its chat; returns after commit. A repetition, by idempotency key or by
    /// `client_message_id`, returns the first message instead and stores nothing. Queued at the call, not when it is
    /// awaited: messages get their `seq` in the order of the calls.
    ///
    /// # Errors
    /// [`Error::ChatNotFound`], [`Error::ChatClosed`], [`Error::IdempotencyKeyReused`], [`Error::Unavailable`].
    pub fn send_message(
        &self,
        chat_id: Uuid,
        new: NewMessage,
        idempotency: Option<Idempotency>,
    ) -> impl Future<Output = Result<Created<Message>>> + Send + use<> {
        self.store.writer.send_message(self.tenant, chat_id, new, idempotency)
    }

    /// A page of the messages of the chat `chat_id`, if the tenant has it; of those after `after_seq` if given.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list_messages(
        &self,
        chat_id: Uuid,
        after_seq: Option<i64>,
        window: Window<MessagePlace>,
    ) -> Result<Option<Page<Message>>> {
        // Nothing about messages is asked before the chat is known to be the tenant's.
        let Some(chat) = self.get_chat(chat_id).await? else { return Ok(None) };
        let (first, last) = (after_seq.unwrap_or(0).saturating_add(1), chat.message_count);
        let total = (last - first + 1).max(0);
        let messages = windowed(chat_id, first, last, window);
        let room = self.store.room_for_a_page().await?;
        let rows = messages.all(&self.store.read).await.map_err(fault)?;
        let messages = rows.into_iter().map(message_of).collect::<Result<Vec<_>>>()?;
        let total = matches!(window.start, Start::Offset(_)).then_some(total);
        Ok(Some(Page::new(messages, window.limit, total, room)))
    }

    /// Returns the role of the last message of `chat`, which the tenant has; `None` when it has no message, or was deleted
    /// since it was read.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn last_role(&self, chat: &Chat) -> Result<Option<Role>> {
        debug_assert_eq!(chat.tenant_id, self.tenant, "a chat is read in its own tenant");
        let role = message::Entity::find_by_id((chat.id, chat.message_count))
            .select_only()
            .column(message::Column::Role)
            .into_tuple::<i16>()
            .one(&self.store.read)
            .await
            .map_err(fault)?;
        role.map(role_of).transpose()
    }
}

/// The window of the messages from `first` to `last`, and one more if there is one. `seq` has no gaps, so an offset is a
/// place, and costs the same everywhere.
pub(super) fn windowed(chat_id: Uuid, first: i64, last: i64, window: Window<MessagePlace>) -> Select<message::Entity> {
    // One bound at each end: of two at the same end SQLite takes either for the place where it begins to look.
    let (first, last) = match (window.order, window.start) {
        (Order::Asc, Start::Offset(offset)) => (first.saturating_add(offset), None),
        (Order::Asc, Start::After(place)) => (first.max(place.saturating_add(1)), None),
        (Order::Desc, Start::Offset(offset)) => (first, Some(last.saturating_sub(offset))),
        (Order::Desc, Start::After(place)) => (first, Some(place.saturating_sub(1))),
    };
    let seq = message::Column::Seq;
    let messages = message::Entity::find()
        .filter(message::Column::ChatId.eq(chat_id))
        .filter(seq.gte(first))
        .apply_if(last, |messages, last| messages.filter(seq.lte(last)));
    let messages = match window.order {
        Order::Asc => messages.order_by_asc(seq),
        Order::Desc => messages.order_by_desc(seq),
    };
    messages.limit(u64::from(window.limit) + 1)
}

pub(super) fn message_of(row: message::Model) -> Result<Message> {
    Ok(Message {
        id: row.id,
        chat_id: row.chat_id,
        seq: row.seq,
        role: role_of(row.role)?,
        sender_id: row.sender_id.map(UserId::stored),
        content: Content::stored(row.content),
        media_type: row.media_type.map(MediaType::stored),
        media_url: row.media_url.map(MediaUrl::stored),
        metadata: Metadata::stored(row.metadata).map_err(|error| Error::Internal(Cause::new(error)))?,
        client_message_id: row.client_message_id.map(ClientMessageId::stored),
        created_at: from_micros(row.created_at)?,
    })
}

pub(super) fn role_code(role: Role) -> i16 {
    match role {
        Role::User => 0,
        Role::Assistant => 1,
    }
}

fn role_of(code: i16) -> Result<Role> {
    match code {
        0 => Ok(Role::User),
        1 => Ok(Role::Assistant),
        _ => Err(Error::Internal(Cause::new(format!("{code} is no role")))),
    }
}

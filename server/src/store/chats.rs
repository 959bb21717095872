//! Queries about chats.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, JoinType, PaginatorTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, QueryTrait as _, Select,
    sea_query::{Alias, BinOper, Expr, ExprTrait as _, LockType, Query},
};
use uuid::Uuid;

use super::{
    TenantScope, activity,
    chat_columns::{by_id, status_code, status_of, to_micros_up},
    connection::Transaction,
    entity::{chat, chat_label, idempotency_record, message, ticket},
    failure::fault,
    from_micros, labels,
    rows::{Column, Rows},
    to_micros,
};
use crate::{
    base::error::{Cause, Error, Result},
    domain::{
        Chat, ChatFilter, ChatPlace, ChatWindow, Created, Idempotency, Metadata, Order, Page, Start, TenantId, Title,
        Updated, UserId, Window,
    },
};

impl TenantScope<'_> {
    /// Stores `chat`, its user if the tenant has none of that name, and the idempotency record if there is one, in one
    /// transaction; returns after commit. A repetition returns the first chat instead and stores nothing.
    ///
    /// # Errors
    /// [`Error::IdempotencyKeyReused`], [`Error::Unavailable`].
    pub async fn create_chat(&self, chat: Chat, idempotency: Option<Idempotency>) -> Result<Created<Chat>> {
        debug_assert_eq!(chat.tenant_id, self.tenant, "a chat is created in its own tenant");
        self.store.writer.create_chat(self.tenant, chat, idempotency).await
    }

    /// The chat `id`, if the tenant has it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn get_chat(&self, id: Uuid) -> Result<Option<Chat>> {
        self.store.chats.get((self.tenant, id)).await
    }

    /// Whether `user` has a chat.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn has_chats(&self, user: &UserId) -> Result<bool> {
        Ok(self.chats_of(user).one(&self.store.read).await.map_err(fault)?.is_some())
    }

    /// A page of `user`'s chats.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list_user_chats(&self, user: &UserId, window: ChatWindow) -> Result<Page<Chat>> {
        let chats = self.chats_of(user);
        let total = if window.is_at_offset() {
            let count = chats.clone().count(&self.store.read).await.map_err(fault)?;
            Some(i64::try_from(count).unwrap_or(i64::MAX))
        } else {
            None
        };
        let chats = match window {
            ChatWindow::ByCreation(window) => Chain::of(chats).windowed(window),
            ChatWindow::ByActivity(window) => activity::windowed(chats, window),
        };
        self.page(chats, window.limit(), total).await
    }

    /// A page of the tenant's chats that `filter` means.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list_chats(&self, filter: &ChatFilter, window: ChatWindow) -> Result<Page<Chat>> {
        let chats = match window {
            ChatWindow::ByCreation(window) => self.filtered(filter).windowed(window),
            ChatWindow::ByActivity(window) => self.by_activity(filter, window),
        };
        self.page(chats, window.limit(), None).await
    }

    /// Changes the chat `id` by `change` and returns it as it is then, and whether anything was changed.
    ///
    /// # Errors
    /// [`Error::ChatNotFound`], [`Error::Unavailable`], and what `change` fails with.
    pub async fn update_chat(&self, id: Uuid, change: impl FnOnce(&mut Chat) -> Result<()>) -> Result<Updated> {
        let transaction = self.store.write.begin().await?;
        let Some(before) = self.lock_chat(&transaction, id).await? else {
            transaction.roll_back().await;
            return Err(Error::ChatNotFound);
        };
        let mut chat = before.clone();
        let changed = change(&mut chat);
        if changed.is_err() || chat == before {
            transaction.roll_back().await;
            return changed.map(|()| Updated { chat, changed: false });
        }
        chat::Entity::update_many()
            .col_expr(chat::Column::Title, Expr::value(chat.title.as_str()))
            .col_expr(chat::Column::Metadata, Expr::value(chat.metadata.as_json()))
            .col_expr(chat::Column::Status, Expr::value(status_code(chat.status)))
            .col_expr(chat::Column::UpdatedAt, Expr::value(to_micros(chat.updated_at)))
            .filter(self.place(id))
            .exec(&*transaction)
            .await
            .map_err(fault)?;
        labels::replace(&transaction, &before.metadata, &chat).await.map_err(fault)?;
        transaction.commit().await?;
        Ok(Updated { chat, changed: true })
    }

    /// Deletes the chat `id` and all that is kept of it; tells whether the tenant had it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete_chat(&self, id: Uuid) -> Result<bool> {
        let transaction = self.store.write.begin().await?;
        let Some(chat) = self.lock_chat(&transaction, id).await? else {
            transaction.roll_back().await;
            return Ok(false);
        };
        let labels = labels::of(self.tenant, &chat.metadata);
        labels::remove(&transaction, id, labels.into_iter()).await.map_err(fault)?;
        let messages = message::Entity::delete_many().filter(message::Column::ChatId.eq(id));
        messages.exec(&*transaction).await.map_err(fault)?;
        let tickets = ticket::Entity::delete_many().filter(ticket::Column::ChatId.eq(id));
        tickets.exec(&*transaction).await.map_err(fault)?;
        chat::Entity::delete_many().filter(self.place(id)).exec(&*transaction).await.map_err(fault)?;
        // Last, as the writer has it.
        let records = idempotency_record::Entity::delete_many().filter(idempotency_record::Column::ChatId.eq(id));
        records.exec(&*transaction).await.map_err(fault)?;
        transaction.commit().await?;
        Ok(true)
    }

    /// The root of every query about chats.
    pub(super) fn chats(&self) -> Select<chat::Entity> {
        chat::Entity::find().filter(chat::Column::TenantId.eq(self.tenant.0))
    }

    pub(super) fn chats_of(&self, user: &UserId) -> Select<chat::Entity> {
        self.chats().filter(chat::Column::UserId.eq(user.as_str()))
    }

    fn place(&self, id: Uuid) -> Condition {
        Condition::all().add(chat::Column::TenantId.eq(self.tenant.0)).add(chat::Column::Id.eq(id))
    }

    /// The chat, which until the end of the transaction nobody else changes.
    async fn lock_chat(&self, transaction: &Transaction, id: Uuid) -> Result<Option<Chat>> {
        // Left out on SQLite, where the transaction is the only writer.
        let row = self.chats().filter(chat::Column::Id.eq(id)).lock(LockType::Update);
        row.one(transaction).await.map_err(fault)?.map(chat_of).transpose()
    }

    /// The chats that `filter` means, and the column whose order is theirs: an index leads from the first label to its
    /// chats in that order, as one leads from the tenant, the user or the status to theirs.
    pub(super) fn filtered(&self, filter: &ChatFilter) -> Chain {
        let mut labels = filter.metadata.iter().map(|label| labels::digest(self.tenant, label));
        let (mut chats, id) = match labels.next() {
            Some(first) => {
                let relation =
                    chat::Entity::belongs_to(chat_label::Entity).from(chat::Column::Id).to(chat_label::Column::ChatId);
                let labelled = self.chats().join(JoinType::InnerJoin, relation.into());
                let labelled = labelled.filter(chat_label::Column::Label.eq(first));
                (labelled, Expr::col((chat_label::Entity, chat_label::Column::ChatId)))
            }
            None => (self.chats(), by_id()),
        };
        for (index, label) in labels.enumerate() {
            let other = Alias::new(format!("other_label_{index}"));
            let has = Query::select()
                .expr(Expr::val(1))
                .from_as(chat_label::Entity, other.clone())
                .and_where(Expr::col((other.clone(), chat_label::Column::Label)).eq(label))
                .and_where(Expr::col((other, chat_label::Column::ChatId)).eq(id.clone()))
                .to_owned();
            chats = chats.filter(Expr::exists(has));
        }
        // Where a label leads, no other index must: its chats would have to be sorted. PostgreSQL knows by its
        // statistics; SQLite is told by computing what is compared, for which there is no index.
        let user_id = Expr::col((chat::Entity, chat::Column::UserId));
        let status = Expr::col((chat::Entity, chat::Column::Status));
        let (user_id, status) = if filter.metadata.is_empty() || !self.store.is_sqlite() {
            (user_id, status)
        } else {
            (user_id.binary(BinOper::Custom("||"), ""), status.add(0))
        };
        let chats = chats
            .apply_if(filter.user_id.as_ref(), |chats, user| chats.filter(user_id.eq(user.as_str())))
            .apply_if(filter.status, |chats, wanted| chats.filter(status.eq(status_code(wanted))))
            .apply_if(filter.created_after, |chats, after| chats.filter(chat::Column::CreatedAt.gt(to_micros(after))))
            .apply_if(filter.created_before, |chats, before| {
                chats.filter(chat::Column::CreatedAt.lt(to_micros_up(before)))
            });
        // Ids are ordered by creation: their bounds let an index find the place, the moments above decide exactly.
        let from = filter.created_after.map(first_id_of);
        let before = filter.created_before.map(|before| first_id_of(before + Duration::milliseconds(1)));
        Chain { chats, id, from, before }
    }

    async fn page(&self, chats: Select<chat::Entity>, limit: u32, total: Option<i64>) -> Result<Page<Chat>> {
        let room = self.store.room_for_a_page().await?;
        let rows = chats.all(&self.store.read).await.map_err(fault)?;
        let chats = rows.into_iter().map(chat_of).collect::<Result<Vec<_>>>()?;
        Ok(Page::new(chats, limit, total, room))
    }
}

/// Chats in the order of their ids, which an index gives.
pub(super) struct Chain {
    chats: Select<chat::Entity>,
    /// The column whose index leads.
    id: Expr,
    /// The smallest id meant.
    from: Option<Uuid>,
    /// The smallest id that is too great.
    before: Option<Uuid>,
}

impl Chain {
    /// `chats`, all of them.
    pub(super) fn of(chats: Select<chat::Entity>) -> Self {
        Self { chats, id: by_id(), from: None, before: None }
    }

    /// The chats of `window`, and one more if there is one.
    pub(super) fn windowed(self, window: Window<ChatPlace>) -> Select<chat::Entity> {
        let Self { chats, id, mut from, mut before } = self;
        // One bound at each end: of two at the same end SQLite takes either for the place where it begins to look.
        let chats = match (window.start, window.order) {
            (Start::Offset(offset), _) => chats.offset(u64::try_from(offset).unwrap_or(0)),
            (Start::After(place), Order::Asc) => {
                let next = Uuid::from_u128(place.as_u128().saturating_add(1));
                from = Some(from.map_or(next, |from| Ord::max(from, next)));
                chats
            }
            (Start::After(place), Order::Desc) => {
                before = Some(before.map_or(place, |before| Ord::min(before, place)));
                chats
            }
        };
        let chats = chats
            .apply_if(from, |chats, from| chats.filter(id.clone().gte(from)))
            .apply_if(before, |chats, before| chats.filter(id.clone().lt(before)));
        let chats = match window.order {
            Order::Asc => chats.order_by_asc(id),
            Order::Desc => chats.order_by_desc(id),
        };
        chats.limit(u64::from(window.limit) + 1)
    }
}

/// The smallest id that can have been made in the millisecond of `moment`: its 48 bits of time, and zeros.
fn first_id_of(moment: DateTime<Utc>) -> Uuid {
    let millis = u128::try_from(moment.timestamp_millis()).unwrap_or(0) & 0xffff_ffff_ffff;
    Uuid::from_u128(millis << 80)
}

/// A chat within its tenant.
pub(super) type Place = (TenantId, Uuid);

/// `places` as rows of `tenant_id` and `id`.
pub(super) fn place_rows(places: &BTreeSet<Place>) -> Rows {
    Rows::new(vec![
        ("tenant_id", Column::Uuid(places.iter().map(|(tenant, _)| tenant.0).collect())),
        ("id", Column::Uuid(places.iter().map(|(_, id)| *id).collect())),
    ])
}

pub(super) fn chat_of(row: chat::Model) -> Result<Chat> {
    Ok(Chat {
        id: row.id,
        user_id: UserId::stored(row.user_id),
        tenant_id: TenantId(row.tenant_id),
        title: Title::stored(row.title),
        metadata: Metadata::stored(row.metadata).map_err(|error| Error::Internal(Cause::new(error)))?,
        status: status_of(row.status)?,
        message_count: row.message_count,
        created_at: from_micros(row.created_at)?,
        updated_at: from_micros(row.updated_at)?,
        last_message_at: row.last_message_at.map(from_micros).transpose()?,
    })
}

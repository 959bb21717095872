//! Queries about tickets. They begin at [`Store`]: who presents a ticket has no tenant yet, the ticket names it.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait as _, DbBackend, EntityTrait as _, QuerySelect as _};
use uuid::Uuid;

use super::{
    Store,
    entity::ticket,
    failure::fault,
    keys::VALID,
    rows::{Column, Rows, columns},
    to_micros,
};
use crate::{
    base::{error::Result, secret::SecretHash},
    domain::{TenantId, TicketGrant, UserId},
};

impl Store {
    /// Stores a ticket if the tenant has the chat, and tells whether it has.
    pub(crate) async fn create_ticket(
        &self,
        hash: &SecretHash,
        grant: &TicketGrant,
        expires_at: DateTime<Utc>,
    ) -> Result<bool> {
        let backend = self.read.backend();
        let rows = Rows::new(vec![
            ("hash", Column::Bytes(vec![hash.as_bytes().to_vec()])),
            ("tenant_id", Column::Uuid(vec![grant.tenant.0])),
            ("key_id", Column::Uuid(vec![grant.key])),
            ("chat_id", Column::Uuid(vec![grant.chat_id])),
            ("user_id", Column::Text(vec![grant.user_id.as_str().to_owned()])),
            ("expires_at", Column::BigInt(vec![to_micros(expires_at)])),
        ]);
        // Waits for a deletion of the chat that has begun, so that no ticket outlives it. SQLite has one writer.
        let lock = if backend == DbBackend::Sqlite { "" } else { "FOR KEY SHARE OF c" };
        let insert = rows.statement(backend, |rows| {
            format!(
                "INSERT INTO tickets (hash, tenant_id, key_id, chat_id, user_id, expires_at) \
                 SELECT r.hash, r.tenant_id, r.key_id, r.chat_id, r.user_id, r.expires_at \
                 FROM {rows} JOIN chats c ON c.tenant_id = r.tenant_id AND c.id = r.chat_id {lock}"
            )
        });
        Ok(self.write.permit().await?.execute_raw(insert).await.map_err(fault)?.rows_affected() == 1)
    }

    /// Deletes the ticket and returns what it granted, if it and the key that made it are valid at `now`, it expires at
    /// `latest` at the latest, and it is for `chat`, where one is given.
    pub(crate) async fn redeem_ticket(
        &self,
        hash: &SecretHash,
        chat: Option<Uuid>,
        now: DateTime<Utc>,
        latest: DateTime<Utc>,
    ) -> Result<Option<TicketGrant>> {
        let mut given = vec![
            ("hash", Column::Bytes(vec![hash.as_bytes().to_vec()])),
            ("now", Column::BigInt(vec![to_micros(now)])),
            ("latest", Column::BigInt(vec![to_micros(latest)])),
        ];
        let of_chat = if chat.is_some() { "AND t.chat_id = r.chat_id" } else { "" };
        given.extend(chat.map(|chat| ("chat_id", Column::Uuid(vec![chat]))));
        let rows = Rows::new(given);
        // One statement: of two that run at once, the row is deleted by one, and the other finds nothing to delete.
        let delete = rows.statement(self.read.backend(), |rows| {
            format!(
                "DELETE FROM tickets WHERE hash IN (\
                     SELECT t.hash FROM {rows} JOIN tickets t ON t.hash = r.hash JOIN api_keys k ON k.id = t.key_id \
                     WHERE t.expires_at > r.now AND t.expires_at <= r.latest AND {VALID} {of_chat}\
                 ) RETURNING {}",
                columns::<ticket::Entity>("tickets")
            )
        });
        let ticket =
            ticket::Entity::find().from_raw_sql(delete).one(&*self.write.permit().await?).await.map_err(fault)?;
        Ok(ticket.map(|ticket| TicketGrant {
            tenant: TenantId(ticket.tenant_id),
            key: ticket.key_id,
            chat_id: ticket.chat_id,
            user_id: UserId::stored(ticket.user_id),
        }))
    }

    /// The chat of a ticket that has not been redeemed, whether it is valid or not.
    pub(crate) async fn ticket_chat(&self, hash: &SecretHash) -> Result<Option<Uuid>> {
        let chat = ticket::Entity::find_by_id(hash.as_bytes().to_vec())
            .select_only()
            .column(ticket::Column::ChatId)
            .into_tuple()
            .one(&self.read);
        chat.await.map_err(fault)
    }
}

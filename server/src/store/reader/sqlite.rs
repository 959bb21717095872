//! Chats from a SQLite file: a batch is asked for as one JSON text and answered as one.
//!
//! A row would cost more than it takes to find it: the driver copies each of its values, hands it from thread to thread,
//! and looks its columns up by name.

use std::time::{Duration, Instant};

use sea_orm::{DbBackend, DbErr, Statement};
use serde::Deserialize;
use uuid::fmt::Simple;

use crate::{
    base::error::{Cause, Error, Result as AppResult},
    domain::Chat,
    store::{
        chats::{Place, chat_of},
        connection::{Call, Lease, Pool, Sqlite},
        entity::chat,
        failure::fault,
    },
};

/// `CROSS`, because SQLite then looks a chat up for every place, whatever its statistics say.
pub(in crate::store) const CHATS_AT: &str = "\
    SELECT json_group_array(json_array(p.key, c.user_id, c.title, c.metadata, c.status, c.message_count, \
    c.created_at, c.updated_at, c.last_message_at)) \
    FROM json_each(?1) AS p CROSS JOIN chats AS c \
    ON c.tenant_id = unhex(substr(p.value, 1, 32)) AND c.id = unhex(substr(p.value, 33))";

/// A chat as [`CHATS_AT`] writes it, in that order.
#[derive(Deserialize)]
struct Found {
    /// Which of the places it is at.
    place: usize,
    user_id: String,
    title: String,
    metadata: String,
    status: i16,
    message_count: i64,
    created_at: i64,
    updated_at: i64,
    last_message_at: Option<i64>,
}

/// A SQLite file, as chats are asked of it.
pub(in crate::store) struct SqliteChats {
    pool: Pool<Sqlite>,
    limit: Duration,
    /// Kept from batch to batch.
    lease: Option<Lease<Sqlite>>,
}

impl SqliteChats {
    /// Each query may take as long as `limit`.
    pub(super) fn new(pool: Pool<Sqlite>, limit: Duration) -> Self {
        Self { pool, limit, lease: None }
    }

    /// A chat, or its absence, for each of `places`.
    pub(super) async fn chats_at(&mut self, places: &[Place]) -> AppResult<Vec<AppResult<Option<Chat>>>> {
        let found = self.ask(as_json(places)).await.map_err(fault)?;
        let found: Vec<Found> = serde_json::from_str(&found).map_err(|error| Error::Internal(Cause::new(error)))?;
        let mut chats: Vec<_> = places.iter().map(|_| Ok(None)).collect();
        for chat in found {
            let place = chat.place;
            chats[place] = chat_of(chat.at(places)).map(Some);
        }
        Ok(chats)
    }

    /// A connection that failed, or was left in the middle, is not asked again.
    async fn ask(&mut self, places: String) -> Result<String, DbErr> {
        let deadline = Instant::now() + self.limit;
        let mut kept = self.lease.take();
        if let Some(lease) = &mut kept
            && !lease.is_well().await
        {
            kept = None;
        }
        let mut lease = match kept {
            Some(lease) => lease,
            None => self.pool.lease(deadline).await?,
        };
        let select = Statement::from_sql_and_values(DbBackend::Sqlite, CHATS_AT, [places.into()]);
        let rows = lease.run(Call::Rows(&select), deadline).await?.into_rows();
        self.lease = Some(lease);
        let row = rows.first().ok_or_else(|| DbErr::RecordNotFound("an aggregate returned no row".to_owned()))?;
        row.try_get_by_index(0)
    }
}

impl Found {
    fn at(self, places: &[Place]) -> chat::Model {
        let (tenant, id) = places[self.place];
        chat::Model {
            tenant_id: tenant.0,
            id,
            user_id: self.user_id,
            title: self.title,
            metadata: self.metadata,
            status: self.status,
            message_count: self.message_count,
            created_at: self.created_at,
            updated_at: self.updated_at,
            last_message_at: self.last_message_at,
        }
    }
}

/// Each place as the digits of its tenant and those of its chat.
fn as_json(places: &[Place]) -> String {
    let mut json = String::with_capacity(places.len() * (2 * Simple::LENGTH + 3) + 2);
    let mut digits = [0; Simple::LENGTH];
    for (tenant, id) in places {
        json.push_str(if json.is_empty() { "[\"" } else { "\",\"" });
        json.push_str(tenant.0.simple().encode_lower(&mut digits));
        json.push_str(id.simple().encode_lower(&mut digits));
    }
    json.push_str("\"]");
    json
}

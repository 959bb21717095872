//! Chats by their places.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use sea_orm::DbBackend;

use super::{Source, sqlite::SqliteChats};
use crate::{
    base::error::Result,
    domain::{Chat, TenantId},
    store::{
        chats::{Place, chat_of, place_rows},
        connection::{PinnedConnection, Pool, Sqlite},
        entity::chat,
        failure::fault,
        rows::columns,
    },
};

/// The database, as chats are asked of it.
pub(in crate::store) enum ChatSource {
    Sqlite(SqliteChats),
    Postgres(PinnedConnection),
}

impl ChatSource {
    /// On a file; each query may take as long as `limit`.
    pub(in crate::store) fn sqlite(pool: Pool<Sqlite>, limit: Duration) -> Self {
        Self::Sqlite(SqliteChats::new(pool, limit))
    }

    /// On a server.
    pub(in crate::store) fn postgres(connection: PinnedConnection) -> Self {
        Self::Postgres(connection)
    }
}

impl Source for ChatSource {
    type Key = Place;
    type Value = Chat;

    async fn read(&mut self, places: &[Place]) -> Result<Vec<Result<Option<Chat>>>> {
        match self {
            Self::Sqlite(sqlite) => sqlite.chats_at(places).await,
            Self::Postgres(connection) => rows_at(connection, places).await,
        }
    }
}

async fn rows_at(connection: &mut PinnedConnection, places: &[Place]) -> Result<Vec<Result<Option<Chat>>>> {
    let unique: BTreeSet<Place> = places.iter().copied().collect();
    let select = place_rows(&unique).statement(DbBackend::Postgres, |rows| {
        let columns = columns::<chat::Entity>("c");
        format!("SELECT {columns} FROM {rows} JOIN chats c ON c.tenant_id = r.tenant_id AND c.id = r.id")
    });
    let rows: Vec<chat::Model> = connection.all(select).await.map_err(fault)?;
    let rows: HashMap<Place, chat::Model> =
        rows.into_iter().map(|row| ((TenantId(row.tenant_id), row.id), row)).collect();
    Ok(places.iter().map(|place| rows.get(place).cloned().map(chat_of).transpose()).collect())
}

//! Where the reader finds its chats.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{DatabaseConnection, DbBackend};

use super::sqlite::Sqlite;
use crate::{
    chat::Chat,
    error::Result,
    store::{
        chats::{Place, chat_of, place_rows},
        dedicated::Dedicated,
        entity::chat,
        failure::fault,
    },
    tenant::TenantId,
};

/// The database, as the reader asks it.
pub(super) enum Source {
    Sqlite(Sqlite),
    Postgres(Dedicated),
}

impl Source {
    pub(super) fn of(database: &DatabaseConnection) -> Self {
        match database.get_database_backend() {
            DbBackend::Sqlite => Self::Sqlite(Sqlite::new(database.get_sqlite_connection_pool().clone())),
            _ => Self::Postgres(Dedicated::of(database.get_postgres_connection_pool().clone())),
        }
    }

    /// A chat, or its absence, for each of `places`, from one query.
    pub(super) async fn chats_at(&mut self, places: &[Place]) -> Result<Vec<Result<Option<Chat>>>> {
        match self {
            Self::Sqlite(sqlite) => sqlite.chats_at(places).await,
            Self::Postgres(connection) => rows_at(connection, places).await,
        }
    }
}

async fn rows_at(connection: &mut Dedicated, places: &[Place]) -> Result<Vec<Result<Option<Chat>>>> {
    let unique: BTreeSet<Place> = places.iter().copied().collect();
    let select = place_rows(&unique).statement(DbBackend::Postgres, |rows| {
        format!("SELECT c.* FROM {rows} JOIN chats c ON c.tenant_id = r.tenant_id AND c.id = r.id")
    });
    let rows: Vec<chat::Model> = connection.all(select).await.map_err(fault)?;
    let rows: HashMap<Place, chat::Model> =
        rows.into_iter().map(|row| ((TenantId(row.tenant_id), row.id), row)).collect();
    Ok(places.iter().map(|place| rows.get(place).cloned().map(chat_of).transpose()).collect())
}

//! Lists of chats by last activity.

use sea_orm::ConnectionTrait as _;
use sea_orm_migration::prelude::*;

use super::lock_chats;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// The activity is the expression of `store::activity`, letter by letter. `status` at the end lets a list by status pass
/// over chats of the other without reading them; an index of its own would be one more to write for each message.
const CREATE: [&str; 2] = [
    "CREATE INDEX chats_by_activity ON chats (tenant_id, (COALESCE(last_message_at, created_at)), id, status)",
    "CREATE INDEX chats_of_user_by_activity ON chats (tenant_id, user_id, (COALESCE(last_message_at, created_at)), id)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        lock_chats(manager).await?;
        for create in CREATE {
            manager.get_connection().execute_unprepared(create).await?;
        }
        Ok(())
    }
}

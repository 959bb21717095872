//! A `client_message_id` is unique for its sender in its chat, no longer in the chat as a whole.

use sea_orm::ConnectionTrait as _;
use sea_orm_migration::prelude::*;

use super::lock_chats;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// Unnamed messages take no place in it. An empty text stands for the sender of messages without one, since an index takes
/// no two nulls for equal. The name comes before the sender, so that an older server, which looks for the name alone, is
/// served too.
const CREATE: &str = "\
    CREATE UNIQUE INDEX messages_by_sender ON messages (chat_id, client_message_id, (COALESCE(sender_id, ''))) \
    WHERE client_message_id IS NOT NULL";
const DROP: &str = "DROP INDEX messages_by_client_id";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        lock_chats(manager).await?;
        manager.get_connection().execute_unprepared(CREATE).await?;
        // Last of all: from here to the commit, reads of messages wait on PostgreSQL.
        manager.get_connection().execute_unprepared(DROP).await?;
        Ok(())
    }
}

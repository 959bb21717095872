//! Tickets.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[derive(DeriveIden)]
enum Tickets {
    Table,
    Hash,
    TenantId,
    KeyId,
    ChatId,
    UserId,
    ExpiresAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(Tickets::Table)
                    .col(ColumnDef::new(Tickets::Hash).blob().not_null().primary_key())
                    .col(ColumnDef::new(Tickets::TenantId).uuid().not_null())
                    .col(ColumnDef::new(Tickets::KeyId).uuid().not_null())
                    .col(ColumnDef::new(Tickets::ChatId).uuid().not_null())
                    .col(ColumnDef::new(Tickets::UserId).text().not_null())
                    .col(ColumnDef::new(Tickets::ExpiresAt).big_integer().not_null())
                    .to_owned(),
            )
            .await?;
        // Serves the deletion of a chat.
        manager
            .create_index(Index::create().name("tickets_of_chat").table(Tickets::Table).col(Tickets::ChatId).to_owned())
            .await?;
        // Serves the sweep of expired tickets.
        manager
            .create_index(
                Index::create().name("tickets_expires_at").table(Tickets::Table).col(Tickets::ExpiresAt).to_owned(),
            )
            .await
    }
}

//! Tenants, their keys, users and chats, and first answers.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[derive(DeriveIden)]
enum Tenants {
    Table,
    Id,
    Name,
    CreatedAt,
}

#[derive(DeriveIden)]
enum ApiKeys {
    Table,
    Id,
    TenantId,
    Name,
    Hint,
    Hash,
    CreatedAt,
    ExpiresAt,
    RevokedAt,
}

#[derive(DeriveIden)]
enum Users {
    Table,
    TenantId,
    Id,
    CreatedAt,
}

#[derive(DeriveIden)]
enum Chats {
    Table,
    Id,
    TenantId,
    UserId,
    Title,
    Metadata,
    Status,
    MessageCount,
    CreatedAt,
    UpdatedAt,
    LastMessageAt,
}

#[derive(DeriveIden)]
enum IdempotencyRecords {
    Table,
    TenantId,
    Key,
    Fingerprint,
    ChatId,
    Answer,
    ExpiresAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create_tenants(manager).await?;
        create_api_keys(manager).await?;
        create_users(manager).await?;
        create_chats(manager).await?;
        create_idempotency_records(manager).await
    }
}

async fn create_tenants(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table(Tenants::Table)
                .col(ColumnDef::new(Tenants::Id).uuid().not_null().primary_key())
                .col(ColumnDef::new(Tenants::Name).text().not_null().unique_key())
                .col(ColumnDef::new(Tenants::CreatedAt).big_integer().not_null())
                .to_owned(),
        )
        .await
}

async fn create_api_keys(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table(ApiKeys::Table)
                .col(ColumnDef::new(ApiKeys::Id).uuid().not_null().primary_key())
                .col(ColumnDef::new(ApiKeys::TenantId).uuid().not_null())
                .col(ColumnDef::new(ApiKeys::Name).text().not_null())
                .col(ColumnDef::new(ApiKeys::Hint).text().not_null())
                .col(ColumnDef::new(ApiKeys::Hash).blob().not_null().unique_key())
                .col(ColumnDef::new(ApiKeys::CreatedAt).big_integer().not_null())
                .col(ColumnDef::new(ApiKeys::ExpiresAt).big_integer())
                .col(ColumnDef::new(ApiKeys::RevokedAt).big_integer())
                .foreign_key(ForeignKey::create().from_col(ApiKeys::TenantId).to(Tenants::Table, Tenants::Id))
                .to_owned(),
        )
        .await
}

async fn create_users(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table(Users::Table)
                .col(ColumnDef::new(Users::TenantId).uuid().not_null())
                .col(ColumnDef::new(Users::Id).text().not_null())
                .col(ColumnDef::new(Users::CreatedAt).big_integer().not_null())
                .primary_key(Index::create().col(Users::TenantId).col(Users::Id))
                .foreign_key(ForeignKey::create().from_col(Users::TenantId).to(Tenants::Table, Tenants::Id))
                .to_owned(),
        )
        .await
}

async fn create_chats(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table(Chats::Table)
                .col(ColumnDef::new(Chats::TenantId).uuid().not_null())
                .col(ColumnDef::new(Chats::Id).uuid().not_null())
                .col(ColumnDef::new(Chats::UserId).text().not_null())
                .col(ColumnDef::new(Chats::Title).text().not_null())
                .col(ColumnDef::new(Chats::Metadata).text().not_null())
                .col(ColumnDef::new(Chats::Status).small_integer().not_null())
                .col(ColumnDef::new(Chats::MessageCount).big_integer().not_null())
                .col(ColumnDef::new(Chats::CreatedAt).big_integer().not_null())
                .col(ColumnDef::new(Chats::UpdatedAt).big_integer().not_null())
                .col(ColumnDef::new(Chats::LastMessageAt).big_integer())
                // Ids are ordered by creation, so this also serves a tenant's list.
                .primary_key(Index::create().col(Chats::TenantId).col(Chats::Id))
                .foreign_key(
                    ForeignKey::create()
                        .from_col(Chats::TenantId)
                        .from_col(Chats::UserId)
                        .to_tbl(Users::Table)
                        .to_col(Users::TenantId)
                        .to_col(Users::Id),
                )
                .to_owned(),
        )
        .await?;
    // Serves a user's list.
    manager
        .create_index(
            Index::create()
                .name("chats_of_user")
                .table(Chats::Table)
                .col(Chats::TenantId)
                .col(Chats::UserId)
                .col(Chats::Id)
                .to_owned(),
        )
        .await?;
    // Serves a tenant's list by status.
    manager
        .create_index(
            Index::create()
                .name("chats_by_status")
                .table(Chats::Table)
                .col(Chats::TenantId)
                .col(Chats::Status)
                .col(Chats::Id)
                .to_owned(),
        )
        .await
}

async fn create_idempotency_records(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table(IdempotencyRecords::Table)
                .col(ColumnDef::new(IdempotencyRecords::TenantId).uuid().not_null())
                .col(ColumnDef::new(IdempotencyRecords::Key).text().not_null())
                .col(ColumnDef::new(IdempotencyRecords::Fingerprint).blob().not_null())
                .col(ColumnDef::new(IdempotencyRecords::ChatId).uuid().not_null())
                .col(ColumnDef::new(IdempotencyRecords::Answer).text().not_null())
                .col(ColumnDef::new(IdempotencyRecords::ExpiresAt).big_integer().not_null())
                .primary_key(Index::create().col(IdempotencyRecords::TenantId).col(IdempotencyRecords::Key))
                .to_owned(),
        )
        .await?;
    // Serves the deletion of a chat.
    manager
        .create_index(
            Index::create()
                .name("idempotency_records_of_chat")
                .table(IdempotencyRecords::Table)
                .col(IdempotencyRecords::ChatId)
                .to_owned(),
        )
        .await?;
    // Serves the sweep of expired records.
    manager
        .create_index(
            Index::create()
                .name("idempotency_records_expires_at")
                .table(IdempotencyRecords::Table)
                .col(IdempotencyRecords::ExpiresAt)
                .to_owned(),
        )
        .await
}

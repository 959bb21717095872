//! Messages, and the labels by which chats are filtered.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[derive(DeriveIden)]
enum Messages {
    Table,
    ChatId,
    Seq,
    Id,
    Role,
    SenderId,
    Content,
    MediaType,
    MediaUrl,
    Metadata,
    ClientMessageId,
    CreatedAt,
}

#[derive(DeriveIden)]
enum ChatLabels {
    Table,
    Label,
    ChatId,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(Messages::Table)
                    .col(ColumnDef::new(Messages::ChatId).uuid().not_null())
                    .col(ColumnDef::new(Messages::Seq).big_integer().not_null())
                    .col(ColumnDef::new(Messages::Id).uuid().not_null())
                    .col(ColumnDef::new(Messages::Role).small_integer().not_null())
                    .col(ColumnDef::new(Messages::SenderId).text())
                    .col(ColumnDef::new(Messages::Content).text().not_null())
                    .col(ColumnDef::new(Messages::MediaType).text())
                    .col(ColumnDef::new(Messages::MediaUrl).text())
                    .col(ColumnDef::new(Messages::Metadata).text().not_null())
                    .col(ColumnDef::new(Messages::ClientMessageId).text())
                    .col(ColumnDef::new(Messages::CreatedAt).big_integer().not_null())
                    .primary_key(Index::create().col(Messages::ChatId).col(Messages::Seq))
                    .to_owned(),
            )
            .await?;
        // Unnamed messages take no place in it.
        manager
            .create_index(
                Index::create()
                    .name("messages_by_client_id")
                    .table(Messages::Table)
                    .col(Messages::ChatId)
                    .col(Messages::ClientMessageId)
                    .unique()
                    .and_where(Expr::col(Messages::ClientMessageId).is_not_null())
                    .to_owned(),
            )
            .await?;
        // A label is a digest of tenant, name and value; see `store::labels`.
        let mut labels = Table::create()
            .table(ChatLabels::Table)
            .col(ColumnDef::new(ChatLabels::Label).uuid().not_null())
            .col(ColumnDef::new(ChatLabels::ChatId).uuid().not_null())
            .primary_key(Index::create().col(ChatLabels::Label).col(ChatLabels::ChatId))
            .to_owned();
        if manager.get_database_backend() == DbBackend::Sqlite {
            // The key is all there is: one tree instead of two.
            labels.extra("WITHOUT ROWID");
        }
        manager.create_table(labels).await
    }
}

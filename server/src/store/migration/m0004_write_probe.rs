//! The table that `/readyz` writes to.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[derive(DeriveIden)]
enum WriteProbes {
    Table,
    Node,
    WrittenAt,
    Filler,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(WriteProbes::Table)
                    .col(ColumnDef::new(WriteProbes::Node).uuid().not_null().primary_key())
                    .col(ColumnDef::new(WriteProbes::WrittenAt).big_integer().not_null())
                    .col(ColumnDef::new(WriteProbes::Filler).blob())
                    .to_owned(),
            )
            .await
    }
}

//! Members of chats' metadata by which chats are filtered.

use sea_orm::entity::prelude::*;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "chat_labels")]
pub(crate) struct Model {
    /// A digest of tenant, name and value.
    #[sea_orm(primary_key, auto_increment = false)]
    pub label: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub chat_id: Uuid,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

//! Messages.

use sea_orm::entity::prelude::*;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "messages")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub chat_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    pub id: Uuid,
    /// 0 user, 1 assistant.
    pub role: i16,
    pub sender_id: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub content: String,
    pub media_type: Option<String>,
    pub media_url: Option<String>,
    /// JSON text, as `Metadata` compacted it.
    #[sea_orm(column_type = "Text")]
    pub metadata: String,
    pub client_message_id: Option<String>,
    pub created_at: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

//! Rows that `/readyz` writes: one for each node.

use sea_orm::entity::prelude::*;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "write_probes")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub node: Uuid,
    pub written_at: i64,
    /// Filler that makes the row as large as an ordinary write; SQLite only.
    pub filler: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

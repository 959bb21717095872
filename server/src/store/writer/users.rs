//! Users come into being with what first names them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbErr};

use crate::{
    chat::UserId,
    store::{
        rows::{Column, Rows},
        to_micros,
    },
    tenant::TenantId,
};

/// Users and when they were first seen. Sorted, so that two nodes which write the same ones wait for each other instead
/// of deadlocking.
#[derive(Default)]
pub(super) struct Users(BTreeMap<(TenantId, UserId), DateTime<Utc>>);

impl Users {
    pub(super) fn add(&mut self, tenant: TenantId, user: UserId, seen_at: DateTime<Utc>) {
        self.0.entry((tenant, user)).or_insert(seen_at);
    }

    /// Stores those that are new.
    pub(super) async fn store(self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        if self.0.is_empty() {
            return Ok(());
        }
        let rows = Rows::new(vec![
            ("tenant_id", Column::Uuid(self.0.keys().map(|(tenant, _)| tenant.0).collect())),
            ("id", Column::Text(self.0.keys().map(|(_, user)| user.as_str().to_owned()).collect())),
            ("created_at", Column::BigInt(self.0.values().map(|seen_at| to_micros(*seen_at)).collect())),
        ]);
        let insert = rows.insert_into("users", "ON CONFLICT DO NOTHING", transaction.get_database_backend());
        transaction.execute_raw(insert).await?;
        Ok(())
    }
}

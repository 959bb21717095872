//! Queries about tenants.

use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, sea_query::OnConflict,
};

use super::{
    Store,
    entity::{api_key, tenant},
    failure::fault,
    from_micros,
    keys::key_row,
    to_micros,
};
use crate::{
    base::error::Result,
    domain::{KeyRecord, TenantId, TenantRecord},
};

impl Store {
    /// Stores a tenant, and its first key if there is one, unless its name is taken; tells whether it did.
    pub(crate) async fn create_tenant(&self, tenant: &TenantRecord, first_key: Option<&KeyRecord>) -> Result<bool> {
        let row = tenant::ActiveModel {
            id: Set(tenant.id.0),
            name: Set(tenant.name.clone()),
            created_at: Set(to_micros(tenant.created_at)),
        };
        let transaction = self.write.begin().await?;
        let inserted = tenant::Entity::insert(row)
            .on_conflict(OnConflict::column(tenant::Column::Name).do_nothing().to_owned())
            .exec_without_returning(&*transaction)
            .await
            .map_err(fault)?;
        if inserted == 1
            && let Some(key) = first_key
        {
            api_key::Entity::insert(key_row(key)).exec_without_returning(&*transaction).await.map_err(fault)?;
        }
        transaction.commit().await?;
        Ok(inserted == 1)
    }

    pub(crate) async fn list_tenants(&self) -> Result<Vec<TenantRecord>> {
        let rows = tenant::Entity::find()
            .order_by_asc(tenant::Column::CreatedAt)
            .order_by_asc(tenant::Column::Id)
            .all(&self.read)
            .await
            .map_err(fault)?;
        rows.into_iter().map(tenant_record).collect()
    }

    pub(crate) async fn find_tenant(&self, name: &str) -> Result<Option<TenantRecord>> {
        let row = tenant::Entity::find().filter(tenant::Column::Name.eq(name)).one(&self.read).await.map_err(fault)?;
        row.map(tenant_record).transpose()
    }
}

fn tenant_record(row: tenant::Model) -> Result<TenantRecord> {
    Ok(TenantRecord { id: TenantId(row.id), name: row.name, created_at: from_micros(row.created_at)? })
}

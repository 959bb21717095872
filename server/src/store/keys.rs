//! Queries about API keys.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, ExprTrait as _, QueryFilter as _, QueryOrder as _,
    QueryTrait as _,
    sea_query::{Expr, Func, OnConflict},
};
use uuid::Uuid;

use super::{
    Store,
    entity::api_key,
    failure::fault,
    from_micros,
    rows::{Column, Rows},
    to_micros,
};
use crate::{
    base::{error::Result, secret::SecretHash},
    domain::{KeyRecord, TenantId},
};

/// Whether the key `k` is valid at the moment `r.now`, in SQL.
pub(super) const VALID: &str = "k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > r.now)";

impl Store {
    /// Stores a key unless there is one with its hash; tells whether it did. Nodes that start at once with one bootstrap
    /// key all store it.
    pub(crate) async fn create_key(&self, key: &KeyRecord) -> Result<bool> {
        let inserted = api_key::Entity::insert(key_row(key))
            .on_conflict(OnConflict::column(api_key::Column::Hash).do_nothing().to_owned())
            .exec_without_returning(&*self.write.permit().await?)
            .await
            .map_err(fault)?;
        Ok(inserted == 1)
    }

    pub(crate) async fn list_keys(&self, tenant: Option<TenantId>) -> Result<Vec<KeyRecord>> {
        let rows = api_key::Entity::find()
            .apply_if(tenant, |query, tenant| query.filter(api_key::Column::TenantId.eq(tenant.0)))
            .order_by_asc(api_key::Column::CreatedAt)
            .order_by_asc(api_key::Column::Id)
            .all(&self.read)
            .await
            .map_err(fault)?;
        rows.into_iter().map(key_record).collect()
    }

    /// The key of this hash. Many that are asked for at once share a query.
    pub(crate) async fn find_key(&self, hash: &SecretHash) -> Result<Option<KeyRecord>> {
        self.keys.get(*hash).await
    }

    /// As [`Self::find_key`], by a query of its own, which does not wait with those for keys that may not exist.
    pub(crate) async fn find_known_key(&self, hash: &SecretHash) -> Result<Option<KeyRecord>> {
        let row = api_key::Entity::find()
            .filter(api_key::Column::Hash.eq(hash.as_bytes().to_vec()))
            .one(&self.read)
            .await
            .map_err(fault)?;
        row.filter(|row| hash.matches(&row.hash)).map(key_record).transpose()
    }

    /// Those of `keys` that are valid at `now`.
    pub(crate) async fn live_keys(&self, keys: &[Uuid], now: DateTime<Utc>) -> Result<HashSet<Uuid>> {
        let count = keys.len();
        let rows =
            Rows::new(vec![("id", Column::Uuid(keys.to_vec())), ("now", Column::BigInt(vec![to_micros(now); count]))]);
        let live = rows.statement(self.read.backend(), |rows| {
            format!("SELECT k.id FROM {rows} JOIN api_keys k ON k.id = r.id WHERE {VALID}")
        });
        let live = self.read.query_all_raw(live).await.map_err(fault)?;
        live.iter().map(|row| row.try_get("", "id").map_err(fault)).collect()
    }

    /// Whether any tenant has a key that is valid at `now`.
    pub(crate) async fn has_valid_key(&self, now: DateTime<Utc>) -> Result<bool> {
        let expiry = api_key::Column::ExpiresAt;
        let valid = api_key::Entity::find()
            .filter(api_key::Column::RevokedAt.is_null())
            .filter(expiry.is_null().or(expiry.gt(to_micros(now))))
            .one(&self.read)
            .await
            .map_err(fault)?;
        Ok(valid.is_some())
    }

    /// Tells whether there is such a key.
    pub(crate) async fn revoke_key(&self, id: Uuid, now: DateTime<Utc>) -> Result<bool> {
        let first = Func::coalesce([Expr::col(api_key::Column::RevokedAt), Expr::val(to_micros(now))]);
        let outcome = api_key::Entity::update_many()
            .col_expr(api_key::Column::RevokedAt, first.into())
            .filter(api_key::Column::Id.eq(id))
            .exec(&*self.write.permit().await?)
            .await
            .map_err(fault)?;
        Ok(outcome.rows_affected == 1)
    }
}

pub(super) fn key_row(key: &KeyRecord) -> api_key::ActiveModel {
    api_key::ActiveModel {
        id: Set(key.id),
        tenant_id: Set(key.tenant_id.0),
        name: Set(key.name.clone()),
        hint: Set(key.hint.clone()),
        hash: Set(key.hash.as_bytes().to_vec()),
        created_at: Set(to_micros(key.created_at)),
        expires_at: Set(key.expires_at.map(to_micros)),
        revoked_at: Set(key.revoked_at.map(to_micros)),
    }
}

pub(super) fn key_record(row: api_key::Model) -> Result<KeyRecord> {
    Ok(KeyRecord {
        id: row.id,
        tenant_id: TenantId(row.tenant_id),
        name: row.name,
        hint: row.hint,
        hash: SecretHash::stored(&row.hash)?,
        created_at: from_micros(row.created_at)?,
        expires_at: row.expires_at.map(from_micros).transpose()?,
        revoked_at: row.revoked_at.map(from_micros).transpose()?,
    })
}

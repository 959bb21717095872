//! Queries about users.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, EntityTrait as _, sea_query::OnConflict};

use super::{TenantScope, entity::user, failure::fault, to_micros};
use crate::{base::error::Result, domain::UserId};

impl TenantScope<'_> {
    /// Whether the tenant knows `user`.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::base::error::Error::Unavailable).
    pub async fn has_user(&self, user: &UserId) -> Result<bool> {
        let place = (self.tenant.0, user.as_str().to_owned());
        Ok(user::Entity::find_by_id(place).one(&self.store.read).await.map_err(fault)?.is_some())
    }

    /// Makes `user` known, if need be; tells whether it was.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::base::error::Error::Unavailable).
    pub async fn create_user(&self, user: &UserId, now: DateTime<Utc>) -> Result<bool> {
        // Read first: nearly always there is nothing to write, and nobody to wait for.
        if self.has_user(user).await? {
            return Ok(false);
        }
        let row = user::ActiveModel {
            tenant_id: Set(self.tenant.0),
            id: Set(user.as_str().to_owned()),
            created_at: Set(to_micros(now)),
        };
        let insert = user::Entity::insert(row).on_conflict(OnConflict::new().do_nothing().to_owned());
        let inserted = insert.exec_without_returning(&*self.store.write.permit().await?).await.map_err(fault)?;
        Ok(inserted == 1)
    }
}

//! Forgetting first answers once they have expired. `writer` makes and reads them.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _, QueryTrait as _,
    sea_query::{Expr, ExprTrait as _},
};

use super::{Store, entity::idempotency_record, failure::fault, to_micros};
use crate::error::Result;

impl Store {
    /// Records that one statement deletes at most: the writer waits as long as it takes.
    const SWEEP: u64 = 1_000;

    /// Deletes idempotency records that expired at or before `now`; returns how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::error::Error::Unavailable).
    pub async fn forget_expired_idempotency(&self, now: DateTime<Utc>) -> Result<u64> {
        use idempotency_record::{Column, Entity};

        let mut forgotten = 0;
        loop {
            let expired = Entity::find()
                .select_only()
                .columns([Column::TenantId, Column::Key])
                .filter(Column::ExpiresAt.lte(to_micros(now)))
                .limit(Self::SWEEP)
                .into_query();
            let place = Expr::tuple([Expr::col(Column::TenantId), Expr::col(Column::Key)]);
            let deleted = Entity::delete_many()
                .filter(place.in_subquery(expired))
                .exec(&self.write)
                .await
                .map_err(fault)?
                .rows_affected;
            forgotten += deleted;
            if deleted < Self::SWEEP {
                return Ok(forgotten);
            }
        }
    }
}

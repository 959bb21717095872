//! Forgetting what has expired: first answers, which `writer` makes and reads, and tickets that nobody used.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter as _, QuerySelect as _, QueryTrait as _,
    sea_query::{Expr, ExprTrait as _},
};

use super::{
    Store,
    entity::{idempotency_record, ticket},
    failure::fault,
    to_micros,
};
use crate::error::Result;

impl Store {
    /// Rows that one statement deletes at most: the writer waits as long as it takes.
    const SWEEP: u64 = 1_000;

    /// Deletes idempotency records and tickets that expired at or before `now`; returns how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::error::Error::Unavailable).
    pub async fn forget_expired(&self, now: DateTime<Utc>) -> Result<u64> {
        use idempotency_record::Column as Record;
        use ticket::Column as Ticket;

        let records =
            self.sweep::<idempotency_record::Entity>(&[Record::TenantId, Record::Key], Record::ExpiresAt, now);
        let records = records.await?;
        Ok(records + self.sweep::<ticket::Entity>(&[Ticket::Hash], Ticket::ExpiresAt, now).await?)
    }

    /// Deletes the rows of one table whose moment in the column `expires_at` is past; `key` is the primary key.
    async fn sweep<E: EntityTrait>(&self, key: &[E::Column], expires_at: E::Column, now: DateTime<Utc>) -> Result<u64> {
        let mut forgotten = 0;
        loop {
            let expired = E::find()
                .select_only()
                .columns(key.iter().copied())
                .filter(expires_at.lte(to_micros(now)))
                .limit(Self::SWEEP)
                .into_query();
            let place = Expr::tuple(key.iter().map(|column| Expr::col(*column)));
            let deleted = E::delete_many()
                .filter(place.in_subquery(expired))
                .exec(&*self.write.turn().await?)
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

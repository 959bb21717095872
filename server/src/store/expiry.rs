//! Deleting what has expired: first answers, which `writer` makes and reads, tickets that were not used, and the probes of
//! nodes that are gone.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter as _, QuerySelect as _, QueryTrait as _,
    sea_query::{Expr, ExprTrait as _},
};

use super::{
    Store,
    entity::{idempotency_record, ticket, write_probe},
    failure::fault,
    to_micros,
};
use crate::base::error::Result;

impl Store {
    /// Rows that one statement deletes at most: the writer waits as long as it takes.
    const SWEEP: u64 = 1_000;

    /// How long the probe of a node is kept that writes no more.
    const PROBE_LIFETIME: TimeDelta = TimeDelta::days(1);

    /// Deletes idempotency records and tickets that expired at or before `now`, and probes of nodes that are gone; returns
    /// how many rows.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::base::error::Error::Unavailable).
    pub async fn forget_expired(&self, now: DateTime<Utc>) -> Result<u64> {
        use idempotency_record::Column as Record;
        use ticket::Column as Ticket;
        use write_probe::Column as Probe;

        let records =
            self.sweep::<idempotency_record::Entity>(&[Record::TenantId, Record::Key], Record::ExpiresAt, now);
        let records = records.await?;
        let tickets = self.sweep::<ticket::Entity>(&[Ticket::Hash], Ticket::ExpiresAt, now).await?;
        let last = now - Self::PROBE_LIFETIME;
        Ok(records + tickets + self.sweep::<write_probe::Entity>(&[Probe::Node], Probe::WrittenAt, last).await?)
    }

    /// Deletes the rows of one table whose moment in the column `moment` is `last` or earlier; `key` is the primary key.
    async fn sweep<E: EntityTrait>(&self, key: &[E::Column], moment: E::Column, last: DateTime<Utc>) -> Result<u64> {
        let mut forgotten = 0;
        loop {
            let expired = E::find()
                .select_only()
                .columns(key.iter().copied())
                .filter(moment.lte(to_micros(last)))
                .limit(Self::SWEEP)
                .into_query();
            let place = Expr::tuple(key.iter().map(|column| Expr::col(*column)));
            let deleted = E::delete_many()
                .filter(place.in_subquery(expired))
                .exec(&*self.write.permit().await?)
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

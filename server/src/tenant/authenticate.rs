use std::{fmt, sync::Arc, time::Duration};

use moka::future::Cache;

use super::{ApiKey, KeyHash, KeyRecord, TenantId};
use crate::{
    clock::Clock,
    error::{Error, Result},
    store::Store,
};

/// Tells which tenant a key belongs to.
///
/// Answers are cached for a few seconds, so that a busy tenant does not cost a query a request and a revoked key still
/// dies soon. What is cached is the record or its absence, never the key; expiry is checked at every use.
#[derive(Clone)]
pub struct Authenticator {
    store: Store,
    clock: Arc<dyn Clock>,
    known: Cache<KeyHash, Option<Arc<KeyRecord>>>,
}

impl Authenticator {
    /// Asks `store`, and remembers at most `capacity` answers for `lifetime` each.
    pub fn new(store: Store, clock: Arc<dyn Clock>, capacity: u64, lifetime: Duration) -> Self {
        let known = Cache::builder().max_capacity(capacity).time_to_live(lifetime).build();
        Self { store, clock, known }
    }

    /// The tenant that `key` belongs to; `None` when the key is unknown, revoked or expired.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database does not answer: not knowing is not a refusal.
    pub async fn authenticate(&self, key: &ApiKey) -> Result<Option<TenantId>> {
        let hash = key.hash();
        let record = match self.known.get(&hash).await {
            Some(record) => record,
            None => self.look_up(hash).await?,
        };
        let now = self.clock.now();
        Ok(record
            .filter(|record| record.revoked_at.is_none() && record.expires_at.is_none_or(|expiry| now < expiry))
            .map(|record| record.tenant_id))
    }

    /// One query however many requests of a tenant arrive at once.
    async fn look_up(&self, hash: KeyHash) -> Result<Option<Arc<KeyRecord>>> {
        let query = async { Ok::<_, Error>(self.store.find_key(&hash).await?.map(Arc::new)) };
        self.known.try_get_with(hash, query).await.map_err(Arc::unwrap_or_clone)
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

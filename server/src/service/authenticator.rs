//! Who calls.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use moka::future::Cache;
use uuid::Uuid;

use crate::{
    base::{
        clock::Clock,
        error::{Error, Result},
        secret::SecretHash,
    },
    domain::{ApiKey, KeyRecord, Principal},
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
    known: Cache<SecretHash, Option<Arc<KeyRecord>>>,
    /// Keys that existed lately. Looked up again, they do not wait with those of callers who try keys out.
    existing: Cache<SecretHash, ()>,
}

/// For how long a key counts as one that existed lately.
const EXISTING_FOR: Duration = Duration::from_mins(10);

impl Authenticator {
    /// Asks `store`, and remembers at most `capacity` answers for `lifetime` each.
    pub fn new(store: Store, clock: Arc<dyn Clock>, capacity: u64, lifetime: Duration) -> Self {
        let known = Cache::builder().max_capacity(capacity).time_to_live(lifetime).build();
        let existing = Cache::builder().max_capacity(capacity).time_to_idle(EXISTING_FOR).build();
        Self { store, clock, known, existing }
    }

    /// What `key` stands for; `None` when the key is unknown, revoked or expired.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database does not answer: not knowing is not a refusal.
    pub async fn authenticate(&self, key: &ApiKey) -> Result<Option<Principal>> {
        let hash = key.hash();
        let record = match self.known.get(&hash).await {
            Some(record) => record,
            // Boxed, because it is rare and large: every request would make room for it.
            None => Box::pin(self.look_up(hash)).await?,
        };
        let now = self.clock.now();
        Ok(record
            .filter(|record| record.is_valid(now))
            .map(|record| Principal { tenant: record.tenant_id, key: record.id }))
    }

    /// Those of `keys` that are neither revoked nor expired. Asks the database in one query, whatever is remembered: it
    /// is for what outlives a request, and who asks decides how often.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database does not answer: not knowing is not a refusal.
    pub async fn live_keys(&self, keys: &[Uuid]) -> Result<HashSet<Uuid>> {
        self.store.live_keys(keys, self.clock.now()).await
    }

    /// One query however many requests of a tenant arrive at once.
    async fn look_up(&self, hash: SecretHash) -> Result<Option<Arc<KeyRecord>>> {
        let query = async {
            let found = if self.existing.contains_key(&hash) {
                self.store.find_known_key(&hash).await?
            } else {
                self.store.find_key(&hash).await?
            };
            if found.is_some() {
                self.existing.insert(hash, ()).await;
            }
            Ok::<_, Error>(found.map(Arc::new))
        };
        self.known.try_get_with(hash, query).await.map_err(Arc::unwrap_or_clone)
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

//! What operators do with tenants and keys.

use chrono::Duration;
use uuid::Uuid;

use crate::{
    base::{
        clock::Moments,
        error::{Error, Result},
        secret::SecretHash,
    },
    domain::{ApiKey, IssuedKey, KeyRecord, Principal, TenantId, TenantRecord},
    store::Store,
};

/// The outcome of [`Tenants::bootstrap`].
#[derive(Debug)]
pub enum Bootstrap {
    /// The database has tenants already, and the operator's key if there is one; no key was stored.
    Existing {
        /// A tenant to which another key can be issued.
        tenant: String,
        /// Whether any key is valid.
        has_valid_key: bool,
        /// The number of earlier bootstrap keys that were revoked.
        replaced: usize,
    },
    /// The database was empty: a tenant and this key were stored.
    Issued(IssuedKey),
    /// The operator's key was stored.
    Adopted {
        /// The number of earlier bootstrap keys that were revoked.
        replaced: usize,
    },
    /// The operator's key has been revoked or has expired; nothing was stored or revoked.
    Refused,
}

/// What operators do: tenants and keys.
#[derive(Debug, Clone)]
pub struct Tenants {
    store: Store,
    moments: Moments,
}

impl Tenants {
    /// The name of the tenant that an empty database begins with.
    pub const DEFAULT: &str = "default";
    /// Characters at most of a tenant's or a key's name.
    pub const NAME_MAX_CHARS: usize = 100;

    /// Works on `store`, with ids and times from `moments`.
    pub fn new(store: Store, moments: Moments) -> Self {
        Self { store, moments }
    }

    /// Creates a tenant without keys.
    ///
    /// # Errors
    /// [`Error::TenantExists`], [`Error::Invalid`] (name), [`Error::Unavailable`].
    pub async fn create_tenant(&self, name: &str) -> Result<TenantRecord> {
        check_name(name, 1)?;
        let tenant = self.tenant_record(name);
        if self.store.create_tenant(&tenant, None).await? {
            Ok(tenant)
        } else {
            Err(Error::TenantExists(name.to_owned()))
        }
    }

    /// All tenants, oldest first.
    pub async fn list_tenants(&self) -> Result<Vec<TenantRecord>> {
        self.store.list_tenants().await
    }

    /// Issues a key to the tenant named `tenant`.
    ///
    /// # Errors
    /// [`Error::TenantNotFound`], [`Error::Invalid`] (name), [`Error::Unavailable`].
    pub async fn create_key(&self, tenant: &str, name: &str, lifetime: Option<Duration>) -> Result<IssuedKey> {
        check_name(name, 0)?;
        let tenant = self.store.find_tenant(tenant).await?.ok_or_else(|| Error::TenantNotFound(tenant.to_owned()))?;
        let key = ApiKey::generate(&mut rand::rng());
        let record = self.key_record(&key, tenant.id, name, lifetime)?;
        self.store.create_key(&record).await?;
        Ok(IssuedKey { record, key })
    }

    /// The key called `name` of the tenant [`Self::DEFAULT`], for what the server does there by itself. A valid one is used
    /// again, else one is made; nobody is shown it, so that nobody can call with it. Revoking it ends what lives by it.
    ///
    /// # Errors
    /// [`Error::Invalid`] (name), [`Error::Unavailable`].
    pub async fn key_of_nobody(&self, name: &str) -> Result<Principal> {
        self.default_tenant().await?;
        let now = self.moments.now();
        let keys = self.list_keys(Some(Self::DEFAULT)).await?;
        let record = match keys.into_iter().find(|key| key.name == name && key.is_valid(now)) {
            Some(record) => record,
            None => self.create_key(Self::DEFAULT, name, None).await?.record,
        };
        Ok(Principal { tenant: record.tenant_id, key: record.id })
    }

    /// All keys, or those of the tenant named `tenant`, oldest first.
    ///
    /// # Errors
    /// [`Error::TenantNotFound`], [`Error::Unavailable`].
    pub async fn list_keys(&self, tenant: Option<&str>) -> Result<Vec<KeyRecord>> {
        let Some(name) = tenant else { return self.store.list_keys(None).await };
        let tenant = self.store.find_tenant(name).await?.ok_or_else(|| Error::TenantNotFound(name.to_owned()))?;
        self.store.list_keys(Some(tenant.id)).await
    }

    /// Revokes a key for good. Running servers refuse it once their caches have forgotten it
    /// ([`Limits::key_cache`](crate::config::Limits::key_cache)). Revoking twice keeps the first time.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`], [`Error::Unavailable`].
    pub async fn revoke_key(&self, id: Uuid) -> Result<()> {
        if self.store.revoke_key(id, self.moments.now()).await? { Ok(()) } else { Err(Error::KeyNotFound(id)) }
    }

    /// Stores the key that the database begins with: on an empty database the tenant [`Self::DEFAULT`] gets a key,
    /// `chosen` if given. A `chosen` key that the database does not know is added to that tenant at any later start too;
    /// one that was revoked stays revoked. A valid `chosen` key replaces those that were chosen at earlier starts: they are
    /// revoked, unless `keep_earlier` is set. Other keys are left as they are.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn bootstrap(&self, chosen: Option<&ApiKey>, keep_earlier: bool) -> Result<Bootstrap> {
        match chosen {
            Some(key) => self.adopt(key, keep_earlier).await,
            None => self.found().await,
        }
    }

    /// Adds an operator's key, then revokes the earlier ones. A node that is still started with an earlier key finds it
    /// revoked, and so changes nothing.
    async fn adopt(&self, key: &ApiKey, keep_earlier: bool) -> Result<Bootstrap> {
        let hash = key.hash();
        let added = match self.store.find_key(&hash).await? {
            Some(record) if !record.is_valid(self.moments.now()) => return Ok(Bootstrap::Refused),
            Some(_) => false,
            // `false` if another node has stored it at the same time.
            None => {
                let tenant = self.default_tenant().await?;
                self.store.create_key(&self.key_record(key, tenant, &bootstrap_name(&hash), None)?).await?
            }
        };
        let replaced = if keep_earlier { 0 } else { self.revoke_earlier_bootstrap_keys(&hash).await? };
        if added { Ok(Bootstrap::Adopted { replaced }) } else { self.existing(replaced).await }
    }

    /// Revokes the operator's keys of earlier starts, all but the one with the hash `current`; returns their number.
    async fn revoke_earlier_bootstrap_keys(&self, current: &SecretHash) -> Result<usize> {
        let Some(tenant) = self.store.find_tenant(Self::DEFAULT).await? else { return Ok(0) };
        let now = self.moments.now();
        let mut revoked = 0;
        for key in self.store.list_keys(Some(tenant.id)).await? {
            if key.hash != *current && is_bootstrap_key(&key) && key.is_valid(now) {
                self.store.revoke_key(key.id, now).await?;
                revoked += 1;
            }
        }
        Ok(revoked)
    }

    async fn existing(&self, replaced: usize) -> Result<Bootstrap> {
        let tenant = match self.store.find_tenant(Self::DEFAULT).await? {
            Some(tenant) => Some(tenant),
            None => self.store.list_tenants().await?.into_iter().next(),
        };
        let tenant = tenant.map_or_else(|| Self::DEFAULT.to_owned(), |tenant| tenant.name);
        let has_valid_key = self.store.has_valid_key(self.moments.now()).await?;
        Ok(Bootstrap::Existing { tenant, has_valid_key, replaced })
    }

    /// Gives an empty database its first tenant and key.
    async fn found(&self) -> Result<Bootstrap> {
        if !self.store.list_tenants().await?.is_empty() {
            return self.existing(0).await;
        }
        let tenant = self.tenant_record(Self::DEFAULT);
        let key = ApiKey::generate(&mut rand::rng());
        let record = self.key_record(&key, tenant.id, FIRST_KEY, None)?;
        // Two nodes may start on one empty database: the second finds the tenant there.
        let founded = self.store.create_tenant(&tenant, Some(&record)).await?;
        if founded { Ok(Bootstrap::Issued(IssuedKey { record, key })) } else { self.existing(0).await }
    }

    async fn default_tenant(&self) -> Result<TenantId> {
        match self.create_tenant(Self::DEFAULT).await {
            Ok(tenant) => Ok(tenant.id),
            Err(Error::TenantExists(name)) => {
                self.store.find_tenant(&name).await?.map(|tenant| tenant.id).ok_or(Error::TenantNotFound(name))
            }
            Err(error) => Err(error),
        }
    }

    fn tenant_record(&self, name: &str) -> TenantRecord {
        let (id, created_at) = self.moments.next();
        TenantRecord { id: TenantId(id), name: name.to_owned(), created_at }
    }

    fn key_record(
        &self,
        key: &ApiKey,
        tenant_id: TenantId,
        name: &str,
        lifetime: Option<Duration>,
    ) -> Result<KeyRecord> {
        let (id, created_at) = self.moments.next();
        let expires_at = match lifetime {
            Some(lifetime) => Some(
                created_at
                    .checked_add_signed(lifetime)
                    .ok_or_else(|| Error::Invalid("a key cannot live that long".to_owned()))?,
            ),
            None => None,
        };
        Ok(KeyRecord {
            id,
            tenant_id,
            name: name.to_owned(),
            hint: key.hint().to_owned(),
            hash: key.hash(),
            created_at,
            expires_at,
            revoked_at: None,
        })
    }
}

/// The name of the key that an empty database gets.
const FIRST_KEY: &str = "first";
/// The name that earlier versions gave both to the first key and to an operator's.
const EARLIER_NAME: &str = "bootstrap";

/// The name of an operator's key, which tells it from the one that replaces it.
fn bootstrap_name(hash: &SecretHash) -> String {
    format!("bootstrap-{}", hash.fingerprint())
}

/// Whether a start has added the key because an operator had chosen it. Names are not unique: the name also has to fit the
/// key. Of the keys of earlier versions, those that Parlor generated are not taken for an operator's.
fn is_bootstrap_key(key: &KeyRecord) -> bool {
    key.name == bootstrap_name(&key.hash) || key.name == EARLIER_NAME && !key.hint.starts_with(ApiKey::PREFIX)
}

fn check_name(name: &str, min: usize) -> Result<()> {
    let length = name.chars().count();
    if length < min || length > Tenants::NAME_MAX_CHARS || name.chars().any(char::is_control) {
        return Err(Error::Invalid(format!(
            "a name must have {min} to {} characters, none of them a control character",
            Tenants::NAME_MAX_CHARS
        )));
    }
    Ok(())
}

//! Users come into being with what first names them.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::ledger::Users;
use crate::domain::{TenantId, UserId};

/// Users that this writer has stored, or found stored: nobody deletes users, so they need not be stored again.
///
/// Bounded: when full it forgets all and learns those that are in use again, which is what a cache of recent ones would
/// come to, without keeping an order.
#[derive(Default)]
pub(super) struct KnownUsers {
    of_tenants: HashMap<TenantId, HashSet<UserId>>,
    count: usize,
}

impl KnownUsers {
    /// About a hundred bytes each.
    const CAPACITY: usize = 10_000;

    fn has(&self, tenant: TenantId, user: &UserId) -> bool {
        self.of_tenants.get(&tenant).is_some_and(|users| users.contains(user))
    }

    /// Takes what a committed transaction stored.
    pub(super) fn learn(&mut self, users: Users) {
        if self.count + users.len() > Self::CAPACITY {
            self.forget();
        }
        for ((tenant, user), _) in users.into_iter().take(Self::CAPACITY) {
            self.count += usize::from(self.of_tenants.entry(tenant).or_default().insert(user));
        }
    }

    /// Forgets all of them, since a transaction failed, and what is known might be why.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// The users of a batch who are not known to be stored.
pub(super) struct NewUsers<'a> {
    known: &'a KnownUsers,
    users: Users,
}

impl<'a> NewUsers<'a> {
    pub(super) fn besides(known: &'a KnownUsers) -> Self {
        Self { known, users: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, tenant: TenantId, user: &UserId, seen_at: DateTime<Utc>) {
        if !self.known.has(tenant, user) {
            self.users.entry((tenant, user.clone())).or_insert(seen_at);
        }
    }

    pub(super) fn into_inner(self) -> Users {
        self.users
    }
}

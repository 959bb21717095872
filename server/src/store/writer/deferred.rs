//! Requests that wait for a row which another session keeps locked.
//!
//! One such row must not stop everything else from being written. So its requests leave their batch and are tried again
//! by themselves, hardly waiting for the lock, until it is free or their time is over. Later requests that need the same
//! row follow them, so that messages keep their order.

use std::{collections::HashSet, time::Duration};

use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use super::{
    ledger::Claim,
    request::{Batch, Job},
};
use crate::{
    domain::{TenantId, UserId},
    store::chats::Place,
};

/// Between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// See the module.
pub(super) struct Deferred {
    jobs: Vec<Job>,
    /// The rows that the waiting requests need and of which one is locked.
    needs: HashSet<Need>,
    /// How long a request may wait.
    patience: Duration,
    next_attempt: Instant,
    waiting: Gauge,
}

/// Something in the database that a request locks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Need {
    Chat(Place),
    User(TenantId, UserId),
    Key(Claim),
}

impl Deferred {
    /// Keeps requests for `patience` at most and counts them in `waiting`.
    pub(super) fn new(patience: Duration, waiting: Gauge) -> Self {
        Self { jobs: Vec::new(), needs: HashSet::new(), patience, next_attempt: Instant::now(), waiting }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The time of the next attempt.
    pub(super) fn next_attempt(&self) -> Instant {
        self.next_attempt
    }

    /// Adds a request that cannot be written now.
    pub(super) fn add(&mut self, mut job: Job) {
        self.needs.extend(needs(&job));
        let now = Instant::now();
        match &mut job {
            Job::CreateChat(request) => _ = request.locked_since.get_or_insert(now),
            Job::SendMessage(request) => _ = request.locked_since.get_or_insert(now),
            Job::Probe(_) => {}
        }
        self.jobs.push(job);
        self.next_attempt = now + RETRY_INTERVAL;
        self.count();
    }

    /// Adds those requests of `batch` that need a row which waiting requests need, and returns the rest.
    pub(super) fn divert(&mut self, batch: Batch) -> Batch {
        if self.needs.is_empty() {
            return batch;
        }
        self.divert_if(batch, |_| false)
    }

    /// Adds those requests of `batch` that send to one of the chats `locked`, too.
    pub(super) fn divert_locked(&mut self, batch: Batch, locked: &std::collections::BTreeSet<Place>) -> Batch {
        self.divert_if(batch, |job| match job {
            Job::SendMessage(request) => locked.contains(&(request.tenant, request.input.chat_id)),
            Job::CreateChat(_) | Job::Probe(_) => false,
        })
    }

    fn divert_if(&mut self, batch: Batch, is_locked: impl Fn(&Job) -> bool) -> Batch {
        let mut rest = Vec::new();
        for job in batch.into_jobs() {
            if is_locked(&job) || needs(&job).any(|need| self.needs.contains(&need)) {
                self.add(job);
            } else {
                rest.push(job);
            }
        }
        rest.into_iter().collect()
    }

    /// Takes all waiting requests in their order: those to try again, and those that have waited too long or that nothing
    /// waits for any more.
    pub(super) fn take(&mut self) -> (Batch, Batch) {
        self.needs.clear();
        let (now, patience) = (Instant::now(), self.patience);
        let is_late = |since: Option<Instant>| since.is_some_and(|since| now >= since + patience);
        let is_over = |job: &Job| match job {
            Job::CreateChat(request) => is_late(request.locked_since) || request.is_abandoned(),
            Job::SendMessage(request) => is_late(request.locked_since) || request.is_abandoned(),
            Job::Probe(_) => false,
        };
        let (late, waiting): (Vec<Job>, Vec<Job>) = std::mem::take(&mut self.jobs).into_iter().partition(is_over);
        self.count();
        (waiting.into_iter().collect(), late.into_iter().collect())
    }

    fn count(&self) {
        self.waiting.set(i64::try_from(self.jobs.len()).unwrap_or(i64::MAX));
    }
}

/// The rows that a request locks, or needs unlocked.
fn needs(job: &Job) -> impl Iterator<Item = Need> + use<> {
    let (own, key) = match job {
        Job::CreateChat(request) => (Some(Need::User(request.tenant, request.input.user_id.clone())), request.claim()),
        Job::SendMessage(request) => (Some(Need::Chat((request.tenant, request.input.chat_id))), request.claim()),
        Job::Probe(_) => (None, None),
    };
    own.into_iter().chain(key.map(Need::Key))
}

//! Idempotency keys inside a batch's transaction.
//!
//! A key is looked up before the work and its answer is stored after it, in the same transaction. When another node
//! stores the same key in between, the statement waits for that node and then stores nothing: the transaction is given
//! up and tried again, and finds the other node's answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::ledger::{Claim, FirstAnswer, Ledger, NewAnswer, Outcome};
use crate::{
    base::error::{Cause, Error},
    domain::{Idempotency, TenantId},
};

/// What earlier transactions left under the keys of a batch.
pub(super) struct Claims(HashMap<Claim, FirstAnswer>);

/// What is known of a key.
pub(super) enum Verdict<'a> {
    /// Nothing: the request is to be done.
    Free,
    /// It belongs to another request.
    Reused,
    /// The request was answered before, with this.
    Replay(&'a str),
}

impl Claims {
    /// Looks all `keys` up; a record that has expired by `now` is as good as none.
    pub(super) async fn load(ledger: &mut Ledger, keys: BTreeSet<Claim>, now: DateTime<Utc>) -> Outcome<Self> {
        if keys.is_empty() {
            return Ok(Self(HashMap::new()));
        }
        Ok(Self(ledger.first_answers(&keys, now).await?.into_iter().collect()))
    }

    pub(super) fn verdict(&self, claim: &Claim, fingerprint: &[u8; 32]) -> Verdict<'_> {
        match self.0.get(claim) {
            None => Verdict::Free,
            Some(first) if first.fingerprint != fingerprint => Verdict::Reused,
            Some(first) => Verdict::Replay(&first.json),
        }
    }
}

/// The answers that a batch leaves for repetitions, sorted by key.
#[derive(Default)]
pub(super) struct Answers(BTreeMap<Claim, NewAnswer>);

impl Answers {
    /// Keeps `resource`, which belongs to the chat `chat_id`, as the answer to a request that has a key.
    pub(super) fn keep(
        &mut self,
        tenant: TenantId,
        idempotency: Option<&Idempotency>,
        chat_id: Uuid,
        resource: &impl Serialize,
    ) -> Outcome<()> {
        let Some(Idempotency { key, fingerprint }) = idempotency else { return Ok(()) };
        let json = serde_json::to_string(resource).map_err(|error| Error::Internal(Cause::new(error)))?;
        let answer = FirstAnswer { fingerprint: fingerprint.as_bytes().to_vec(), json };
        self.0.insert((tenant, key.clone()), NewAnswer { answer, chat_id });
        Ok(())
    }

    /// All of them.
    pub(super) fn into_inner(self) -> BTreeMap<Claim, NewAnswer> {
        self.0
    }
}

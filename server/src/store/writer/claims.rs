//! Idempotency keys inside a batch's transaction.
//!
//! A key is looked up before the work and its answer is stored after it, in the same transaction. When another node
//! stores the same key in between, the statement waits for that node and then stores nothing: the transaction is given
//! up and tried again, and finds the other node's answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbErr, EntityTrait as _};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    chat::{Idempotency, IdempotencyKey},
    store::{
        entity::idempotency_record,
        rows::{Column, Rows},
        to_micros,
    },
    tenant::TenantId,
};

/// An idempotency key within its tenant.
pub(super) type Claim = (TenantId, IdempotencyKey);

/// What earlier transactions left under the keys of a batch.
pub(super) struct Claims(HashMap<Claim, FirstAnswer>);

struct FirstAnswer {
    fingerprint: Vec<u8>,
    answer: String,
}

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
    pub(super) async fn load(
        transaction: &DatabaseTransaction,
        keys: BTreeSet<Claim>,
        now: DateTime<Utc>,
    ) -> Result<Self, DbErr> {
        if keys.is_empty() {
            return Ok(Self(HashMap::new()));
        }
        let rows = Rows::new(vec![
            ("tenant_id", Column::Uuid(keys.iter().map(|(tenant, _)| tenant.0).collect())),
            ("key", Column::Text(keys.iter().map(|(_, key)| key.as_str().to_owned()).collect())),
        ]);
        let select = rows.statement(transaction.get_database_backend(), |rows| {
            format!("SELECT i.* FROM {rows} JOIN idempotency_records i ON i.tenant_id = r.tenant_id AND i.key = r.key")
        });
        let records = idempotency_record::Entity::find().from_raw_sql(select).all(transaction).await?;
        let mut stored: HashMap<(Uuid, String), FirstAnswer> = records
            .into_iter()
            .filter(|record| record.expires_at > to_micros(now))
            .map(|record| {
                let first = FirstAnswer { fingerprint: record.fingerprint, answer: record.answer };
                ((record.tenant_id, record.key), first)
            })
            .collect();
        let found = keys.into_iter().filter_map(|claim| {
            let first = stored.remove(&(claim.0.0, claim.1.as_str().to_owned()))?;
            Some((claim, first))
        });
        Ok(Self(found.collect()))
    }

    pub(super) fn verdict(&self, claim: &Claim, fingerprint: &[u8; 32]) -> Verdict<'_> {
        match self.0.get(claim) {
            None => Verdict::Free,
            Some(first) if first.fingerprint != fingerprint => Verdict::Reused,
            Some(first) => Verdict::Replay(&first.answer),
        }
    }
}

/// The answers that a batch leaves for repetitions, sorted by key.
#[derive(Default)]
pub(super) struct Answers(BTreeMap<Claim, Answer>);

struct Answer {
    fingerprint: Vec<u8>,
    chat_id: Uuid,
    json: String,
}

impl Answers {
    /// Keeps `resource`, which belongs to the chat `chat_id`, as the answer to a request that has a key.
    pub(super) fn keep(
        &mut self,
        tenant: TenantId,
        idempotency: Option<&Idempotency>,
        chat_id: Uuid,
        resource: &impl Serialize,
    ) -> Result<(), DbErr> {
        let Some(Idempotency { key, fingerprint }) = idempotency else { return Ok(()) };
        let json = serde_json::to_string(resource).map_err(|error| DbErr::Json(error.to_string()))?;
        let answer = Answer { fingerprint: fingerprint.as_bytes().to_vec(), chat_id, json };
        self.0.insert((tenant, key.clone()), answer);
        Ok(())
    }

    /// Stores all of them, over records that have expired by `now`.
    ///
    /// # Errors
    /// [`DbErr::RecordNotInserted`] when another transaction has just stored one of the keys.
    pub(super) async fn store(self, transaction: &DatabaseTransaction, now: DateTime<Utc>) -> Result<(), DbErr> {
        // All records of a batch expire together, so that moment less the retention is now.
        const TAIL: &str = "ON CONFLICT (tenant_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, \
            chat_id = excluded.chat_id, answer = excluded.answer, expires_at = excluded.expires_at \
            WHERE idempotency_records.expires_at <= excluded.expires_at - 86400000000";
        const _: () = assert!(Idempotency::RETENTION.num_seconds() == 86_400, "the statement above subtracts it");

        if self.0.is_empty() {
            return Ok(());
        }
        let expires_at = to_micros(now + Idempotency::RETENTION);
        let count = self.0.len();
        let mut rows = Vec::with_capacity(6);
        let (claims, answers): (Vec<Claim>, Vec<Answer>) = self.0.into_iter().unzip();
        rows.push(("tenant_id", Column::Uuid(claims.iter().map(|(tenant, _)| tenant.0).collect())));
        rows.push(("key", Column::Text(claims.iter().map(|(_, key)| key.as_str().to_owned()).collect())));
        rows.push(("expires_at", Column::BigInt(vec![expires_at; count])));
        let (mut fingerprints, mut chats, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for answer in answers {
            fingerprints.push(answer.fingerprint);
            chats.push(answer.chat_id);
            texts.push(answer.json);
        }
        rows.push(("fingerprint", Column::Bytes(fingerprints)));
        rows.push(("chat_id", Column::Uuid(chats)));
        rows.push(("answer", Column::Text(texts)));
        let insert = Rows::new(rows).insert_into("idempotency_records", TAIL, transaction.get_database_backend());
        let stored = transaction.execute_raw(insert).await?.rows_affected();
        if stored == count as u64 { Ok(()) } else { Err(DbErr::RecordNotInserted) }
    }
}

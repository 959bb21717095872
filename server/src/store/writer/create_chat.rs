//! Creating a batch of chats inside one transaction: claim the idempotency keys, then the users, then the chats.
//!
//! Keys and users are written in sorted order, so that two nodes which write the same ones wait for each other instead
//! of deadlocking.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbErr, EntityName as _, EntityTrait as _, IdenStatic as _};

use super::{
    Job,
    bulk::{BulkInsert, Column},
};
use crate::{
    chat::{Chat, Created, Idempotency, IdempotencyKey},
    error::{Cause, Error, Result},
    store::{
        entity::{chat, idempotency_record, user},
        to_micros,
    },
    tenant::TenantId,
};

/// An idempotency key within its tenant.
type Claim<'a> = (TenantId, &'a IdempotencyKey);

/// What an earlier request left under a key.
struct FirstAnswer {
    fingerprint: Vec<u8>,
    answer: String,
}

/// What becomes of a request of the batch.
enum Decision {
    /// It creates its chat.
    Create,
    /// The request at this place of the batch has the same key and came first.
    Follow(usize),
    /// An earlier transaction has answered the key.
    Replay,
}

pub(super) async fn create_chats(
    transaction: &DatabaseTransaction,
    batch: &[Job],
) -> std::result::Result<Vec<Result<Created>>, DbErr> {
    let leaders = leaders(batch);
    let answered = claim(transaction, batch, &leaders).await?;
    let decisions: Vec<Decision> = batch
        .iter()
        .enumerate()
        .map(|(index, job)| match job.claim() {
            None => Decision::Create,
            Some(claim) if answered.contains_key(&claim) => Decision::Replay,
            Some(claim) if leaders[&claim] == index => Decision::Create,
            Some(claim) => Decision::Follow(leaders[&claim]),
        })
        .collect();
    let created: Vec<&Chat> = batch
        .iter()
        .zip(&decisions)
        .filter(|(_, decision)| matches!(decision, Decision::Create))
        .map(|(job, _)| &job.chat)
        .collect();
    if !created.is_empty() {
        insert_users(transaction, &created).await?;
        insert_chats(transaction, &created).await?;
    }
    Ok(batch
        .iter()
        .zip(&decisions)
        .map(|(job, decision)| match (decision, job.claim()) {
            (Decision::Follow(leader), Some(_)) => job.follow(&batch[*leader]),
            (Decision::Replay, Some(claim)) => job.replay(&answered[&claim]),
            _ => Ok(Created { chat: job.chat.clone(), replayed: false }),
        })
        .collect())
}

impl Job {
    fn claim(&self) -> Option<Claim<'_>> {
        self.idempotency.as_ref().map(|idempotency| (self.chat.tenant_id, &idempotency.key))
    }

    fn fingerprint(&self) -> &[u8] {
        self.idempotency.as_ref().map_or(&[], |idempotency| idempotency.fingerprint.as_bytes())
    }

    fn follow(&self, leader: &Job) -> Result<Created> {
        if self.fingerprint() != leader.fingerprint() {
            return Err(Error::IdempotencyKeyReused);
        }
        Ok(Created { chat: leader.chat.clone(), replayed: true })
    }

    fn replay(&self, first: &FirstAnswer) -> Result<Created> {
        if self.fingerprint() != first.fingerprint {
            return Err(Error::IdempotencyKeyReused);
        }
        let chat = serde_json::from_str(&first.answer).map_err(|error| Error::Internal(Cause::new(error)))?;
        Ok(Created { chat, replayed: true })
    }
}

/// Where in the batch each key occurs first. Sorted by key.
fn leaders(batch: &[Job]) -> BTreeMap<Claim<'_>, usize> {
    let mut leaders = BTreeMap::new();
    for (index, job) in batch.iter().enumerate() {
        if let Some(claim) = job.claim() {
            leaders.entry(claim).or_insert(index);
        }
    }
    leaders
}

/// Takes the keys that are free, or whose record has expired, for their leaders; returns what is stored under the
/// others. A key that another node is just claiming is waited for.
async fn claim<'a>(
    transaction: &DatabaseTransaction,
    batch: &'a [Job],
    leaders: &BTreeMap<Claim<'a>, usize>,
) -> std::result::Result<HashMap<Claim<'a>, FirstAnswer>, DbErr> {
    if leaders.is_empty() {
        return Ok(HashMap::new());
    }
    let jobs: Vec<&Job> = leaders.values().map(|&index| &batch[index]).collect();
    let rows = transaction.query_all_raw(claim_statement(&jobs)?.statement(transaction.get_database_backend())).await?;
    let won: HashSet<(TenantId, String)> = rows
        .iter()
        .map(|row| Ok((TenantId(row.try_get_by_index(0)?), row.try_get_by_index(1)?)))
        .collect::<std::result::Result<_, DbErr>>()?;
    let mut answered = HashMap::new();
    for &(tenant, key) in leaders.keys() {
        if won.contains(&(tenant, key.as_str().to_owned())) {
            continue;
        }
        let record = idempotency_record::Entity::find_by_id((tenant.0, key.as_str().to_owned()))
            .one(transaction)
            .await?
            .ok_or_else(|| DbErr::RecordNotFound("an idempotency record vanished while it was asked for".to_owned()))?;
        let first = FirstAnswer { fingerprint: record.fingerprint, answer: record.answer };
        answered.insert((tenant, key), first);
    }
    Ok(answered)
}

fn claim_statement(jobs: &[&Job]) -> std::result::Result<BulkInsert, DbErr> {
    use idempotency_record::Column as Name;

    // An expired record is as good as none: its place is taken.
    const TAIL: &str = "ON CONFLICT (\"tenant_id\", \"key\") DO UPDATE SET \"fingerprint\" = excluded.\"fingerprint\", \
        \"chat_id\" = excluded.\"chat_id\", \"answer\" = excluded.\"answer\", \"expires_at\" = excluded.\"expires_at\" \
        WHERE \"idempotency_records\".\"expires_at\" <= excluded.\"expires_at\" - 86400000000 \
        RETURNING \"tenant_id\", \"key\"";
    const _: () = assert!(Idempotency::RETENTION.num_seconds() == 86_400, "the statement above subtracts it");

    let answers: Vec<String> = jobs
        .iter()
        .map(|job| serde_json::to_string(&job.chat))
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| DbErr::Json(error.to_string()))?;
    let keys = jobs.iter().filter_map(|job| job.claim()).map(|(_, key)| key.as_str().to_owned());
    let columns = vec![
        (Name::TenantId.as_str(), Column::Uuid(jobs.iter().map(|job| job.chat.tenant_id.0).collect())),
        (Name::Key.as_str(), Column::Text(keys.collect())),
        (Name::Fingerprint.as_str(), Column::Bytes(jobs.iter().map(|job| job.fingerprint().to_vec()).collect())),
        (Name::ChatId.as_str(), Column::Uuid(jobs.iter().map(|job| job.chat.id).collect())),
        (Name::Answer.as_str(), Column::Text(answers)),
        (
            Name::ExpiresAt.as_str(),
            Column::BigInt(jobs.iter().map(|job| to_micros(job.chat.created_at + Idempotency::RETENTION)).collect()),
        ),
    ];
    Ok(BulkInsert::into(idempotency_record::Entity.table_name(), columns, TAIL))
}

async fn insert_users(transaction: &DatabaseTransaction, chats: &[&Chat]) -> std::result::Result<(), DbErr> {
    use user::Column as Name;

    let mut seen = BTreeSet::new();
    let mut first: Vec<&&Chat> =
        chats.iter().filter(|chat| seen.insert((chat.tenant_id, chat.user_id.as_str()))).collect();
    first.sort_by_key(|chat| (chat.tenant_id, chat.user_id.as_str()));
    let columns = vec![
        (Name::TenantId.as_str(), Column::Uuid(first.iter().map(|chat| chat.tenant_id.0).collect())),
        (Name::Id.as_str(), Column::Text(first.iter().map(|chat| chat.user_id.as_str().to_owned()).collect())),
        (Name::CreatedAt.as_str(), Column::BigInt(first.iter().map(|chat| to_micros(chat.created_at)).collect())),
    ];
    let insert = BulkInsert::into(user::Entity.table_name(), columns, "ON CONFLICT DO NOTHING");
    transaction.execute_raw(insert.statement(transaction.get_database_backend())).await?;
    Ok(())
}

async fn insert_chats(transaction: &DatabaseTransaction, chats: &[&Chat]) -> std::result::Result<(), DbErr> {
    use chat::Column as Name;

    let texts = |text: fn(&Chat) -> &str| Column::Text(chats.iter().map(|chat| text(chat).to_owned()).collect());
    let columns = vec![
        (Name::Id.as_str(), Column::Uuid(chats.iter().map(|chat| chat.id).collect())),
        (Name::TenantId.as_str(), Column::Uuid(chats.iter().map(|chat| chat.tenant_id.0).collect())),
        (Name::UserId.as_str(), texts(|chat| chat.user_id.as_str())),
        (Name::Title.as_str(), texts(|chat| chat.title.as_str())),
        (Name::Metadata.as_str(), texts(|chat| chat.metadata.as_json())),
        (Name::CreatedAt.as_str(), Column::BigInt(chats.iter().map(|chat| to_micros(chat.created_at)).collect())),
        (Name::UpdatedAt.as_str(), Column::BigInt(chats.iter().map(|chat| to_micros(chat.updated_at)).collect())),
    ];
    let insert = BulkInsert::into(chat::Entity.table_name(), columns, "");
    transaction.execute_raw(insert.statement(transaction.get_database_backend())).await?;
    Ok(())
}

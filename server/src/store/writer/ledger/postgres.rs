//! The ledger on PostgreSQL: one statement a step, however many rows.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use sea_orm::{DbBackend, FromQueryResult, Statement};
use uuid::Uuid;

use super::{Changes, Claim, Counters, FirstAnswer, LockWait, Named, Outcome, Setback, Users};
use crate::{
    domain::{Chat, ClientMessageId, MediaType, MediaUrl, Message, TenantId, UserId},
    store::{
        chat_columns::{status_code, status_of},
        chats::{Place, place_rows},
        connection::PinnedConnection,
        entity::{idempotency_record, message},
        from_micros,
        messages::{message_of, role_code},
        rows::{Column, Parts, Rows, columns},
        to_micros,
    },
};

const BACKEND: DbBackend = DbBackend::Postgres;

/// How long a transaction waits for a row that is likely to stay locked, in milliseconds.
const SHORT_LOCK_WAIT: u32 = 10;

/// The PostgreSQL write backend.
pub(in crate::store) struct Postgres {
    connection: PinnedConnection,
    /// Names this process among those that write probes.
    node: Uuid,
}

/// A locked chat, as it is selected.
#[derive(FromQueryResult)]
struct Locked {
    tenant_id: Uuid,
    id: Uuid,
    user_id: String,
    status: i16,
    message_count: i64,
    updated_at: i64,
    last_message_at: Option<i64>,
}

/// The place of a chat that another session has locked.
#[derive(FromQueryResult)]
struct Held {
    tenant_id: Uuid,
    id: Uuid,
}

impl Postgres {
    pub(in crate::store) fn new(connection: PinnedConnection) -> Self {
        Self { connection, node: Uuid::new_v4() }
    }

    /// With the usual wait for locks the transaction begins where it first reads or writes.
    pub(super) async fn begin(&mut self, wait: LockWait) -> Outcome<()> {
        if wait == LockWait::Short {
            self.connection.begin().await?;
            self.connection.command(&format!("SET LOCAL lock_timeout = {SHORT_LOCK_WAIT}")).await?;
        }
        Ok(())
    }

    /// A batch that has nothing to read, no new users and no answers is one statement, which is a transaction by itself;
    /// any other begins one where it first needs it.
    pub(super) async fn commit(&mut self, changes: &Changes<'_>) -> Outcome<()> {
        if !changes.users.is_empty() {
            self.connection.begin().await?;
            // Before the rest, and sorted: two nodes that store the same users must not wait for each other in a circle.
            let users = user_rows(&changes.users).insert_into("users", "ON CONFLICT DO NOTHING", BACKEND);
            self.connection.execute(users).await?;
        }
        if let Some(write) = written(changes) {
            if !changes.answers.is_empty() {
                // Nobody may see the batch before it is known whether all its keys were free.
                self.connection.begin().await?;
            }
            let kept: i64 = self.connection.one(write).await?.map_or(Ok(0), |row| row.try_get_by_index(0))?;
            if usize::try_from(kept) != Ok(changes.answers.len()) {
                return Err(Setback::KeyTaken);
            }
        }
        if changes.needs_probe_row() {
            // One row for each node: those of different nodes never wait for each other.
            let probe = Statement::from_sql_and_values(
                BACKEND,
                "INSERT INTO write_probes (node, written_at) VALUES ($1, $2) \
                 ON CONFLICT (node) DO UPDATE SET written_at = excluded.written_at",
                [self.node.into(), to_micros(changes.now).into()],
            );
            self.connection.execute(probe).await?;
        }
        Ok(self.connection.commit().await?)
    }

    pub(super) async fn roll_back(&mut self) {
        self.connection.roll_back().await;
    }

    pub(super) async fn first_answers(
        &mut self,
        keys: &BTreeSet<Claim>,
        now: DateTime<Utc>,
    ) -> Outcome<Vec<(Claim, FirstAnswer)>> {
        let rows = Rows::new(vec![
            ("tenant_id", Column::Uuid(keys.iter().map(|(tenant, _)| tenant.0).collect())),
            ("key", Column::Text(keys.iter().map(|(_, key)| key.as_str().to_owned()).collect())),
        ]);
        let select = rows.statement(BACKEND, |rows| {
            let columns = columns::<idempotency_record::Entity>("i");
            format!(
                "SELECT {columns} FROM {rows} JOIN idempotency_records i ON i.tenant_id = r.tenant_id AND i.key = r.key"
            )
        });
        let records: Vec<idempotency_record::Model> = self.read(select).await?;
        let live = records.into_iter().filter(|record| record.expires_at > to_micros(now));
        let mut stored: HashMap<(Uuid, String), FirstAnswer> = live
            .map(|record| {
                let answer = FirstAnswer { fingerprint: record.fingerprint, json: record.answer };
                ((record.tenant_id, record.key), answer)
            })
            .collect();
        let found = keys.iter().filter_map(|claim| {
            let answer = stored.remove(&(claim.0.0, claim.1.as_str().to_owned()))?;
            Some((claim.clone(), answer))
        });
        Ok(found.collect())
    }

    pub(super) async fn lock_chats(&mut self, places: &BTreeSet<Place>) -> Outcome<Vec<(Place, Counters)>> {
        // Locked in one order on every node.
        let select = place_rows(places).statement(BACKEND, |rows| {
            format!(
                "SELECT c.tenant_id, c.id, c.user_id, c.status, c.message_count, c.updated_at, c.last_message_at \
                 FROM {rows} JOIN chats c ON c.tenant_id = r.tenant_id AND c.id = r.id \
                 ORDER BY c.tenant_id, c.id FOR UPDATE OF c"
            )
        });
        let locked: Vec<Locked> = self.read(select).await?;
        let counters = locked.into_iter().map(|row| {
            let counters = Counters {
                user_id: UserId::stored(row.user_id),
                status: status_of(row.status)?,
                message_count: row.message_count,
                updated_at: from_micros(row.updated_at)?,
                last_message_at: row.last_message_at.map(from_micros).transpose()?,
            };
            Ok(((TenantId(row.tenant_id), row.id), counters))
        });
        counters.collect()
    }

    /// One statement by itself, so that the locks it takes end with it.
    pub(super) async fn locked_chats(&mut self, places: &BTreeSet<Place>) -> Outcome<BTreeSet<Place>> {
        let select = place_rows(places).statement(BACKEND, |rows| {
            format!(
                "WITH free AS (\
                     SELECT c.tenant_id, c.id FROM {rows} JOIN chats c ON c.tenant_id = r.tenant_id AND c.id = r.id \
                     FOR UPDATE OF c SKIP LOCKED\
                 ) \
                 SELECT c.tenant_id, c.id FROM {rows} JOIN chats c ON c.tenant_id = r.tenant_id AND c.id = r.id \
                 WHERE NOT EXISTS (SELECT 1 FROM free WHERE free.tenant_id = c.tenant_id AND free.id = c.id)"
            )
        });
        let locked: Vec<Held> = self.connection.all(select).await?;
        Ok(locked.into_iter().map(|row| (TenantId(row.tenant_id), row.id)).collect())
    }

    pub(super) async fn named_messages(&mut self, names: &BTreeSet<Named>) -> Outcome<Vec<Message>> {
        let rows = Rows::new(vec![
            ("chat_id", Column::Uuid(names.iter().map(|named| named.chat_id).collect())),
            ("client_message_id", Column::Text(names.iter().map(|named| named.name.clone()).collect())),
            ("sender", Column::Text(names.iter().map(|named| named.sender.clone()).collect())),
        ]);
        let select = rows.statement(BACKEND, |rows| {
            let columns = columns::<message::Entity>("m");
            format!(
                "SELECT {columns} FROM {rows} JOIN messages m \
                 ON m.chat_id = r.chat_id AND m.client_message_id = r.client_message_id \
                 AND COALESCE(m.sender_id, '') = r.sender"
            )
        });
        let stored: Vec<message::Model> = self.read(select).await?;
        Ok(stored.into_iter().map(message_of).collect::<Result<_, _>>()?)
    }

    /// Reads inside the batch's transaction.
    async fn read<M: FromQueryResult>(&mut self, select: Statement) -> Outcome<Vec<M>> {
        self.connection.begin().await?;
        Ok(self.connection.all(select).await?)
    }
}

/// One statement that writes everything but the users, and returns how many answers it has kept; `None` if there is
/// nothing to write. Its parts do not see each other's rows and have no need to.
fn written(changes: &Changes<'_>) -> Option<Statement> {
    let mut parts = Parts::default();
    if !changes.chats.is_empty() {
        parts.add("new_chats", chat_rows(&changes.chats), |rows| rows.insert("chats", ""));
    }
    if !changes.labels.is_empty() {
        let (labels, chats) = changes.labels.iter().copied().unzip();
        let rows = Rows::new(vec![("label", Column::Uuid(labels)), ("chat_id", Column::Uuid(chats))]);
        parts.add("new_labels", rows, |rows| rows.insert("chat_labels", ""));
    }
    if !changes.messages.is_empty() {
        parts.add("new_messages", message_rows(&changes.messages), |rows| rows.insert("messages", ""));
    }
    if !changes.counters.is_empty() {
        parts.add("counted", counter_rows(&changes.counters), |rows| {
            format!(
                "UPDATE chats SET message_count = r.message_count, last_message_at = r.last_message_at, \
                 updated_at = r.updated_at FROM {rows} WHERE chats.tenant_id = r.tenant_id AND chats.id = r.id"
            )
        });
    }
    if !changes.answers.is_empty() {
        // All records of a batch expire together, so that moment less what they are kept for is now.
        let kept = to_micros(changes.expires_at) - to_micros(changes.now);
        let tail = format!(
            "ON CONFLICT (tenant_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, \
             chat_id = excluded.chat_id, answer = excluded.answer, expires_at = excluded.expires_at \
             WHERE idempotency_records.expires_at <= excluded.expires_at - {kept} RETURNING 1"
        );
        parts.add("kept", answer_rows(changes), |rows| rows.insert("idempotency_records", &tail));
    }
    let count = if changes.answers.is_empty() { "0::bigint" } else { "(SELECT count(*) FROM kept)" };
    parts.into_statement(count)
}

fn message_rows(messages: &[Message]) -> Rows {
    let texts = |text: fn(&Message) -> &str| Column::Text(messages.iter().map(|m| text(m).to_owned()).collect());
    let optional = |text: fn(&Message) -> Option<&str>| {
        Column::OptionalText(messages.iter().map(|message| text(message).map(str::to_owned)).collect())
    };
    Rows::new(vec![
        ("chat_id", Column::Uuid(messages.iter().map(|message| message.chat_id).collect())),
        ("seq", Column::BigInt(messages.iter().map(|message| message.seq).collect())),
        ("id", Column::Uuid(messages.iter().map(|message| message.id).collect())),
        ("role", Column::SmallInt(messages.iter().map(|message| role_code(message.role)).collect())),
        ("sender_id", optional(|message| message.sender_id.as_ref().map(UserId::as_str))),
        ("content", texts(|message| message.content.as_str())),
        ("media_type", optional(|message| message.media_type.as_ref().map(MediaType::as_str))),
        ("media_url", optional(|message| message.media_url.as_ref().map(MediaUrl::as_str))),
        ("metadata", texts(|message| message.metadata.as_json())),
        ("client_message_id", optional(|message| message.client_message_id.as_ref().map(ClientMessageId::as_str))),
        ("created_at", Column::BigInt(messages.iter().map(|message| to_micros(message.created_at)).collect())),
    ])
}

fn user_rows(users: &Users) -> Rows {
    Rows::new(vec![
        ("tenant_id", Column::Uuid(users.keys().map(|(tenant, _)| tenant.0).collect())),
        ("id", Column::Text(users.keys().map(|(_, user)| user.as_str().to_owned()).collect())),
        ("created_at", Column::BigInt(users.values().map(|seen_at| to_micros(*seen_at)).collect())),
    ])
}

fn chat_rows(chats: &[&Chat]) -> Rows {
    let chats = || chats.iter();
    Rows::new(vec![
        ("tenant_id", Column::Uuid(chats().map(|chat| chat.tenant_id.0).collect())),
        ("id", Column::Uuid(chats().map(|chat| chat.id).collect())),
        ("user_id", Column::Text(chats().map(|chat| chat.user_id.as_str().to_owned()).collect())),
        ("title", Column::Text(chats().map(|chat| chat.title.as_str().to_owned()).collect())),
        ("metadata", Column::Text(chats().map(|chat| chat.metadata.as_json().to_owned()).collect())),
        ("status", Column::SmallInt(chats().map(|chat| status_code(chat.status)).collect())),
        ("message_count", Column::BigInt(chats().map(|chat| chat.message_count).collect())),
        ("created_at", Column::BigInt(chats().map(|chat| to_micros(chat.created_at)).collect())),
        ("updated_at", Column::BigInt(chats().map(|chat| to_micros(chat.updated_at)).collect())),
    ])
}

fn counter_rows(chats: &[(Place, Counters)]) -> Rows {
    let last = chats.iter().filter_map(|(_, chat)| chat.last_message_at);
    Rows::new(vec![
        ("tenant_id", Column::Uuid(chats.iter().map(|((tenant, _), _)| tenant.0).collect())),
        ("id", Column::Uuid(chats.iter().map(|((_, id), _)| *id).collect())),
        ("message_count", Column::BigInt(chats.iter().map(|(_, chat)| chat.message_count).collect())),
        ("last_message_at", Column::BigInt(last.map(to_micros).collect())),
        ("updated_at", Column::BigInt(chats.iter().map(|(_, chat)| to_micros(chat.updated_at)).collect())),
    ])
}

fn answer_rows(changes: &Changes<'_>) -> Rows {
    let (keys, answers) = (|| changes.answers.keys(), || changes.answers.values());
    Rows::new(vec![
        ("tenant_id", Column::Uuid(keys().map(|(tenant, _)| tenant.0).collect())),
        ("key", Column::Text(keys().map(|(_, key)| key.as_str().to_owned()).collect())),
        ("expires_at", Column::BigInt(vec![to_micros(changes.expires_at); changes.answers.len()])),
        ("fingerprint", Column::Bytes(answers().map(|new| new.answer.fingerprint.clone()).collect())),
        ("chat_id", Column::Uuid(answers().map(|new| new.chat_id).collect())),
        ("answer", Column::Text(answers().map(|new| new.answer.json.clone()).collect())),
    ])
}

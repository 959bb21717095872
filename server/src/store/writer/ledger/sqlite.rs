//! The ledger on SQLite: the writer's own connection to the file, without a driver's thread in between.
//!
//! A statement is prepared once and called once a row. So a row costs neither a hop to another thread nor a text to
//! write it into, and SQLite, which knows that one row either goes in or does not, keeps no copy of the pages it touches.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::{Changes, Claim, Counters, FirstAnswer, Named, NewAnswer, Outcome, Setback, Users};
use crate::{
    base::error::{Cause, Error},
    domain::{Chat, ClientMessageId, MediaType, MediaUrl, Message, UserId},
    store::{
        DatabaseLimits,
        chat_columns::{status_code, status_of},
        chats::Place,
        checkpoints::Checkpoints,
        connection::Health,
        entity::message,
        failure::{Fault, file_fault},
        from_micros,
        messages::{message_of, role_code},
        sqlite_file::SqliteFile,
        to_micros,
    },
};

/// Statements that are kept prepared: all of this file.
const STATEMENTS: usize = 16;
/// Bytes that a probe writes: more than an ordinary request needs, so that a disk with room for less counts as full.
const PROBE_BYTES: i64 = 64 * 1024;

const FIRST_ANSWER: &str =
    "SELECT fingerprint, answer FROM idempotency_records WHERE tenant_id = ?1 AND key = ?2 AND expires_at > ?3";
const KEEP_ANSWER: &str = "\
    INSERT INTO idempotency_records (tenant_id, key, fingerprint, chat_id, answer, expires_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
    ON CONFLICT (tenant_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, \
    chat_id = excluded.chat_id, answer = excluded.answer, expires_at = excluded.expires_at \
    WHERE idempotency_records.expires_at <= ?7";
const LOCK_CHAT: &str = "\
    SELECT user_id, status, message_count, updated_at, last_message_at \
    FROM chats WHERE tenant_id = ?1 AND id = ?2";
const NAMED_MESSAGE: &str = "\
    SELECT seq, id, role, sender_id, content, media_type, media_url, metadata, created_at \
    FROM messages WHERE chat_id = ?1 AND client_message_id = ?2 AND COALESCE(sender_id, '') = ?3";
const ADD_USER: &str = "INSERT INTO users (tenant_id, id, created_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
const ADD_CHAT: &str = "\
    INSERT INTO chats (tenant_id, id, user_id, title, metadata, status, message_count, created_at, updated_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const ADD_LABEL: &str = "INSERT INTO chat_labels (label, chat_id) VALUES (?1, ?2)";
const ADD_MESSAGE: &str = "\
    INSERT INTO messages (chat_id, seq, id, role, sender_id, content, media_type, media_url, metadata, \
    client_message_id, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const PROBE: &str = "\
    INSERT INTO write_probes (node, written_at, filler) VALUES (?1, ?2, zeroblob(?3)) \
    ON CONFLICT (node) DO UPDATE SET written_at = excluded.written_at, filler = excluded.filler";
const COUNT: &str = "\
    UPDATE chats SET message_count = ?3, last_message_at = ?4, updated_at = ?5 \
    WHERE tenant_id = ?1 AND id = ?2";

/// Those that look something up.
#[cfg(test)]
pub(in crate::store) const LOOK_UPS: [(&str, &str); 4] = [
    ("send_message, its chat", LOCK_CHAT),
    ("send_message, its repetition by name", NAMED_MESSAGE),
    ("send_message, its chat's counters", COUNT),
    ("an idempotency key's first answer", FIRST_ANSWER),
];

/// The SQLite write backend.
pub(in crate::store) struct FileBackend {
    file: Arc<SqliteFile>,
    limits: DatabaseLimits,
    health: Arc<Health>,
    /// `None` after a failure, until the next transaction opens another: whatever state the failure has left the
    /// connection in is closed with it.
    connection: Option<Connection>,
    checkpoints: Checkpoints,
}

impl FileBackend {
    /// Writes by `connection`, which is a connection to `file`, or by later ones.
    pub(in crate::store) fn new(
        file: Arc<SqliteFile>,
        limits: DatabaseLimits,
        health: Arc<Health>,
        connection: Connection,
        checkpoints: Checkpoints,
    ) -> Self {
        let mut backend = Self { file, limits, health, connection: None, checkpoints };
        backend.take(connection);
        backend
    }

    fn take(&mut self, connection: Connection) {
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Checkpoints::watch(&connection);
        self.connection = Some(connection);
    }

    fn connection(&self) -> Outcome<&Connection> {
        let closed = || Setback::Failed(Error::Unavailable(Cause::new("the writer's connection is closed")));
        self.connection.as_ref().ok_or_else(closed)
    }

    pub(super) fn between_batches(&mut self) {
        if let Some(connection) = &self.connection {
            self.checkpoints.between_batches(connection);
        }
    }

    pub(super) fn found_malformed(&self) {
        self.health.found_malformed();
    }

    pub(super) fn begin(&mut self) -> Outcome<()> {
        self.roll_back();
        if self.connection.is_none() {
            let connection = self.file.connect(&self.limits)?;
            self.take(connection);
        }
        let begun = self.call("BEGIN IMMEDIATE");
        if begun.is_err() {
            self.connection = None;
        }
        begun
    }

    /// Writes `changes`, commits, and verifies that the file is still the one that a restart will open.
    pub(super) fn commit(&mut self, changes: &Changes<'_>) -> Outcome<()> {
        self.add_users(&changes.users)?;
        self.add_chats(&changes.chats)?;
        self.add_labels(&changes.labels)?;
        self.add_messages(&changes.messages)?;
        self.count(&changes.counters)?;
        self.keep_answers(&changes.answers, changes.now, changes.expires_at)?;
        if changes.needs_probe_row() {
            let mut insert = self.connection()?.prepare_cached(PROBE)?;
            insert.execute(params![blob(&Uuid::nil()), to_micros(changes.now), PROBE_BYTES])?;
        }
        let committed = self.call("COMMIT");
        if committed.is_err() {
            // SQLite may have ended the transaction or not.
            self.connection = None;
            return committed;
        }
        if let Err(error) = self.file.check_identity() {
            // Where only the log is gone, this saves what it has into the file, by descriptors that are still open.
            if let Some(connection) = &self.connection {
                self.checkpoints.copy_now(connection);
            }
            return Err(error.into());
        }
        Ok(())
    }

    /// Closes the connection if it is in a transaction, which ends it.
    pub(super) fn roll_back(&mut self) {
        self.connection.take_if(|connection| !connection.is_autocommit());
    }

    pub(super) fn first_answers(
        &mut self,
        keys: &BTreeSet<Claim>,
        now: DateTime<Utc>,
    ) -> Outcome<Vec<(Claim, FirstAnswer)>> {
        let mut select = self.connection()?.prepare_cached(FIRST_ANSWER)?;
        let mut found = Vec::new();
        for claim in keys {
            let (tenant, key) = claim;
            let answer = |row: &Row<'_>| Ok(FirstAnswer { fingerprint: row.get(0)?, json: row.get(1)? });
            let answer = select.query_row(params![blob(&tenant.0), key.as_str(), to_micros(now)], answer).optional()?;
            found.extend(answer.map(|answer| (claim.clone(), answer)));
        }
        Ok(found)
    }

    /// There is nothing to lock: this transaction is the only writer.
    pub(super) fn lock_chats(&mut self, places: &BTreeSet<Place>) -> Outcome<Vec<(Place, Counters)>> {
        let mut select = self.connection()?.prepare_cached(LOCK_CHAT)?;
        let mut found = Vec::with_capacity(places.len());
        for (tenant, id) in places {
            let columns = |row: &Row<'_>| {
                let last: Option<i64> = row.get(4)?;
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, last))
            };
            let row = select.query_row(params![blob(&tenant.0), blob(id)], columns).optional()?;
            let Some((user_id, status, message_count, updated_at, last)) = row else { continue };
            let counters = Counters {
                user_id: UserId::stored(user_id),
                status: status_of(status)?,
                message_count,
                updated_at: from_micros(updated_at)?,
                last_message_at: last.map(from_micros).transpose()?,
            };
            found.push(((*tenant, *id), counters));
        }
        Ok(found)
    }

    pub(super) fn named_messages(&mut self, names: &BTreeSet<Named>) -> Outcome<Vec<Message>> {
        let mut select = self.connection()?.prepare_cached(NAMED_MESSAGE)?;
        let mut found = Vec::new();
        for Named { chat_id, name, sender } in names {
            let model = |row: &Row<'_>| {
                Ok(message::Model {
                    chat_id: *chat_id,
                    seq: row.get(0)?,
                    id: Uuid::from_bytes(row.get(1)?),
                    role: row.get(2)?,
                    sender_id: row.get(3)?,
                    content: row.get(4)?,
                    media_type: row.get(5)?,
                    media_url: row.get(6)?,
                    metadata: row.get(7)?,
                    client_message_id: Some(name.clone()),
                    created_at: row.get(8)?,
                })
            };
            let stored = select.query_row(params![blob(chat_id), name, sender], model).optional()?;
            found.extend(stored.map(message_of).transpose()?);
        }
        Ok(found)
    }

    fn add_users(&self, users: &Users) -> Outcome<()> {
        let mut insert = self.connection()?.prepare_cached(ADD_USER)?;
        for ((tenant, user), seen_at) in users {
            insert.execute(params![blob(&tenant.0), user.as_str(), to_micros(*seen_at)])?;
        }
        Ok(())
    }

    fn add_chats(&self, chats: &[&Chat]) -> Outcome<()> {
        let mut insert = self.connection()?.prepare_cached(ADD_CHAT)?;
        for chat in chats {
            insert.execute(params![
                blob(&chat.tenant_id.0),
                blob(&chat.id),
                chat.user_id.as_str(),
                chat.title.as_str(),
                chat.metadata.as_json(),
                status_code(chat.status),
                chat.message_count,
                to_micros(chat.created_at),
                to_micros(chat.updated_at),
            ])?;
        }
        Ok(())
    }

    fn add_labels(&self, labels: &[(Uuid, Uuid)]) -> Outcome<()> {
        let mut insert = self.connection()?.prepare_cached(ADD_LABEL)?;
        for (label, chat) in labels {
            insert.execute(params![blob(label), blob(chat)])?;
        }
        Ok(())
    }

    fn add_messages(&self, messages: &[Message]) -> Outcome<()> {
        let mut insert = self.connection()?.prepare_cached(ADD_MESSAGE)?;
        for message in messages {
            insert.execute(params![
                blob(&message.chat_id),
                message.seq,
                blob(&message.id),
                role_code(message.role),
                message.sender_id.as_ref().map(UserId::as_str),
                message.content.as_str(),
                message.media_type.as_ref().map(MediaType::as_str),
                message.media_url.as_ref().map(MediaUrl::as_str),
                message.metadata.as_json(),
                message.client_message_id.as_ref().map(ClientMessageId::as_str),
                to_micros(message.created_at),
            ])?;
        }
        Ok(())
    }

    fn count(&self, chats: &[(Place, Counters)]) -> Outcome<()> {
        let mut update = self.connection()?.prepare_cached(COUNT)?;
        for ((tenant, id), chat) in chats {
            update.execute(params![
                blob(&tenant.0),
                blob(id),
                chat.message_count,
                chat.last_message_at.map(to_micros),
                to_micros(chat.updated_at),
            ])?;
        }
        Ok(())
    }

    fn keep_answers(
        &self,
        answers: &BTreeMap<Claim, NewAnswer>,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Outcome<()> {
        let mut insert = self.connection()?.prepare_cached(KEEP_ANSWER)?;
        for ((tenant, key), NewAnswer { answer, chat_id }) in answers {
            let stored = insert.execute(params![
                blob(&tenant.0),
                key.as_str(),
                answer.fingerprint,
                blob(chat_id),
                answer.json,
                to_micros(expires_at),
                to_micros(now),
            ])?;
            if stored == 0 {
                return Err(Setback::KeyTaken);
            }
        }
        Ok(())
    }

    fn call(&self, sql: &str) -> Outcome<()> {
        self.connection()?.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

/// An id as it is stored: sixteen bytes.
fn blob(id: &Uuid) -> &[u8] {
    id.as_bytes()
}

impl From<rusqlite::Error> for Setback {
    fn from(error: rusqlite::Error) -> Self {
        Self::new(Fault::of_file(&error), file_fault(error))
    }
}

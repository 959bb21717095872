//! What a batch reads and writes, inside its transaction, on either database.
//!
//! Each database gets what suits it. A PostgreSQL server is a round trip away, so every step is one statement for all
//! rows. A SQLite file is in this process, on the writer's own thread, so every row is one call of a prepared statement.

mod postgres;
mod sqlite;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sea_orm::DbErr;
use uuid::Uuid;

#[cfg(test)]
pub(in crate::store) use self::sqlite::LOOK_UPS;
pub(in crate::store) use self::{postgres::Postgres, sqlite::File};
use super::claims::Claim;
use crate::{
    chat::{Chat, Message, Status, UserId},
    error::Error,
    store::{chats::Place, failure::fault},
    tenant::TenantId,
};

/// The database, and the batch's transaction in it. There is one transaction at a time, from [`Self::begin`] to
/// [`Self::commit`] or [`Self::abandon`].
pub(in crate::store) enum Ledger {
    Sqlite(Box<File>),
    Postgres(Postgres),
}

/// All that a batch writes.
pub(super) struct Changes<'a> {
    /// Users to store if they are new.
    pub(super) users: Users,
    pub(super) chats: Vec<&'a Chat>,
    /// Labels, and the chats that get them.
    pub(super) labels: Vec<(Uuid, Uuid)>,
    pub(super) messages: Vec<Message>,
    /// The counters of locked chats that got messages.
    pub(super) counters: Vec<(Place, Counters)>,
    pub(super) answers: BTreeMap<Claim, NewAnswer>,
    /// When the answers expire.
    pub(super) expires_at: DateTime<Utc>,
    pub(super) now: DateTime<Utc>,
}

/// Why a transaction was given up.
#[derive(Debug)]
pub(super) enum Setback {
    /// Another node has just stored one of the batch's idempotency keys. Tried again, its answer will be found.
    KeyTaken,
    /// The database failed, or refused a statement.
    Failed(Error),
}

pub(super) type Outcome<T> = Result<T, Setback>;

/// Users of tenants, and when they were first seen. Sorted, so that two nodes which write the same ones wait for each
/// other instead of deadlocking.
pub(super) type Users = BTreeMap<(TenantId, UserId), DateTime<Utc>>;

/// What sending a message needs to know of its chat, and what it changes.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) user_id: UserId,
    pub(super) status: Status,
    pub(super) message_count: i64,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) last_message_at: Option<DateTime<Utc>>,
}

/// The answer to a request that had an idempotency key.
pub(super) struct FirstAnswer {
    pub(super) fingerprint: Vec<u8>,
    pub(super) json: String,
}

/// An answer on its way into the database, and the chat it goes with.
pub(super) struct NewAnswer {
    pub(super) answer: FirstAnswer,
    pub(super) chat_id: Uuid,
}

/// A chat and the name of one of its messages.
pub(super) type Named = (Uuid, String);

/// Calls a step of either database; what a file does is done when the call returns.
macro_rules! on_either {
    ($ledger:expr, $step:ident($($argument:expr),*)) => {
        match $ledger {
            Ledger::Sqlite(file) => file.$step($($argument),*),
            Ledger::Postgres(server) => server.$step($($argument),*).await,
        }
    };
}

impl Ledger {
    pub(super) fn begin(&mut self) -> Outcome<()> {
        match self {
            Self::Sqlite(file) => file.begin(),
            // It begins when it reads or writes.
            Self::Postgres(_) => Ok(()),
        }
    }

    /// Writes `changes` and commits.
    ///
    /// # Errors
    /// [`Setback::KeyTaken`] when another transaction has just stored one of the answers' keys.
    pub(super) async fn commit(&mut self, changes: &Changes<'_>) -> Outcome<()> {
        on_either!(self, commit(changes))
    }

    /// Rolls the transaction back, if there is one.
    pub(super) async fn abandon(&mut self) {
        on_either!(self, abandon());
    }

    /// Does what is to be done when nobody waits for an answer.
    pub(super) fn between_batches(&mut self) {
        if let Self::Sqlite(file) = self {
            file.between_batches();
        }
    }

    /// What is stored under `keys` and has not expired by `now`.
    pub(super) async fn first_answers(
        &mut self,
        keys: &BTreeSet<Claim>,
        now: DateTime<Utc>,
    ) -> Outcome<Vec<(Claim, FirstAnswer)>> {
        on_either!(self, first_answers(keys, now))
    }

    /// Those of the chats that exist. Until the end of the transaction nobody else changes them.
    pub(super) async fn lock_chats(&mut self, places: &BTreeSet<Place>) -> Outcome<Vec<(Place, Counters)>> {
        on_either!(self, lock_chats(places))
    }

    /// Those of the messages that exist.
    pub(super) async fn named_messages(&mut self, names: &BTreeSet<Named>) -> Outcome<Vec<Message>> {
        on_either!(self, named_messages(names))
    }
}

impl From<Error> for Setback {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<DbErr> for Setback {
    fn from(error: DbErr) -> Self {
        Self::Failed(fault(error))
    }
}

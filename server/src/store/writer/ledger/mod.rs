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
pub(in crate::store) use self::{postgres::Postgres, sqlite::FileBackend};
use crate::{
    base::error::{Cause, Error},
    domain::{Chat, ClientMessageId, IdempotencyKey, Message, Status, TenantId, UserId},
    store::{
        chats::Place,
        failure::{Fault, fault},
    },
};

/// An idempotency key within its tenant.
pub(super) type Claim = (TenantId, IdempotencyKey);

/// The database, and the batch's transaction in it. There is one transaction at a time, from [`Self::begin`] to
/// [`Self::commit`] or [`Self::abandon`].
pub(in crate::store) enum Ledger {
    Sqlite(Box<FileBackend>),
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
    /// Whether a row is written even if there is nothing else to write, as a proof that a write succeeds.
    pub(super) probe: bool,
}

impl Changes<'_> {
    /// Whether a probe has to write a row of its own: anything else proves as much.
    fn needs_probe_row(&self) -> bool {
        self.probe
            && self.users.is_empty()
            && self.chats.is_empty()
            && self.messages.is_empty()
            && self.counters.is_empty()
            && self.answers.is_empty()
    }
}

/// How long a transaction waits for rows that another session keeps locked. Of no meaning on SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockWait {
    /// [`DatabaseLimits::row_lock`](crate::store::DatabaseLimits::row_lock).
    Usual,
    /// A few milliseconds, for rows that were found locked already.
    Short,
}

/// Why a transaction was given up.
#[derive(Debug)]
pub(super) enum Setback {
    /// Another node has just stored one of the batch's idempotency keys. Tried again, its answer will be found.
    KeyTaken,
    /// Another transaction was in the way. Tried again, the batch may be committed.
    Conflict(Error),
    /// Another session keeps a row locked that the batch needs.
    Locked(Error),
    /// SQLite has found that the file is damaged.
    Malformed(Error),
    /// The database failed, or refused a statement.
    Failed(Error),
}

impl Setback {
    fn new(fault: Fault, error: Error) -> Self {
        match fault {
            Fault::Conflict | Fault::StalePlan => Self::Conflict(error),
            Fault::Locked => Self::Locked(error),
            Fault::Malformed => Self::Malformed(error),
            Fault::Outside | Fault::ReadOnly | Fault::Statement => Self::Failed(error),
        }
    }
}

impl From<Setback> for Error {
    fn from(setback: Setback) -> Self {
        match setback {
            Setback::KeyTaken => Self::Unavailable(Cause::new("idempotency keys are taken again and again")),
            Setback::Conflict(error) | Setback::Locked(error) | Setback::Malformed(error) | Setback::Failed(error) => {
                error
            }
        }
    }
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

/// What identifies a message that its sender has named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Named {
    pub(super) chat_id: Uuid,
    /// The `client_message_id`.
    pub(super) name: String,
    /// The `sender_id`; empty, as no id is, for a sender without one. The databases' index has it likewise.
    pub(super) sender: String,
}

impl Named {
    /// Of a message to the chat `chat_id`; `None` if the sender has not named it.
    pub(super) fn of(chat_id: Uuid, name: Option<&ClientMessageId>, sender: Option<&UserId>) -> Option<Self> {
        let sender = sender.map(UserId::as_str).unwrap_or_default().to_owned();
        Some(Self { chat_id, name: name?.as_str().to_owned(), sender })
    }
}

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
    /// Whether other processes write to the database too, and may keep rows locked.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    pub(super) async fn begin(&mut self, wait: LockWait) -> Outcome<()> {
        match self {
            Self::Sqlite(file) => file.begin(),
            Self::Postgres(server) => server.begin(wait).await,
        }
    }

    /// Those of the chats that another session keeps locked. Outside of any transaction.
    pub(super) async fn locked_chats(&mut self, places: &BTreeSet<Place>) -> Outcome<BTreeSet<Place>> {
        match self {
            Self::Sqlite(_) => Ok(BTreeSet::new()),
            Self::Postgres(server) => server.locked_chats(places).await,
        }
    }

    /// Writes `changes` and commits.
    ///
    /// # Errors
    /// [`Setback::KeyTaken`] when another transaction has just stored one of the answers' keys.
    pub(super) async fn commit(&mut self, changes: &Changes<'_>) -> Outcome<()> {
        on_either!(self, commit(changes))
    }

    /// Takes note of why a transaction failed, and rolls it back if there is one.
    pub(super) async fn abandon(&mut self, setback: &Setback) {
        if let (Self::Sqlite(file), Setback::Malformed(_)) = (&*self, setback) {
            file.found_malformed();
        }
        self.roll_back().await;
    }

    /// Rolls the transaction back, if there is one.
    async fn roll_back(&mut self) {
        on_either!(self, roll_back());
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
        Self::new(Fault::of(&error), fault(error))
    }
}

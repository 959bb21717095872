//! Taking what waits and writing it in one transaction.
//!
//! A batch fails as a whole when the database does. When a statement of this crate is refused instead, its requests are
//! tried one by one, so that one of them cannot spoil the others; when another session keeps a row locked, the batch is
//! written without the requests that need the row.

use std::{collections::BTreeSet, panic::AssertUnwindSafe};

use futures_util::FutureExt as _;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    claims::{Answers, Claims},
    create_chats,
    deferred::Deferred,
    ledger::{Changes, Ledger, LockWait, Outcome, Setback},
    limits::WriterLimits,
    outcomes::{Outcomes, Written},
    request::{Batch, Job, Plans},
    send_messages::Sending,
    users::{KnownUsers, NewUsers},
};
use crate::{
    base::{
        clock::Moments,
        error::{Cause, Error, Result},
        metrics::WriterMetrics,
    },
    domain::Idempotency,
    store::{chats::Place, write_gate::WriteGate},
};

/// How often a batch is tried again that another transaction was in the way of.
const CONFLICTS: usize = 3;

/// What the writing task works with.
pub(super) struct Batches {
    pub(super) ledger: Ledger,
    pub(super) gate: WriteGate,
    pub(super) known_users: KnownUsers,
    pub(super) deferred: Deferred,
    pub(super) moments: Moments,
    pub(super) limits: WriterLimits,
    pub(super) metrics: WriterMetrics,
    /// To the task that answers.
    pub(super) written: mpsc::UnboundedSender<Written>,
}

impl Batches {
    /// Writes what comes, until nothing more can come.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>, closing: CancellationToken) {
        let mut taken = Vec::with_capacity(self.limits.batch);
        loop {
            let next_attempt = self.deferred.next_attempt();
            tokio::select! {
                count = jobs.recv_many(&mut taken, self.limits.batch) => if count == 0 { break },
                () = sleep_until(next_attempt), if !self.deferred.is_empty() => {}
                // From here on the queue takes no more; what it holds is still received above.
                () = closing.cancelled(), if !jobs.is_closed() => { jobs.close(); continue }
            }
            self.metrics.queued.dec_by(i64::try_from(taken.len()).unwrap_or(i64::MAX));
            let batch = self.deferred.divert(taken.drain(..).collect());
            if !batch.is_empty() {
                self.write(batch).await;
            }
            if !self.deferred.is_empty() && Instant::now() >= self.deferred.next_attempt() {
                self.retry_deferred().await;
            }
            if self.written.is_closed() {
                // No request would be answered any more: they are to be refused rather than left waiting.
                break;
            }
            self.ledger.between_batches();
        }
        if !self.deferred.is_empty() {
            self.retry_deferred().await;
            let (waiting, late) = self.deferred.take();
            let error = Error::Unavailable(Cause::new("the server stops, and another session keeps a row locked"));
            self.hand_over(waiting, Err(error.clone()));
            self.hand_over(late, Err(error));
        }
    }

    /// Commits a batch and has it answered.
    async fn write(&mut self, batch: Batch) {
        match self.commit(&batch, LockWait::Usual).await {
            Err(Setback::Failed(Error::Internal(cause))) => self.write_singles(batch, &cause).await,
            Err(Setback::Locked(_)) if self.ledger.is_shared() => self.write_without_locked(batch).await,
            outcome => self.hand_over(batch, outcome.map_err(Error::from)),
        }
    }

    /// Commits each request by itself. A single one too: what was taken for known about its user is forgotten now, and may
    /// have been the reason.
    async fn write_singles(&mut self, batch: Batch, cause: &Cause) {
        tracing::warn!(%cause, requests = batch.requests(), "a batch was refused; trying its requests one by one");
        for single in batch.into_singles() {
            let outcome = self.commit(&single, LockWait::Usual).await;
            self.hand_over(single, outcome.map_err(Error::from));
        }
    }

    /// Commits what no other session is in the way of, and defers the rest. Which chats are locked, the database tells; of
    /// users and idempotency keys it does not, so that those are found by halving.
    async fn write_without_locked(&mut self, batch: Batch) {
        let rest = match self.locked_chats(&batch.places()).await {
            Ok(locked) => self.deferred.divert_locked(batch, &locked),
            Err(setback) => return self.hand_over(batch, Err(setback.into())),
        };
        let mut parts = vec![rest];
        while let Some(part) = parts.pop() {
            let part = self.deferred.divert(part);
            if part.is_empty() {
                continue;
            }
            match self.commit(&part, LockWait::Short).await {
                Err(Setback::Locked(_)) if part.requests() > 1 => {
                    let (first, second) = part.into_halves();
                    parts.extend([second, first]);
                }
                Err(Setback::Locked(_)) if part.requests() == 1 => {
                    part.into_jobs().for_each(|job| self.deferred.add(job));
                }
                Err(Setback::Failed(Error::Internal(cause))) => self.write_singles(part, &cause).await,
                outcome => self.hand_over(part, outcome.map_err(Error::from)),
            }
        }
    }

    async fn retry_deferred(&mut self) {
        let (waiting, late) = self.deferred.take();
        if !late.is_empty() {
            let error = Error::Unavailable(Cause::new("another session keeps a row locked that the request needs"));
            self.hand_over(late, Err(error));
        }
        if !waiting.is_empty() {
            self.write_without_locked(waiting).await;
        }
    }

    async fn locked_chats(&mut self, places: &BTreeSet<Place>) -> Outcome<BTreeSet<Place>> {
        if places.is_empty() {
            return Ok(BTreeSet::new());
        }
        let locked = timeout(self.limits.patience, self.ledger.locked_chats(places)).await;
        locked.unwrap_or_else(|_| Err(Setback::Failed(late())))
    }

    fn hand_over(&self, batch: Batch, outcome: Result<Outcomes>) {
        // The answering task ends after this one.
        _ = self.written.send(Written { batch, outcome });
    }

    /// One transaction.
    async fn commit(&mut self, batch: &Batch, wait: LockWait) -> Outcome<Outcomes> {
        let permit = self.gate.permit().await;
        let (started, patience) = (Instant::now(), self.limits.patience);
        // A panic fails its batch. It must not end the task, which would fail everything until a restart.
        let transaction = AssertUnwindSafe(self.transact_again(batch, wait)).catch_unwind();
        let outcome = match timeout(patience, transaction).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Setback::Failed(Error::Internal(Cause::new("the writer panicked")))),
            Err(_) => Err(Setback::Failed(late())),
        };
        match &outcome {
            Ok(_) => {
                self.metrics.commit.observe(started.elapsed().as_secs_f64());
                if batch.requests() > 0 {
                    #[expect(clippy::cast_precision_loss, reason = "a batch is far smaller than 2^52")]
                    self.metrics.batch.observe(batch.requests() as f64);
                }
            }
            Err(setback) => {
                self.ledger.abandon(setback).await;
                self.known_users.forget();
                self.metrics.failures.inc();
            }
        }
        drop(permit);
        outcome
    }

    /// Tries again when another node has just stored an idempotency key of the batch: then its answer is there to be
    /// found. Several keys of one batch may meet with this one after the other. Tries again, too, when another transaction
    /// was in the way, or what this one had prepared was out of date.
    async fn transact_again(&mut self, batch: &Batch, wait: LockWait) -> Outcome<Outcomes> {
        let (mut keys, mut conflicts) = (batch.requests(), CONFLICTS);
        loop {
            let setback = match self.transact(batch, wait).await {
                Err(setback @ Setback::KeyTaken) if keys > 0 => {
                    keys -= 1;
                    setback
                }
                Err(setback @ Setback::Conflict(_)) if conflicts > 0 => {
                    conflicts -= 1;
                    setback
                }
                outcome => return outcome,
            };
            self.ledger.abandon(&setback).await;
        }
    }

    /// Every transaction touches its tables in one order, and the rows of each sorted: chats that exist, users, the rest.
    /// So two nodes may wait for each other, but not in a circle.
    async fn transact(&mut self, batch: &Batch, wait: LockWait) -> Outcome<Outcomes> {
        let ledger = &mut self.ledger;
        ledger.begin(wait).await?;
        let now = self.moments.now();
        let claims = Claims::load(ledger, batch.claims(), now).await?;
        let mut answers = Answers::default();

        let sends = Plans::of(&batch.sends, &claims);
        let to_send: Vec<_> = sends.to_do().into_iter().map(|index| &batch.sends[index]).collect();
        let mut sending = Sending::lock(ledger, &to_send, NewUsers::besides(&self.known_users)).await?;
        let sent = sending.number(&to_send, &self.moments, &mut answers)?;
        let (mut users, messages, counters) = sending.into_parts();

        let creates = Plans::of(&batch.creates, &claims);
        let to_create: Vec<_> = creates.to_do().into_iter().map(|index| &batch.creates[index]).collect();
        let created = create_chats::create_chats(&to_create, &mut answers)?;
        create_chats::add_owners(&mut users, &to_create);

        let (users, answers) = (users.into_inner(), answers.into_inner());
        let (chats, labels, expires_at) = (Vec::new(), Vec::new(), now + Idempotency::RETENTION);
        let probe = !batch.probes.is_empty();
        let mut changes = Changes { users, chats, labels, messages, counters, answers, expires_at, now, probe };
        create_chats::add_chats(&mut changes, &to_create);
        ledger.commit(&changes).await?;
        self.known_users.learn(changes.users);
        Ok(Outcomes { creates: creates.resolve(created), sends: sends.resolve(sent) })
    }
}

fn late() -> Error {
    Error::Unavailable(Cause::new("the database did not commit in time"))
}

//! Taking what waits and writing it in one transaction.
//!
//! A batch fails as a whole when the database does. When a statement of ours is refused instead, its requests are tried
//! one by one, so that one of them cannot spoil the others.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    WriterLimits,
    claims::{Answers, Claims},
    create_chats,
    ledger::{Changes, Ledger, Setback},
    outcomes::{Outcomes, Written},
    request::{Batch, Job, Plans},
    send_messages::Sending,
    users::{KnownUsers, NewUsers},
};
use crate::{
    chat::Idempotency,
    clock::Moments,
    error::{Cause, Error, Result},
    metrics::WriterMetrics,
    store::turns::Turns,
};

/// What the writing task works with.
pub(super) struct Batches {
    pub(super) ledger: Ledger,
    pub(super) turns: Turns,
    pub(super) known_users: KnownUsers,
    pub(super) moments: Moments,
    pub(super) limits: WriterLimits,
    pub(super) metrics: WriterMetrics,
    /// To whoever answers.
    pub(super) written: mpsc::UnboundedSender<Written>,
}

impl Batches {
    /// Writes what comes, until nothing more can come.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>, closing: CancellationToken) {
        let mut taken = Vec::with_capacity(self.limits.batch);
        loop {
            tokio::select! {
                count = jobs.recv_many(&mut taken, self.limits.batch) => if count == 0 { break },
                // From here on the queue takes no more; what it holds is still received above.
                () = closing.cancelled(), if !jobs.is_closed() => { jobs.close(); continue }
            }
            self.metrics.queued.dec_by(i64::try_from(taken.len()).unwrap_or(i64::MAX));
            self.write(taken.drain(..).collect()).await;
            if self.written.is_closed() {
                // Nobody would be answered any more: requests are to be refused rather than left waiting.
                break;
            }
            self.ledger.between_batches();
        }
    }

    /// Commits a batch and has it answered.
    async fn write(&mut self, batch: Batch) {
        match self.commit(&batch).await {
            // A single one too: what was taken for known about its user is forgotten now, and may have been the reason.
            Err(Error::Internal(cause)) => {
                tracing::warn!(%cause, requests = batch.len(), "a batch was refused; trying its requests one by one");
                for single in batch.into_singles() {
                    let outcome = self.commit(&single).await;
                    self.hand_over(single, outcome);
                }
            }
            outcome => self.hand_over(batch, outcome),
        }
    }

    fn hand_over(&self, batch: Batch, outcome: Result<Outcomes>) {
        // The answering task ends after this one.
        _ = self.written.send(Written { batch, outcome });
    }

    /// One transaction.
    async fn commit(&mut self, batch: &Batch) -> Result<Outcomes> {
        let turn = self.turns.next().await;
        let (started, patience) = (Instant::now(), self.limits.patience);
        // A panic fails its batch. It must not end the task, which would fail everybody until a restart.
        let transaction = AssertUnwindSafe(self.transact_again(batch)).catch_unwind();
        let outcome = match timeout(patience, transaction).await {
            Ok(Ok(Ok(outcomes))) => Ok(outcomes),
            Ok(Ok(Err(Setback::Failed(error)))) => Err(error),
            Ok(Ok(Err(Setback::KeyTaken))) => {
                Err(Error::Internal(Cause::new("idempotency keys are taken again and again")))
            }
            Ok(Err(_)) => Err(Error::Internal(Cause::new("the writer panicked"))),
            Err(_) => Err(Error::Unavailable(Cause::new("the database did not commit in time"))),
        };
        match &outcome {
            Ok(_) => {
                self.metrics.commit.observe(started.elapsed().as_secs_f64());
                #[expect(clippy::cast_precision_loss, reason = "a batch is far smaller than 2^52")]
                self.metrics.batch.observe(batch.len() as f64);
            }
            Err(_) => {
                self.ledger.abandon().await;
                self.known_users.forget();
                self.metrics.failures.inc();
            }
        }
        drop(turn);
        outcome
    }

    /// Tries again when another node has just stored an idempotency key of the batch: then its answer is there to be
    /// found. Several keys of one batch may meet with this one after the other.
    async fn transact_again(&mut self, batch: &Batch) -> std::result::Result<Outcomes, Setback> {
        for _ in 0..=batch.len() {
            match self.transact(batch).await {
                Err(Setback::KeyTaken) => self.ledger.abandon().await,
                outcome => return outcome,
            }
        }
        Err(Setback::KeyTaken)
    }

    /// Every transaction touches its tables in one order, and the rows of each sorted: chats that exist, users, the rest.
    /// So two nodes may wait for each other, but not in a circle.
    async fn transact(&mut self, batch: &Batch) -> std::result::Result<Outcomes, Setback> {
        let ledger = &mut self.ledger;
        ledger.begin()?;
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
        let mut changes = Changes { users, chats, labels, messages, counters, answers, expires_at, now };
        create_chats::add_chats(&mut changes, &to_create);
        ledger.commit(&changes).await?;
        self.known_users.learn(changes.users);
        Ok(Outcomes { creates: creates.resolve(created), sends: sends.resolve(sent) })
    }
}

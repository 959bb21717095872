//! The group-commit writer.
//!
//! Durability costs one sync of the disk a transaction, whatever the transaction holds. So one task owns the writing:
//! it takes every request that waits, writes all of them in one transaction, commits, and only then answers each. There
//! is no timer that waits for company: alone, a request is committed at once; under load, the next batch gathers while
//! the disk syncs this one.
//!
//! A batch fails as a whole when the database does. When a statement of ours is refused instead, its requests are tried
//! one by one, so that one of them cannot spoil the others.

mod bulk;
mod create_chat;

use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr, TransactionTrait as _};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{failure::fault, open::write_transaction};
use crate::{
    chat::{Chat, Created, Idempotency},
    error::{Cause, Error, Result},
    metrics::WriterMetrics,
};

/// Bounds of the writer.
#[derive(Debug, Clone, Copy)]
pub struct WriterLimits {
    /// Requests that may wait; the next one is answered 503.
    pub queue: usize,
    /// Requests at most in one transaction.
    pub batch: usize,
    /// How long one transaction, and one request's wait for it, may take.
    pub patience: Duration,
}

/// A handle to the writer's task. Cheap to clone.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    closing: CancellationToken,
    task: TaskTracker,
    metrics: WriterMetrics,
    patience: Duration,
}

/// A chat to create, and who waits for it.
struct Job {
    chat: Chat,
    idempotency: Option<Idempotency>,
    answer: oneshot::Sender<Result<Created>>,
}

impl Writer {
    /// Starts the task.
    pub(super) fn start(database: DatabaseConnection, limits: WriterLimits, metrics: WriterMetrics) -> Self {
        let (queue, jobs) = mpsc::channel(limits.queue);
        let closing = CancellationToken::new();
        let task = TaskTracker::new();
        let batches = Batches { database, limits, metrics: metrics.clone() };
        task.spawn(batches.run(jobs, closing.clone()));
        task.close();
        Self { queue, closing, task, metrics, patience: limits.patience }
    }

    /// Whether requests are still taken.
    pub(super) fn is_running(&self) -> bool {
        !self.queue.is_closed()
    }

    /// Commits what is queued and stops. Later requests are answered [`Error::Unavailable`].
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.task.wait().await;
    }

    /// See [`TenantScope::create_chat`](super::TenantScope::create_chat).
    pub(super) async fn create_chat(&self, chat: Chat, idempotency: Option<Idempotency>) -> Result<Created> {
        let (answer, answered) = oneshot::channel();
        // Before the send: the writer may take the job, and count it down, at once.
        self.metrics.queued.inc();
        self.queue.try_send(Job { chat, idempotency, answer }).map_err(|error| {
            self.metrics.queued.dec();
            Error::Unavailable(Cause::new(match error {
                mpsc::error::TrySendError::Full(_) => "too many requests wait for the writer",
                mpsc::error::TrySendError::Closed(_) => "the writer has stopped",
            }))
        })?;
        self.metrics.requests.inc();
        match timeout(self.patience, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Error::Unavailable(Cause::new("the writer stopped before it answered"))),
            Err(_) => Err(Error::Unavailable(Cause::new("the writer did not answer in time"))),
        }
    }
}

/// The task behind a [`Writer`].
struct Batches {
    database: DatabaseConnection,
    limits: WriterLimits,
    metrics: WriterMetrics,
}

impl Batches {
    async fn run(self, mut jobs: mpsc::Receiver<Job>, closing: CancellationToken) {
        let mut batch = Vec::with_capacity(self.limits.batch);
        loop {
            tokio::select! {
                taken = jobs.recv_many(&mut batch, self.limits.batch) => if taken == 0 { break },
                // From here on the queue takes no more; what it holds is still received above.
                () = closing.cancelled(), if !jobs.is_closed() => { jobs.close(); continue }
            }
            self.metrics.queued.dec_by(i64::try_from(batch.len()).unwrap_or(i64::MAX));
            self.write(std::mem::take(&mut batch)).await;
        }
    }

    /// Commits a batch and answers it.
    async fn write(&self, batch: Vec<Job>) {
        match self.commit(&batch).await {
            Ok(outcomes) => {
                for (job, outcome) in batch.into_iter().zip(outcomes) {
                    job.answer(outcome);
                }
            }
            Err(Error::Internal(cause)) if batch.len() > 1 => {
                tracing::warn!(%cause, requests = batch.len(), "a batch was refused; trying its requests one by one");
                for job in batch {
                    let outcome = self.commit(std::slice::from_ref(&job)).await;
                    job.answer(outcome.and_then(|outcomes| outcomes.into_iter().next().unwrap_or_else(unanswered)));
                }
            }
            Err(error) => {
                for job in batch {
                    job.answer(Err(error.clone()));
                }
            }
        }
    }

    /// One transaction. Dropped half-way, it rolls back.
    async fn commit(&self, batch: &[Job]) -> Result<Vec<Result<Created>>> {
        let started = Instant::now();
        let outcome = match timeout(self.limits.patience, self.transact(batch)).await {
            Ok(outcome) => outcome.map_err(fault),
            Err(_) => Err(Error::Unavailable(Cause::new("the database did not commit in time"))),
        };
        match &outcome {
            Ok(_) => {
                self.metrics.commit.observe(started.elapsed().as_secs_f64());
                #[expect(clippy::cast_precision_loss, reason = "a batch is far smaller than 2^52")]
                self.metrics.batch.observe(batch.len() as f64);
            }
            Err(_) => _ = self.metrics.failures.inc(),
        }
        outcome
    }

    async fn transact(&self, batch: &[Job]) -> std::result::Result<Vec<Result<Created>>, DbErr> {
        let transaction = self.database.begin_with_options(write_transaction()).await?;
        let outcomes = create_chat::create_chats(&transaction, batch).await?;
        transaction.commit().await?;
        Ok(outcomes)
    }
}

impl Job {
    fn answer(self, outcome: Result<Created>) {
        // Nobody waits any more when the client went away; what was committed stays.
        let _ = self.answer.send(outcome);
    }
}

fn unanswered() -> Result<Created> {
    Err(Error::Internal(Cause::new("a committed batch left a request without an answer")))
}

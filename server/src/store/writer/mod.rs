//! The group-commit writer.
//!
//! Durability costs one sync of the disk a transaction, whatever the transaction holds. So one task owns the writing:
//! it takes every request that waits, writes all of them in one transaction, commits, and only then answers each. There
//! is no timer that waits for company: alone, a request is committed at once; under load, the next batch gathers while
//! the disk syncs this one.
//!
//! In here: `request` is what waits, `batches` takes it and runs the transactions, `create_chats` and `send_messages` and
//! `claims` decide what they write, `ledger` writes it, and `outcomes` answers. `deferred` is what cannot be written now,
//! because another session keeps a row locked.

mod batches;
mod claims;
mod create_chats;
mod deferred;
mod ledger;
mod limits;
mod outcomes;
mod request;
mod send_messages;
mod users;

use std::{io, sync::Arc, thread, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

#[cfg(test)]
pub(super) use self::ledger::LOOK_UPS;
pub(super) use self::ledger::{FileBackend, Ledger, Postgres};
pub use self::limits::WriterLimits;
use self::{
    batches::Batches,
    deferred::Deferred,
    request::{Draft, Job, Request},
    users::KnownUsers,
};
use super::write_gate::WriteGate;
use crate::{
    base::{
        clock::Moments,
        error::{Cause, Error, Result},
        metrics::WriterMetrics,
    },
    domain::{Chat, Created, Idempotency, Listener, Message, NewMessage, TenantId},
};

/// Why a request that was queued got no answer.
const STOPPED: &str = "the writer stopped before it answered";

/// A handle to the writer. Cheap to clone.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    closing: CancellationToken,
    task: TaskTracker,
    metrics: WriterMetrics,
    patience: Duration,
}

impl Writer {
    /// Starts two tasks, one that writes and one that answers. On a file the first has a thread of its own, since what it
    /// does there waits for the disk.
    pub(super) fn start(
        ledger: Ledger,
        gate: WriteGate,
        moments: Moments,
        limits: WriterLimits,
        metrics: WriterMetrics,
        listener: Arc<dyn Listener>,
    ) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel(limits.queue);
        let closing = CancellationToken::new();
        let task = TaskTracker::new();
        let is_file = matches!(ledger, Ledger::Sqlite(_));
        let (written, outcomes) = mpsc::unbounded_channel();
        task.spawn(outcomes::answer(outcomes, listener));
        let known_users = KnownUsers::default();
        let deferred = Deferred::new(limits.patience, metrics.lock_waits.clone());
        let metrics_too = metrics.clone();
        let batches = Batches { ledger, gate, known_users, deferred, moments, limits, metrics: metrics_too, written };
        let batches = batches.run(jobs, closing.clone());
        if is_file {
            let (runtime, token) = (Handle::current(), task.token());
            let work = move || {
                runtime.block_on(batches);
                drop(token);
            };
            thread::Builder::new().name("parlor-writer".to_owned()).spawn(work)?;
        } else {
            task.spawn(batches);
        }
        task.close();
        Ok(Self { queue, closing, task, metrics, patience: limits.patience })
    }

    /// How many transactions have failed so far.
    pub(super) fn failures(&self) -> u64 {
        self.metrics.failures.get()
    }

    /// Commits something; returns when it is durable.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when nothing can be written.
    pub(super) async fn probe(&self) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        self.metrics.queued.inc();
        self.queue.try_send(Job::Probe(answer)).map_err(|error| self.refused(&error))?;
        answered.await.unwrap_or_else(|_| Err(Error::Unavailable(Cause::new(STOPPED))))
    }

    /// Commits what is queued and stops. Later requests are answered [`Error::Unavailable`].
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.task.wait().await;
    }

    /// See [`TenantScope::create_chat`](super::TenantScope::create_chat).
    pub(super) fn create_chat(
        &self,
        tenant: TenantId,
        chat: Chat,
        idempotency: Option<Idempotency>,
    ) -> impl Future<Output = Result<Created<Chat>>> + Send + use<> {
        let (request, answered) = Request::new(tenant, chat, idempotency);
        self.submit(Job::CreateChat(request), answered)
    }

    /// See [`TenantScope::send_message`](super::TenantScope::send_message).
    pub(super) fn send_message(
        &self,
        tenant: TenantId,
        chat_id: Uuid,
        message: NewMessage,
        idempotency: Option<Idempotency>,
    ) -> impl Future<Output = Result<Created<Message>>> + Send + use<> {
        let (request, answered) = Request::new(tenant, Draft { chat_id, message }, idempotency);
        self.submit(Job::SendMessage(request), answered)
    }

    /// Queues the job at once, so that jobs are done in the order of the calls; what is returned waits for its outcome.
    fn submit<O: Send>(
        &self,
        job: Job,
        answered: oneshot::Receiver<Result<Created<O>>>,
    ) -> impl Future<Output = Result<Created<O>>> + Send + use<O> {
        let (queued, patience) = (self.enqueue(job), self.patience);
        async move {
            queued?;
            match timeout(patience, answered).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(Error::Unavailable(Cause::new(STOPPED))),
                Err(_) => Err(Error::Unavailable(Cause::new("the writer did not answer in time"))),
            }
        }
    }

    fn enqueue(&self, job: Job) -> Result<()> {
        // Before the send: the writer may take the job, and count it down, at once.
        self.metrics.queued.inc();
        self.queue.try_send(job).map_err(|error| self.refused(&error))?;
        self.metrics.requests.inc();
        Ok(())
    }

    fn refused(&self, error: &mpsc::error::TrySendError<Job>) -> Error {
        self.metrics.queued.dec();
        Error::Unavailable(Cause::new(match error {
            mpsc::error::TrySendError::Full(_) => "too many requests wait for the writer",
            mpsc::error::TrySendError::Closed(_) => "the writer has stopped",
        }))
    }
}

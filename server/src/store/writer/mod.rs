//! The group-commit writer.
//!
//! Durability costs one sync of the disk a transaction, whatever the transaction holds. So one task owns the writing:
//! it takes every request that waits, writes all of them in one transaction, commits, and only then answers each. There
//! is no timer that waits for company: alone, a request is committed at once; under load, the next batch gathers while
//! the disk syncs this one.
//!
//! A batch fails as a whole when the database does. When a statement of ours is refused instead, its requests are tried
//! one by one, so that one of them cannot spoil the others.

mod claims;
mod create_chats;
mod ledger;
mod request;
mod send_messages;
mod users;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

#[cfg(test)]
pub(super) use self::ledger::LOOK_UPS;
pub(super) use self::ledger::{File, Ledger, Postgres};
use self::{
    claims::{Answers, Claims},
    ledger::{Changes, Setback},
    request::{Batch, Draft, Job, Plans, Request},
    send_messages::Sending,
    users::{KnownUsers, NewUsers},
};
use super::turns::Turns;
use crate::{
    chat::{Chat, Created, Idempotency, Listener, Message, NewMessage},
    clock::Moments,
    error::{Cause, Error, Result},
    metrics::WriterMetrics,
    tenant::TenantId,
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

impl Writer {
    /// Starts the task; on a file it has a thread of its own, since what it does there waits for the disk.
    pub(super) fn start(
        ledger: Ledger,
        turns: Turns,
        moments: Moments,
        limits: WriterLimits,
        metrics: WriterMetrics,
        listener: Arc<dyn Listener>,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(limits.queue);
        let closing = CancellationToken::new();
        let task = TaskTracker::new();
        let is_file = matches!(ledger, Ledger::Sqlite(_));
        let known_users = KnownUsers::default();
        let batches = Batches { ledger, turns, known_users, moments, limits, metrics: metrics.clone(), listener };
        let batches = batches.run(jobs, closing.clone());
        if is_file {
            let (runtime, token) = (Handle::current(), task.token());
            let thread = move || {
                runtime.block_on(batches);
                drop(token);
            };
            std::thread::Builder::new().name("parlor-writer".to_owned()).spawn(thread)?;
        } else {
            task.spawn(batches);
        }
        task.close();
        Ok(Self { queue, closing, task, metrics, patience: limits.patience })
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
                Ok(Err(_)) => Err(Error::Unavailable(Cause::new("the writer stopped before it answered"))),
                Err(_) => Err(Error::Unavailable(Cause::new("the writer did not answer in time"))),
            }
        }
    }

    fn enqueue(&self, job: Job) -> Result<()> {
        // Before the send: the writer may take the job, and count it down, at once.
        self.metrics.queued.inc();
        self.queue.try_send(job).map_err(|error| {
            self.metrics.queued.dec();
            Error::Unavailable(Cause::new(match error {
                mpsc::error::TrySendError::Full(_) => "too many requests wait for the writer",
                mpsc::error::TrySendError::Closed(_) => "the writer has stopped",
            }))
        })?;
        self.metrics.requests.inc();
        Ok(())
    }
}

/// The task behind a [`Writer`].
struct Batches {
    ledger: Ledger,
    turns: Turns,
    known_users: KnownUsers,
    moments: Moments,
    limits: WriterLimits,
    metrics: WriterMetrics,
    listener: Arc<dyn Listener>,
}

/// Every request's outcome, in the batch's order.
struct Outcomes {
    creates: Vec<Result<Created<Chat>>>,
    sends: Vec<Result<Created<Message>>>,
}

impl Batches {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>, closing: CancellationToken) {
        let mut taken = Vec::with_capacity(self.limits.batch);
        loop {
            tokio::select! {
                count = jobs.recv_many(&mut taken, self.limits.batch) => if count == 0 { break },
                // From here on the queue takes no more; what it holds is still received above.
                () = closing.cancelled(), if !jobs.is_closed() => { jobs.close(); continue }
            }
            self.metrics.queued.dec_by(i64::try_from(taken.len()).unwrap_or(i64::MAX));
            self.write(taken.drain(..).collect()).await;
            self.ledger.between_batches();
        }
    }

    /// Commits a batch and answers it.
    async fn write(&mut self, batch: Batch) {
        match self.commit(&batch).await {
            // A single one too: what was taken for known about its user is forgotten now, and may have been the reason.
            Err(Error::Internal(cause)) => {
                tracing::warn!(%cause, requests = batch.len(), "a batch was refused; trying its requests one by one");
                for single in batch.into_singles() {
                    let outcome = self.commit(&single).await;
                    self.answer(single, outcome);
                }
            }
            outcome => self.answer(batch, outcome),
        }
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

    /// Answers every request of a batch, and tells the listener of what is new.
    fn answer(&self, batch: Batch, outcome: Result<Outcomes>) {
        let Outcomes { creates, sends } = match outcome {
            Ok(outcomes) => outcomes,
            Err(error) => return batch.fail(&error),
        };
        for (request, outcome) in batch.sends.into_iter().zip(sends) {
            if let Ok(Created { resource: message, replayed: false }) = &outcome {
                self.listener.message_stored(request.tenant, message, request.input.message.origin);
            }
            request.answer(outcome);
        }
        batch.creates.into_iter().zip(creates).for_each(|(request, outcome)| request.answer(outcome));
    }
}

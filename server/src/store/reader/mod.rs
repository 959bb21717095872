//! The group reader: many requests for single chats, one query.
//!
//! What a small query costs is the way to the database and back: two thread hops on SQLite, a round trip on PostgreSQL.
//! So requests that wait while a query is on its way share the next one, as in the `writer`. There is no timer: alone, a
//! request is asked for at once. A request is always answered from a query that began after it came, so it sees what was
//! committed before.

mod source;
mod sqlite;

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use sea_orm::DatabaseConnection;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::source::Source;
#[cfg(test)]
pub(super) use self::sqlite::CHATS_AT;
use super::chats::Place;
use crate::{
    chat::Chat,
    error::{Cause, Error, Result},
    tenant::TenantId,
};

/// Requests at most in one query.
const BATCH: usize = 256;
/// Requests that may wait; the next one is answered 503.
const QUEUE: usize = 4_096;
/// How long a query, and a request's wait for it, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A handle to the reader's task, which ends with the last handle. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reader {
    queue: mpsc::Sender<Request>,
    closing: CancellationToken,
    task: TaskTracker,
}

struct Request {
    place: Place,
    answer: oneshot::Sender<Result<Option<Chat>>>,
}

impl Reader {
    /// Starts the task.
    pub(super) fn start(database: &DatabaseConnection) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE);
        let closing = CancellationToken::new();
        let task = TaskTracker::new();
        task.spawn(run(Source::of(database), requests, closing.clone()));
        task.close();
        Self { queue, closing, task }
    }

    /// Answers what is queued, lets go of the database and stops. Later requests are answered [`Error::Unavailable`].
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.task.wait().await;
    }

    /// See [`TenantScope::get_chat`](super::TenantScope::get_chat).
    pub(super) async fn get_chat(&self, tenant: TenantId, id: Uuid) -> Result<Option<Chat>> {
        let (answer, answered) = oneshot::channel();
        let unavailable = |why: &'static str| Error::Unavailable(Cause::new(why));
        let request = Request { place: (tenant, id), answer };
        self.queue.try_send(request).map_err(|error| {
            unavailable(match error {
                mpsc::error::TrySendError::Full(_) => "too many requests wait for the reader",
                mpsc::error::TrySendError::Closed(_) => "the reader has stopped",
            })
        })?;
        match timeout(PATIENCE, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(unavailable("the reader stopped before it answered")),
            Err(_) => Err(unavailable("the reader did not answer in time")),
        }
    }
}

async fn run(mut source: Source, mut requests: mpsc::Receiver<Request>, closing: CancellationToken) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            count = requests.recv_many(&mut batch, BATCH) => if count == 0 { break },
            // From here on the queue takes no more; what it holds is still received above.
            () = closing.cancelled(), if !requests.is_closed() => { requests.close(); continue }
        }
        // Whoever is ready to ask now may join. Alone, this costs nothing.
        tokio::task::yield_now().await;
        while batch.len() < BATCH
            && let Ok(next) = requests.try_recv()
        {
            batch.push(next);
        }
        let places: Vec<Place> = batch.iter().map(|request| request.place).collect();
        // Nobody waits any more when the client went away.
        match chats_at(&mut source, &places).await {
            Ok(chats) => batch.drain(..).zip(chats).for_each(|(request, chat)| _ = request.answer.send(chat)),
            Err(error) => batch.drain(..).for_each(|request| _ = request.answer.send(Err(error.clone()))),
        }
    }
}

/// A chat, or its absence, for each of `places`.
async fn chats_at(source: &mut Source, places: &[Place]) -> Result<Vec<Result<Option<Chat>>>> {
    // A panic fails its batch. It must not end the task, which would fail everybody until a restart.
    let query = AssertUnwindSafe(source.chats_at(places)).catch_unwind();
    match timeout(PATIENCE, query).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => Err(Error::Internal(Cause::new("the reader panicked"))),
        Err(_) => Err(Error::Unavailable(Cause::new("the database did not answer in time"))),
    }
}

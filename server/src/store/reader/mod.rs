//! The group reader: many requests for single chats, one query.
//!
//! What a small query costs is the way to the database and back: two thread hops on SQLite, a round trip on PostgreSQL.
//! So requests that wait while a query is on its way share the next one, as in the `writer`. There is no timer: alone, a
//! request is asked for at once. A request is always answered from a query that began after it came, so it sees what was
//! committed before.

use std::{
    collections::{BTreeSet, HashMap},
    panic::AssertUnwindSafe,
    time::Duration,
};

use futures_util::FutureExt as _;
use sea_orm::{DatabaseConnection, DbErr};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use uuid::Uuid;

use super::{
    chats::{Place, chat_of, chats_at},
    entity::chat,
    failure::fault,
};
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
pub(super) struct Reader(mpsc::Sender<Request>);

struct Request {
    place: Place,
    answer: oneshot::Sender<Result<Option<Chat>>>,
}

impl Reader {
    /// Starts the task.
    pub(super) fn start(database: DatabaseConnection) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE);
        tokio::spawn(run(database, requests));
        Self(queue)
    }

    /// See [`TenantScope::get_chat`](super::TenantScope::get_chat).
    pub(super) async fn get_chat(&self, tenant: TenantId, id: Uuid) -> Result<Option<Chat>> {
        let (answer, answered) = oneshot::channel();
        let unavailable = |why: &'static str| Error::Unavailable(Cause::new(why));
        let request = Request { place: (tenant, id), answer };
        self.0.try_send(request).map_err(|_| unavailable("too many requests wait for the reader"))?;
        match timeout(PATIENCE, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(unavailable("the reader stopped before it answered")),
            Err(_) => Err(unavailable("the reader did not answer in time")),
        }
    }
}

async fn run(database: DatabaseConnection, mut requests: mpsc::Receiver<Request>) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = requests.recv().await {
        batch.push(first);
        // Whoever is ready to ask now may join. Alone, this costs nothing.
        tokio::task::yield_now().await;
        while batch.len() < BATCH
            && let Ok(next) = requests.try_recv()
        {
            batch.push(next);
        }
        let places = batch.iter().map(|request| request.place).collect();
        // A panic fails its batch. It must not end the task, which would fail everybody until a restart.
        let query = AssertUnwindSafe(get_chats(&database, places)).catch_unwind();
        let found = match timeout(PATIENCE, query).await {
            Ok(Ok(found)) => found.map_err(fault),
            Ok(Err(_)) => Err(Error::Internal(Cause::new("the reader panicked"))),
            Err(_) => Err(Error::Unavailable(Cause::new("the database did not answer in time"))),
        };
        for request in batch.drain(..) {
            let outcome = match &found {
                Ok(chats) => chats.get(&request.place).cloned().map(chat_of).transpose(),
                Err(error) => Err(error.clone()),
            };
            // Nobody waits any more when the client went away.
            _ = request.answer.send(outcome);
        }
    }
}

async fn get_chats(
    database: &DatabaseConnection,
    places: BTreeSet<Place>,
) -> std::result::Result<HashMap<Place, chat::Model>, DbErr> {
    let found = chats_at(&places, "", database.get_database_backend()).all(database).await?;
    Ok(found.into_iter().map(|row| ((TenantId(row.tenant_id), row.id), row)).collect())
}

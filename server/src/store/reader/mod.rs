//! Group readers: many requests for single rows, one query.
//!
//! What a small query costs is the way to the database and back: two thread hops on SQLite, a round trip on PostgreSQL.
//! So requests that wait while a query is on its way share the next one, as in the `writer`. There is no timer: alone, a
//! request is asked for at once. A request is always answered from a query that began after it came, so it sees what was
//! committed before.

mod chats;
mod keys;
mod sqlite;

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    sync::{mpsc, oneshot},
    time::{timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[cfg(test)]
pub(super) use self::sqlite::CHATS_AT;
pub(super) use self::{chats::ChatSource, keys::KeySource};
use crate::base::{
    deadline,
    error::{Cause, Error, Result},
};

/// Requests at most in one query.
const BATCH: usize = 256;
/// Requests that may wait; the next one is answered 503.
const QUEUE: usize = 4_096;

/// What a group reader reads.
pub(super) trait Source: Send + 'static {
    type Key: Clone + Send + Sync + 'static;
    type Value: Send + 'static;

    /// A value, or its absence, for each of `keys`, from one query.
    fn read(&mut self, keys: &[Self::Key]) -> impl Future<Output = Result<Vec<Result<Option<Self::Value>>>>> + Send;
}

/// A handle to the reader's task, which ends with the last handle. Cheap to clone.
pub(super) struct GroupReader<S: Source> {
    queue: mpsc::Sender<Request<S>>,
    closing: CancellationToken,
    task: TaskTracker,
    limit: Duration,
}

struct Request<S: Source> {
    key: S::Key,
    answer: oneshot::Sender<Result<Option<S::Value>>>,
}

impl<S: Source> Clone for GroupReader<S> {
    fn clone(&self) -> Self {
        let Self { queue, closing, task, limit } = self;
        Self { queue: queue.clone(), closing: closing.clone(), task: task.clone(), limit: *limit }
    }
}

impl<S: Source> GroupReader<S> {
    /// Starts the task. A request is answered within `limit`, one way or another.
    pub(super) fn start(source: S, limit: Duration) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE);
        let closing = CancellationToken::new();
        let task = TaskTracker::new();
        task.spawn(run(source, requests, closing.clone(), limit));
        task.close();
        Self { queue, closing, task, limit }
    }

    /// Answers what is queued, lets go of the database and stops. Later requests are answered [`Error::Unavailable`].
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.task.wait().await;
    }

    /// The value at `key`, if there is one.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub(super) async fn get(&self, key: S::Key) -> Result<Option<S::Value>> {
        let (answer, answered) = oneshot::channel();
        let unavailable = |why: &'static str| Error::Unavailable(Cause::new(why));
        self.queue.try_send(Request { key, answer }).map_err(|error| {
            unavailable(match error {
                mpsc::error::TrySendError::Full(_) => "too many requests wait for the reader",
                mpsc::error::TrySendError::Closed(_) => "the reader has stopped",
            })
        })?;
        match timeout_at(deadline::after(self.limit).into(), answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(unavailable("the reader stopped before it answered")),
            Err(_) => Err(unavailable("the reader did not answer in time")),
        }
    }
}

async fn run<S: Source>(
    mut source: S,
    mut requests: mpsc::Receiver<Request<S>>,
    closing: CancellationToken,
    limit: Duration,
) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            count = requests.recv_many(&mut batch, BATCH) => if count == 0 { break },
            // From here on the queue takes no more; what it holds is still received above.
            () = closing.cancelled(), if !requests.is_closed() => { requests.close(); continue }
        }
        // Other tasks that are about to ask may join. Alone, this costs nothing.
        tokio::task::yield_now().await;
        while batch.len() < BATCH
            && let Ok(next) = requests.try_recv()
        {
            batch.push(next);
        }
        let keys: Vec<S::Key> = batch.iter().map(|request| request.key.clone()).collect();
        // A request whose client went away is not waited for any more.
        match read(&mut source, &keys, limit).await {
            Ok(values) => batch.drain(..).zip(values).for_each(|(request, value)| _ = request.answer.send(value)),
            Err(error) => batch.drain(..).for_each(|request| _ = request.answer.send(Err(error.clone()))),
        }
    }
}

/// A value, or its absence, for each of `keys`.
async fn read<S: Source>(source: &mut S, keys: &[S::Key], limit: Duration) -> Result<Vec<Result<Option<S::Value>>>> {
    // A panic fails its batch. It must not end the task, which would fail everything until a restart.
    let query = AssertUnwindSafe(source.read(keys)).catch_unwind();
    match timeout(limit, query).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => Err(Error::Internal(Cause::new("the reader panicked"))),
        Err(_) => Err(Error::Unavailable(Cause::new("the database did not answer in time"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{sync::Semaphore, task::JoinSet};

    use super::*;

    /// Answers each key by itself; reads wait for `permits`, and are counted by `reads`.
    struct Counting {
        permits: Arc<Semaphore>,
        reads: mpsc::UnboundedSender<usize>,
    }

    impl Source for Counting {
        type Key = u32;
        type Value = u32;

        async fn read(&mut self, keys: &[u32]) -> Result<Vec<Result<Option<u32>>>> {
            self.permits.acquire().await.unwrap().forget();
            self.reads.send(keys.len()).unwrap();
            Ok(keys.iter().map(|key| Ok(key.is_multiple_of(2).then_some(*key))).collect())
        }
    }

    #[tokio::test]
    async fn any_number_of_keys_that_wait_cost_a_few_reads() {
        const KEYS: u32 = 1_000;
        let (permits, (reads, mut counted)) = (Arc::new(Semaphore::new(0)), mpsc::unbounded_channel());
        let reader = GroupReader::start(Counting { permits: permits.clone(), reads }, Duration::from_mins(1));
        let mut asked = JoinSet::new();
        for key in 0..KEYS {
            let reader = reader.clone();
            asked.spawn(async move { (key, reader.get(key).await.unwrap()) });
        }
        // All are queued before the first read may end.
        tokio::task::yield_now().await;
        permits.add_permits(usize::try_from(KEYS).unwrap());
        for (key, value) in asked.join_all().await {
            assert_eq!(value, key.is_multiple_of(2).then_some(key));
        }
        reader.close().await;
        drop(reader);
        let mut sizes = Vec::new();
        while let Some(size) = counted.recv().await {
            sizes.push(size);
        }
        assert_eq!(sizes.iter().sum::<usize>(), 1_000);
        assert!(sizes.len() <= 1_000 / BATCH + 2, "{sizes:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_hangs_is_given_up_and_asked_again() {
        let (permits, (reads, _counted)) = (Arc::new(Semaphore::new(0)), mpsc::unbounded_channel());
        let reader = GroupReader::start(Counting { permits: permits.clone(), reads }, Duration::from_secs(1));
        assert!(matches!(reader.get(2).await, Err(Error::Unavailable(_))));
        permits.add_permits(10);
        assert_eq!(reader.get(2).await.unwrap(), Some(2));
    }
}

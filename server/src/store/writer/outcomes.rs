//! Answering: telling everybody who waits what came of it.
//!
//! A task of its own, because to wake those who wait costs as much as to write for them: the writer is at the next batch
//! meanwhile. Batches are answered in the order in which they were committed.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::request::Batch;
use crate::{
    base::error::Result,
    domain::{Chat, Created, Listener, Message},
};

/// A batch, and what came of it.
pub(super) struct Written {
    pub(super) batch: Batch,
    pub(super) outcome: Result<Outcomes>,
}

/// Every request's outcome, in the batch's order.
pub(super) struct Outcomes {
    pub(super) creates: Vec<Result<Created<Chat>>>,
    pub(super) sends: Vec<Result<Created<Message>>>,
}

/// Answers every batch, and tells the listener of what is new, until the writer has ended.
pub(super) async fn answer(mut written: mpsc::UnboundedReceiver<Written>, listener: Arc<dyn Listener>) {
    while let Some(Written { batch, outcome }) = written.recv().await {
        answer_batch(batch, outcome, &*listener);
    }
}

fn answer_batch(batch: Batch, outcome: Result<Outcomes>, listener: &dyn Listener) {
    let Outcomes { creates, sends } = match outcome {
        Ok(outcomes) => outcomes,
        Err(error) => return batch.fail(&error),
    };
    for (request, outcome) in batch.sends.into_iter().zip(sends) {
        if let Ok(Created { resource: message, replayed: false }) = &outcome {
            listener.message_stored(request.tenant, message, request.input.message.origin);
        }
        request.answer(outcome);
    }
    batch.creates.into_iter().zip(creates).for_each(|(request, outcome)| request.answer(outcome));
    // A probe may have been given up.
    batch.probes.into_iter().for_each(|probe| _ = probe.send(Ok(())));
}

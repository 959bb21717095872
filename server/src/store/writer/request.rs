//! What waits in the writer's queue.

use std::{
    collections::{BTreeSet, HashMap},
    mem,
};

use serde::de::DeserializeOwned;
use tokio::{sync::oneshot, time::Instant};
use uuid::Uuid;

use super::{
    claims::{Claims, Verdict},
    ledger::Claim,
};
use crate::{
    base::error::{Cause, Error, Result},
    domain::{Chat, Created, Idempotency, Message, NewMessage, TenantId},
    store::chats::Place,
};

/// Something to write, and who waits for it.
pub(super) struct Request<I, O> {
    pub(super) tenant: TenantId,
    pub(super) input: I,
    pub(super) idempotency: Option<Idempotency>,
    /// Since when it waits for a row that another session keeps locked.
    pub(super) locked_since: Option<Instant>,
    answer: oneshot::Sender<Result<Created<O>>>,
}

/// A message on its way into a chat.
pub(super) struct Draft {
    pub(super) chat_id: Uuid,
    pub(super) message: NewMessage,
}

pub(super) type CreateChat = Request<Chat, Chat>;
pub(super) type SendMessage = Request<Draft, Message>;

/// One entry of the queue.
pub(super) enum Job {
    CreateChat(CreateChat),
    SendMessage(SendMessage),
    /// Nothing but a proof that a write succeeds.
    Probe(oneshot::Sender<Result<()>>),
}

/// What one transaction writes.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) creates: Vec<CreateChat>,
    pub(super) sends: Vec<SendMessage>,
    pub(super) probes: Vec<oneshot::Sender<Result<()>>>,
}

impl<I, O> Request<I, O> {
    pub(super) fn new(
        tenant: TenantId,
        input: I,
        idempotency: Option<Idempotency>,
    ) -> (Self, oneshot::Receiver<Result<Created<O>>>) {
        let (answer, answered) = oneshot::channel();
        (Self { tenant, input, idempotency, locked_since: None, answer }, answered)
    }

    /// Nobody waits any more when the client went away; what was committed stays.
    pub(super) fn answer(self, outcome: Result<Created<O>>) {
        _ = self.answer.send(outcome);
    }

    /// Whether its caller has been answered otherwise, or has gone.
    pub(super) fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    pub(super) fn claim(&self) -> Option<Claim> {
        self.idempotency.as_ref().map(|idempotency| (self.tenant, idempotency.key.clone()))
    }

    fn fingerprint(&self) -> Option<&[u8; 32]> {
        self.idempotency.as_ref().map(|idempotency| idempotency.fingerprint.as_bytes())
    }
}

impl FromIterator<Job> for Batch {
    fn from_iter<T: IntoIterator<Item = Job>>(jobs: T) -> Self {
        let mut batch = Self::default();
        for job in jobs {
            match job {
                Job::CreateChat(request) => batch.creates.push(request),
                Job::SendMessage(request) => batch.sends.push(request),
                Job::Probe(answer) => batch.probes.push(answer),
            }
        }
        batch
    }
}

impl Batch {
    /// How many requests there are, probes not counted.
    pub(super) fn requests(&self) -> usize {
        self.creates.len() + self.sends.len()
    }

    /// Whether there is nothing to do, not even a probe.
    pub(super) fn is_empty(&self) -> bool {
        self.requests() == 0 && self.probes.is_empty()
    }

    /// All idempotency keys, sorted: nodes that claim the same ones do so in one order.
    pub(super) fn claims(&self) -> BTreeSet<Claim> {
        let creates = self.creates.iter().filter_map(Request::claim);
        creates.chain(self.sends.iter().filter_map(Request::claim)).collect()
    }

    /// All of it, in the order of each kind.
    pub(super) fn into_jobs(self) -> impl Iterator<Item = Job> {
        let creates = self.creates.into_iter().map(Job::CreateChat);
        let sends = self.sends.into_iter().map(Job::SendMessage);
        creates.chain(sends).chain(self.probes.into_iter().map(Job::Probe))
    }

    /// A batch for each request.
    pub(super) fn into_singles(self) -> impl Iterator<Item = Self> {
        self.into_jobs().map(|job| Self::from_iter([job]))
    }

    /// Two batches with half of the requests each, in their order; the probes are in the second.
    pub(super) fn into_halves(mut self) -> (Self, Self) {
        let creates = self.creates.split_off(self.creates.len().div_ceil(2));
        let sends = self.sends.split_off(self.sends.len() / 2);
        let probes = mem::take(&mut self.probes);
        (self, Self { creates, sends, probes })
    }

    /// The chats that messages are sent to.
    pub(super) fn places(&self) -> BTreeSet<Place> {
        self.sends.iter().map(|request| (request.tenant, request.input.chat_id)).collect()
    }

    pub(super) fn fail(self, error: &Error) {
        for request in self.creates {
            request.answer(Err(error.clone()));
        }
        for request in self.sends {
            request.answer(Err(error.clone()));
        }
        for probe in self.probes {
            // It may have been given up.
            _ = probe.send(Err(error.clone()));
        }
    }
}

/// What becomes of a request.
enum Plan<O> {
    /// It is done.
    Do,
    /// The request at this place of the batch has the same key and the same fingerprint, and came first.
    Follow(usize),
    /// It is answered already.
    Answer(Result<Created<O>>),
}

/// The plans of all requests of one kind.
pub(super) struct Plans<O>(Vec<Plan<O>>);

impl<O: DeserializeOwned + Clone> Plans<O> {
    pub(super) fn of<I>(requests: &[Request<I, O>], claims: &Claims) -> Self {
        let mut leaders: HashMap<Claim, usize> = HashMap::new();
        let plan = |(index, request): (usize, &Request<I, O>)| {
            let (Some(claim), Some(fingerprint)) = (request.claim(), request.fingerprint()) else { return Plan::Do };
            match claims.verdict(&claim, fingerprint) {
                Verdict::Reused => return Plan::Answer(Err(Error::IdempotencyKeyReused)),
                Verdict::Replay(answer) => return Plan::Answer(replay(answer)),
                Verdict::Free => {}
            }
            let leader = *leaders.entry(claim).or_insert(index);
            if leader == index {
                Plan::Do
            } else if requests[leader].fingerprint() == Some(fingerprint) {
                Plan::Follow(leader)
            } else {
                Plan::Answer(Err(Error::IdempotencyKeyReused))
            }
        };
        Self(requests.iter().enumerate().map(plan).collect())
    }

    /// The places of the requests to be done.
    pub(super) fn to_do(&self) -> Vec<usize> {
        (0..self.0.len()).filter(|index| matches!(self.0[*index], Plan::Do)).collect()
    }

    /// Every request's outcome, given those of [`Self::to_do`], in its order.
    pub(super) fn resolve(self, done: Vec<Result<Created<O>>>) -> Vec<Result<Created<O>>> {
        let mut done = done.into_iter();
        let mut outcomes: Vec<Result<Created<O>>> = Vec::with_capacity(self.0.len());
        for plan in self.0 {
            let outcome = match plan {
                Plan::Do => done.next().unwrap_or_else(|| Err(Error::Internal(Cause::new("a request was not done")))),
                // A leader comes before its followers.
                Plan::Follow(leader) => outcomes[leader].clone().map(|first| Created { replayed: true, ..first }),
                Plan::Answer(outcome) => outcome,
            };
            outcomes.push(outcome);
        }
        outcomes
    }
}

fn replay<O: DeserializeOwned>(answer: &str) -> Result<Created<O>> {
    let resource = serde_json::from_str(answer).map_err(|error| Error::Internal(Cause::new(error)))?;
    Ok(Created { resource, replayed: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Content, Metadata, Origin, Role};

    fn send(content: &str) -> Job {
        let message = NewMessage {
            role: Role::User,
            sender_id: None,
            content: Content::new(content.to_owned()).unwrap(),
            media_type: None,
            media_url: None,
            metadata: Metadata::empty(),
            client_message_id: None,
            origin: Origin::Api,
        };
        let draft = Draft { chat_id: Uuid::nil(), message };
        Job::SendMessage(Request::new(TenantId(Uuid::nil()), draft, None).0)
    }

    fn contents(batch: &Batch) -> Vec<&str> {
        batch.sends.iter().map(|request| request.input.message.content.as_str()).collect()
    }

    #[test]
    fn halves_keep_the_order_and_lose_nothing() {
        for count in 0..6 {
            let names: Vec<String> = (0..count).map(|n| format!("message {n}")).collect();
            let batch: Batch = names.iter().map(|name| send(name)).chain([Job::Probe(oneshot::channel().0)]).collect();
            let (first, second) = batch.into_halves();
            assert_eq!([contents(&first), contents(&second)].concat(), names);
            assert_eq!((first.probes.len(), second.probes.len()), (0, 1));
            assert!(count < 2 || !first.is_empty() && second.requests() < count);
        }
    }
}

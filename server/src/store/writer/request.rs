//! What waits in the writer's queue.

use std::collections::{BTreeSet, HashMap};

use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::claims::{Claim, Claims, Verdict};
use crate::{
    chat::{Chat, Created, Idempotency, Message, NewMessage},
    error::{Cause, Error, Result},
    tenant::TenantId,
};

/// Something to write, and who waits for it.
pub(super) struct Request<I, O> {
    pub(super) tenant: TenantId,
    pub(super) input: I,
    pub(super) idempotency: Option<Idempotency>,
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
}

/// What one transaction writes.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) creates: Vec<CreateChat>,
    pub(super) sends: Vec<SendMessage>,
}

impl<I, O> Request<I, O> {
    pub(super) fn new(
        tenant: TenantId,
        input: I,
        idempotency: Option<Idempotency>,
    ) -> (Self, oneshot::Receiver<Result<Created<O>>>) {
        let (answer, answered) = oneshot::channel();
        (Self { tenant, input, idempotency, answer }, answered)
    }

    /// Nobody waits any more when the client went away; what was committed stays.
    pub(super) fn answer(self, outcome: Result<Created<O>>) {
        _ = self.answer.send(outcome);
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
            }
        }
        batch
    }
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.creates.len() + self.sends.len()
    }

    /// All idempotency keys, sorted: nodes that claim the same ones do so in one order.
    pub(super) fn claims(&self) -> BTreeSet<Claim> {
        let creates = self.creates.iter().filter_map(Request::claim);
        creates.chain(self.sends.iter().filter_map(Request::claim)).collect()
    }

    /// A batch for each request.
    pub(super) fn into_singles(self) -> impl Iterator<Item = Self> {
        let creates = self.creates.into_iter().map(Job::CreateChat);
        creates.chain(self.sends.into_iter().map(Job::SendMessage)).map(|job| Self::from_iter([job]))
    }

    pub(super) fn fail(self, error: &Error) {
        for request in self.creates {
            request.answer(Err(error.clone()));
        }
        for request in self.sends {
            request.answer(Err(error.clone()));
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

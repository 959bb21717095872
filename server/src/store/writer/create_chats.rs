//! Creating a batch of chats inside one transaction.

use super::{
    claims::Answers,
    ledger::{Changes, Outcome},
    request::CreateChat,
    users::NewUsers,
};
use crate::{
    base::error::Result,
    domain::{Chat, Created},
    store::labels,
};

/// The chats, as they will be once they are stored; `answers` gets what is kept of them for repetitions.
pub(super) fn create_chats(requests: &[&CreateChat], answers: &mut Answers) -> Outcome<Vec<Result<Created<Chat>>>> {
    for request in requests {
        answers.keep(request.tenant, request.idempotency.as_ref(), request.input.id, &request.input)?;
    }
    let created = |request: &&CreateChat| Ok(Created { resource: request.input.clone(), replayed: false });
    Ok(requests.iter().map(created).collect())
}

/// Adds the users that the chats belong to.
pub(super) fn add_owners(users: &mut NewUsers<'_>, requests: &[&CreateChat]) {
    for request in requests {
        users.add(request.tenant, &request.input.user_id, request.input.created_at);
    }
}

/// Adds the chats and their labels.
pub(super) fn add_chats<'a>(changes: &mut Changes<'a>, requests: &[&'a CreateChat]) {
    for CreateChat { input: chat, .. } in requests {
        changes.chats.push(chat);
        let labels = labels::of(chat.tenant_id, &chat.metadata);
        changes.labels.extend(labels.into_iter().map(|label| (label, chat.id)));
    }
}

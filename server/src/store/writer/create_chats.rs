//! Creating a batch of chats inside one transaction.

use super::{
    claims::Answers,
    ledger::{Ledger, Outcome},
    request::CreateChat,
    users::NewUsers,
};
use crate::{
    chat::{Chat, Created},
    error::Result,
    store::labels,
};

/// Stores the chats and their labels; `answers` gets what is kept of them for repetitions.
pub(super) async fn create_chats(
    ledger: &mut Ledger,
    requests: &[&CreateChat],
    answers: &mut Answers,
) -> Outcome<Vec<Result<Created<Chat>>>> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    for request in requests {
        answers.keep(request.tenant, request.idempotency.as_ref(), request.input.id, &request.input)?;
    }
    let chats: Vec<&Chat> = requests.iter().map(|request| &request.input).collect();
    ledger.add_chats(&chats).await?;
    let of_chat = |chat: &&Chat| {
        let id = chat.id;
        labels::of(chat.tenant_id, &chat.metadata).into_iter().map(move |label| (label, id))
    };
    let labels: Vec<_> = chats.iter().flat_map(of_chat).collect();
    if !labels.is_empty() {
        ledger.add_labels(&labels).await?;
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

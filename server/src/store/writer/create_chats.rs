//! Creating a batch of chats inside one transaction.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbErr};

use super::{claims::Answers, request::CreateChat, users::Users};
use crate::{
    chat::{Chat, Created},
    error::Result,
    store::{
        chats::status_code,
        labels,
        rows::{Column, Rows},
        to_micros,
    },
};

/// Stores the chats and their labels; `answers` gets what is kept of them for repetitions.
pub(super) async fn create_chats(
    transaction: &DatabaseTransaction,
    requests: &[&CreateChat],
    answers: &mut Answers,
) -> std::result::Result<Vec<Result<Created<Chat>>>, DbErr> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    for request in requests {
        answers.keep(request.tenant, request.idempotency.as_ref(), request.input.id, &request.input)?;
    }
    insert_chats(transaction, requests).await?;
    insert_labels(transaction, requests).await?;
    let created = |request: &&CreateChat| Ok(Created { resource: request.input.clone(), replayed: false });
    Ok(requests.iter().map(created).collect())
}

/// Adds the users that the chats belong to.
pub(super) fn add_owners(users: &mut Users, requests: &[&CreateChat]) {
    for request in requests {
        users.add(request.tenant, request.input.user_id.clone(), request.input.created_at);
    }
}

async fn insert_chats(transaction: &DatabaseTransaction, requests: &[&CreateChat]) -> std::result::Result<(), DbErr> {
    let chats = || requests.iter().map(|request| &request.input);
    let rows = Rows::new(vec![
        ("tenant_id", Column::Uuid(chats().map(|chat| chat.tenant_id.0).collect())),
        ("id", Column::Uuid(chats().map(|chat| chat.id).collect())),
        ("user_id", Column::Text(chats().map(|chat| chat.user_id.as_str().to_owned()).collect())),
        ("title", Column::Text(chats().map(|chat| chat.title.as_str().to_owned()).collect())),
        ("metadata", Column::Text(chats().map(|chat| chat.metadata.as_json().to_owned()).collect())),
        ("status", Column::SmallInt(chats().map(|chat| status_code(chat.status)).collect())),
        ("message_count", Column::BigInt(chats().map(|chat| chat.message_count).collect())),
        ("created_at", Column::BigInt(chats().map(|chat| to_micros(chat.created_at)).collect())),
        ("updated_at", Column::BigInt(chats().map(|chat| to_micros(chat.updated_at)).collect())),
    ]);
    transaction.execute_raw(rows.insert_into("chats", "", transaction.get_database_backend())).await?;
    Ok(())
}

async fn insert_labels(transaction: &DatabaseTransaction, requests: &[&CreateChat]) -> std::result::Result<(), DbErr> {
    let of_chat = |request: &&CreateChat| {
        let id = request.input.id;
        labels::of(request.tenant, &request.input.metadata).into_iter().map(move |label| (label, id))
    };
    let (labels, chats): (Vec<_>, Vec<_>) = requests.iter().flat_map(of_chat).unzip();
    if labels.is_empty() {
        return Ok(());
    }
    let rows = Rows::new(vec![("label", Column::Uuid(labels)), ("chat_id", Column::Uuid(chats))]);
    let insert = rows.insert_into("chat_labels", "ON CONFLICT DO NOTHING", transaction.get_database_backend());
    transaction.execute_raw(insert).await?;
    Ok(())
}

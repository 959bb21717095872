//! Storing a batch of messages inside one transaction.
//!
//! A chat's row is locked while its messages get their numbers, so `seq` is gapless, whatever number of nodes write; and
//! the number, the message and the chat's counters become visible together.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, EntityTrait as _};
use uuid::Uuid;

use super::{claims::Answers, request::SendMessage, users::Users};
use crate::{
    chat::{Chat, ClientMessageId, Created, MediaType, MediaUrl, Message, Origin, Role, Status, UserId},
    clock::Moments,
    error::{Error, Result},
    store::{
        chats::{Place, chat_of, chats_at},
        entity::message,
        messages::{message_of, role_code},
        rows::{Column, Rows},
        to_micros,
    },
};

/// The chats of a batch, locked, and the messages that repeat stored ones.
pub(super) struct Sending {
    chats: HashMap<Place, Chat>,
    changed: BTreeSet<Place>,
    repeated: HashMap<(Uuid, String), Message>,
    new: Vec<Message>,
    new_senders: Users,
}

impl Sending {
    /// Locks the chats, in one order on every node.
    pub(super) async fn lock(
        transaction: &DatabaseTransaction,
        requests: &[&SendMessage],
    ) -> std::result::Result<Self, DbErr> {
        let places: BTreeSet<Place> = requests.iter().map(|request| (request.tenant, request.input.chat_id)).collect();
        let mut chats = HashMap::new();
        if !places.is_empty() {
            let backend = transaction.get_database_backend();
            // SQLite has one writer, which this transaction is.
            let lock = if backend == DbBackend::Sqlite { "" } else { "FOR UPDATE OF c" };
            let tail = format!("ORDER BY c.tenant_id, c.id {lock}");
            for row in chats_at(&places, &tail, backend).all(transaction).await? {
                let chat = chat_of(row).map_err(|error| DbErr::Custom(error.to_string()))?;
                chats.insert((chat.tenant_id, chat.id), chat);
            }
        }
        let repeated = repeated(transaction, requests).await?;
        let (changed, new, new_senders) = (BTreeSet::new(), Vec::new(), Users::default());
        Ok(Self { chats, changed, repeated, new, new_senders })
    }

    /// Gives each message its number, or the reason why it gets none.
    pub(super) fn number(
        &mut self,
        requests: &[&SendMessage],
        moments: &Moments,
        answers: &mut Answers,
    ) -> std::result::Result<Vec<Result<Created<Message>>>, DbErr> {
        requests.iter().map(|request| self.number_one(request, moments, answers)).collect()
    }

    fn number_one(
        &mut self,
        request: &SendMessage,
        moments: &Moments,
        answers: &mut Answers,
    ) -> std::result::Result<Result<Created<Message>>, DbErr> {
        let place = (request.tenant, request.input.chat_id);
        let Some(chat) = self.chats.get_mut(&place) else { return Ok(Err(Error::ChatNotFound)) };
        let new = &request.input.message;
        let repetition = new.client_message_id.as_ref().map(|id| (chat.id, id.as_str().to_owned()));
        if let Some(stored) = repetition.as_ref().and_then(|repetition| self.repeated.get(repetition)) {
            answers.keep(request.tenant, request.idempotency.as_ref(), chat.id, stored)?;
            return Ok(Ok(Created { resource: stored.clone(), replayed: true }));
        }
        if chat.status == Status::Closed {
            return Ok(Err(Error::ChatClosed));
        }
        let (next_id, now) = moments.next();
        // A streamed answer is known by its id before it is stored.
        let id = match new.origin {
            Origin::Assistant { message_id, .. } => message_id,
            Origin::Api | Origin::Connection(_) => next_id,
        };
        // Nodes' clocks differ; within a chat, time does not run backwards.
        let created_at = chat.last_message_at.map_or(now, |last| last.max(now));
        chat.message_count += 1;
        chat.last_message_at = Some(created_at);
        chat.updated_at = chat.updated_at.max(created_at);
        let sender_id = match new.role {
            Role::User => Some(new.sender_id.clone().unwrap_or_else(|| chat.user_id.clone())),
            Role::Assistant => new.sender_id.clone(),
        };
        let message = Message {
            id,
            chat_id: chat.id,
            seq: chat.message_count,
            role: new.role,
            sender_id,
            content: new.content.clone(),
            media_type: new.media_type.clone(),
            media_url: new.media_url.clone(),
            metadata: new.metadata.clone(),
            client_message_id: new.client_message_id.clone(),
            created_at,
        };
        if let (Role::User, Some(sender)) = (message.role, &message.sender_id)
            && *sender != chat.user_id
        {
            self.new_senders.add(request.tenant, sender.clone(), created_at);
        }
        answers.keep(request.tenant, request.idempotency.as_ref(), chat.id, &message)?;
        self.changed.insert(place);
        self.repeated.extend(repetition.map(|repetition| (repetition, message.clone())));
        self.new.push(message.clone());
        Ok(Ok(Created { resource: message, replayed: false }))
    }

    /// The users who sent messages to other users' chats.
    pub(super) fn take_senders(&mut self) -> Users {
        std::mem::take(&mut self.new_senders)
    }

    /// Stores the new messages and what they change about their chats.
    pub(super) async fn store(self, transaction: &DatabaseTransaction) -> std::result::Result<(), DbErr> {
        if self.new.is_empty() {
            return Ok(());
        }
        let backend = transaction.get_database_backend();
        transaction.execute_raw(message_rows(&self.new).insert_into("messages", "", backend)).await?;
        let changed: Vec<(&Place, &Chat)> = self.changed.iter().map(|place| (place, &self.chats[place])).collect();
        let rows = Rows::new(vec![
            ("tenant_id", Column::Uuid(changed.iter().map(|((tenant, _), _)| tenant.0).collect())),
            ("id", Column::Uuid(changed.iter().map(|((_, id), _)| *id).collect())),
            ("message_count", Column::BigInt(changed.iter().map(|(_, chat)| chat.message_count).collect())),
            (
                "last_message_at",
                Column::BigInt(changed.iter().filter_map(|(_, chat)| chat.last_message_at).map(to_micros).collect()),
            ),
            ("updated_at", Column::BigInt(changed.iter().map(|(_, chat)| to_micros(chat.updated_at)).collect())),
        ]);
        let update = rows.statement(backend, |rows| {
            format!(
                "UPDATE chats SET message_count = r.message_count, last_message_at = r.last_message_at, \
                 updated_at = r.updated_at FROM {rows} WHERE chats.tenant_id = r.tenant_id AND chats.id = r.id"
            )
        });
        transaction.execute_raw(update).await?;
        Ok(())
    }
}

/// The stored messages that requests name by `client_message_id`.
async fn repeated(
    transaction: &DatabaseTransaction,
    requests: &[&SendMessage],
) -> std::result::Result<HashMap<(Uuid, String), Message>, DbErr> {
    let named: BTreeSet<(Uuid, String)> = requests
        .iter()
        .filter_map(|request| {
            let id = request.input.message.client_message_id.as_ref()?;
            Some((request.input.chat_id, id.as_str().to_owned()))
        })
        .collect();
    if named.is_empty() {
        return Ok(HashMap::new());
    }
    let (chats, ids): (Vec<Uuid>, Vec<String>) = named.into_iter().unzip();
    let rows = Rows::new(vec![("chat_id", Column::Uuid(chats)), ("client_message_id", Column::Text(ids))]);
    let select = rows.statement(transaction.get_database_backend(), |rows| {
        format!(
            "SELECT m.* FROM {rows} JOIN messages m \
             ON m.chat_id = r.chat_id AND m.client_message_id = r.client_message_id"
        )
    });
    let stored = message::Entity::find().from_raw_sql(select).all(transaction).await?;
    stored
        .into_iter()
        .map(|row| {
            let message = message_of(row).map_err(|error| DbErr::Custom(error.to_string()))?;
            let id = message.client_message_id.as_ref().map_or_else(String::new, |id| id.as_str().to_owned());
            Ok(((message.chat_id, id), message))
        })
        .collect()
}

fn message_rows(messages: &[Message]) -> Rows {
    let texts = |text: fn(&Message) -> &str| Column::Text(messages.iter().map(|m| text(m).to_owned()).collect());
    let optional = |text: fn(&Message) -> Option<&str>| {
        Column::OptionalText(messages.iter().map(|message| text(message).map(str::to_owned)).collect())
    };
    Rows::new(vec![
        ("chat_id", Column::Uuid(messages.iter().map(|message| message.chat_id).collect())),
        ("seq", Column::BigInt(messages.iter().map(|message| message.seq).collect())),
        ("id", Column::Uuid(messages.iter().map(|message| message.id).collect())),
        ("role", Column::SmallInt(messages.iter().map(|message| role_code(message.role)).collect())),
        ("sender_id", optional(|message| message.sender_id.as_ref().map(UserId::as_str))),
        ("content", texts(|message| message.content.as_str())),
        ("media_type", optional(|message| message.media_type.as_ref().map(MediaType::as_str))),
        ("media_url", optional(|message| message.media_url.as_ref().map(MediaUrl::as_str))),
        ("metadata", texts(|message| message.metadata.as_json())),
        ("client_message_id", optional(|message| message.client_message_id.as_ref().map(ClientMessageId::as_str))),
        ("created_at", Column::BigInt(messages.iter().map(|message| to_micros(message.created_at)).collect())),
    ])
}

//! Messages.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{Object, OpenApi, types::Example};
use serde::Serialize;
use serde_json::json;

use super::{
    Tag,
    paging::{self, Items, Limit, Paging, default_limit, next_cursor},
};
use crate::{
    auth::Caller,
    domain::{ClientMessageId, Content, MediaType, MediaUrl, Metadata, NewMessage, Order, Origin, Role, UserId},
    http::{
        body::{FromMembers, Json, JsonBody, Members},
        idempotency::IdempotencyHeader,
        limits::HttpLimits,
        operation::{Failure, Operation},
        path::Path,
        problem::Code,
        query::{FromQuery, Parameter, Parameters, Query},
        response::Created,
        schema::FromParameter as _,
    },
    service::Messages,
    wire::{
        cursor::{Cursor, List},
        message::Message,
        values::{ChatId, Count, Nullable, example},
    },
};

/// The operations.
pub(crate) struct MessagesApi;

#[OpenApi(prefix_path = "/api/v1/chats", tag = "Tag::Messages")]
impl MessagesApi {
    /// List Messages
    ///
    /// A chat's messages, oldest first. Page by `offset` and `limit`, go on with `next_cursor`, or ask for what came
    /// after a message with `after_seq`. Messages are numbered from 1 without gaps, so every page costs the same.
    /// `total` and `offset` are null on a page that a cursor began.
    #[oai(path = "/:chat_id/messages", method = "get", operation_id = "list_messages")]
    async fn list_messages(
        &self,
        caller: Caller,
        messages: Data<&Arc<Messages>>,
        /// The chat's `id`.
        #[oai(name = "chat_id")]
        chat: Path<ChatId>,
        query: Query<ListMessagesQuery>,
    ) -> Result<Json<MessageList>, Failure<ListMessages>> {
        let Query(ListMessagesQuery { after_seq, paging }) = query;
        let list = List::of(ListMessages::ID)
            .with(caller.tenant.0)
            .with(chat.0.0)
            .with(paging.order())
            .with(after_seq.unwrap_or(0).to_be_bytes());
        let window = paging.window(&list, |place: u128| i64::try_from(place).unwrap_or(i64::MAX))?;
        let page = messages.list_messages(caller.tenant, chat.0.0, after_seq, window).await?;
        Ok(Json(MessageList {
            next_cursor: Nullable(next_cursor(&list, &page, |message| u128::from(message.seq.unsigned_abs()))),
            total: Nullable(page.total.map(Count::nearest)),
            offset: Nullable(paging.offset()),
            limit: paging.limit(),
            has_more: page.has_more,
            messages: Items::first(page.items.into_iter().map(Message::from).collect()),
        }))
    }

    /// Send Message
    ///
    /// Stores a message under the chat's next `seq`. Answered after the message is durable. A closed chat takes none
    /// (409 `chat_closed`).
    ///
    /// Two ways make repeating the request safe: an `Idempotency-Key`, as everywhere, for 24 hours; and a
    /// `client_message_id`, which is unique in its chat and for its sender for good: a second message of the same sender
    /// under the same one is the first, answered again and marked `Idempotency-Replayed: true`. The body may have at
    /// most 512 KiB.
    #[oai(path = "/:chat_id/messages", method = "post", operation_id = "send_message")]
    async fn send_message(
        &self,
        caller: Caller,
        messages: Data<&Arc<Messages>>,
        /// The chat's `id`.
        #[oai(name = "chat_id")]
        chat: Path<ChatId>,
        /// The caller's name for this one intent, such as a UUID; the same for every attempt.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyHeader,
        body: JsonBody<SendMessageRequest>,
    ) -> Result<Created<Message>, Failure<SendMessage>> {
        let (idempotency, body) = key.over(&format!("{} {}", SendMessage::ID, chat.0.0), body)?;
        let sent = messages.send_message(caller.tenant, chat.0.0, body.into(), idempotency).await?;
        Ok(Created::new(sent.resource.into(), sent.replayed))
    }
}

/// See [`MessagesApi::list_messages`].
pub(crate) struct ListMessages;

impl Operation for ListMessages {
    const ID: &'static str = "list_messages";
    const CODES: &'static [Code] = &[Code::InvalidRequest, Code::ChatNotFound];
    type Query = ListMessagesQuery;
}

/// See [`MessagesApi::send_message`].
pub(crate) struct SendMessage;

impl Operation for SendMessage {
    const ID: &'static str = "send_message";
    const CODES: &'static [Code] = &[
        Code::InvalidRequest,
        Code::ChatNotFound,
        Code::ChatClosed,
        Code::PayloadTooLarge,
        Code::UnsupportedMediaType,
        Code::IdempotencyKeyReused,
    ];
    const WRONG: (&'static str, &'static str) = ("/content", "is required");
    type Query = ();
}

pub(crate) struct ListMessagesQuery {
    after_seq: Option<i64>,
    paging: Paging,
}

impl FromQuery for ListMessagesQuery {
    const PARAMETERS: &'static [Parameter] = &[
        paging::OFFSET,
        paging::LIMIT,
        paging::order(paging::oldest_first),
        paging::CURSOR,
        Parameter {
            name: "after_seq",
            description: "Only messages with a greater `seq`. `total` and `offset` count those.",
            schema: Count::schema,
        },
    ];

    fn from_query(parameters: &mut Parameters) -> Option<Self> {
        let paging = Paging::with_offset(parameters, Order::Asc);
        let after_seq = parameters.optional::<Count>("after_seq");
        Some(Self { after_seq: after_seq?.map(Count::get), paging: paging? })
    }
}

/// What a message is made from.
#[derive(Debug, Object)]
#[oai(example)]
pub(crate) struct SendMessageRequest {
    /// What is said. No NUL.
    content: Content,
    /// Who speaks; a user if not given.
    #[oai(nullable)]
    sender_role: Option<Role>,
    /// Which user, created if unknown; the chat's owner if not given. Or which assistant.
    #[oai(nullable)]
    sender_id: Option<UserId>,
    /// What kind of thing is at `media_url`, as in `image/png`.
    #[oai(nullable)]
    media_type: Option<MediaType>,
    /// Something to be seen or heard beside the content: an http or https URL, which Parlor does not fetch.
    #[oai(nullable)]
    media_url: Option<MediaUrl>,
    /// Any JSON, at most 16 KiB without white space and 32 levels deep.
    #[oai(nullable)]
    metadata: Option<Metadata>,
    /// The sender's own name for the message, unique in the chat among the messages of that sender. No control characters.
    #[oai(nullable)]
    client_message_id: Option<ClientMessageId>,
}

impl FromMembers for SendMessageRequest {
    fn max_bytes(limits: &HttpLimits) -> usize {
        limits.message_body_bytes
    }

    fn from_members(members: &mut Members<'_>) -> Option<Self> {
        let content = members.required("content");
        let sender_role = members.optional("sender_role");
        let sender_id = members.optional("sender_id");
        let media_type = members.optional("media_type");
        let media_url = members.optional("media_url");
        let metadata = members.optional("metadata");
        let client_message_id = members.optional("client_message_id");
        Some(Self {
            content: content?,
            sender_role: sender_role?,
            sender_id: sender_id?,
            media_type: media_type?,
            media_url: media_url?,
            metadata: metadata?,
            client_message_id: client_message_id?,
        })
    }
}

impl From<SendMessageRequest> for NewMessage {
    fn from(request: SendMessageRequest) -> Self {
        Self {
            role: request.sender_role.unwrap_or(Role::User),
            sender_id: request.sender_id,
            content: request.content,
            media_type: request.media_type,
            media_url: request.media_url,
            metadata: request.metadata.unwrap_or_else(Metadata::empty),
            client_message_id: request.client_message_id,
            origin: Origin::Api,
        }
    }
}

impl Example for SendMessageRequest {
    fn example() -> Self {
        example(json!({
            "content": "My printer is on fire.",
            "sender_role": "user",
        }))
    }
}

/// A page of a chat's messages.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
struct MessageList {
    /// The messages of the page.
    messages: Items<Message>,
    /// How many messages there are, after `after_seq` if it was given; null on a page that a cursor began.
    total: Nullable<Count>,
    /// How many were skipped; null on a page that a cursor began.
    offset: Nullable<Count>,
    /// How many were asked for at most.
    limit: Limit,
    /// Whether the list goes on.
    has_more: bool,
    /// Where it goes on; null at its end.
    next_cursor: Nullable<Cursor>,
}

impl Example for MessageList {
    fn example() -> Self {
        Self {
            messages: Items::first(vec![Message::example()]),
            total: Nullable(Some(Count::nearest(1))),
            offset: Nullable(Some(Count::nearest(0))),
            limit: default_limit(),
            has_more: false,
            next_cursor: Nullable(None),
        }
    }
}

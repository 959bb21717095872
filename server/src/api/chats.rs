//! Chats.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    registry::MetaSchema,
    types::{Example, ParseFromJSON},
};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::{
    Tag,
    cursor::{Cursor, List},
    paging::{self, Count, Items, Limit, Paging, default_limit, next_cursor},
    values::{ChatId, Nullable, Timestamp},
};
use crate::{
    chat::{
        self, ChatFilter, ChatPatch, Chats, Label, Metadata, MetadataPatch, NewChat, Order, Status, Title, UserId,
        Violation,
    },
    http::{
        answer::Created,
        auth::Caller,
        body::{FromMembers, Json, JsonBody, Members},
        bounded::{Text, text_schema},
        idempotency::IdempotencyHeader,
        path::Path,
        problem::{Code, Failure, Operation},
        query::{FromParameter, FromQuery, Parameter, Parameters, Query},
    },
};

/// The operations.
pub(crate) struct ChatsApi;

#[OpenApi(prefix_path = "/api/v1/chats/", tag = "Tag::Chats")]
impl ChatsApi {
    /// Create Chat
    ///
    /// Creates a chat session for a user; its `id` is what WebSocket connections name. Only `user_id` is required: an
    /// unknown user is created with the chat, and a missing `title` is generated from the time. The tenant is the one
    /// that the API key belongs to.
    ///
    /// Send an `Idempotency-Key` to make repeating the request safe: for 24 hours the same key with the same body gets
    /// the first answer again, marked `Idempotency-Replayed: true`, and one chat exists in the end; with another body
    /// it is refused with 422. The body may have at most 64 KiB.
    #[oai(path = "/", method = "post", operation_id = "create_chat")]
    async fn create_chat(
        &self,
        caller: Caller,
        chats: Data<&Arc<Chats>>,
        /// The caller's name for this one intent, such as a UUID; the same for every attempt.
        #[oai(name = "Idempotency-Key")]
        key: IdempotencyHeader,
        body: JsonBody<CreateChatRequest>,
    ) -> Result<Created<Chat>, Failure<CreateChat>> {
        let (idempotency, body) = key.over(CreateChat::ID, body)?;
        let created = chats.create_chat(caller.tenant, body.into(), idempotency).await?;
        let location = format!("/api/v1/chats/{}", created.resource.id);
        Ok(Created::new(created.resource.into(), created.replayed).at(location))
    }

    /// List Chats
    ///
    /// The tenant's chats, newest first, that have all that is asked for. Goes on with `next_cursor`: pages stay right
    /// while chats are created and deleted, and cost the same however far the list has been read.
    #[oai(path = "/", method = "get", operation_id = "list_chats")]
    async fn list_chats(
        &self,
        caller: Caller,
        chats: Data<&Arc<Chats>>,
        query: Query<ListChatsQuery>,
    ) -> Result<Json<ChatPage>, Failure<ListChats>> {
        let Query(ListChatsQuery { filter, paging }) = query;
        let list = filter_list(&filter).with(caller.tenant.0).with(paging.order());
        let page = chats.list_chats(caller.tenant, &filter, paging.window(&list, Uuid::from_u128)?).await?;
        Ok(Json(ChatPage {
            next_cursor: Nullable(next_cursor(&list, &page, |chat| chat.id.as_u128())),
            has_more: page.has_more,
            chats: Items::first(page.items.into_iter().map(ChatDetails::from).collect()),
        }))
    }

    /// List User Chats
    ///
    /// A user's chats, newest first. Page by `offset` and `limit`, or go on with `next_cursor`, which stays right while
    /// chats are created and deleted. `total` and `offset` are null on a page that a cursor began. 404 when the user is
    /// unknown (`user_not_found`) and when it has no chats (`no_chats`).
    #[oai(path = "/user/:user_id", method = "get", operation_id = "list_user_chats")]
    async fn list_user_chats(
        &self,
        caller: Caller,
        chats: Data<&Arc<Chats>>,
        /// The ID of the user whose chats are meant.
        #[oai(name = "user_id")]
        user: Path<UserId>,
        query: Query<ListUserChatsQuery>,
    ) -> Result<Json<ChatList>, Failure<ListUserChats>> {
        let Query(ListUserChatsQuery(paging)) = query;
        let list = List::of(ListUserChats::ID).with(caller.tenant.0).with(user.0.as_str()).with(paging.order());
        let page = chats.list_user_chats(caller.tenant, &user.0, paging.window(&list, Uuid::from_u128)?).await?;
        Ok(Json(ChatList {
            next_cursor: Nullable(next_cursor(&list, &page, |chat| chat.id.as_u128())),
            total: Nullable(page.total.map(Count::nearest)),
            offset: Nullable(paging.offset()),
            limit: paging.limit(),
            has_more: page.has_more,
            chats: Items::first(page.items.into_iter().map(ChatSummary::from).collect()),
        }))
    }

    /// Get Chat
    ///
    /// The chat with what is counted of it.
    #[oai(path = "/:chat_id", method = "get", operation_id = "get_chat")]
    async fn get_chat(
        &self,
        caller: Caller,
        chats: Data<&Arc<Chats>>,
        /// The chat's `id`.
        #[oai(name = "chat_id")]
        id: Path<ChatId>,
    ) -> Result<Json<ChatDetails>, Failure<GetChat>> {
        Ok(Json(chats.get_chat(caller.tenant, id.0.0).await?.into()))
    }

    /// Update Chat
    ///
    /// Changes the title, the metadata or the status; what is absent or null stays as it is. `metadata` is a JSON merge
    /// patch (RFC 7396): members are added or replaced, and a member set to null is removed. A closed chat takes no
    /// messages (409 `chat_closed`) until it is active again.
    #[oai(path = "/:chat_id", method = "patch", operation_id = "update_chat")]
    async fn update_chat(
        &self,
        caller: Caller,
        chats: Data<&Arc<Chats>>,
        /// The chat's `id`.
        #[oai(name = "chat_id")]
        id: Path<ChatId>,
        body: JsonBody<UpdateChatRequest>,
    ) -> Result<Json<ChatDetails>, Failure<UpdateChat>> {
        Ok(Json(chats.update_chat(caller.tenant, id.0.0, body.value()?.into()).await?.into()))
    }

    /// Delete Chat
    ///
    /// Deletes the chat for good, with its messages. 409 (`chat_in_use`) while connections to it are open, on any node;
    /// `force=true` closes them first.
    #[oai(path = "/:chat_id", method = "delete", operation_id = "delete_chat")]
    async fn delete_chat(
        &self,
        caller: Caller,
        chats: Data<&Arc<Chats>>,
        /// The chat's `id`.
        #[oai(name = "chat_id")]
        id: Path<ChatId>,
        query: Query<DeleteChatQuery>,
    ) -> Result<Json<ChatDeleted>, Failure<DeleteChat>> {
        let deleted = chats.delete_chat(caller.tenant, id.0.0, query.0.force).await?;
        Ok(Json(ChatDeleted { success: true, message: Text::cut(DELETED), deleted_at: Timestamp(deleted.at) }))
    }
}

/// See [`ChatsApi::create_chat`].
pub(super) struct CreateChat;

impl Operation for CreateChat {
    const ID: &'static str = "create_chat";
    const CODES: &'static [Code] =
        &[Code::InvalidRequest, Code::PayloadTooLarge, Code::UnsupportedMediaType, Code::IdempotencyKeyReused];
    const WRONG: (&'static str, &'static str) = ("/user_id", "is required");
    type Query = ();
}

/// See [`ChatsApi::list_chats`].
pub(super) struct ListChats;

impl Operation for ListChats {
    const ID: &'static str = "list_chats";
    const CODES: &'static [Code] = &[Code::InvalidRequest];
    type Query = ListChatsQuery;
}

/// See [`ChatsApi::list_user_chats`].
pub(super) struct ListUserChats;

impl Operation for ListUserChats {
    const ID: &'static str = "list_user_chats";
    const CODES: &'static [Code] = &[Code::InvalidRequest, Code::UserNotFound, Code::NoChats];
    type Query = ListUserChatsQuery;
}

/// See [`ChatsApi::get_chat`].
pub(super) struct GetChat;

impl Operation for GetChat {
    const ID: &'static str = "get_chat";
    const CODES: &'static [Code] = &[Code::ChatNotFound];
    type Query = ();
}

/// See [`ChatsApi::update_chat`].
pub(super) struct UpdateChat;

impl Operation for UpdateChat {
    const ID: &'static str = "update_chat";
    const CODES: &'static [Code] =
        &[Code::InvalidRequest, Code::ChatNotFound, Code::PayloadTooLarge, Code::UnsupportedMediaType];
    const WRONG: (&'static str, &'static str) = ("/status", "must be one of active, closed");
    type Query = ();
}

/// See [`ChatsApi::delete_chat`].
pub(super) struct DeleteChat;

impl Operation for DeleteChat {
    const ID: &'static str = "delete_chat";
    const CODES: &'static [Code] = &[Code::InvalidRequest, Code::ChatNotFound, Code::ChatInUse];
    const WRONG: (&'static str, &'static str) = ("/query/force", "must be one of true, false");
    type Query = DeleteChatQuery;
}

pub(super) struct ListUserChatsQuery(Paging);

impl FromQuery for ListUserChatsQuery {
    const PARAMETERS: &'static [Parameter] =
        &[paging::OFFSET, paging::LIMIT, paging::order(paging::newest_first), paging::CURSOR];

    fn from_query(parameters: &mut Parameters) -> Option<Self> {
        Paging::with_offset(parameters, Order::Desc).map(Self)
    }
}

pub(super) struct ListChatsQuery {
    filter: ChatFilter,
    paging: Paging,
}

/// Labels at most in one filter.
const MAX_LABELS: usize = 10;

impl FromQuery for ListChatsQuery {
    const PARAMETERS: &'static [Parameter] = &[
        Parameter { name: "user_id", description: "Of this user.", schema: UserId::schema },
        Parameter { name: "status", description: "In this state.", schema: Status::schema },
        Parameter { name: "created_after", description: "Created later than this.", schema: Timestamp::schema },
        Parameter { name: "created_before", description: "Created earlier than this.", schema: Timestamp::schema },
        Parameter {
            name: "metadata",
            description: "With this member of the metadata, as `name:value`; may be repeated, all must hold. A number, \
                          `true`, `false` and `null` are compared as their JSON; arrays and objects are not.",
            schema: || paging::several(Label::schema(), MAX_LABELS),
        },
        paging::LIMIT,
        paging::order(paging::newest_first),
        paging::CURSOR,
    ];

    fn from_query(parameters: &mut Parameters) -> Option<Self> {
        let user_id = parameters.optional("user_id");
        let status = parameters.optional("status");
        let created_after = parameters.optional::<Timestamp>("created_after");
        let created_before = parameters.optional::<Timestamp>("created_before");
        let metadata = parameters.repeated("metadata", MAX_LABELS);
        let paging = Paging::without_offset(parameters, Order::Desc);
        let filter = ChatFilter {
            user_id: user_id?,
            status: status?,
            created_after: created_after?.map(|moment| moment.0),
            created_before: created_before?.map(|moment| moment.0),
            metadata: metadata?,
        };
        Some(Self { filter, paging: paging? })
    }
}

/// The list that a filter makes, for its cursors.
fn filter_list(filter: &ChatFilter) -> List {
    let moment = |moment: Option<DateTime<Utc>>| moment.map_or_else(String::new, |moment| moment.to_rfc3339());
    let list = List::of(ListChats::ID)
        .with(filter.user_id.as_ref().map_or("", UserId::as_str))
        .with(format!("{:?}", filter.status))
        .with(moment(filter.created_after))
        .with(moment(filter.created_before));
    filter.metadata.iter().fold(list, |list, label| list.with(&label.name).with(&label.value))
}

impl FromParameter for Label {
    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some("^[^:]*:".to_owned()),
            example: Some("department:technical".into()),
            ..text_schema(1, Metadata::MAX_BYTES)
        }
    }

    fn from_parameter(text: &str) -> Result<Self, Violation> {
        let (name, value) = text.split_once(':').ok_or_else(|| Violation::new("must be written as name:value"))?;
        if text.chars().count() > Metadata::MAX_BYTES {
            return Err(Violation::new(format!("must have at most {} characters", Metadata::MAX_BYTES)));
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

pub(super) struct DeleteChatQuery {
    force: bool,
}

impl FromQuery for DeleteChatQuery {
    const PARAMETERS: &'static [Parameter] = &[Parameter {
        name: "force",
        description: "Whether open connections are closed rather than respected.",
        schema: || MetaSchema { default: Some(false.into()), ..MetaSchema::new("boolean") },
    }];

    fn from_query(parameters: &mut Parameters) -> Option<Self> {
        struct Force(bool);

        impl FromParameter for Force {
            fn schema() -> MetaSchema {
                MetaSchema::new("boolean")
            }

            fn from_parameter(text: &str) -> Result<Self, Violation> {
                text.parse().map(Self).map_err(|_| Violation::new("must be one of true, false"))
            }
        }

        let force = parameters.optional::<Force>("force")?;
        Some(Self { force: force.is_some_and(|force| force.0) })
    }
}

/// What a chat is created from.
#[derive(Debug, Object)]
#[oai(example)]
struct CreateChatRequest {
    /// The ID of the user creating the chat session. No control characters.
    user_id: UserId,
    /// Optional custom title for the chat, counted after trimming. If not provided, a title will be auto-generated.
    #[oai(nullable)]
    title: Option<Title>,
    /// Optional metadata object to store additional information about the chat: any JSON, at most 16 KiB without white
    /// space and 32 levels deep, with no member given twice and no number beyond a double. Comes back as it was sent,
    /// every digit of a number included.
    #[oai(nullable)]
    metadata: Option<Metadata>,
}

impl FromMembers for CreateChatRequest {
    fn from_members(members: &mut Members<'_>) -> Option<Self> {
        let user_id = members.required("user_id");
        let title = members.optional("title");
        let metadata = members.optional("metadata");
        Some(Self { user_id: user_id?, title: title?, metadata: metadata? })
    }
}

impl From<CreateChatRequest> for NewChat {
    fn from(request: CreateChatRequest) -> Self {
        Self {
            user_id: request.user_id,
            title: request.title,
            metadata: request.metadata.unwrap_or_else(Metadata::empty),
        }
    }
}

impl Example for CreateChatRequest {
    fn example() -> Self {
        example(json!({
            "user_id": "user123",
            "title": "Support Session",
            "metadata": { "department": "technical", "priority": "high" },
        }))
    }
}

/// What is to change about a chat.
#[derive(Debug, Object)]
#[oai(example)]
struct UpdateChatRequest {
    /// Another title, counted after trimming.
    #[oai(nullable)]
    title: Option<Title>,
    /// A JSON merge patch (RFC 7396) of the metadata. What comes out has the bounds of any metadata.
    #[oai(nullable)]
    metadata: Option<MetadataPatch>,
    /// Closes the chat, or opens it again.
    #[oai(nullable)]
    status: Option<Status>,
}

impl FromMembers for UpdateChatRequest {
    fn from_members(members: &mut Members<'_>) -> Option<Self> {
        let title = members.optional("title");
        let metadata = members.optional("metadata");
        let status = members.optional("status");
        Some(Self { title: title?, metadata: metadata?, status: status? })
    }
}

impl From<UpdateChatRequest> for ChatPatch {
    fn from(request: UpdateChatRequest) -> Self {
        Self { title: request.title, metadata: request.metadata, status: request.status }
    }
}

impl Example for UpdateChatRequest {
    fn example() -> Self {
        example(json!({ "metadata": { "priority": null, "resolution": "answered" }, "status": "closed" }))
    }
}

/// A chat session.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
struct Chat {
    /// Unique identifier for the chat session. Version 7: a later chat has a greater one.
    id: Uuid,
    /// The ID of the user who owns this chat.
    user_id: UserId,
    /// The tenant identifier, determined by the API key.
    tenant_id: Text<255>,
    /// The title of the chat session.
    title: Title,
    config: ChatConfig,
    /// Timestamp when the chat was created, UTC.
    created_at: Timestamp,
    /// Timestamp when the chat was last updated, UTC.
    updated_at: Timestamp,
    /// Timestamp of the last message in this chat, UTC; null for new chats.
    last_message_at: Nullable<Timestamp>,
}

/// Configuration object containing metadata and other chat settings.
#[derive(Debug, Serialize, Object)]
struct ChatConfig {
    /// What was given when the chat was created; empty when nothing was.
    metadata: Metadata,
}

/// A chat session in a list.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
struct ChatSummary {
    #[oai(flatten)]
    #[serde(flatten)]
    chat: Chat,
    /// How many messages it has.
    message_count: Count,
}

/// A chat session with all that is known of it.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
struct ChatDetails {
    #[oai(flatten)]
    #[serde(flatten)]
    chat: Chat,
    /// How many messages it has.
    message_count: Count,
    /// Whether it takes messages.
    status: Status,
}

/// A page of a user's chats.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
struct ChatList {
    /// The chats of the page.
    chats: Items<ChatSummary>,
    /// How many chats the user has; null on a page that a cursor began.
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

/// A page of a tenant's chats.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
struct ChatPage {
    /// The chats of the page.
    chats: Items<ChatDetails>,
    /// Where the list goes on; null at its end.
    next_cursor: Nullable<Cursor>,
    /// Whether the list goes on.
    has_more: bool,
}

/// A deletion in words.
const DELETED: &str = "The chat was deleted.";

/// What was deleted.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
struct ChatDeleted {
    /// Always true.
    success: bool,
    /// The same in words.
    message: Text<255>,
    /// Since when the chat is gone, UTC.
    deleted_at: Timestamp,
}

impl From<chat::Chat> for Chat {
    fn from(chat: chat::Chat) -> Self {
        Self {
            id: chat.id,
            user_id: chat.user_id,
            tenant_id: Text::cut(chat.tenant_id.to_string()),
            title: chat.title,
            config: ChatConfig { metadata: chat.metadata },
            created_at: Timestamp(chat.created_at),
            updated_at: Timestamp(chat.updated_at),
            last_message_at: Nullable(chat.last_message_at.map(Timestamp)),
        }
    }
}

impl From<chat::Chat> for ChatSummary {
    fn from(chat: chat::Chat) -> Self {
        Self { message_count: Count::nearest(chat.message_count), chat: chat.into() }
    }
}

impl From<chat::Chat> for ChatDetails {
    fn from(chat: chat::Chat) -> Self {
        Self { message_count: Count::nearest(chat.message_count), status: chat.status, chat: chat.into() }
    }
}

impl Example for Chat {
    fn example() -> Self {
        example(json!({
            "id": "018d0c8e-5a40-7b7c-8c9d-0e1f2a3b4c5d",
            "user_id": "user123",
            "tenant_id": "018d0c8d-11f0-7d02-9a44-6c1f0b7e2d10",
            "title": "Support Session",
            "config": { "metadata": { "department": "technical", "priority": "high" } },
            "created_at": "2024-01-15T10:30:00Z",
            "updated_at": "2024-01-15T10:30:00Z",
            "last_message_at": null,
        }))
    }
}

impl Example for ChatSummary {
    fn example() -> Self {
        Self { chat: Chat::example(), message_count: Count::nearest(0) }
    }
}

impl Example for ChatDetails {
    fn example() -> Self {
        Self { chat: Chat::example(), message_count: Count::nearest(0), status: Status::Active }
    }
}

impl Example for ChatList {
    fn example() -> Self {
        Self {
            chats: Items::first(vec![ChatSummary::example()]),
            total: Nullable(Some(Count::nearest(1))),
            offset: Nullable(Some(Count::nearest(0))),
            limit: default_limit(),
            has_more: false,
            next_cursor: Nullable(None),
        }
    }
}

impl Example for ChatPage {
    fn example() -> Self {
        Self { chats: Items::first(vec![ChatDetails::example()]), next_cursor: Nullable(None), has_more: false }
    }
}

impl Example for ChatDeleted {
    fn example() -> Self {
        example(json!({
            "success": true,
            "message": DELETED,
            "deleted_at": "2024-01-15T11:00:00Z",
        }))
    }
}

pub(super) fn example<T: ParseFromJSON>(json: serde_json::Value) -> T {
    T::parse_from_json(Some(json)).unwrap_or_else(|error| panic!("an example breaks a rule: {}", error.into_message()))
}

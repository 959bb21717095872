//! Chats.

pub(crate) mod bodies;
mod queries;
mod sort;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use poem::web::Data;
use poem_openapi::OpenApi;

use self::{
    bodies::{ChatDeleted, ChatList, ChatPage, ChatSummary, CreateChatRequest, DELETED, UpdateChatRequest},
    queries::{DeleteChatQuery, ListChatsQuery, ListUserChatsQuery},
};
use super::{Tag, paging::Items};
use crate::{
    auth::Caller,
    domain::{ChatFilter, UserId},
    http::{
        body::{Json, JsonBody},
        idempotency::IdempotencyHeader,
        operation::{Failure, Operation},
        path::Path,
        problem::Code,
        query::Query,
        response::Created,
        schema::Text,
    },
    service::Chats,
    wire::{
        chat::{Chat, ChatDetails},
        cursor::List,
        values::{ChatId, Count, Nullable, Timestamp},
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
    /// it is refused with 422. The body may have at most 256 KiB.
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
    /// The tenant's chats, newest first, that have all that is asked for; with `sort=last_message_at` those with the latest
    /// activity first. Goes on with `next_cursor`: pages stay right while chats are created and deleted, and cost the same
    /// however far the list has been read.
    #[oai(path = "/", method = "get", operation_id = "list_chats")]
    async fn list_chats(
        &self,
        caller: Caller,
        chats: Data<&Arc<Chats>>,
        query: Query<ListChatsQuery>,
    ) -> Result<Json<ChatPage>, Failure<ListChats>> {
        let Query(ListChatsQuery { filter, sort, paging }) = query;
        let list = sort.list(filter_list(&filter).with(caller.tenant.0).with(paging.order()));
        let page = chats.list_chats(caller.tenant, &filter, sort.window(&paging, &list)?).await?;
        Ok(Json(ChatPage {
            next_cursor: Nullable(sort.next_cursor(&list, &page)),
            has_more: page.has_more,
            chats: Items::first(page.items.into_iter().map(ChatDetails::from).collect()),
        }))
    }

    /// List User Chats
    ///
    /// A user's chats, newest first; with `sort=last_message_at` those with the latest activity first. Page by `offset` and `limit`, or go on with `next_cursor`, which stays right while
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
        let Query(ListUserChatsQuery { sort, paging }) = query;
        let list = List::of(ListUserChats::ID).with(caller.tenant.0).with(user.0.as_str()).with(paging.order());
        let list = sort.list(list);
        let page = chats.list_user_chats(caller.tenant, &user.0, sort.window(&paging, &list)?).await?;
        Ok(Json(ChatList {
            next_cursor: Nullable(sort.next_cursor(&list, &page)),
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
    /// messages (409 `chat_closed`) until it is active again. The body may be sent as `application/merge-patch+json` too.
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
pub(crate) struct CreateChat;

impl Operation for CreateChat {
    const ID: &'static str = "create_chat";
    const CODES: &'static [Code] =
        &[Code::InvalidRequest, Code::PayloadTooLarge, Code::UnsupportedMediaType, Code::IdempotencyKeyReused];
    const WRONG: (&'static str, &'static str) = ("/user_id", "is required");
    type Query = ();
}

/// See [`ChatsApi::list_chats`].
pub(crate) struct ListChats;

impl Operation for ListChats {
    const ID: &'static str = "list_chats";
    const CODES: &'static [Code] = &[Code::InvalidRequest];
    type Query = ListChatsQuery;
}

/// See [`ChatsApi::list_user_chats`].
pub(crate) struct ListUserChats;

impl Operation for ListUserChats {
    const ID: &'static str = "list_user_chats";
    const CODES: &'static [Code] = &[Code::InvalidRequest, Code::UserNotFound, Code::NoChats];
    type Query = ListUserChatsQuery;
}

/// See [`ChatsApi::get_chat`].
pub(crate) struct GetChat;

impl Operation for GetChat {
    const ID: &'static str = "get_chat";
    const CODES: &'static [Code] = &[Code::ChatNotFound];
    type Query = ();
}

/// See [`ChatsApi::update_chat`].
pub(crate) struct UpdateChat;

impl Operation for UpdateChat {
    const ID: &'static str = "update_chat";
    const CODES: &'static [Code] =
        &[Code::InvalidRequest, Code::ChatNotFound, Code::PayloadTooLarge, Code::UnsupportedMediaType];
    const WRONG: (&'static str, &'static str) = ("/status", "must be one of active, closed");
    type Query = ();
}

/// See [`ChatsApi::delete_chat`].
pub(crate) struct DeleteChat;

impl Operation for DeleteChat {
    const ID: &'static str = "delete_chat";
    const CODES: &'static [Code] = &[Code::InvalidRequest, Code::ChatNotFound, Code::ChatInUse];
    const WRONG: (&'static str, &'static str) = ("/query/force", "must be one of true, false");
    type Query = DeleteChatQuery;
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

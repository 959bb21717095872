//! Operations on chats.

use uuid::Uuid;

use crate::call::{self, Call, Payload};
use crate::chat::{Chat, ChatDeleted, ChatDetails, ChatSummary};
use crate::chat_patch::ChatPatch;
use crate::client::Client;
use crate::list::List;
use crate::new_chat::NewChat;
use crate::operation::{CREATE_CHAT, DELETE_CHAT, GET_CHAT, LIST_CHATS, LIST_USER_CHATS, UPDATE_CHAT};
use crate::pages::{ChatList, ChatPage};
use crate::path_and_query;
use crate::raw_response::RawResponse;

impl Client {
    /// Creates a chat for a user, who is created if unknown.
    ///
    /// The `id` of the returned chat identifies it for WebSocket connections. See [`Call`] for per-call settings.
    ///
    /// ```
    /// use parlor_sdk::NewChat;
    ///
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::created(server::CHAT)]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// let chat = client.create_chat(NewChat::new("user123")).await?;
    /// println!("{} belongs to {}", chat.id, chat.user_id);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Awaiting the call fails with [`InvalidCall`](crate::ErrorKind::InvalidCall) if the metadata is not an object,
    /// with [`Status`](crate::ErrorKind::Status) if the server rejects the request (the codes `invalid_request`,
    /// `unauthorized`, `payload_too_large`, `idempotency_key_reused`, `rate_limited`, …) and with the other kinds of
    /// [`ErrorKind`](crate::ErrorKind) if there is no usable response.
    pub fn create_chat(&self, chat: NewChat) -> Call<Chat> {
        let body = chat.into_body().map(|body| Payload::Json(body.into()));
        Call::new(self, CREATE_CHAT, Ok(CREATE_CHAT.path().to_owned()), body, call::decode_json)
    }

    /// Gets a chat with its status and message count.
    ///
    /// ```
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::details("active")]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// # let chat_id = parlor_sdk::uuid::Uuid::nil();
    /// let chat = client.get_chat(chat_id).await?;
    /// println!("{} messages, {}", chat.message_count, chat.status);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Awaiting the call fails with the code `chat_not_found` if the tenant has no such chat; otherwise as
    /// [`create_chat`](Client::create_chat).
    pub fn get_chat(&self, chat_id: Uuid) -> Call<ChatDetails> {
        Call::new(
            self,
            GET_CHAT,
            Ok(path_and_query::chat_path(GET_CHAT, chat_id)),
            Ok(Payload::Empty),
            call::decode_json,
        )
    }

    /// Lists a user's chats, newest first unless [`order`](List::order) is set.
    ///
    /// ```
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::chat_list(&[server::CHAT], None)]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// let mut chats = client.list_user_chats("user123").items();
    /// while let Some(chat) = chats.next().await {
    ///     let chat = chat?;
    ///     println!("{}: {} messages", chat.title, chat.message_count);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Reading the list fails with the code `user_not_found` if the tenant has no such user, with `no_chats` if the
    /// user has no chats, and with [`InvalidCall`](crate::ErrorKind::InvalidCall) for the ids that cannot be a path
    /// segment: the empty one, `.` and `..`. [`list_chats`](Client::list_chats) with a filter for the user returns an empty list
    /// in the first two cases and accepts these ids. Otherwise as [`get_chat`](Client::get_chat).
    pub fn list_user_chats(&self, user_id: impl AsRef<str>) -> List<ChatSummary> {
        List::new::<ChatList>(self, LIST_USER_CHATS, path_and_query::user_path(LIST_USER_CHATS, user_id.as_ref()))
    }

    /// Lists the tenant's chats, newest first unless [`order`](List::order) is set: all of them, or those that match a
    /// [`filter`](List::filter).
    ///
    /// ```
    /// use parlor_sdk::{ChatFilter, Status};
    ///
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::chat_page(&[server::CHAT], None)]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// let open = ChatFilter::new().status(Status::Active).metadata("department", "technical");
    /// let mut chats = client.list_chats().filter(open).items();
    /// while let Some(chat) = chats.next().await {
    ///     println!("{} has an open chat", chat?.user_id);
    /// }
    /// # assert!(server.requests()[0].line.contains("status=active&metadata=department%3Atechnical"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Reading the list fails with [`InvalidCall`](crate::ErrorKind::InvalidCall) if the filter is invalid; otherwise
    /// as [`create_chat`](Client::create_chat).
    pub fn list_chats(&self) -> List<ChatDetails> {
        List::new::<ChatPage>(self, LIST_CHATS, Ok(LIST_CHATS.path().to_owned()))
    }

    /// Updates a chat's title, metadata or status.
    ///
    /// The call is retried like a `GET`, although `PATCH` is not an idempotent method, because a JSON merge patch has
    /// the same result however often it is applied (RFC 7396). If another client changes the same members between two
    /// attempts, its changes are overwritten, as if this call had arrived later.
    ///
    /// ```
    /// use parlor_sdk::{ChatPatch, Status};
    /// use serde_json::json;
    ///
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::details("closed")]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// # let chat_id = parlor_sdk::uuid::Uuid::nil();
    /// let patch = ChatPatch::new().metadata(json!({"priority": null, "resolution": "answered"})).close();
    /// let chat = client.update_chat(chat_id, patch).await?;
    /// assert_eq!(chat.status, Status::Closed);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Awaiting the call fails with [`InvalidCall`](crate::ErrorKind::InvalidCall) if the patch of the metadata is not
    /// an object; otherwise as [`get_chat`](Client::get_chat).
    pub fn update_chat(&self, chat_id: Uuid, patch: ChatPatch) -> Call<ChatDetails> {
        let body = patch.into_body().map(|body| Payload::Json(body.into()));
        Call::new(self, UPDATE_CHAT, Ok(path_and_query::chat_path(UPDATE_CHAT, chat_id)), body, call::decode_json)
    }

    /// Deletes a chat permanently, with its messages.
    ///
    /// If the server may have processed an attempt and the next one finds no such chat (404, `chat_not_found`), the
    /// call succeeds: the chat is deleted, and only its deletion time is unknown. ([`Response::status`] is then 404.)
    /// The same happens for an id that never existed if the first response is lost. A 404 in response to the first
    /// attempt is an error.
    ///
    /// ```
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::deleted()]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// # let chat_id = parlor_sdk::uuid::Uuid::nil();
    /// let deleted = client.delete_chat(chat_id).force().await?;
    /// println!("deleted at {:?}", deleted.deleted_at);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Awaiting the call fails with the code `chat_in_use` while WebSocket connections to the chat are open, unless the
    /// deletion is [forced](Call::force); otherwise as [`get_chat`](Client::get_chat).
    ///
    /// [`Response::status`]: crate::Response::status
    pub fn delete_chat(&self, chat_id: Uuid) -> Call<ChatDeleted> {
        fn decode(response: &RawResponse) -> serde_json::Result<ChatDeleted> {
            if response.status.is_success() {
                return call::decode_json(response);
            }
            Ok(ChatDeleted::already_deleted())
        }
        Call::new(self, DELETE_CHAT, Ok(path_and_query::chat_path(DELETE_CHAT, chat_id)), Ok(Payload::Empty), decode)
    }
}

impl Call<ChatDeleted> {
    /// Closes open WebSocket connections to the chat instead of failing.
    pub fn force(self) -> Self {
        self.modify_query(|query| {
            query.set("force", "true");
            Ok(())
        })
    }
}

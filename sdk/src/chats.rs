//! The operations on chats.

use uuid::Uuid;

use crate::answer::Answer;
use crate::call::{self, Call, Payload};
use crate::chat_patch::ChatPatch;
use crate::client::Client;
use crate::list::List;
use crate::model::{Chat, ChatDeleted, ChatDetails, ChatSummary};
use crate::new_chat::NewChat;
use crate::operation::{CREATE_CHAT, DELETE_CHAT, GET_CHAT, LIST_CHATS, LIST_USER_CHATS, UPDATE_CHAT};
use crate::target;
use crate::wire::{ChatList, ChatPage};

impl Client {
    /// Creates a chat session for a user. A user that is not known yet is created with it.
    ///
    /// The answer's `id` is what a WebSocket connection names. See [`Call`] for the settings of a single call.
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
    /// Awaiting the call fails with [`InvalidCall`](crate::ErrorKind::InvalidCall) when the metadata is not an object,
    /// with [`Status`](crate::ErrorKind::Status) when the server refuses (the codes `invalid_request`, `unauthorized`,
    /// `payload_too_large`, `idempotency_key_reused`, `rate_limited`, …) and with the other kinds of
    /// [`ErrorKind`](crate::ErrorKind) when there is no usable answer.
    pub fn create_chat(&self, chat: NewChat) -> Call<Chat> {
        let body = chat.into_body().map(|body| Payload::Json(body.into()));
        Call::new(self, CREATE_CHAT, Ok(CREATE_CHAT.path().to_owned()), body, call::json)
    }

    /// The chat with what is counted of it.
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
    /// Awaiting the call fails with the code `chat_not_found` when the tenant has no such chat; otherwise as
    /// [`create_chat`](Client::create_chat).
    pub fn get_chat(&self, chat_id: Uuid) -> Call<ChatDetails> {
        Call::new(self, GET_CHAT, Ok(target::of_chat(GET_CHAT, chat_id)), Ok(Payload::Nothing), call::json)
    }

    /// A user's chats, newest first unless [`order`](List::order) says otherwise.
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
    /// Reading the list fails with the code `user_not_found` when the tenant has no such user and with `no_chats` when
    /// the user has no chats. [`chats`](Client::chats) with the user as its filter is empty in both cases. It also takes
    /// the three ids that cannot stand in the path of a URL, the empty one and `.` and `..`, which are
    /// [`InvalidCall`](crate::ErrorKind::InvalidCall) here. Otherwise as [`get_chat`](Client::get_chat).
    pub fn list_user_chats(&self, user_id: impl AsRef<str>) -> List<ChatSummary> {
        List::new::<ChatList>(self, LIST_USER_CHATS, target::of_user(LIST_USER_CHATS, user_id.as_ref()))
    }

    /// The tenant's chats, newest first unless [`order`](List::order) says otherwise: all of them, or those that a
    /// [`filter`](List::filter) means. The operation `list_chats`.
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
    /// let mut chats = client.chats().filter(open).items();
    /// while let Some(chat) = chats.next().await {
    ///     println!("{} waits", chat?.user_id);
    /// }
    /// # assert!(server.requests()[0].line.contains("status=active&metadata=department%3Atechnical"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Reading the list fails with [`InvalidCall`](crate::ErrorKind::InvalidCall) when the filter cannot be sent;
    /// otherwise as [`create_chat`](Client::create_chat).
    pub fn chats(&self) -> List<ChatDetails> {
        List::new::<ChatPage>(self, LIST_CHATS, Ok(LIST_CHATS.path().to_owned()))
    }

    /// Changes a chat's title, metadata or status.
    ///
    /// The call is repeated like a `GET`, although `PATCH` is not an idempotent method: the patch is a JSON merge patch,
    /// and applied twice it gives what it gives once (RFC 7396). What another client changes between two attempts of the
    /// same member is overwritten, as if the call had come later.
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
    /// Awaiting the call fails with [`InvalidCall`](crate::ErrorKind::InvalidCall) when the patch of the metadata is not
    /// an object; otherwise as [`get_chat`](Client::get_chat).
    pub fn update_chat(&self, chat_id: Uuid, patch: ChatPatch) -> Call<ChatDetails> {
        let body = patch.into_body().map(|body| Payload::Json(body.into()));
        Call::new(self, UPDATE_CHAT, Ok(target::of_chat(UPDATE_CHAT, chat_id)), body, call::json)
    }

    /// Deletes a chat for good, with its messages.
    ///
    /// When an attempt may have been carried out and the next one finds no such chat (404, `chat_not_found`), the call
    /// has succeeded: the chat is gone, and only the time of it is not known. ([`Response::status`] is the 404 then.)
    /// Of an id that never was one the same is said, should the first answer be lost. A 404 to the first attempt is an
    /// error.
    ///
    /// ```
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::deleted()]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// # let chat_id = parlor_sdk::uuid::Uuid::nil();
    /// let deleted = client.delete_chat(chat_id).force().await?;
    /// println!("gone since {:?}", deleted.deleted_at);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Awaiting the call fails with the code `chat_in_use` while WebSocket connections to the chat are open, unless it
    /// is [forced](Call::force); otherwise as [`get_chat`](Client::get_chat).
    ///
    /// [`Response::status`]: crate::Response::status
    pub fn delete_chat(&self, chat_id: Uuid) -> Call<ChatDeleted> {
        fn decode(answer: &Answer) -> serde_json::Result<ChatDeleted> {
            if answer.status.is_success() {
                return call::json(answer);
            }
            Ok(ChatDeleted::by_an_earlier_attempt())
        }
        Call::new(self, DELETE_CHAT, Ok(target::of_chat(DELETE_CHAT, chat_id)), Ok(Payload::Nothing), decode)
    }
}

impl Call<ChatDeleted> {
    /// Closes the WebSocket connections to the chat, rather than failing while there are any.
    pub fn force(self) -> Self {
        self.amend_query(|query| {
            query.set("force", "true");
            Ok(())
        })
    }
}

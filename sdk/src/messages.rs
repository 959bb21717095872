//! Operations on messages.

use uuid::Uuid;

use crate::call::{self, Call, Payload};
use crate::client::Client;
use crate::list::List;
use crate::message::{Message, NewMessage};
use crate::operation::{LIST_MESSAGES, SEND_MESSAGE};
use crate::pages::MessageList;
use crate::path_and_query;

impl Client {
    /// Lists a chat's messages, oldest first unless [`order`](List::order) is set.
    ///
    /// ```
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::messages(&[8, 9], None)]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// # let chat_id = parlor_sdk::uuid::Uuid::nil();
    /// let mut news = client.list_messages(chat_id).after_seq(7).items();
    /// while let Some(message) = news.next().await {
    ///     let message = message?;
    ///     println!("{} {}: {}", message.seq, message.sender_role, message.content);
    /// }
    /// # assert!(server.requests()[0].line.contains("after_seq=7"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Same as [`get_chat`](Client::get_chat).
    pub fn list_messages(&self, chat_id: Uuid) -> List<Message> {
        List::new::<MessageList>(self, LIST_MESSAGES, Ok(path_and_query::chat_path(LIST_MESSAGES, chat_id)))
    }

    /// Sends a message to a chat. The response arrives after the message is durable.
    ///
    /// The call carries two identifiers, both fixed before the first attempt: the `Idempotency-Key`, which the server
    /// remembers for 24 hours, and the [`client_message_id`](NewMessage::client_message_id), which it remembers as long
    /// as the chat exists. The message is therefore stored once, however often the call is sent.
    ///
    /// ```
    /// use parlor_sdk::{NewMessage, Role};
    ///
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::stored(1), server::stored(2)]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// # let chat_id = parlor_sdk::uuid::Uuid::nil();
    /// let question = client.send_message(chat_id, NewMessage::new("My printer is on fire.")).await?;
    /// assert_eq!(question.seq, 1);
    /// client.send_message(chat_id, NewMessage::new("Is it insured?").role(Role::Assistant)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Awaiting the call fails with the code `chat_closed` if the chat is closed and with `chat_not_found` if the
    /// tenant has no such chat; otherwise as [`create_chat`](Client::create_chat).
    pub fn send_message(&self, chat_id: Uuid, message: NewMessage) -> Call<Message> {
        let payload = message.check().map(|()| Payload::Message(message));
        Call::new(self, SEND_MESSAGE, Ok(path_and_query::chat_path(SEND_MESSAGE, chat_id)), payload, call::decode_json)
    }
}

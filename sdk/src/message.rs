//! Messages, as sent and as stored.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;
use crate::metadata::{Metadata, MetadataInput};
use crate::open_enum::open_enum;

/// Maximum length of a `client_message_id`, in characters.
const MAX_CLIENT_MESSAGE_ID: usize = 128;

/// A message of a chat.
///
/// Unknown fields from a newer server are ignored. Tests can create a message from JSON:
///
/// ```
/// let message: parlor_sdk::Message = serde_json::from_value(serde_json::json!({
///     "id": "018d0c8f-1b20-7c3e-9f10-5a6b7c8d9e0f",
///     "content": "My printer is on fire.",
///     "sender_role": "user",
///     "media_type": null,
///     "media_url": null,
///     "created_at": "2024-01-15T10:31:00Z",
///     "metadata": {"mood": "worried"},
///     "seq": 1,
///     "client_message_id": null,
///     "sender_id": "user123"
/// }))?;
/// assert_eq!(message.sender_role, parlor_sdk::Role::User);
/// assert_eq!(message.metadata.get("mood").unwrap(), "worried");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(description = "A message of a chat."))]
#[non_exhaustive]
pub struct Message {
    /// Unique identifier of the message.
    pub id: Uuid,
    /// The text.
    pub content: String,
    /// The role of the sender.
    #[cfg_attr(feature = "utoipa", schema(schema_with = sender_role_schema))]
    pub sender_role: Role,
    /// The media type of `media_url`; null if there is none.
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub media_type: Option<String>,
    /// The URL of an attached medium; null if there is none.
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub media_url: Option<String>,
    /// When the message was stored.
    pub created_at: DateTime<Utc>,
    /// The application's metadata; an empty object if none was set.
    #[cfg_attr(feature = "utoipa", schema(value_type = std::collections::HashMap<String, serde_json::Value>))]
    pub metadata: Metadata,
    /// The sequence number in the chat: from 1, without gaps.
    pub seq: u64,
    /// The id assigned by the sender; null if none was set.
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub client_message_id: Option<String>,
    /// The id of the user or assistant; null if unnamed.
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub sender_id: Option<String>,
}

#[cfg(feature = "utoipa")]
fn sender_role_schema() -> utoipa::openapi::schema::Object {
    Role::schema_with_description("The role of the sender.")
}

impl Message {
    /// Deserializes the metadata to a type of the application; short for `metadata.to()`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) if the metadata does not match the type.
    pub fn metadata_as<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.metadata.to()
    }
}

open_enum! {
    /// The role of a sender.
    ///
    /// A newer server may send values without a variant: they are [`Role::Other`].
    ///
    /// ```
    /// use parlor_sdk::Role;
    ///
    /// assert_eq!(Role::from("assistant"), Role::Assistant);
    /// assert_eq!(Role::from("moderator").as_str(), "moderator");
    /// ```
    pub enum Role {
        /// An end user.
        User = "user",
        /// The answering side: a program, or a person who works for the tenant.
        Assistant = "assistant",
        ..
        /// A value without a variant in this version.
        Other,
    }
}

/// The request body of [`Client::send_message`](crate::Client::send_message).
///
/// The documented limits are checked by the server, not the SDK, because a newer server may have different ones.
///
/// ```
/// use parlor_sdk::{NewMessage, Role};
/// use serde_json::json;
///
/// let message = NewMessage::new("This is how to put it out.")
///     .role(Role::Assistant)
///     .sender_id("helper-1")
///     .media("image/png", "https://example.com/extinguisher.png")
///     .metadata(json!({"confidence": 0.9}));
/// assert_eq!(
///     serde_json::to_value(&message)?,
///     json!({
///         "content": "This is how to put it out.",
///         "sender_role": "assistant",
///         "sender_id": "helper-1",
///         "media_type": "image/png",
///         "media_url": "https://example.com/extinguisher.png",
///         "metadata": {"confidence": 0.9},
///     }),
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = SendMessageRequest, description = "The request to send a message."))]
#[must_use]
pub struct NewMessage {
    /// The text.
    #[cfg_attr(feature = "utoipa", schema(min_length = 1, max_length = 32768))]
    content: String,
    /// The role of the sender; `user` if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(inline))]
    sender_role: Option<Role>,
    /// The id of the user, who is created if unknown, or of the assistant; the chat's owner if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(min_length = 1, max_length = 255))]
    sender_id: Option<String>,
    /// The media type of `media_url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "utoipa",
        schema(
            min_length = 3,
            max_length = 255,
            pattern = r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$"
        )
    )]
    media_type: Option<String>,
    /// The URL of an attached medium.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(min_length = 8, max_length = 2048, pattern = r"^https?://[\x21-\x7e]+$"))]
    media_url: Option<String>,
    /// Application data to store with the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<std::collections::HashMap<String, serde_json::Value>>))]
    metadata: Option<MetadataInput>,
    /// The id assigned by the sender, unique in the chat among the messages of that sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(min_length = 1, max_length = 128))]
    client_message_id: Option<String>,
}

impl NewMessage {
    /// Creates a message with the role `user`, 1–32,768 characters.
    pub fn new(content: impl Into<String>) -> Self {
        Self {
            content: content.into(),
            sender_role: None,
            sender_id: None,
            media_type: None,
            media_url: None,
            metadata: None,
            client_message_id: None,
        }
    }

    /// Sets the role of the sender. Default: [`Role::User`].
    pub fn role(mut self, role: Role) -> Self {
        self.sender_role = Some(role);
        self
    }

    /// Sets the id of the user or assistant, 1–255 characters. An unknown user is created. Default for a message with
    /// the role `user`: the chat's owner.
    pub fn sender_id(mut self, sender_id: impl Into<String>) -> Self {
        self.sender_id = Some(sender_id.into());
        self
    }

    /// Attaches a medium: its media type, for example `image/png`, and its `http` or `https` URL. The server does not
    /// fetch the URL.
    pub fn media(self, media_type: impl Into<String>, media_url: impl Into<String>) -> Self {
        self.media_type(media_type).media_url(media_url)
    }

    /// Sets the media type alone; see [`media`](NewMessage::media).
    pub fn media_type(mut self, media_type: impl Into<String>) -> Self {
        self.media_type = Some(media_type.into());
        self
    }

    /// Sets the media URL alone; see [`media`](NewMessage::media).
    pub fn media_url(mut self, media_url: impl Into<String>) -> Self {
        self.media_url = Some(media_url.into());
        self
    }

    /// Sets application data to store with the message. The rules are those of
    /// [`NewChat::metadata`](crate::NewChat::metadata).
    pub fn metadata(mut self, metadata: impl Serialize) -> Self {
        self.metadata = MetadataInput::new(&metadata);
        self
    }

    /// Sets an id for the message, 1–128 characters, permanently unique in its chat among the messages of its sender.
    /// Sending another message of the same sender with the same id returns the first message. Default: the call's
    /// `Idempotency-Key`, which is a random UUID unless the call sets [its own](crate::Call::idempotency_key); a key
    /// longer than 128 characters is not used as an id.
    ///
    /// ```
    /// # use parlor_sdk::NewMessage;
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::stored(1), server::stored(1)]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// # let chat_id = parlor_sdk::uuid::Uuid::nil();
    /// // An id from the application's own data: the message can be resent after a crash, even a year later.
    /// let message = NewMessage::new("Your order has been shipped.").client_message_id("order-42-shipped");
    /// let first = client.send_message(chat_id, message.clone()).await?;
    /// let again = client.send_message(chat_id, message).await?;
    /// assert_eq!(again.id, first.id);
    /// # assert!(server.requests()[1].body.contains("order-42-shipped"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn client_message_id(mut self, id: impl Into<String>) -> Self {
        self.client_message_id = Some(id.into());
        self
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.metadata.as_ref().map_or(Ok(()), MetadataInput::check)
    }

    /// Returns the body of the request with this `Idempotency-Key`. The id is derived from the key so that a repeated
    /// call with the same key is identical to the byte.
    pub(crate) fn into_body(mut self, key: &str) -> Vec<u8> {
        if self.client_message_id.is_none() && key.len() <= MAX_CLIENT_MESSAGE_ID {
            self.client_message_id = Some(key.to_owned());
        }
        serde_json::to_vec(&self).expect("strings and checked metadata are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_default_id_if_it_is_short_enough() {
        let body = |message: NewMessage, key: &str| String::from_utf8(message.into_body(key)).unwrap();
        let longest = "k".repeat(128);
        assert_eq!(
            body(NewMessage::new("c"), &longest),
            format!(r#"{{"content":"c","client_message_id":"{longest}"}}"#)
        );
        assert_eq!(body(NewMessage::new("c"), &"k".repeat(129)), r#"{"content":"c"}"#);
        assert_eq!(
            body(NewMessage::new("c").client_message_id("own"), "k"),
            r#"{"content":"c","client_message_id":"own"}"#
        );
    }
}

//! What the server answers about chats.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;
use crate::metadata::Metadata;
use crate::words::words;

/// Makes a chat with more or fewer particulars. (`serde(flatten)` cannot hold raw JSON, see [`Metadata`].)
macro_rules! chat {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
        #[non_exhaustive]
        $(#[$doc])*
        pub struct $name {
            /// Unique identifier for the chat session, which a WebSocket connection names.
            pub id: Uuid,
            /// The ID of the user who owns this chat.
            pub user_id: String,
            /// The tenant identifier, determined from the API key. Opaque: it need not be a UUID.
            pub tenant_id: String,
            /// The title of the chat session, as given or generated.
            pub title: String,
            /// The chat's metadata and other settings.
            pub config: ChatConfig,
            /// When the chat was created.
            pub created_at: DateTime<Utc>,
            /// When the chat was last updated.
            pub updated_at: DateTime<Utc>,
            /// When the last message was stored; null for a new chat.
            #[cfg_attr(feature = "utoipa", schema(required = true))]
            pub last_message_at: Option<DateTime<Utc>>,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            /// The metadata as a type of the application: short for `config.metadata.to()`.
            ///
            /// ```
            #[doc = concat!("# let chat: parlor_sdk::", stringify!($name), r##" = serde_json::from_str(r#"{
            #     "id": "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d", "user_id": "u", "tenant_id": "t", "title": "T",
            #     "config": {"metadata": {"department": "technical", "priority": "high"}},
            #     "created_at": "2024-01-15T10:30:00Z", "updated_at": "2024-01-15T10:30:00Z",
            #     "last_message_at": null, "message_count": 0, "status": "active"
            # }"#)?;"##)]
            /// #[derive(serde::Deserialize)]
            /// struct Ticket {
            ///     department: String,
            /// }
            ///
            /// let ticket: Ticket = chat.metadata_as()?;
            /// assert_eq!(ticket.department, "technical");
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            ///
            /// # Errors
            ///
            /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) when the metadata does not have the type's shape.
            pub fn metadata_as<T: DeserializeOwned>(&self) -> Result<T, Error> {
                self.config.metadata.to()
            }
        }
    };
}

chat! {
    /// A chat session of a user.
    ///
    /// Fields that a newer server adds are skipped. A chat for a test is read from JSON:
    ///
    /// ```
    /// let chat: parlor_sdk::Chat = serde_json::from_value(serde_json::json!({
    ///     "id": "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d",
    ///     "user_id": "user123",
    ///     "tenant_id": "tenant-uuid-here",
    ///     "title": "Support Session",
    ///     "config": {"metadata": {"department": "technical", "priority": "high"}},
    ///     "created_at": "2024-01-15T10:30:00Z",
    ///     "updated_at": "2024-01-15T10:30:00Z",
    ///     "last_message_at": null
    /// }))?;
    /// assert_eq!(chat.title, "Support Session");
    /// assert_eq!(chat.last_message_at, None);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[cfg_attr(feature = "utoipa", schema(description = "A chat session of a user."))]
    Chat {}
}

chat! {
    /// A chat session in the list of a user's chats.
    ChatSummary {
        /// How many messages it has.
        message_count: u64,
    }
}

chat! {
    /// A chat session with all that is known of it.
    ChatDetails {
        /// How many messages it has.
        message_count: u64,
        /// Whether it takes messages.
        #[cfg_attr(feature = "utoipa", schema(schema_with = status_schema))]
        status: Status,
    }
}

#[cfg(feature = "utoipa")]
fn status_schema() -> utoipa::openapi::schema::Object {
    Status::described("Whether it takes messages.")
}

/// The metadata of a chat and its other settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct ChatConfig {
    /// What the application stored with the chat; empty when it stored nothing.
    #[cfg_attr(feature = "utoipa", schema(value_type = std::collections::HashMap<String, serde_json::Value>))]
    pub metadata: Metadata,
}

words! {
    /// Whether a chat takes messages.
    ///
    /// A server that is newer than this crate may use words that are not listed: they arrive as [`Status::Other`].
    ///
    /// ```
    /// use parlor_sdk::Status;
    ///
    /// assert_eq!(Status::from("closed"), Status::Closed);
    /// assert_eq!(Status::from("archived").as_str(), "archived");
    /// ```
    pub enum Status {
        /// It takes messages.
        Active = "active",
        /// It takes none until it is active again.
        Closed = "closed",
        ..
        /// A word without a name in this version.
        Other,
    }
}

/// A chat is gone, with its messages: what [`Client::delete_chat`](crate::Client::delete_chat) answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(description = "A chat is gone, with its messages."))]
#[non_exhaustive]
pub struct ChatDeleted {
    /// Always true: what is not deleted is an [`Error`].
    pub success: bool,
    /// The same in words.
    pub message: String,
    /// Since when the chat is gone. None when the answer that had it was lost, and the chat was found to be gone when
    /// the call was made again.
    #[cfg_attr(feature = "utoipa", schema(required = true, value_type = DateTime<Utc>))]
    pub deleted_at: Option<DateTime<Utc>>,
}

impl ChatDeleted {
    /// What a repeated deletion comes to that finds nothing any more.
    pub(crate) fn by_an_earlier_attempt() -> Self {
        Self { success: true, message: "The chat is gone; the first answer was lost.".to_owned(), deleted_at: None }
    }
}

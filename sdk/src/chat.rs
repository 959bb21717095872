//! The server's responses about chats.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;
use crate::metadata::Metadata;
use crate::open_enum::open_enum;

/// Declares a chat model with the common fields. (`serde(flatten)` cannot hold raw JSON, see [`Metadata`].)
macro_rules! chat {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
        #[non_exhaustive]
        $(#[$doc])*
        pub struct $name {
            /// The unique id of the chat, also used to connect to it by WebSocket.
            pub id: Uuid,
            /// The id of the user who owns the chat.
            pub user_id: String,
            /// The id of the tenant that the API key belongs to. Opaque: not necessarily a UUID.
            pub tenant_id: String,
            /// The title, as set or generated.
            pub title: String,
            /// The metadata and other settings.
            pub config: ChatConfig,
            /// When the chat was created.
            pub created_at: DateTime<Utc>,
            /// When the chat was last updated.
            pub updated_at: DateTime<Utc>,
            /// When the last message was stored; null for a chat without messages.
            #[cfg_attr(feature = "utoipa", schema(required = true))]
            pub last_message_at: Option<DateTime<Utc>>,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            /// Deserializes the metadata to a type of the application; short for `config.metadata.to()`.
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
            /// [`ErrorKind::Decode`](crate::ErrorKind::Decode) if the metadata does not match the type.
            pub fn metadata_as<T: DeserializeOwned>(&self) -> Result<T, Error> {
                self.config.metadata.to()
            }
        }
    };
}

chat! {
    /// A user's chat.
    ///
    /// Unknown fields from a newer server are ignored. Tests can create a chat from JSON:
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
    #[cfg_attr(feature = "utoipa", schema(description = "A user's chat."))]
    Chat {}
}

chat! {
    /// A chat in the list of a user's chats.
    ChatSummary {
        /// The number of messages.
        message_count: u64,
    }
}

chat! {
    /// A chat with all its details.
    ChatDetails {
        /// The number of messages.
        message_count: u64,
        /// Whether the chat accepts messages.
        #[cfg_attr(feature = "utoipa", schema(schema_with = status_schema))]
        status: Status,
    }
}

#[cfg(feature = "utoipa")]
fn status_schema() -> utoipa::openapi::schema::Object {
    Status::schema_with_description("Whether the chat accepts messages.")
}

/// A chat's metadata and other settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct ChatConfig {
    /// The application's metadata; an empty object if none was set.
    #[cfg_attr(feature = "utoipa", schema(value_type = std::collections::HashMap<String, serde_json::Value>))]
    pub metadata: Metadata,
}

open_enum! {
    /// Whether a chat accepts messages.
    ///
    /// A newer server may send values without a variant: they are [`Status::Other`].
    ///
    /// ```
    /// use parlor_sdk::Status;
    ///
    /// assert_eq!(Status::from("closed"), Status::Closed);
    /// assert_eq!(Status::from("archived").as_str(), "archived");
    /// ```
    pub enum Status {
        /// The chat accepts messages.
        Active = "active",
        /// The chat rejects messages until it is active again.
        Closed = "closed",
        ..
        /// A value without a variant in this version.
        Other,
    }
}

/// The result of deleting a chat with its messages: [`Client::delete_chat`](crate::Client::delete_chat).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(description = "The result of deleting a chat."))]
#[non_exhaustive]
pub struct ChatDeleted {
    /// Always true: a failed deletion is an [`Error`].
    pub success: bool,
    /// A sentence for people.
    pub message: String,
    /// When the chat was deleted. None if the response with the time was lost and a retry found the chat already
    /// deleted.
    #[cfg_attr(feature = "utoipa", schema(required = true, value_type = DateTime<Utc>))]
    pub deleted_at: Option<DateTime<Utc>>,
}

impl ChatDeleted {
    /// Returns the result of a retried deletion that finds no chat.
    pub(crate) fn already_deleted() -> Self {
        Self {
            success: true,
            message: "The chat is deleted; the first response was lost.".to_owned(),
            deleted_at: None,
        }
    }
}

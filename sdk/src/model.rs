//! What the server answers.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::Error;

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(description = "A chat session of a user."))]
#[non_exhaustive]
pub struct Chat {
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
}

impl Chat {
    /// The metadata as a type of the application.
    ///
    /// ```
    /// # let chat: parlor_sdk::Chat = serde_json::from_str(r#"{
    /// #     "id": "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d", "user_id": "u", "tenant_id": "t", "title": "T",
    /// #     "config": {"metadata": {"department": "technical", "priority": "high"}},
    /// #     "created_at": "2024-01-15T10:30:00Z", "updated_at": "2024-01-15T10:30:00Z", "last_message_at": null
    /// # }"#)?;
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
        T::deserialize(&self.config.metadata).map_err(|error| {
            Error::local_decode("the metadata of the chat does not have the expected shape").caused_by(error)
        })
    }
}

/// The metadata of a chat and its other settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct ChatConfig {
    /// What the application stored with the chat; empty when it stored nothing. Numbers are read as 64-bit integers or
    /// as doubles.
    #[cfg_attr(feature = "utoipa", schema(value_type = std::collections::HashMap<String, Value>))]
    pub metadata: Map<String, Value>,
}

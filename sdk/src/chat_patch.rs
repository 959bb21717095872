//! The request to update a chat.

use serde::Serialize;

use crate::chat::Status;
use crate::error::Error;
use crate::metadata::MetadataInput;

/// The request body of [`Client::update_chat`](crate::Client::update_chat). Members that are not set stay unchanged.
///
/// ```
/// use parlor_sdk::ChatPatch;
/// use serde_json::json;
///
/// let patch = ChatPatch::new().title("Printer on fire").metadata(json!({"priority": null, "floor": 3})).close();
/// assert_eq!(
///     serde_json::to_value(&patch)?,
///     json!({"title": "Printer on fire", "metadata": {"priority": null, "floor": 3}, "status": "closed"}),
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = UpdateChatRequest, description = "The request to update a chat."))]
#[must_use]
pub struct ChatPatch {
    /// The new title.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(min_length = 1, max_length = 255))]
    title: Option<String>,
    /// A JSON merge patch (RFC 7396) for the metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<std::collections::HashMap<String, serde_json::Value>>))]
    metadata: Option<MetadataInput>,
    /// The new status.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(inline))]
    status: Option<Status>,
}

impl ChatPatch {
    /// Creates a patch that changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the title, 1–255 characters after trimming.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Patches the metadata with a merge patch (RFC 7396), any value that serializes to a JSON object: its members are
    /// added or replaced, nested objects are merged, and members that are `null` are removed. The result has the limits
    /// of [`NewChat::metadata`](crate::NewChat::metadata).
    pub fn metadata(mut self, patch: impl Serialize) -> Self {
        self.metadata = MetadataInput::new(&patch);
        self
    }

    /// Closes the chat: it rejects messages (409, `chat_closed`) until it is reopened.
    pub fn close(self) -> Self {
        self.status(Status::Closed)
    }

    /// Reopens a closed chat.
    pub fn reopen(self) -> Self {
        self.status(Status::Active)
    }

    /// Sets the status.
    pub fn status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    pub(crate) fn into_body(self) -> Result<Vec<u8>, Error> {
        self.metadata.as_ref().map_or(Ok(()), MetadataInput::check)?;
        Ok(serde_json::to_vec(&self).expect("strings and checked metadata are JSON"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(patch: ChatPatch) -> String {
        String::from_utf8(patch.into_body().unwrap()).unwrap()
    }

    #[test]
    fn unset_members_are_not_sent() {
        assert_eq!(body(ChatPatch::new()), "{}");
        assert_eq!(body(ChatPatch::new().close()), r#"{"status":"closed"}"#);
        assert_eq!(body(ChatPatch::new().close().reopen()), r#"{"status":"active"}"#);
        assert_eq!(body(ChatPatch::new().metadata(json!({"a": null}))), r#"{"metadata":{"a":null}}"#);
    }

    #[test]
    fn a_metadata_patch_other_than_an_object_is_rejected() {
        let error = ChatPatch::new().metadata([1]).into_body().unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidCall);
        assert!(error.to_string().contains("an array"), "{error}");
    }
}

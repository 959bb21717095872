//! What is to change about a chat.

use serde::Serialize;

use crate::error::Error;
use crate::metadata::Given;
use crate::model::Status;

/// What is to change about a chat: the body of [`Client::update_chat`](crate::Client::update_chat). What it does not
/// name stays as it is.
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
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = UpdateChatRequest, description = "What is to change about a chat."))]
#[must_use]
pub struct ChatPatch {
    /// Another title.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(min_length = 1, max_length = 255))]
    title: Option<String>,
    /// A JSON merge patch (RFC 7396) of the metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<std::collections::HashMap<String, serde_json::Value>>))]
    metadata: Option<Given>,
    /// Closes the chat, or opens it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(inline))]
    status: Option<Status>,
}

impl ChatPatch {
    /// Changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another title, 1–255 characters after trimming.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// A merge patch of the metadata (RFC 7396), any value that serialises to a JSON object: its members are added or
    /// replaced, objects within objects likewise, and a member that is `null` is removed. What comes out has the bounds
    /// of [`NewChat::metadata`](crate::NewChat::metadata).
    pub fn metadata(mut self, patch: impl Serialize) -> Self {
        self.metadata = Given::new(&patch);
        self
    }

    /// Closes the chat: it takes no messages (409, `chat_closed`) until it is opened again.
    pub fn close(self) -> Self {
        self.status(Status::Closed)
    }

    /// Opens a closed chat again.
    pub fn reopen(self) -> Self {
        self.status(Status::Active)
    }

    /// The status, for an application that has it as a value.
    pub fn status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    pub(crate) fn into_body(self) -> Result<Vec<u8>, Error> {
        self.metadata.as_ref().map_or(Ok(()), Given::check)?;
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
    fn what_is_not_named_is_not_sent() {
        assert_eq!(body(ChatPatch::new()), "{}");
        assert_eq!(body(ChatPatch::new().close()), r#"{"status":"closed"}"#);
        assert_eq!(body(ChatPatch::new().close().reopen()), r#"{"status":"active"}"#);
        assert_eq!(body(ChatPatch::new().metadata(json!({"a": null}))), r#"{"metadata":{"a":null}}"#);
    }

    #[test]
    fn a_patch_that_would_replace_the_metadata_is_refused() {
        let error = ChatPatch::new().metadata([1]).into_body().unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidCall);
        assert!(error.to_string().contains("an array"), "{error}");
    }
}

//! A chat to be created.

use serde::Serialize;

use crate::error::Error;
use crate::metadata::Given;

/// A chat to be created: the body of [`Client::create_chat`](crate::Client::create_chat).
///
/// The server checks the bounds given here, not the SDK: a newer server may have others.
///
/// ```
/// use parlor_sdk::NewChat;
/// use serde_json::json;
///
/// #[derive(serde::Serialize)]
/// struct Ticket {
///     department: &'static str,
/// }
///
/// let chat = NewChat::new("user123").metadata(Ticket { department: "technical" });
/// assert_eq!(
///     serde_json::to_value(&chat)?,
///     json!({"user_id": "user123", "metadata": {"department": "technical"}}),
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = CreateChatRequest, description = "A chat to be created."))]
#[must_use]
pub struct NewChat {
    /// The ID of the user creating the chat session.
    #[cfg_attr(feature = "utoipa", schema(min_length = 1, max_length = 255))]
    user_id: String,
    /// Optional custom title for the chat. If not provided, a title will be auto-generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(min_length = 1, max_length = 255))]
    title: Option<String>,
    /// Optional metadata object to store additional information about the chat.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<std::collections::HashMap<String, serde_json::Value>>))]
    metadata: Option<Given>,
}

impl NewChat {
    /// A chat of this user, which is the only thing that must be known: 1–255 characters, no control characters.
    pub fn new(user_id: impl Into<String>) -> Self {
        Self { user_id: user_id.into(), title: None, metadata: None }
    }

    /// The title, 1–255 characters after trimming. Without one the server makes one up.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Whatever the application wants to keep with the chat: a value that serialises to a JSON object, at most 16 KiB
    /// and 32 levels deep. It is sent and kept as its `Serialize` writes it, in the order of its fields and with every
    /// digit. `None` and `()`, JSON's `null`, are the same as no metadata.
    ///
    /// A value that cannot be serialised, or not to an object, is reported when the call is awaited.
    ///
    /// ```
    /// # use parlor_sdk::{Client, ErrorKind, NewChat};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), parlor_sdk::Error> {
    /// # let client = Client::new("http://localhost:8000", "your-tenant-api-key")?;
    /// let error = client.create_chat(NewChat::new("user123").metadata("urgent")).await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidCall);
    /// assert_eq!(error.attempts(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn metadata(mut self, metadata: impl Serialize) -> Self {
        self.metadata = Given::new(&metadata);
        self
    }

    pub(crate) fn into_body(self) -> Result<Vec<u8>, Error> {
        self.metadata.as_ref().map_or(Ok(()), Given::check)?;
        Ok(serde_json::to_vec(&self).expect("strings and checked metadata are JSON"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn body(chat: NewChat) -> String {
        String::from_utf8(chat.into_body().unwrap()).unwrap()
    }

    #[test]
    fn what_is_not_given_is_not_sent() {
        assert_eq!(body(NewChat::new("u")), r#"{"user_id":"u"}"#);
        assert_eq!(body(NewChat::new("u").title("T")), r#"{"user_id":"u","title":"T"}"#);
        assert_eq!(body(NewChat::new("u").metadata(json!({}))), r#"{"user_id":"u","metadata":{}}"#);
    }

    #[test]
    fn null_takes_the_metadata_back() {
        let chat = NewChat::new("u").metadata(json!({"a": 1})).metadata(None::<Value>);
        assert_eq!(body(chat), r#"{"user_id":"u"}"#);
    }

    #[test]
    fn the_metadata_is_sent_as_it_serialises() {
        #[derive(Serialize)]
        struct Unsorted {
            z: u128,
            a: f64,
            m: Box<serde_json::value::RawValue>,
        }
        let m = serde_json::value::RawValue::from_string(r#"{"y":1e999,"b":0}"#.to_owned()).unwrap();
        let chat = NewChat::new("u").metadata(Unsorted { z: u128::MAX, a: 0.1, m });
        let expected = r#"{"z":340282366920938463463374607431768211455,"a":0.1,"m":{"y":1e999,"b":0}}"#;
        assert_eq!(body(chat), format!(r#"{{"user_id":"u","metadata":{expected}}}"#));
    }
}

//! The operations on chats.

use std::sync::Arc;

use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::model::Chat;
use crate::operation::CREATE_CHAT;

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
        Call::new(self, CREATE_CHAT, CREATE_CHAT.path(), chat.into_body())
    }
}

/// A chat to be created: the body of [`Client::create_chat`].
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
    #[cfg_attr(feature = "utoipa", schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$"))]
    user_id: String,
    /// Optional custom title for the chat. If not provided, a title will be auto-generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "utoipa",
        schema(
            min_length = 1,
            max_length = 255,
            pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
        )
    )]
    title: Option<String>,
    /// Optional metadata object to store additional information about the chat.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<std::collections::HashMap<String, Value>>))]
    metadata: Option<Metadata>,
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
    /// and 32 levels deep. `None` and `()`, JSON's `null`, are the same as no metadata.
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
        self.metadata = match serde_json::to_value(metadata) {
            Ok(Value::Object(object)) => Some(Metadata::Object(object)),
            Ok(Value::Null) => None,
            Ok(other) => Some(Metadata::NoObject(kind_of(&other))),
            Err(error) => Some(Metadata::NoJson(Arc::new(error))),
        };
        self
    }

    fn into_body(self) -> Result<Vec<u8>, Error> {
        if let Some(refused) = self.metadata.as_ref().and_then(Metadata::refused) {
            return Err(refused);
        }
        serde_json::to_vec(&self)
            .map_err(|error| Error::invalid_call("the chat cannot be written as JSON").caused_by(error))
    }
}

/// Metadata as it was given. What is wrong with it waits here, so that [`NewChat`] can be built without a `Result`.
#[derive(Clone, Debug)]
enum Metadata {
    Object(Map<String, Value>),
    NoObject(&'static str),
    NoJson(Arc<serde_json::Error>),
}

impl Metadata {
    fn refused(&self) -> Option<Error> {
        match self {
            Self::Object(_) => None,
            Self::NoObject(kind) => {
                Some(Error::invalid_call(format!("the metadata must be a JSON object, and this is {kind}")))
            }
            Self::NoJson(error) => {
                Some(Error::invalid_call("the metadata cannot be written as JSON").caused_by(Arc::clone(error)))
            }
        }
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Object(object) => object.serialize(serializer),
            Self::NoObject(kind) => Err(S::Error::custom(format_args!("the metadata is {kind}, not an object"))),
            Self::NoJson(error) => Err(S::Error::custom(error)),
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::error::Error as _;

    use serde_json::json;

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
    fn what_is_no_object_is_named() {
        for (metadata, kind) in
            [(json!(true), "a boolean"), (json!(1), "a number"), (json!("x"), "a string"), (json!([{}]), "an array")]
        {
            let chat = NewChat::new("u").metadata(metadata);
            assert!(serde_json::to_string(&chat).unwrap_err().to_string().contains(kind));
            let error = chat.into_body().unwrap_err();
            assert!(error.to_string().contains(kind), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_serialised_keeps_its_cause() {
        let error = NewChat::new("u").metadata(BTreeMap::from([([1_u8], 2)])).into_body().unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidCall);
        assert!(error.source().unwrap().to_string().contains("key must be a string"));
    }
}

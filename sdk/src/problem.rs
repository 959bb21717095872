//! What the server says when it refuses: a problem document (RFC 9457) with Parlor's extensions.

use serde::{Deserialize, Serialize};

use crate::redact::Secrets;
use crate::words::words;

/// A problem document (RFC 9457), the body of every answer of the server that is not a success.
///
/// A gateway in front of the server may send one with fewer members: those that are missing have their default.
///
/// ```
/// use parlor_sdk::{Code, Problem};
///
/// let problem: Problem = serde_json::from_str(r#"{
///     "type": "about:blank",
///     "title": "Bad Request",
///     "status": 400,
///     "detail": "The request is not valid.",
///     "code": "invalid_request",
///     "request_id": "0190c5f0-0000-7000-8000-000000000000",
///     "errors": [{"pointer": "/user_id", "detail": "is required"}]
/// }"#)?;
/// assert_eq!(problem.code, Code::InvalidRequest);
/// assert_eq!(problem.errors[0].pointer, "/user_id");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(
    feature = "utoipa",
    derive(utoipa::ToSchema),
    schema(description = "A problem document (RFC 9457): why the request was refused.")
)]
#[non_exhaustive]
pub struct Problem {
    /// A URI reference that names the kind of problem; `about:blank` when the status says it all.
    #[serde(rename = "type", default = "about_blank")]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub type_uri: String,
    /// The kind of problem in a few words.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub title: String,
    /// The HTTP status, repeated; 0 when the document does not say.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub status: u16,
    /// What went wrong this time, in a sentence.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub detail: String,
    /// The stable word for the problem, to be compared by programs.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true, value_type = String))]
    pub code: Code,
    /// The name under which the server's log has the request.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub request_id: String,
    /// For a 400: everything in the request that was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// Replaces the secrets of the request in all of its texts.
    pub(crate) fn redact(&mut self, secrets: &Secrets) {
        if let Code::Other(code) = &mut self.code {
            secrets.redact(code);
        }
        for text in [&mut self.type_uri, &mut self.title, &mut self.detail, &mut self.request_id] {
            secrets.redact(text);
        }
        for field in &mut self.errors {
            secrets.redact(&mut field.pointer);
            secrets.redact(&mut field.detail);
        }
    }
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

/// One thing in a request that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct FieldError {
    /// Where it is: a JSON Pointer (RFC 6901) into the body, or `/query/` or `/header/` and the name of a parameter.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

words! {
    /// The stable word of a [`Problem`].
    ///
    /// A server that is newer than this crate may use words that are not listed: they arrive as [`Code::Other`].
    /// A word that is `Other` today may have its own name in a later version, so compare
    /// [`as_str`](Code::as_str) rather than the content of `Other`.
    ///
    /// ```
    /// use parlor_sdk::Code;
    ///
    /// assert_eq!(Code::from("rate_limited"), Code::RateLimited);
    /// assert_eq!(Code::from("teapot").as_str(), "teapot");
    /// ```
    pub enum Code {
        /// The request does not follow the contract; [`Problem::errors`] has the particulars.
        InvalidRequest = "invalid_request",
        /// The API key is missing, unknown or revoked.
        Unauthorized = "unauthorized",
        /// No chat of this tenant has the id.
        ChatNotFound = "chat_not_found",
        /// No user of this tenant has the id.
        UserNotFound = "user_not_found",
        /// The user has no chats.
        NoChats = "no_chats",
        /// Connections to the chat are open.
        ChatInUse = "chat_in_use",
        /// The chat is closed.
        ChatClosed = "chat_closed",
        /// The `Idempotency-Key` was used before, with another body.
        IdempotencyKeyReused = "idempotency_key_reused",
        /// A request with the same `Idempotency-Key` is being carried out.
        IdempotencyInProgress = "idempotency_in_progress",
        /// The request body is larger than the server takes.
        PayloadTooLarge = "payload_too_large",
        /// The request body is not declared as JSON.
        UnsupportedMediaType = "unsupported_media_type",
        /// The path does not know the method.
        MethodNotAllowed = "method_not_allowed",
        /// The path does not exist.
        NotFound = "not_found",
        /// Too many requests of this tenant.
        RateLimited = "rate_limited",
        /// The server, or something it needs, is not available at the moment.
        Unavailable = "unavailable",
        /// The server failed; its log has the cause.
        Internal = "internal",
        /// The assistant could not answer.
        AssistantFailed = "assistant_failed",
        /// A live session left messages out.
        Gap = "gap",
        ..
        /// A word without a name in this version; empty when the problem has none.
        Other,
    }
}

impl Default for Code {
    /// No word at all.
    fn default() -> Self {
        Self::Other(String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_problem_has_defaults_for_what_it_lacks() {
        let problem: Problem = serde_json::from_str(r#"{"title":"Forbidden","trace":{"id":1}}"#).unwrap();
        assert_eq!(problem.type_uri, "about:blank");
        assert_eq!(problem.title, "Forbidden");
        assert_eq!((problem.status, problem.code.as_str()), (0, ""));
        assert!(problem.errors.is_empty());
    }
}

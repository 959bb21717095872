//! The server's error responses: problem documents (RFC 9457) with Parlor's extensions.

use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;
use crate::redact::Secrets;

/// A problem document (RFC 9457), the body of every error response of the server.
///
/// A gateway in front of the server may send one with fewer members: missing members have default values.
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
    schema(description = "A problem document (RFC 9457): why the request failed.")
)]
#[non_exhaustive]
pub struct Problem {
    /// A URI reference that identifies the problem type; `about:blank` if the status says everything.
    #[serde(rename = "type", default = "about_blank")]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub type_uri: String,
    /// A short title of the problem type.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub title: String,
    /// The HTTP status; 0 if the document has none.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub status: u16,
    /// A sentence about this occurrence.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub detail: String,
    /// The stable, machine-readable code of the problem.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true, value_type = String))]
    pub code: Code,
    /// The request id for the server's log.
    #[serde(default)]
    #[cfg_attr(feature = "utoipa", schema(required = true))]
    pub request_id: String,
    /// For status 400: all invalid parts of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// Replaces the request's secrets in all texts.
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

/// An invalid part of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct FieldError {
    /// The location: a JSON Pointer (RFC 6901) into the body, or `/query/` or `/header/` followed by a parameter name.
    pub pointer: String,
    /// A description of the error.
    pub detail: String,
}

open_enum! {
    /// The stable code of a [`Problem`].
    ///
    /// A newer server may send codes without a variant: they are [`Code::Other`]. A later version may add a variant for
    /// a code that is `Other` today, so compare [`as_str`](Code::as_str) instead of the content of `Other`.
    ///
    /// ```
    /// use parlor_sdk::Code;
    ///
    /// assert_eq!(Code::from("rate_limited"), Code::RateLimited);
    /// assert_eq!(Code::from("teapot").as_str(), "teapot");
    /// ```
    pub enum Code {
        /// The request does not match the contract; [`Problem::errors`] has the details.
        InvalidRequest = "invalid_request",
        /// The API key is missing, unknown or revoked.
        Unauthorized = "unauthorized",
        /// The request is not allowed, for example because of its `Origin`.
        Forbidden = "forbidden",
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
        /// A request with the same `Idempotency-Key` is in progress.
        IdempotencyInProgress = "idempotency_in_progress",
        /// The request body is larger than the server accepts.
        PayloadTooLarge = "payload_too_large",
        /// The request body is not declared as JSON.
        UnsupportedMediaType = "unsupported_media_type",
        /// The path does not support the method.
        MethodNotAllowed = "method_not_allowed",
        /// The path does not exist.
        NotFound = "not_found",
        /// The request headers are larger than the server accepts.
        HeadTooLarge = "head_too_large",
        /// The tenant sent too many requests.
        RateLimited = "rate_limited",
        /// The server, or a service it depends on, is temporarily unavailable.
        Unavailable = "unavailable",
        /// The server failed; its log has the cause.
        Internal = "internal",
        /// The request needs an HTTP feature that the server does not implement.
        NotImplemented = "not_implemented",
        /// The assistant failed to respond.
        AssistantFailed = "assistant_failed",
        /// A live session skipped messages.
        Gap = "gap",
        ..
        /// A code without a variant in this version; empty if the problem has none.
        Other,
    }
}

impl Default for Code {
    /// The empty code.
    fn default() -> Self {
        Self::Other(String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_members_of_a_problem_have_defaults() {
        let problem: Problem = serde_json::from_str(r#"{"title":"Forbidden","trace":{"id":1}}"#).unwrap();
        assert_eq!(problem.type_uri, "about:blank");
        assert_eq!(problem.title, "Forbidden");
        assert_eq!((problem.status, problem.code.as_str()), (0, ""));
        assert!(problem.errors.is_empty());
    }
}

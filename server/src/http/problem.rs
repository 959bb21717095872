//! Failures on the wire: `application/problem+json` (RFC 9457) for every answer that is not 2xx or 3xx.
//!
//! A handler fails with a [`Problem`]; the framework fails with errors of its own. Both reach [`render`] at the edge,
//! which alone writes the body, since it alone knows the request's id and may put a cause into the log.

use std::borrow::Cow;

use poem::{
    IntoResponse, Response,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use poem_openapi::{
    Object,
    registry::{MetaHeader, MetaSchema, MetaSchemaRef},
};
use serde::Serialize;

use super::{
    context::RequestId,
    field_error::{Detail, FieldError},
    schema::{Integer, Items, Text, text_schema},
};
use crate::base::error::{Cause, Error};

/// The media type of every failure.
pub(crate) const CONTENT_TYPE: &str = "application/problem+json";
/// Seconds after which trying again makes sense when the database is away.
pub(super) const RETRY_AFTER_SECONDS: &str = "1";
/// How to authenticate, as `WWW-Authenticate` says it.
pub(super) const CHALLENGE: &str = r#"ApiKey realm="parlor""#;

/// What went wrong, as a stable word (contract: codes). Clients decide by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Code {
    InvalidRequest,
    Unauthorized,
    Forbidden,
    ChatNotFound,
    UserNotFound,
    NoChats,
    ChatInUse,
    ChatClosed,
    NotFound,
    MethodNotAllowed,
    PayloadTooLarge,
    UnsupportedMediaType,
    IdempotencyKeyReused,
    HeadTooLarge,
    Internal,
    NotImplemented,
    Unavailable,
}

impl Code {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::ChatNotFound => "chat_not_found",
            Self::UserNotFound => "user_not_found",
            Self::NoChats => "no_chats",
            Self::ChatInUse => "chat_in_use",
            Self::ChatClosed => "chat_closed",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::HeadTooLarge => "head_too_large",
            Self::Internal => "internal",
            Self::NotImplemented => "not_implemented",
            Self::Unavailable => "unavailable",
        }
    }

    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::ChatNotFound | Self::UserNotFound | Self::NoChats | Self::NotFound => StatusCode::NOT_FOUND,
            Self::ChatInUse | Self::ChatClosed => StatusCode::CONFLICT,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What the status means in the document.
    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::InvalidRequest => "Invalid request body or missing required fields; `errors` names all of them.",
            Self::Unauthorized => "Invalid or missing API key.",
            Self::Forbidden => "The caller may not do this.",
            Self::ChatNotFound => "The tenant has no such chat.",
            Self::UserNotFound => "The tenant has no such user.",
            Self::NoChats => "The user has no chats.",
            Self::ChatInUse => "Connections to the chat are open.",
            Self::ChatClosed => "The chat is closed and takes no messages.",
            Self::NotFound => "There is nothing at this path.",
            Self::MethodNotAllowed => "The path does not take this method; `Allow` lists those it takes.",
            Self::PayloadTooLarge => "The body is larger than the server takes.",
            Self::UnsupportedMediaType => "The body is not declared to be `application/json`.",
            Self::IdempotencyKeyReused => "The `Idempotency-Key` was used before with another request.",
            Self::HeadTooLarge => "The request's head is larger than the server takes.",
            Self::NotImplemented => "The request needs a part of HTTP that the server does not implement.",
            Self::Internal => "Server error processing the request. The `request_id` finds its cause in the log.",
            Self::Unavailable => "Temporarily unable to answer; `Retry-After` says when to try again.",
        }
    }

    /// The sentence of a failure that needs no more exact one.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request is not valid; see `errors`.",
            Self::Unauthorized => "The API key is unknown, expired or revoked.",
            Self::Forbidden => "This caller may not do this.",
            Self::ChatNotFound => "There is no such chat.",
            Self::UserNotFound => "There is no such user.",
            Self::NoChats => "The user has no chats.",
            Self::ChatInUse => "Connections to this chat are open; `force=true` closes them.",
            Self::ChatClosed => "This chat is closed; it takes no messages until it is made active again.",
            Self::NotFound => "There is nothing at this path.",
            Self::MethodNotAllowed => "This path does not take this method.",
            Self::PayloadTooLarge => "The body is larger than the server takes.",
            Self::UnsupportedMediaType => "The body must be sent as `application/json`.",
            Self::IdempotencyKeyReused => "This Idempotency-Key was used before with another request.",
            Self::HeadTooLarge => "The request's head is larger than the server takes, or has too many fields.",
            Self::NotImplemented => "The request needs a part of HTTP that the server does not implement.",
            Self::Internal => "The server failed to process the request.",
            Self::Unavailable => "The server cannot answer now; try again later.",
        }
    }
}

/// One failure, on its way to the edge.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    detail: Cow<'static, str>,
    errors: Errors,
    /// What would have been right, as the answer's header says it.
    header: Option<Box<(HeaderName, String)>>,
    /// For the log only.
    cause: Option<Cause>,
}

impl Problem {
    /// With the code's own sentence.
    pub(crate) fn new(code: Code) -> Self {
        Self { code, detail: code.sentence().into(), errors: Errors::first(Vec::new()), header: None, cause: None }
    }

    /// With a more exact sentence.
    pub(crate) fn detailed(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: detail.into(), ..Self::new(code) }
    }

    /// Everything that is wrong with a request, in the order in which it was found.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        debug_assert!(!errors.is_empty(), "an invalid request has something invalid");
        Self { errors: Errors::first(errors), ..Self::new(Code::InvalidRequest) }
    }

    /// Of a path that takes the methods `allow`.
    pub(crate) fn not_allowed(allow: String) -> Self {
        Self::new(Code::MethodNotAllowed).with_header(header::ALLOW, allow)
    }

    /// The same with a header that says what would have been right.
    pub(crate) fn with_header(self, name: HeaderName, value: impl Into<String>) -> Self {
        Self { header: Some(Box::new((name, value.into()))), ..self }
    }

    pub(crate) fn because(code: Code, cause: Cause) -> Self {
        Self { cause: Some(cause), ..Self::new(code) }
    }

    /// What a framework's error means. Its own text names Rust types, so it goes to the log at most.
    pub(crate) fn of_framework(error: &poem::Error) -> Self {
        match error.status() {
            StatusCode::UNAUTHORIZED => Self::new(Code::Unauthorized),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(Code::PayloadTooLarge),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::new(Code::UnsupportedMediaType),
            // What is left to the framework to refuse: a path whose percent-encoding is not UTF-8. It names nothing.
            status if status.is_client_error() => Self::new(Code::NotFound),
            _ => Self::because(Code::Internal, Cause::new(error.to_string())),
        }
    }

    /// The answer's body.
    fn document(&self, request_id: &RequestId) -> ProblemDocument {
        let status = self.code.status();
        ProblemDocument {
            r#type: Text::cut("about:blank"),
            title: Text::cut(status.canonical_reason().unwrap_or(status.as_str()).to_owned()),
            status: Integer::nearest(status.as_u16()),
            detail: Text::cut(self.detail.clone()),
            code: Text::cut(self.code.as_str()),
            request_id: Text::cut(request_id.as_str().to_owned()),
            errors: (self.code == Code::InvalidRequest).then(|| self.errors.clone()),
        }
    }

    /// What the document shows of `code`; of an invalid request, `wrong`: a pointer and what is wrong there.
    pub(crate) fn example(code: Code, wrong: (&str, &str)) -> serde_json::Value {
        let mut problem = Self::new(code);
        if code == Code::InvalidRequest {
            problem.errors = Errors::first(vec![FieldError::new(wrong.0, wrong.1)]);
        }
        let request_id = RequestId::example();
        serde_json::to_value(problem.document(&request_id)).expect("a problem is JSON")
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::IdempotencyKeyReused => Self::new(Code::IdempotencyKeyReused),
            Error::ChatNotFound => Self::new(Code::ChatNotFound),
            Error::UserNotFound => Self::new(Code::UserNotFound),
            Error::NoChats => Self::new(Code::NoChats),
            Error::ChatInUse => Self::new(Code::ChatInUse),
            Error::ChatClosed => Self::new(Code::ChatClosed),
            Error::Metadata(violation) => Self::invalid(vec![FieldError::at("/metadata", violation)]),
            Error::Unavailable(cause) => Self::because(Code::Unavailable, cause),
            // The rest are answers to operators, who do not call over HTTP.
            other => Self::because(Code::Internal, Cause::new(other)),
        }
    }
}

impl IntoResponse for Problem {
    /// The head only; [`render`] writes the body.
    fn into_response(self) -> Response {
        let mut response = Response::builder().status(self.code.status()).finish();
        response.set_data(self);
        response
    }
}

impl From<Problem> for poem::Error {
    fn from(problem: Problem) -> Self {
        // Not `from_response`: turning such an error back into a response drops what was attached to it.
        let mut error = Self::from_status(problem.code.status());
        error.set_data(problem);
        error
    }
}

/// Gives a failed response its body, and the log its cause.
pub(crate) fn render(mut response: Response, request_id: &RequestId) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    if let Some(cause) = &problem.cause {
        tracing::error!(request_id = request_id.as_str(), code = problem.code.as_str(), %cause, "request failed");
    }
    let document = problem.document(request_id);
    // The framework's own status may have been another.
    response.set_status(problem.code.status());
    response.set_body(serde_json::to_vec(&document).expect("a problem is JSON"));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    match problem.code {
        Code::Unauthorized => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        Code::Unavailable => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        _ => {}
    }
    if let Some((name, value)) = problem.header.map(|header| *header)
        && let Ok(value) = HeaderValue::try_from(value)
    {
        headers.insert(name, value);
    }
    response
}

/// Why a request failed (RFC 9457). Decide by `code`; show `detail` to people; quote `request_id` to the operator.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "Problem", skip_serializing_if_is_none)]
pub(crate) struct ProblemDocument {
    /// Always `about:blank`: `code` tells problems apart.
    r#type: Text<255>,
    /// The HTTP status in words.
    title: Text<255>,
    /// The HTTP status.
    status: Integer<400, 599>,
    /// What is wrong with this request, in a sentence.
    detail: Detail,
    /// What went wrong, as a stable word. New words may be added.
    code: Text<64>,
    /// Names this request in the server's log; the same as the header `X-Request-Id`.
    request_id: Text<{ RequestId::MAX_CHARS }>,
    /// With `invalid_request`: everything that is wrong, in the order in which it was found; of more than there is room
    /// for, the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Errors>,
}

/// What one answer names; a body has room for thousands of unknown members.
type Errors = Items<FieldError, 1_000>;

/// The header that every answer has.
pub(crate) fn request_id_header() -> MetaHeader {
    let schema = text_schema(1, RequestId::MAX_CHARS);
    response_header("X-Request-Id", "Names this request in the server's log.", schema)
}

/// The schema of a header that always has this value, as an example: generators make a type of an enumeration of one word,
/// and stumble over the quotes in a challenge.
pub(crate) fn constant(value: &str) -> MetaSchema {
    MetaSchema { example: Some(value.into()), ..text_schema(1, 255) }
}

/// A header of an answer.
pub(crate) fn response_header(name: &str, description: &str, schema: MetaSchema) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: false,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(schema)),
    }
}

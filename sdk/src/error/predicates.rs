//! Predicates for common causes of an [`Error`], from its status, code or close code.

use http::StatusCode;

use crate::error::{Error, ErrorKind};
use crate::problem::Code;

/// The close code of a live session whose credentials are rejected.
const CLOSE_UNAUTHORIZED: u16 = 4001;
/// The close code of a live session whose chat was deleted.
const CLOSE_NOT_FOUND: u16 = 4004;
/// The close code of a live session that exceeded a rate limit.
const CLOSE_RATE_LIMITED: u16 = 4009;

impl Error {
    /// Returns whether the server rejected the request as invalid: status 400, or the code `invalid_request`.
    pub fn is_invalid_request(&self) -> bool {
        self.has_status(StatusCode::BAD_REQUEST) || self.has_code(&[Code::InvalidRequest])
    }

    /// Returns whether the API key is missing, unknown or revoked: status 401, the code `unauthorized`, or close code
    /// 4001.
    pub fn is_unauthorized(&self) -> bool {
        self.has_status(StatusCode::UNAUTHORIZED)
            || self.has_code(&[Code::Unauthorized])
            || self.has_close_code(CLOSE_UNAUTHORIZED)
    }

    /// Returns whether the request is not allowed: status 403, or the code `forbidden`.
    pub fn is_forbidden(&self) -> bool {
        self.has_status(StatusCode::FORBIDDEN) || self.has_code(&[Code::Forbidden])
    }

    /// Returns whether the chat, user or path does not exist: status 404, a code for it, or close code 4004 (the chat
    /// was deleted).
    pub fn is_not_found(&self) -> bool {
        self.has_status(StatusCode::NOT_FOUND)
            || self.has_code(&[Code::NotFound, Code::ChatNotFound, Code::UserNotFound, Code::NoChats])
            || self.has_close_code(CLOSE_NOT_FOUND)
    }

    /// Returns whether the state of the resource does not allow the operation: status 409, or one of the codes
    /// `chat_closed`, `chat_in_use` and `idempotency_in_progress`.
    pub fn is_conflict(&self) -> bool {
        self.has_status(StatusCode::CONFLICT)
            || self.has_code(&[Code::ChatClosed, Code::ChatInUse, Code::IdempotencyInProgress])
    }

    /// Returns whether a rate limit was exceeded: status 429, the code `rate_limited`, or close code 4009.
    /// [`retry_after`](Error::retry_after) returns how long to wait.
    pub fn is_rate_limited(&self) -> bool {
        self.has_status(StatusCode::TOO_MANY_REQUESTS)
            || self.has_code(&[Code::RateLimited])
            || self.has_close_code(CLOSE_RATE_LIMITED)
    }

    /// Returns whether the request is larger than the server accepts: status 413, or the code `payload_too_large`.
    pub fn is_payload_too_large(&self) -> bool {
        self.has_status(StatusCode::PAYLOAD_TOO_LARGE) || self.has_code(&[Code::PayloadTooLarge])
    }

    /// Returns whether the server, or a service it depends on, is unavailable: status 503, or the code `unavailable`.
    pub fn is_unavailable(&self) -> bool {
        self.has_status(StatusCode::SERVICE_UNAVAILABLE) || self.has_code(&[Code::Unavailable])
    }

    /// Returns whether the server failed: any status from 500 to 599, or the code `internal`.
    pub fn is_server_error(&self) -> bool {
        self.status().is_some_and(|status| status.is_server_error()) || self.has_code(&[Code::Internal])
    }

    /// Returns whether a time limit was reached: of an attempt or of the call ([`ErrorKind::Timeout`]), or in the
    /// server or a gateway (status 408 and 504).
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout
            || self.has_status(StatusCode::REQUEST_TIMEOUT)
            || self.has_status(StatusCode::GATEWAY_TIMEOUT)
    }

    /// Returns whether no connection could be opened: [`ErrorKind::Connect`].
    pub fn is_connect(&self) -> bool {
        self.kind() == ErrorKind::Connect
    }

    /// Returns whether a successful response could not be decoded: [`ErrorKind::Decode`].
    pub fn is_decode(&self) -> bool {
        self.kind() == ErrorKind::Decode
    }

    fn has_status(&self, status: StatusCode) -> bool {
        self.status() == Some(status)
    }

    fn has_code(&self, codes: &[Code]) -> bool {
        self.code().is_some_and(|code| codes.contains(code))
    }

    #[cfg(feature = "realtime")]
    fn has_close_code(&self, code: u16) -> bool {
        self.close_code() == Some(code)
    }

    #[cfg(not(feature = "realtime"))]
    #[expect(clippy::unused_self, reason = "close codes need the feature `realtime`")]
    fn has_close_code(&self, _: u16) -> bool {
        false
    }
}

//! The kinds of errors, and the properties that follow from each.

use http::StatusCode;

use crate::problem::Code;

/// The kind of an [`Error`](super::Error).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The client could not be built: the address, key or a setting is invalid.
    Configuration,
    /// The call could not be sent: the metadata, a header, the idempotency key or a part of the path is invalid.
    InvalidCall,
    /// No connection to the server: refused, name not resolved, TLS failure, or connect timeout. This attempt did not
    /// reach the server.
    Connect,
    /// The attempt or the whole call timed out.
    Timeout,
    /// The connection broke while the request was sent or the response was read.
    Transport,
    /// The server responded with a redirect, which is not followed.
    Redirect,
    /// The server responded with a status other than 2xx.
    Status,
    /// The response is a success but its body does not match the contract. Also: the metadata of a chat or message does
    /// not match the type requested by the application.
    Decode,
    /// The response is a success but its body exceeds the limit. In a live session: an event exceeds it.
    TooLarge,
    /// The server rejected a message of a live session; [`Error::code`](super::Error::code) has the reason.
    Refused,
    /// The live session has ended, and the request was not completed.
    Closed,
}

/// Returns whether a failure of this kind may be temporary, and whether the server may have processed the call.
pub(super) fn classify(kind: ErrorKind) -> (bool, bool) {
    match kind {
        ErrorKind::Configuration | ErrorKind::InvalidCall | ErrorKind::Refused => (false, false),
        ErrorKind::Connect => (true, false),
        ErrorKind::Timeout | ErrorKind::Transport => (true, true),
        ErrorKind::Redirect | ErrorKind::Status | ErrorKind::Decode | ErrorKind::TooLarge | ErrorKind::Closed => {
            (false, true)
        }
    }
}

/// Returns the same for a response status. [`RetryPolicy`](crate::RetryPolicy) documents the choice.
pub(super) fn classify_status(status: StatusCode, code: Option<&Code>) -> (bool, bool) {
    match status.as_u16() {
        408 | 429 => (true, false),
        409 if code == Some(&Code::IdempotencyInProgress) => (true, true),
        400..=499 => (false, false),
        500 | 502 | 503 | 504 => (true, true),
        _ => (false, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_status(status: u16, code: &str) -> (bool, bool) {
        classify_status(StatusCode::from_u16(status).unwrap(), Some(&Code::from(code)))
    }

    #[test]
    fn statuses_are_classified() {
        for status in [408, 429] {
            assert_eq!(of_status(status, "x"), (true, false), "{status}");
        }
        for status in [400, 401, 403, 404, 405, 409, 413, 415, 422] {
            assert_eq!(of_status(status, "x"), (false, false), "{status}");
        }
        for status in [500, 502, 503, 504] {
            assert_eq!(of_status(status, "x"), (true, true), "{status}");
        }
        for status in [501, 505, 507, 511] {
            assert_eq!(of_status(status, "x"), (false, true), "{status}");
        }
    }

    #[test]
    fn only_idempotency_in_progress_is_a_temporary_conflict() {
        assert_eq!(of_status(409, "idempotency_in_progress"), (true, true));
        assert_eq!(of_status(409, "chat_in_use"), (false, false));
        assert_eq!(classify_status(StatusCode::CONFLICT, None), (false, false));
    }
}

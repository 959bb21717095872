//! The sorts of errors, and what follows from each.

use http::StatusCode;

use crate::problem::Code;

/// The sort of an [`Error`](super::Error).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The client could not be built: an address, key or setting is not usable.
    Configuration,
    /// The call could not be sent as it was written: metadata, a header, the idempotency key or a part of the address
    /// is not valid.
    InvalidCall,
    /// No connection to the server: refused, not resolved, not encrypted as it should be, or not within the
    /// connect time-out. The server has seen nothing of this attempt.
    Connect,
    /// The attempt or the whole call ran out of time.
    Timeout,
    /// The connection broke while the request was sent or the answer read.
    Transport,
    /// The server answered with a redirect, which is not followed.
    Redirect,
    /// The server answered, and the status is not a success.
    Status,
    /// The answer is a success but its body is not what the contract says. Also: the metadata of a chat or a message
    /// does not have the type it was asked for as.
    Decode,
    /// The answer is a success but its body is larger than the client reads. In a live session: so is an event.
    TooLarge,
    /// The server refused a message of a live session; [`Error::code`](super::Error::code) has the reason.
    Refused,
    /// A live session is over, and what was asked of it will not happen.
    Closed,
}

/// Whether a failure of this kind may pass, and whether the server may have acted.
pub(super) fn consequences(kind: ErrorKind) -> (bool, bool) {
    match kind {
        ErrorKind::Configuration | ErrorKind::InvalidCall | ErrorKind::Refused => (false, false),
        ErrorKind::Connect => (true, false),
        ErrorKind::Timeout | ErrorKind::Transport => (true, true),
        ErrorKind::Redirect | ErrorKind::Status | ErrorKind::Decode | ErrorKind::TooLarge | ErrorKind::Closed => {
            (false, true)
        }
    }
}

/// The same for an answer. [`RetryPolicy`](crate::RetryPolicy) documents the choice.
pub(super) fn consequences_of_status(status: StatusCode, code: Option<&Code>) -> (bool, bool) {
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
        consequences_of_status(StatusCode::from_u16(status).unwrap(), Some(&Code::from(code)))
    }

    #[test]
    fn a_status_says_whether_it_may_pass_and_whether_the_server_may_have_acted() {
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
    fn of_the_conflicts_only_the_twin_in_progress_passes() {
        assert_eq!(of_status(409, "idempotency_in_progress"), (true, true));
        assert_eq!(of_status(409, "chat_in_use"), (false, false));
        assert_eq!(consequences_of_status(StatusCode::CONFLICT, None), (false, false));
    }
}

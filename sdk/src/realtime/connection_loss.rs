//! How a connection ended, and whether reconnecting can help.

use crate::error::Error;
use crate::realtime::event::DisconnectReason;

/// Normal closure.
pub(crate) const NORMAL_CLOSURE: u16 = 1000;
/// Going away.
pub(crate) const GOING_AWAY: u16 = 1001;
/// No status code received.
pub(crate) const NO_STATUS_RECEIVED: u16 = 1005;

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionLoss {
    /// By a close frame.
    Closed { code: u16, reason: String },
    /// Without a close frame.
    Broken(String),
    /// By an event larger than the limit, in bytes.
    TooLarge(usize),
}

impl ConnectionLoss {
    /// Returns the error that ends the session, if a new connection would end in the same way.
    pub(crate) fn fatal_error(&self) -> Option<Error> {
        match self {
            Self::Closed { code, .. } if ends_session(*code) => Some(Error::closed(self.to_string(), Some(*code))),
            Self::Closed { .. } | Self::Broken(_) => None,
            Self::TooLarge(limit) => Some(Error::too_large(format!("an event is larger than {limit} bytes"))),
        }
    }

    /// Converts to the error of a failed attempt to connect.
    pub(crate) fn into_error(self) -> Error {
        self.fatal_error().unwrap_or_else(|| Error::transport(self.to_string()))
    }

    pub(crate) fn reason(&self) -> DisconnectReason {
        match self {
            Self::Closed { code, .. } => DisconnectReason::Closed(*code),
            Self::Broken(_) | Self::TooLarge(_) => DisconnectReason::Broken,
        }
    }
}

/// Returns whether a new connection would be closed with the same code.
fn ends_session(code: u16) -> bool {
    // Normal closure and protocol errors, and Parlor's own codes, of which those from 4008 are temporary.
    matches!(code, 1000 | 1002 | 1003 | 1007 | 1009 | 4000..=4007)
}

impl std::fmt::Display for ConnectionLoss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed { code, reason } if reason.is_empty() => write!(f, "the server closed the connection: {code}"),
            Self::Closed { code, reason } => write!(f, "the server closed the connection: {code} {reason}"),
            Self::Broken(detail) => write!(f, "the connection broke: {detail}"),
            Self::TooLarge(limit) => write!(f, "an event is larger than {limit} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_close_codes_are_known() {
        let ends = |code| {
            let fatal = ConnectionLoss::Closed { code, reason: String::new() }.fatal_error();
            assert!(fatal.as_ref().is_none_or(|error| error.close_code() == Some(code) && !error.is_retryable()));
            fatal.is_some()
        };
        for code in [1000, 1002, 1003, 1007, 1009, 4000, 4001, 4004, 4007] {
            assert!(ends(code), "{code}");
        }
        for code in [1001, 1005, 1006, 1008, 1011, 1012, 1013, 3000, 4008, 4009, 4010, 4011, 4099, 4100, 4999] {
            assert!(!ends(code), "{code}");
        }
    }
}

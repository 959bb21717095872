use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

/// Why the server ends a connection (RFC 6455, section 7.4, and contract: close codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Close {
    GoingAway,
    ProtocolError,
    UnsupportedData,
    InvalidText,
    TooBig,
    Fault,
    Unauthorized,
    ChatDeleted,
    TooSlow,
    RateLimited,
    Idle,
}

impl Close {
    /// All of them, for the document.
    pub(crate) const ALL: &'static [Self] = &[
        Self::GoingAway,
        Self::ProtocolError,
        Self::UnsupportedData,
        Self::InvalidText,
        Self::TooBig,
        Self::Fault,
        Self::Unauthorized,
        Self::ChatDeleted,
        Self::TooSlow,
        Self::RateLimited,
        Self::Idle,
    ];

    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::ProtocolError => 1002,
            Self::UnsupportedData => 1003,
            Self::InvalidText => 1007,
            Self::TooBig => 1009,
            Self::Fault => 1011,
            Self::Unauthorized => 4001,
            Self::ChatDeleted => 4004,
            Self::TooSlow => 4008,
            Self::RateLimited => 4009,
            Self::Idle => 4010,
        }
    }

    /// What the peer reads; at most 123 bytes fit.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::GoingAway => "the server is shutting down; reconnect",
            Self::ProtocolError => "this is not the WebSocket protocol",
            Self::UnsupportedData => "frames must be text",
            Self::InvalidText => "text must be UTF-8",
            Self::TooBig => "the message is larger than the server takes",
            Self::Fault => "the server cannot go on; reconnect",
            Self::Unauthorized => "the API key is no longer valid",
            Self::ChatDeleted => "the chat was deleted",
            Self::TooSlow => "the connection does not keep up; reconnect",
            Self::RateLimited => "too many frames; reconnect",
            Self::Idle => "no pong; reconnect",
        }
    }

    /// Whether connecting again makes sense.
    pub(crate) const fn reconnect(self) -> bool {
        match self {
            Self::GoingAway | Self::Fault | Self::TooSlow | Self::RateLimited | Self::Idle => true,
            Self::ProtocolError
            | Self::UnsupportedData
            | Self::InvalidText
            | Self::TooBig
            | Self::Unauthorized
            | Self::ChatDeleted => false,
        }
    }

    pub(crate) fn frame(self) -> CloseFrame {
        CloseFrame { code: CloseCode::from(self.code()), reason: self.reason().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_fits_into_its_frame() {
        assert!(Close::ALL.iter().all(|close| close.reason().len() <= 123));
    }
}

/// Why something that a client asked for did not happen, as a stable word (contract: codes). Clients decide by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    InvalidRequest,
    PayloadTooLarge,
    ChatClosed,
    Unavailable,
    Internal,
    AssistantFailed,
}

impl ErrorCode {
    /// All of them, for the document.
    pub(crate) const ALL: &'static [Self] = &[
        Self::InvalidRequest,
        Self::PayloadTooLarge,
        Self::ChatClosed,
        Self::Unavailable,
        Self::Internal,
        Self::AssistantFailed,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::PayloadTooLarge => "payload_too_large",
            Self::ChatClosed => "chat_closed",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
            Self::AssistantFailed => "assistant_failed",
        }
    }

    /// The sentence of a failure that needs no more exact one.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The frame is not valid.",
            Self::PayloadTooLarge => "The message has more bytes than the server takes; it was not stored.",
            Self::ChatClosed => "This chat is closed; it takes no messages until it is made active again.",
            Self::Unavailable => "The message was not stored; try again later.",
            Self::Internal => "The server failed to store the message.",
            Self::AssistantFailed => "The assistant could not answer. The message is stored.",
        }
    }

    /// Whether the same again may succeed.
    pub(crate) const fn is_retryable(self) -> bool {
        match self {
            Self::InvalidRequest | Self::PayloadTooLarge | Self::ChatClosed => false,
            Self::Unavailable | Self::Internal | Self::AssistantFailed => true,
        }
    }
}

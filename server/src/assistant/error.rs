use std::time::Duration;

use crate::domain::FinishReason;

/// Why there is no answer, or no more of it.
///
/// In words that a participant of the chat may read. What only the operator should know, such as what the provider wrote
/// about a refusal, is logged as a warning where it happens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssistantError {
    /// There is no connection: refused, no such name, no handshake, or not within the limit.
    #[error("the assistant cannot be reached")]
    Unreachable,
    /// 401 or 403: the provider does not take the key.
    #[error("the assistant is not set up correctly: its provider does not accept the API key")]
    Unauthorized,
    /// 404: the provider does not have the model, or nothing at the address.
    #[error("the assistant is not set up correctly: its provider does not know the model or the address")]
    NotFound,
    /// 429: too many requests, or no credit left.
    #[error("the assistant's provider takes no more requests for now")]
    RateLimited,
    /// Any other HTTP status than 200.
    #[error("the assistant's provider answered with status {0}")]
    Status(u16),
    /// The conversation exceeds the model's context, even when only the last question is sent.
    #[error("the conversation is too long for the assistant")]
    ContextTooLong,
    /// The answer was cut by the model's limit of tokens or by the limit of a message. What came before is valid.
    #[error("the answer reached the limit of its length")]
    LengthLimit,
    /// The provider withheld the answer or the rest of it.
    #[error("the assistant's provider withheld the answer")]
    Filtered,
    /// The provider accepted the request, and then reported a failure or gave up.
    #[error("the assistant's provider failed")]
    Failed,
    /// No token came for this long.
    #[error("the assistant said nothing for {} s", .0.as_secs_f64())]
    Stalled(Duration),
    /// The answer was not complete after this time.
    #[error("the assistant's answer took longer than {} s", .0.as_secs_f64())]
    TooSlow(Duration),
    /// The connection ended before the answer did.
    #[error("the connection to the assistant was interrupted")]
    Interrupted,
    /// The provider said something other than a stream of chat completions.
    #[error("the assistant's provider cannot be understood")]
    Malformed,
    /// The answer ended without a single character.
    #[error("the assistant had nothing to say")]
    Empty,
}

impl AssistantError {
    /// Whether the same message may well be answered a little later, without an operator's help.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unauthorized
            | Self::NotFound
            | Self::Malformed
            | Self::ContextTooLong
            | Self::LengthLimit
            | Self::Filtered => false,
            Self::Status(status) => *status >= 500 || *status == 408,
            Self::Unreachable
            | Self::RateLimited
            | Self::Failed
            | Self::Stalled(_)
            | Self::TooSlow(_)
            | Self::Interrupted
            | Self::Empty => true,
        }
    }

    /// Returns the reason under which an answer that ended this way is stored.
    pub(crate) fn finish_reason(&self) -> FinishReason {
        match self {
            Self::LengthLimit => FinishReason::Length,
            _ => FinishReason::Error,
        }
    }
}

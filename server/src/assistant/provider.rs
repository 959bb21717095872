//! What a provider of answers is given and gives.

use std::{fmt, pin::Pin};

use futures_util::Stream;

use super::AssistantError;
use crate::domain::Role;

/// An answer as it comes into being. Dropping it cancels the work behind it.
///
/// From [`Assistant::answer`](super::Assistant::answer) it keeps these rules: no token is empty, together they are a valid
/// [`Content`](crate::domain::Content), and after the first error it ends. A stream that ended without an error had at
/// least one token.
pub type TokenStream = Pin<Box<dyn Stream<Item = Result<String, AssistantError>> + Send>>;

/// What a provider is given.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// Oldest first; the last one is the user's message to be answered.
    pub turns: Vec<PromptMessage>,
}

/// A message as a provider sees it.
#[derive(Clone)]
pub struct PromptMessage {
    /// Who spoke.
    pub role: Role,
    /// What was said.
    pub content: String,
}

impl fmt::Debug for PromptMessage {
    /// Without the content: what people write is not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromptMessage").field("role", &self.role).finish_non_exhaustive()
    }
}

/// A source of answers.
pub trait Provider: fmt::Debug + Send + Sync {
    /// Begins an answer to the last turn. Nothing needs to happen until the stream is polled.
    ///
    /// The stream may break [`TokenStream`]'s rules: [`Assistant`](super::Assistant) sees to them.
    fn answer(&self, conversation: Conversation) -> TokenStream;
}

//! Who answers users' messages: a conversation becomes a stream of tokens.
//!
//! ```text
//! Assistant::answer   whoever is configured, if anybody
//! echo, openai        the providers: the user's own words, or a model behind an OpenAI-compatible server
//! prompt              the conversation in the order and size that models take
//! events              server-sent events out of a response
//! completion          the JSON of chat completions and of failures
//! reasoning           removes `<think>…</think>`
//! storable            what any provider says, kept within what a message may hold
//! ```
//!
//! A provider of one's own implements [`Answer`] and is configured as [`Provider::Custom`].

mod completion;
mod config;
mod connection;
mod echo;
mod error;
mod events;
mod openai;
mod prompt;
mod reasoning;
mod storable;

use std::{fmt, pin::Pin, sync::Arc};

use futures_util::Stream;

pub use self::{
    config::{AssistantLimits, BaseUrl, BearerToken, OpenAi, Provider},
    error::AssistantError,
};
use self::{echo::Echo, openai::Completions};
use crate::{base::error::Error, domain::Role};

/// An answer as it comes into being. Dropping it cancels the work behind it.
///
/// From [`Assistant::answer`] it keeps these rules: no token is empty, together they are a valid
/// [`Content`](crate::domain::Content), and after the first error it ends. A stream that ended without an error had at
/// least one token.
pub type TokenStream = Pin<Box<dyn Stream<Item = Result<String, AssistantError>> + Send>>;

/// What a provider is given.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// Oldest first; the last one is the user's message to be answered.
    pub turns: Vec<Turn>,
}

/// A message as a provider sees it.
#[derive(Clone)]
pub struct Turn {
    /// Who spoke.
    pub role: Role,
    /// What was said.
    pub content: String,
}

impl fmt::Debug for Turn {
    /// Without the content: what people write is not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("role", &self.role).finish_non_exhaustive()
    }
}

/// A source of answers.
pub trait Answer: fmt::Debug + Send + Sync {
    /// Begins an answer to the last turn. Nothing needs to happen until the stream is polled.
    ///
    /// The stream may break [`TokenStream`]'s rules: [`Assistant`] sees to them.
    fn answer(&self, conversation: Conversation) -> TokenStream;
}

/// Who answers users' messages. Cheap to clone; its `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Assistant {
    provider: Option<Arc<dyn Answer>>,
    history: u32,
}

impl Assistant {
    /// Sets up `provider`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] when this machine has no certificate roots and the provider is reached by `https`.
    pub fn new(provider: Provider, limits: AssistantLimits) -> Result<Self, Error> {
        let history = limits.history;
        let provider: Option<Arc<dyn Answer>> = match provider {
            Provider::None => None,
            Provider::Echo { pause } => Some(Arc::new(Echo::new(pause))),
            Provider::OpenAi(openai) => Some(Arc::new(Completions::new(openai, limits)?)),
            Provider::Custom(custom) => Some(custom),
        };
        Ok(Self { provider, history })
    }

    /// Begins an answer; `None` when nobody answers.
    ///
    /// An answer longer than [`Content::MAX_CHARS`](crate::domain::Content::MAX_CHARS) is cut there and ends with
    /// [`AssistantError::LengthLimit`], as does one that the model's own limit of tokens cut.
    pub fn answer(&self, conversation: Conversation) -> Option<TokenStream> {
        self.provider.as_ref().map(|provider| storable::storable(provider.answer(conversation)))
    }

    /// Whether anybody answers.
    pub fn is_there(&self) -> bool {
        self.provider.is_some()
    }

    /// How many turns a [`Conversation`] should have at most, the one to be answered included.
    pub fn history(&self) -> u32 {
        self.history
    }
}

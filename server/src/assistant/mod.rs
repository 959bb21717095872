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
//! A provider of one's own implements [`Provider`] and is configured as [`ProviderConfig::Custom`].

mod completion;
mod config;
mod connection;
mod echo;
mod error;
mod events;
mod openai;
mod prompt;
mod provider;
mod reasoning;
mod storable;

use std::sync::Arc;

pub use self::{
    config::{AssistantLimits, BaseUrl, BearerToken, OpenAi, ProviderConfig},
    error::AssistantError,
    provider::{Conversation, PromptMessage, Provider, TokenStream},
};
use self::{echo::Echo, openai::Completions};
use crate::base::error::Error;

/// Who answers users' messages. Cheap to clone; its `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Assistant {
    provider: Option<Arc<dyn Provider>>,
    history: u32,
}

impl Assistant {
    /// Sets up `provider`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] when this machine has no certificate roots and the provider is reached by `https`.
    pub fn new(provider: ProviderConfig, limits: AssistantLimits) -> Result<Self, Error> {
        let history = limits.history;
        let provider: Option<Arc<dyn Provider>> = match provider {
            ProviderConfig::None => None,
            ProviderConfig::Echo { pause } => Some(Arc::new(Echo::new(pause))),
            ProviderConfig::OpenAi(openai) => Some(Arc::new(Completions::new(openai, limits)?)),
            ProviderConfig::Custom(custom) => Some(custom),
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

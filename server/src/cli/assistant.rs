//! Who answers users' messages.

use std::{ffi::OsString, time::Duration};

use clap::{Args, ValueEnum, value_parser};

use super::{Unshown, secret_setting::secret};
use crate::{
    assistant::{AssistantLimits, BaseUrl, BearerToken, OpenAi, ProviderConfig},
    base::error::{Error, Result},
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Assistant")]
pub(super) struct Assistant {
    /// Who answers users' messages.
    #[arg(long = "assistant", env = "PARLOR_ASSISTANT", value_enum, default_value_t = Kind::None)]
    kind: Kind,
    /// How many messages of a chat the assistant is given, the one to be answered included.
    #[arg(
        long = "assistant-history",
        env = "PARLOR_ASSISTANT_HISTORY",
        default_value_t = AssistantLimits::HISTORY,
        value_parser = value_parser!(u32).range(1..=100)
    )]
    history: u32,
    /// Upper bound on the system prompt and the messages together, in estimated tokens: a quarter for each ASCII
    /// character, one for each other character, and 4 for each message. Without it only what the provider refuses as too
    /// long is shortened.
    #[arg(
        long = "assistant-context-tokens",
        env = "PARLOR_ASSISTANT_CONTEXT_TOKENS",
        value_parser = value_parser!(u32).range(1..)
    )]
    context_tokens: Option<u32>,
    /// Seconds that the first token may take, from the request or the provider's last keep-alive.
    #[arg(
        long = "assistant-first-token-timeout",
        env = "PARLOR_ASSISTANT_FIRST_TOKEN_TIMEOUT",
        default_value_t = AssistantLimits::FIRST_TOKEN_SECONDS,
        value_parser = value_parser!(u32).range(1..=86_400)
    )]
    first_token_timeout: u32,
    /// Where the OpenAI-compatible server is, up to what precedes `/chat/completions`.
    #[arg(long, env = "PARLOR_OPENAI_BASE_URL", hide_env_values = true, default_value = BaseUrl::OPENAI)]
    openai_base_url: Unshown,
    /// The key that server wants, if it wants one.
    #[arg(long, env = "PARLOR_OPENAI_API_KEY", hide_env_values = true)]
    openai_api_key: Option<Unshown>,
    /// A file that holds that key, in place of the key.
    #[arg(long, env = "PARLOR_OPENAI_API_KEY_FILE")]
    openai_api_key_file: Option<OsString>,
    /// Which of its models answers.
    #[arg(long, env = "PARLOR_OPENAI_MODEL")]
    openai_model: Option<String>,
    /// What the model is told before the conversation.
    #[arg(long, env = "PARLOR_OPENAI_SYSTEM_PROMPT", hide_env_values = true)]
    openai_system_prompt: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Nobody.
    None,
    /// The user's own words come back, for trying things out.
    Echo,
    /// A model of OpenAI, vLLM, llama.cpp, Ollama or the like.
    Openai,
}

impl Assistant {
    /// Returns the limits that the settings ask for. An answer has as much time after its first token as by default.
    pub(super) fn limits(&self) -> AssistantLimits {
        let default = AssistantLimits::default();
        let first_token = Duration::from_secs(u64::from(self.first_token_timeout));
        AssistantLimits {
            history: self.history,
            context_tokens: self.context_tokens,
            first_token,
            answer: default.answer.saturating_sub(default.first_token) + first_token,
            ..default
        }
    }

    pub(super) fn provider(self) -> Result<ProviderConfig> {
        Ok(match self.kind {
            Kind::None => ProviderConfig::None,
            Kind::Echo => ProviderConfig::Echo { pause: ProviderConfig::ECHO_PAUSE },
            Kind::Openai => ProviderConfig::OpenAi(self.openai()?),
        })
    }

    /// An empty variable is one that is not set, as deployment files have it.
    fn openai(self) -> Result<OpenAi> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let model = given(self.openai_model).ok_or_else(|| {
            Error::Invalid(
                "`--assistant openai` needs to know which model answers: name it with --openai-model or \
                 PARLOR_OPENAI_MODEL"
                    .to_owned(),
            )
        })?;
        let api_key = secret("PARLOR_OPENAI_API_KEY", self.openai_api_key, self.openai_api_key_file)?;
        Ok(OpenAi {
            base_url: self.openai_base_url.0.parse()?,
            api_key: given(api_key).map(BearerToken::new).transpose()?,
            model,
            system_prompt: given(self.openai_system_prompt),
        })
    }
}

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use reqwest::{Url, header::HeaderValue};

use super::Provider;
use crate::base::error::Error;

/// Which assistant there is.
#[derive(Debug, Clone, Default)]
pub enum ProviderConfig {
    /// Nobody answers.
    #[default]
    None,
    /// The user's own words, for trying things out.
    Echo {
        /// The time between two words.
        pause: Duration,
    },
    /// A model behind a server that speaks OpenAI's streaming chat completions.
    OpenAi(OpenAi),
    /// An implementation of the embedding application.
    Custom(Arc<dyn Provider>),
}

impl ProviderConfig {
    /// The echo's default pause: long enough to be seen.
    pub const ECHO_PAUSE: Duration = Duration::from_millis(30);
}

/// A server with `POST {base_url}/chat/completions`: OpenAI's, vLLM's, llama.cpp's, Ollama's.
#[derive(Clone)]
pub struct OpenAi {
    /// Where it is.
    pub base_url: BaseUrl,
    /// What it knows Parlor by; a local server needs nothing.
    pub api_key: Option<BearerToken>,
    /// Which of its models answers.
    pub model: String,
    /// What the model is told before the conversation.
    pub system_prompt: Option<String>,
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi").field("base_url", &self.base_url).field("model", &self.model).finish_non_exhaustive()
    }
}

/// The bounds of an answer.
#[derive(Debug, Clone, Copy)]
pub struct AssistantLimits {
    /// Messages at most that the assistant is given, the one to be answered included.
    pub history: u32,
    /// The upper bound on the system prompt and the messages together, in estimated tokens: one for four ASCII characters
    /// or for one other character, and 4 for each message. Older messages are left out; the one to be answered is always
    /// sent. `None`: no bound, and only what the provider refuses as too long is shortened.
    pub context_tokens: Option<u32>,
    /// How long a connection to the provider may take, with its TLS handshake.
    pub connect: Duration,
    /// How long the first token may take, from the request or from the provider's last sign of life: an event or a
    /// keep-alive comment. A local server may have to load its model first.
    pub first_token: Duration,
    /// How long each further token or sign of life may take.
    pub between_tokens: Duration,
    /// How long an answer may take in all, its reasoning included.
    pub answer: Duration,
}

impl AssistantLimits {
    /// The default history.
    pub const HISTORY: u32 = 20;
    /// The default time for the first token, in seconds.
    pub const FIRST_TOKEN_SECONDS: u32 = 60;
}

impl Default for AssistantLimits {
    fn default() -> Self {
        Self {
            history: Self::HISTORY,
            context_tokens: None,
            connect: Duration::from_secs(5),
            first_token: Duration::from_secs(u64::from(Self::FIRST_TOKEN_SECONDS)),
            between_tokens: Duration::from_secs(30),
            answer: Duration::from_mins(10),
        }
    }
}

/// An `http` or `https` address without user name, password, query and fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// Where OpenAI is.
    pub const OPENAI: &str = "https://api.openai.com/v1";

    /// The address of a path below this one.
    pub(super) fn join(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}/{path}", self.0.path().trim_end_matches('/')));
        url
    }

    pub(super) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl FromStr for BaseUrl {
    type Err = Error;

    /// # Errors
    /// [`Error::Invalid`]. The sentence does not repeat the address, which may hold a password.
    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |rule: &str| {
            Error::Invalid(format!("the assistant's base URL {rule}: write it like http://localhost:11434/v1"))
        };
        let url = Url::parse(text).map_err(|_| invalid("is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("must begin with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("must not hold a user name or password; a key is a setting of its own"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("must not have a query or a fragment"));
        }
        Ok(Self(url))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The provider's API key: 1 or more visible ASCII characters, never printed.
#[derive(Clone)]
pub struct BearerToken(String);

impl BearerToken {
    /// Takes a key.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is empty or not visible ASCII; the sentence does not repeat it.
    pub fn new(key: String) -> Result<Self, Error> {
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Invalid(
                "the assistant's API key must be visible ASCII characters, without spaces or line breaks".to_owned(),
            ));
        }
        Ok(Self(key))
    }

    /// The value of `Authorization`, marked so that nothing below prints it either.
    pub(super) fn header_value(&self) -> HeaderValue {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0)).expect("visible ASCII is a header value");
        value.set_sensitive(true);
        value
    }

    /// `text` without the key in it.
    pub(super) fn redact(&self, text: &str) -> String {
        text.replace(&self.0, "***")
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_joined_with_and_without_a_slash_between() {
        for (base, joined) in [
            (BaseUrl::OPENAI, "https://api.openai.com/v1/chat/completions"),
            ("http://localhost:11434/v1/", "http://localhost:11434/v1/chat/completions"),
            ("http://[::1]:8080", "http://[::1]:8080/chat/completions"),
        ] {
            assert_eq!(base.parse::<BaseUrl>().unwrap().join("chat/completions").as_str(), joined);
        }
    }

    #[test]
    fn what_is_no_plain_web_address_is_refused_and_not_repeated() {
        for (address, rule) in [
            ("", "is not a URL"),
            ("localhost", "is not a URL"),
            ("localhost:11434", "must begin with http://"),
            ("http://me:hunter2@localhost:port", "is not a URL"),
            ("http://me:hunter2@localhost", "user name or password"),
            ("http://hunter2@localhost", "user name or password"),
            ("http://localhost/v1?key=hunter2", "query or a fragment"),
            ("http://localhost/v1#hunter2", "query or a fragment"),
        ] {
            let error = address.parse::<BaseUrl>().unwrap_err();
            assert!(error.to_string().contains(rule), "{address}: {error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn a_key_is_shown_nowhere() {
        let key = BearerToken::new("sk-hunter2".to_owned()).unwrap();
        assert_eq!(key.header_value(), "Bearer sk-hunter2");
        let openai = OpenAi {
            base_url: BaseUrl::OPENAI.parse().unwrap(),
            api_key: Some(key.clone()),
            model: "m".to_owned(),
            system_prompt: Some("hunter2 is my name".to_owned()),
        };
        assert!(!format!("{key:?} {:?} {openai:#?}", key.header_value()).contains("hunter2"));
        assert_eq!(key.redact("wrong key sk-hunter2: sk-hunter2"), "wrong key ***: ***");
        for wrong in ["", "hunter 2", "hunter2\n", "hünter2"] {
            let error = BearerToken::new(wrong.to_owned()).unwrap_err();
            assert!(wrong.is_empty() || !format!("{error} {error:?}").contains(wrong), "{error}");
        }
    }
}

//! OpenAI's streaming chat completions, as OpenAI, vLLM, llama.cpp and Ollama speak them.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::{TryFutureExt as _, stream};
use reqwest::{
    Client, Method, Request, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Answer, AssistantError, AssistantLimits, Conversation, OpenAi, TokenStream, connection,
    events::{Events, interrupted},
};
use crate::{chat::Role, error::Error};

/// Bytes of a refusal's body that are read, of which the log shows [`EXCERPT_CHARS`].
const EXCERPT_BYTES: usize = 4_096;
/// Characters at most of what the provider wrote that the log shows.
const EXCERPT_CHARS: usize = 512;
/// How long a refusal's body, or the rest of a complete answer, is waited for.
const GRACE: Duration = Duration::from_secs(1);
/// The data of the event that ends a stream.
const DONE: &str = "[DONE]";

/// A model behind `POST …/chat/completions`.
pub(super) struct Completions {
    upstream: Arc<Upstream>,
}

struct Upstream {
    http: Client,
    url: Url,
    openai: OpenAi,
    limits: AssistantLimits,
}

impl Completions {
    pub(super) fn new(openai: OpenAi, limits: AssistantLimits) -> Result<Self, Error> {
        let http = connection::client(openai.base_url.is_https(), limits.connect)?;
        let url = openai.base_url.join("chat/completions");
        Ok(Self { upstream: Arc::new(Upstream { http, url, openai, limits }) })
    }
}

impl fmt::Debug for Completions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Completions").field(&self.upstream.openai).finish()
    }
}

impl Answer for Completions {
    fn answer(&self, conversation: Conversation) -> TokenStream {
        let request = self.upstream.request(&conversation);
        let answer = Listening::begin(self.upstream.clone(), request)
            .map_ok(|listening| stream::try_unfold(listening, Listening::token));
        Box::pin(answer.try_flatten_stream())
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

/// What of a `chat.completion.chunk` matters here. Servers differ in the rest, and in what they leave out.
#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
    // What a model says to itself first; servers disagree on its name.
    reasoning: Option<IgnoredAny>,
    reasoning_content: Option<IgnoredAny>,
}

impl Upstream {
    fn request(&self, conversation: &Conversation) -> Request {
        let OpenAi { api_key, model, system_prompt, .. } = &self.openai;
        let system = system_prompt.iter().map(|content| Message { role: "system", content });
        let turns = conversation.turns.iter().map(|turn| Message { role: role(turn.role), content: &turn.content });
        let body = Body { model, messages: system.chain(turns).collect(), stream: true };
        let mut request = Request::new(Method::POST, self.url.clone());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(key) = api_key {
            headers.insert(AUTHORIZATION, key.header_value());
        }
        *request.body_mut() = Some(serde_json::to_vec(&body).expect("strings are JSON").into());
        request
    }

    async fn ask(&self, request: Request) -> Result<Events, AssistantError> {
        let response = self.http.execute(request).await.map_err(|error| {
            if !error.is_connect() {
                return interrupted(error);
            }
            let error = error.without_url();
            tracing::warn!(cause = ?error, "no connection to the assistant's provider");
            AssistantError::Unreachable
        })?;
        if response.status() != StatusCode::OK {
            return Err(self.refused(response).await);
        }
        // Whatever is at a wrong address may answer every request with 200 and a page.
        if let Some(kind) = response.headers().get(CONTENT_TYPE)
            && !kind.as_bytes().to_ascii_lowercase().starts_with(b"text/event-stream")
        {
            tracing::warn!(content_type = ?kind, "the assistant's provider sent no event stream");
            return Err(AssistantError::Malformed);
        }
        Ok(Events::of(response))
    }

    async fn refused(&self, mut response: Response) -> AssistantError {
        let status = response.status();
        let mut body = Vec::new();
        let read = async {
            while let Ok(Some(chunk)) = response.chunk().await {
                body.extend_from_slice(&chunk[..chunk.len().min(EXCERPT_BYTES - body.len())]);
                if body.len() == EXCERPT_BYTES {
                    break;
                }
            }
        };
        // What has come by then is enough.
        _ = timeout(GRACE, read).await;
        let body = self.excerpt(&String::from_utf8_lossy(&body));
        tracing::warn!(status = status.as_u16(), ?body, "the assistant's provider refused");
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => AssistantError::Unauthorized,
            StatusCode::NOT_FOUND => AssistantError::NotFound,
            StatusCode::TOO_MANY_REQUESTS => AssistantError::RateLimited,
            status => AssistantError::Status(status.as_u16()),
        }
    }

    /// What the log may show of `text`. Some servers repeat the key that they do not accept.
    fn excerpt(&self, text: &str) -> String {
        let text = self.openai.api_key.as_ref().map_or_else(|| text.to_owned(), |key| key.redact(text));
        text.chars().take(EXCERPT_CHARS).collect()
    }

    /// Which of the two limits was reached.
    fn late(&self, until: Instant, deadline: Instant, patience: Duration) -> AssistantError {
        if until <= deadline { AssistantError::Stalled(patience) } else { AssistantError::TooSlow(self.limits.answer) }
    }

    fn read(&self, event: &str) -> Result<Piece, AssistantError> {
        let chunk: Chunk = serde_json::from_str(event).map_err(|error| {
            tracing::warn!(%error, event = ?self.excerpt(event), "the assistant's provider sent no chat completion");
            AssistantError::Malformed
        })?;
        if chunk.error.is_some() {
            tracing::warn!(event = ?self.excerpt(event), "the assistant's provider failed");
            return Err(AssistantError::Failed);
        }
        let Some(choice) = chunk.choices.into_iter().flatten().next() else { return Ok(Piece::default()) };
        let delta = choice.delta.unwrap_or_default();
        Ok(Piece {
            text: delta.content.filter(|text| !text.is_empty()),
            is_reasoning: delta.reasoning.is_some() || delta.reasoning_content.is_some(),
            finish_reason: choice.finish_reason.filter(|reason| !reason.is_empty()),
        })
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// What one event adds to the answer.
#[derive(Default)]
struct Piece {
    text: Option<String>,
    is_reasoning: bool,
    finish_reason: Option<String>,
}

/// What the model lets hear of itself.
enum Sign {
    Text(String),
    /// Not shown, but a sign of life.
    Reasoning,
    End,
}

/// An answer that is being listened to.
struct Listening {
    upstream: Arc<Upstream>,
    events: Events,
    /// When it has to be complete.
    deadline: Instant,
    /// Until when the first token may take; `None` once it is there.
    first_until: Option<Instant>,
    is_complete: bool,
}

impl Listening {
    async fn begin(upstream: Arc<Upstream>, request: Request) -> Result<Self, AssistantError> {
        let now = Instant::now();
        let AssistantLimits { first_token, answer, .. } = upstream.limits;
        let (first_until, deadline) = (now + first_token, now + answer);
        let asked = timeout_at(first_until.min(deadline), upstream.ask(request)).await;
        let events = asked.map_err(|_| upstream.late(first_until, deadline, first_token))??;
        Ok(Self { upstream, events, deadline, first_until: Some(first_until), is_complete: false })
    }

    /// The next token, with what is needed to go on.
    async fn token(mut self) -> Result<Option<(String, Self)>, AssistantError> {
        let AssistantLimits { first_token, between_tokens, .. } = self.upstream.limits;
        loop {
            let (until, patience) = match self.first_until {
                Some(until) => (until, first_token),
                // From now, not from the last token: the reader's own delay is not the model's.
                None => (Instant::now() + between_tokens, between_tokens),
            };
            let sign = timeout_at(until.min(self.deadline), self.sign()).await;
            match sign.map_err(|_| self.upstream.late(until, self.deadline, patience))?? {
                Sign::Text(text) => {
                    self.first_until = None;
                    return Ok(Some((text, self)));
                }
                Sign::Reasoning => self.first_until = None,
                Sign::End => {
                    // The connection can be used again once it is read to the end, which is not worth a long wait.
                    _ = timeout(GRACE, self.events.drain()).await;
                    return Ok(None);
                }
            }
        }
    }

    async fn sign(&mut self) -> Result<Sign, AssistantError> {
        while !self.is_complete {
            let Some(event) = self.events.next().await? else {
                tracing::warn!("the assistant's provider closed the connection before the answer was complete");
                return Err(AssistantError::Interrupted);
            };
            if event == DONE {
                break;
            }
            let Piece { text, is_reasoning, finish_reason } = self.upstream.read(&event)?;
            if let Some(finish_reason) = finish_reason {
                tracing::debug!(finish_reason, "the assistant's answer is complete");
                self.is_complete = true;
            }
            match text {
                Some(text) => return Ok(Sign::Text(text)),
                None if is_reasoning => return Ok(Sign::Reasoning),
                None => {}
            }
        }
        Ok(Sign::End)
    }
}

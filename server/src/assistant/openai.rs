//! OpenAI's streaming chat completions, as OpenAI, vLLM, llama.cpp and Ollama speak them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::stream;
use reqwest::{
    Client, Method, Request, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use serde::Serialize;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    AssistantError, AssistantLimits, Conversation, OpenAi, PromptMessage, Provider, TokenStream,
    completion::{self, Finish, Piece, SurrogateJoiner, Unreadable},
    connection,
    events::{Events, Received, interrupted},
    prompt,
    reasoning::ReasoningFilter,
};
use crate::{base::error::Error, domain::Role};

/// The number of bytes of a refusal's body that are read; the log shows [`EXCERPT_CHARS`] of them.
const EXCERPT_BYTES: usize = 4_096;
/// The upper bound on what the log shows of the provider's words, in characters.
const EXCERPT_CHARS: usize = 512;
/// The upper bound on an answer that is not streamed, in bytes.
const MAX_BODY_BYTES: usize = 1024 * 1024;
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
    /// Whether a connection may be left from an earlier request, which the server may have closed meanwhile.
    may_reuse: AtomicBool,
}

impl Completions {
    pub(super) fn new(openai: OpenAi, limits: AssistantLimits) -> Result<Self, Error> {
        let http = connection::client(openai.base_url.is_https(), limits.connect)?;
        let url = openai.base_url.join("chat/completions");
        Ok(Self { upstream: Arc::new(Upstream { http, url, openai, limits, may_reuse: AtomicBool::new(false) }) })
    }
}

impl fmt::Debug for Completions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Completions").field(&self.upstream.openai).finish()
    }
}

impl Provider for Completions {
    fn answer(&self, conversation: Conversation) -> TokenStream {
        let upstream = self.upstream.clone();
        let system = upstream.openai.system_prompt.as_deref();
        let turns = prompt::fit(prompt::alternate(conversation.turns), system, upstream.limits.context_tokens);
        let progress = Progress { upstream, turns, deadline: None, listening: None, has_text: false };
        Box::pin(stream::try_unfold(progress, Progress::token))
    }
}

/// An answer from the first request on. A conversation that the model refuses as too long is shortened and sent again.
struct Progress {
    upstream: Arc<Upstream>,
    turns: Vec<PromptMessage>,
    /// When the answer has to be complete; `None` before the first request.
    deadline: Option<Instant>,
    listening: Option<Listening>,
    has_text: bool,
}

impl Progress {
    /// Returns the next token, with the state to go on with.
    async fn token(mut self) -> Result<Option<(String, Self)>, AssistantError> {
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + self.upstream.limits.answer);
        loop {
            let token = async {
                let listening = match &mut self.listening {
                    Some(listening) => listening,
                    none => none.insert(Listening::begin(self.upstream.clone(), &self.turns, deadline).await?),
                };
                listening.token().await
            };
            match token.await {
                Ok(Some(token)) => {
                    self.has_text = true;
                    return Ok(Some((token, self)));
                }
                Ok(None) => return Ok(None),
                // Halving ends after at most as many attempts as the number of turns has binary digits.
                Err(AssistantError::ContextTooLong) if !self.has_text && prompt::halve(&mut self.turns) => {
                    let turns = self.turns.len();
                    tracing::warn!(turns, "the conversation is too long for the model and is sent again, shortened");
                    self.listening = None;
                }
                Err(error) => return Err(error),
            }
        }
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

/// The beginning of an accepted request's answer.
enum Accepted {
    Stream(Events),
    Whole(Piece),
}

impl Upstream {
    fn request(&self, turns: &[PromptMessage]) -> Request {
        let OpenAi { api_key, model, system_prompt, .. } = &self.openai;
        let system = system_prompt.iter().map(|content| Message { role: "system", content });
        let turns = turns.iter().map(|turn| Message { role: role(turn.role), content: &turn.content });
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

    /// Sends a request. A connection that was left from an earlier one, and that the server closed while it was idle,
    /// fails at the first byte; the request is then sent once more.
    async fn send(&self, turns: &[PromptMessage]) -> Result<Response, reqwest::Error> {
        let response = match self.http.execute(self.request(turns)).await {
            Err(error) if !error.is_connect() && self.may_reuse.load(Ordering::Relaxed) => {
                tracing::debug!(cause = ?error.without_url(), "a reused connection broke; the request is sent again");
                self.http.execute(self.request(turns)).await
            }
            response => response,
        }?;
        self.may_reuse.store(true, Ordering::Relaxed);
        Ok(response)
    }

    async fn ask(&self, turns: &[PromptMessage]) -> Result<Accepted, AssistantError> {
        let response = self.send(turns).await.map_err(|error| {
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
        match response.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase()) {
            Some(kind) if kind.starts_with(b"application/json") => self.whole(response).await.map(Accepted::Whole),
            Some(kind) if !kind.starts_with(b"text/event-stream") => {
                let content_type = String::from_utf8_lossy(&kind);
                tracing::warn!(?content_type, "the assistant's provider sent no event stream");
                Err(AssistantError::Malformed)
            }
            _ => Ok(Accepted::Stream(Events::of(response))),
        }
    }

    /// Reads an answer that is JSON instead of a stream: a whole completion, or a failure.
    async fn whole(&self, mut response: Response) -> Result<Piece, AssistantError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(interrupted)? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                tracing::warn!("the assistant's provider sent an answer of more than {MAX_BODY_BYTES} bytes");
                return Err(AssistantError::Malformed);
            }
            body.extend_from_slice(&chunk);
        }
        let body = String::from_utf8_lossy(&body);
        let piece = self.read(&body)?;
        if !piece.has_choice {
            tracing::warn!(body = ?self.excerpt(&body), "the assistant's provider sent no chat completion");
            return Err(AssistantError::Malformed);
        }
        Ok(Piece { finish: piece.finish.or(Some(Finish::Complete)), ..piece })
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
        let text = String::from_utf8_lossy(&body);
        tracing::warn!(status = status.as_u16(), body = ?self.excerpt(&text), "the assistant's provider refused");
        completion::failure(Some(status.as_u16()), &text)
    }

    /// Logs a failure that the provider reported with status 200, and classifies it.
    fn failed(&self, text: &str) -> AssistantError {
        tracing::warn!(event = ?self.excerpt(text), "the assistant's provider failed");
        completion::failure(None, text)
    }

    /// Returns what the log may show of `text`. Some servers repeat the key that they do not accept.
    fn excerpt(&self, text: &str) -> String {
        let text = self.openai.api_key.as_ref().map_or_else(|| text.to_owned(), |key| key.redact(text));
        text.chars().take(EXCERPT_CHARS).collect()
    }

    /// Returns which of the two limits was reached.
    fn late(&self, until: Instant, deadline: Instant, limit: Duration) -> AssistantError {
        if until <= deadline { AssistantError::Stalled(limit) } else { AssistantError::TooSlow(self.limits.answer) }
    }

    fn read(&self, json: &str) -> Result<Piece, AssistantError> {
        completion::read(json).map_err(|unreadable| match unreadable {
            Unreadable::Failure => self.failed(json),
            Unreadable::Malformed(error) => {
                tracing::warn!(%error, event = ?self.excerpt(json), "the assistant's provider sent no chat completion");
                AssistantError::Malformed
            }
        })
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// One step of an answer.
enum Sign {
    Text(String),
    /// Nothing to show, but the model or its server is at work.
    Alive,
    Reasoning,
    End,
}

/// The answer to one request, while it arrives.
struct Listening {
    upstream: Arc<Upstream>,
    /// `None` if the answer is not streamed.
    events: Option<Events>,
    /// What was read and not yet processed.
    piece: Option<Piece>,
    /// When the answer has to be complete.
    deadline: Instant,
    /// When the first token or the next sign of life has to be there; `None` once there was a token.
    first_until: Option<Instant>,
    surrogates: SurrogateJoiner,
    reasoning: ReasoningFilter,
    finish: Option<Finish>,
    /// Whether the finish reason came with reasoning, behind which some servers still send the text.
    finished_reasoning: bool,
    /// How the answer ended; `None` while it goes on.
    outcome: Option<Result<(), AssistantError>>,
}

impl Listening {
    async fn begin(
        upstream: Arc<Upstream>,
        turns: &[PromptMessage],
        deadline: Instant,
    ) -> Result<Self, AssistantError> {
        let first_token = upstream.limits.first_token;
        let first_until = Instant::now() + first_token;
        let asked = timeout_at(first_until.min(deadline), upstream.ask(turns)).await;
        let (events, piece) = match asked.map_err(|_| upstream.late(first_until, deadline, first_token))?? {
            Accepted::Stream(events) => (Some(events), None),
            Accepted::Whole(piece) => (None, Some(piece)),
        };
        Ok(Self {
            upstream,
            events,
            piece,
            deadline,
            first_until: Some(first_until),
            surrogates: SurrogateJoiner::default(),
            reasoning: ReasoningFilter::default(),
            finish: None,
            finished_reasoning: false,
            outcome: None,
        })
    }

    /// Returns the next token; `None` at the end of a complete answer.
    async fn token(&mut self) -> Result<Option<String>, AssistantError> {
        if let Some(outcome) = self.outcome.clone() {
            return outcome.map(|()| None);
        }
        loop {
            match self.step().await {
                Ok(Sign::Text(text)) => {
                    self.first_until = None;
                    return Ok(Some(text));
                }
                Ok(Sign::Reasoning) => self.first_until = None,
                Ok(Sign::Alive) => {
                    let first_token = self.upstream.limits.first_token;
                    self.first_until = self.first_until.map(|_| Instant::now() + first_token);
                }
                Ok(Sign::End) => return self.end(self.result()),
                Err(error) => return self.end(Err(error)),
            }
        }
    }

    /// Returns the text that was held back, if there is any, before the outcome.
    fn end(&mut self, outcome: Result<(), AssistantError>) -> Result<Option<String>, AssistantError> {
        self.outcome = Some(outcome.clone());
        let mut text = self.reasoning.push(&self.surrogates.finish());
        text.push_str(&self.reasoning.finish());
        if text.is_empty() { outcome.map(|()| None) } else { Ok(Some(text)) }
    }

    /// Returns the outcome by the finish reason.
    fn result(&self) -> Result<(), AssistantError> {
        match self.finish {
            None | Some(Finish::Complete) => Ok(()),
            Some(Finish::Length) => Err(AssistantError::LengthLimit),
            Some(Finish::Filtered) => Err(AssistantError::Filtered),
            Some(Finish::Failed) => Err(AssistantError::Failed),
        }
    }

    /// Waits for the next step, for as long as the limits allow.
    async fn step(&mut self) -> Result<Sign, AssistantError> {
        let AssistantLimits { first_token, between_tokens, .. } = self.upstream.limits;
        let (until, limit) = match self.first_until {
            _ if self.finish.is_some() && !self.finished_reasoning => (Instant::now() + GRACE, GRACE),
            Some(until) => (until, first_token),
            // From now, not from the last token: the reader's own delay is not the model's.
            None => (Instant::now() + between_tokens, between_tokens),
        };
        match timeout_at(until.min(self.deadline), self.sign()).await {
            Ok(sign) => sign,
            Err(_) if self.finish.is_some() => Ok(Sign::End),
            Err(_) => Err(self.upstream.late(until, self.deadline, limit)),
        }
    }

    async fn sign(&mut self) -> Result<Sign, AssistantError> {
        if self.finish == Some(Finish::Failed) {
            return Ok(Sign::End);
        }
        let piece = match (self.piece.take(), &mut self.events) {
            (Some(piece), _) => piece,
            (None, None) => return Ok(Sign::End),
            (None, Some(events)) => match events.next().await {
                Ok(Some(Received::Comment)) => return Ok(Sign::Alive),
                Ok(Some(Received::Failure(text))) => return Err(self.upstream.failed(&text)),
                Ok(Some(Received::Data(data))) if data.trim() == DONE => {
                    // The connection can be used again once it is read to the end, which is not worth a long wait.
                    _ = timeout(GRACE, events.drain()).await;
                    return Ok(Sign::End);
                }
                Ok(Some(Received::Data(data))) => match self.upstream.read(&data) {
                    // What follows a complete answer is of no use, whatever it is.
                    Err(AssistantError::Malformed) if self.finish.is_some() => return Ok(Sign::End),
                    piece => self.note(piece?, &data),
                },
                Ok(None) | Err(_) if self.finish.is_some() => return Ok(Sign::End),
                Ok(None) => {
                    tracing::warn!("the assistant's provider closed the connection before the answer was complete");
                    return Err(AssistantError::Interrupted);
                }
                Err(error) => return Err(error),
            },
        };
        self.finish = piece.finish.or(self.finish);
        self.finished_reasoning |= piece.finish.is_some() && piece.is_reasoning;
        let has_text = !piece.text.is_empty();
        let text = self.surrogates.push(&piece.text);
        let text = self.reasoning.push(&text);
        Ok(match text.is_empty() {
            false => Sign::Text(text),
            // Text inside of `<think>` included.
            true if piece.is_reasoning || has_text => Sign::Reasoning,
            true => Sign::Alive,
        })
    }

    /// Logs why the provider gave up, if it did.
    fn note(&self, piece: Piece, data: &str) -> Piece {
        if piece.finish == Some(Finish::Failed) {
            tracing::warn!(event = ?self.upstream.excerpt(data), "the assistant's provider gave up");
        }
        piece
    }
}

//! A single call: the request to send and its per-call settings.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::de::DeserializeOwned;

use crate::client::{Client, ClientSettings};
use crate::error::Error;
use crate::headers::{self, HeaderNames, IDEMPOTENCY_KEY, X_API_KEY};
use crate::idempotency_key::IdempotencyKey;
use crate::message::NewMessage;
use crate::operation::Operation;
use crate::path_and_query::Query;
use crate::prepared_call::PreparedCall;
use crate::raw_response::RawResponse;
use crate::redact::Secrets;
use crate::response::Response;
use crate::retry_loop;
use crate::retry_policy::RetryStop;
use crate::transport::Request;

/// Accepted media types: the models, and the problem document of an error response.
const ACCEPTED: HeaderValue = HeaderValue::from_static("application/json, application/problem+json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A call to the server. Awaiting it returns its value, for example a [`Chat`](crate::Chat).
///
/// Nothing is sent until the call is awaited. Its settings apply to this call only. An invalid setting is reported when
/// the call is awaited, before anything is sent.
///
/// ```
/// use std::time::Duration;
/// use parlor_sdk::NewChat;
///
/// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = server::Server::start([server::created(server::CHAT)]);
/// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
/// let chat = client
///     .create_chat(NewChat::new("user123"))
///     .timeout(Duration::from_secs(5))
///     .header("X-Request-Id", "order-42")
///     .idempotency_key("order-42-chat")
///     .await?;
/// # assert_eq!(server.requests()[0].header("x-request-id"), Some("order-42"));
/// # assert_eq!(server.requests()[0].header("idempotency-key"), Some("order-42-chat"));
/// # assert_eq!(chat.user_id, "user123");
/// # Ok(())
/// # }
/// ```
#[must_use = "a call does nothing until it is awaited"]
pub struct Call<T> {
    client: Client,
    operation: Operation,
    /// The request parts, or the first error.
    draft: Result<RequestDraft, Error>,
    decode: Decode<T>,
}

/// Converts a successful response to the call's value.
pub(crate) type Decode<T> = fn(&RawResponse) -> serde_json::Result<T>;

/// Decodes the response body as JSON.
pub(crate) fn decode_json<T: DeserializeOwned>(response: &RawResponse) -> serde_json::Result<T> {
    serde_json::from_slice(&response.body)
}

/// The request parts that are specific to one call.
#[derive(Clone)]
struct RequestDraft {
    path: String,
    query: Query,
    payload: Payload,
    headers: HeaderMap,
    timeout: Option<Duration>,
    deadline: Option<Instant>,
    idempotency_key: Option<IdempotencyKey>,
}

/// The source of the request body.
#[derive(Clone)]
pub(crate) enum Payload {
    Empty,
    Json(Bytes),
    /// A message, whose body depends on the idempotency key.
    Message(NewMessage),
}

impl Payload {
    fn into_body(self, key: Option<&IdempotencyKey>) -> Option<Bytes> {
        match self {
            Self::Empty => None,
            Self::Json(body) => Some(body),
            Self::Message(message) => Some(message.into_body(key.map_or("", IdempotencyKey::as_str)).into()),
        }
    }
}

/// The future of an awaited [`Call`].
pub type CallFuture<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

impl<T> Call<T> {
    /// `path` is the operation's path with its parameters filled in and percent-encoded.
    pub(crate) fn new(
        client: &Client,
        operation: Operation,
        path: Result<String, Error>,
        payload: Result<Payload, Error>,
        decode: Decode<T>,
    ) -> Self {
        let draft = path.and_then(|path| {
            Ok(RequestDraft {
                path,
                query: Query::default(),
                payload: payload?,
                headers: HeaderMap::new(),
                timeout: None,
                deadline: None,
                idempotency_key: None,
            })
        });
        Self { client: client.clone(), operation, draft, decode }
    }

    /// Sets the maximum time for the call, including all attempts and the delays between them, measured from when it is
    /// awaited. Replaces the client's [`total_timeout`](crate::ClientBuilder::total_timeout).
    pub fn timeout(self, timeout: Duration) -> Self {
        self.modify(|draft| {
            draft.timeout = Some(timeout);
            Ok(())
        })
    }

    /// Sets the instant by which the call must have ended. Combined with a [`timeout`](Call::timeout), of the client or
    /// of the call, the earlier limit applies.
    ///
    /// ```
    /// # use parlor_sdk::{Client, ErrorKind, NewChat};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), parlor_sdk::Error> {
    /// # let client = Client::new("http://localhost:8000", "your-tenant-api-key")?;
    /// let too_late = std::time::Instant::now();
    /// let error = client.create_chat(NewChat::new("user123")).deadline(too_late).await.unwrap_err();
    /// assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 0));
    /// # Ok(())
    /// # }
    /// ```
    pub fn deadline(self, deadline: Instant) -> Self {
        self.modify(|draft| {
            draft.deadline = Some(deadline);
            Ok(())
        })
    }

    /// Adds a header to this call. Replaces an earlier header with the same name, including one set on the client. The
    /// headers listed at [`ClientBuilder::header`](crate::ClientBuilder::header) cannot be set.
    pub fn header(self, name: impl TryInto<HeaderName>, value: impl TryInto<HeaderValue>) -> Self {
        self.modify(|draft| {
            let (name, value) = headers::parse(name, value).map_err(Error::invalid_call)?;
            draft.headers.insert(name, value);
            Ok(())
        })
    }

    /// Sets the `Idempotency-Key`: 1–255 visible ASCII characters. Default: a random UUID. Only
    /// [`create_chat`](Client::create_chat) and [`send_message`](Client::send_message) use a key.
    ///
    /// The server executes calls with the same key and body once and returns the first response to all of them, for 24
    /// hours. A key derived from the application's own data allows a call to be repeated after a crash. Reusing a key
    /// with a different body fails with 422, [`Code::IdempotencyKeyReused`](crate::Code::IdempotencyKeyReused).
    ///
    /// ```
    /// # use parlor_sdk::NewChat;
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::created(server::CHAT)]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// let order = 42;
    /// let call = client.create_chat(NewChat::new("user123")).idempotency_key(format!("order-{order}-chat"));
    /// assert_eq!(call.with_response().await?.idempotency_key(), Some("order-42-chat"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn idempotency_key(self, key: impl Into<String>) -> Self {
        let keyed = self.operation.is_keyed();
        self.modify(|draft| {
            if !keyed {
                return Err(Error::invalid_call("this operation does not use an idempotency key"));
            }
            draft.idempotency_key = Some(IdempotencyKey::parse(key.into())?);
            Ok(())
        })
    }

    pub(crate) fn modify_query(self, change: impl FnOnce(&mut Query) -> Result<(), Error>) -> Self {
        let operation = self.operation;
        self.modify(|draft| {
            change(&mut draft.query)?;
            debug_assert!(draft.query.names().all(|name| operation.query().contains(&name)), "{:?}", draft.query);
            Ok(())
        })
    }

    pub(crate) fn operation(&self) -> Operation {
        self.operation
    }

    /// Returns the value of a query parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.draft.as_ref().ok()?.query.get(name)
    }

    /// Returns a copy of the call, or none if its settings are invalid.
    pub(crate) fn try_clone(&self) -> Option<Self> {
        let draft = self.draft.as_ref().ok()?.clone();
        Some(Self { client: self.client.clone(), operation: self.operation, draft: Ok(draft), decode: self.decode })
    }

    fn modify(self, change: impl FnOnce(&mut RequestDraft) -> Result<(), Error>) -> Self {
        let draft = self.draft.and_then(|mut draft| {
            change(&mut draft)?;
            Ok(draft)
        });
        Self { draft, ..self }
    }
}

impl<T> Call<T> {
    /// Makes the call and returns its value together with the status, headers, request id and number of attempts.
    ///
    /// ```
    /// # use parlor_sdk::NewChat;
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::created(server::CHAT)]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// let response = client.create_chat(NewChat::new("user123")).with_response().await?;
    /// assert_eq!(response.status().as_u16(), 201);
    /// if response.is_replayed() {
    ///     println!("this chat had already been created");
    /// }
    /// println!("{} (request {:?})", response.value().id, response.request_id());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Same as awaiting the call itself; see [`Error`].
    pub async fn with_response(self) -> Result<Response<T>, Error> {
        let Self { client, operation, draft, decode } = self;
        let draft = draft.map_err(|error| error.with_call(operation, 0, None, false))?;
        let call = draft.prepare(operation, &client.inner.settings);
        let (response, attempts) = retry_loop::execute(&client.inner, &call).await?;
        let key = call.key();
        match decode(&response) {
            Ok(value) => Ok(Response::new(value, response.status, response.headers, attempts, key.map(str::to_owned))),
            Err(error) => {
                let what = response.describe(&call.request.url);
                let message = format!("the response is a success, but does not match the contract: {what}");
                Err(Error::decode(message)
                    .with_source(error)
                    .with_response_details(response.into_error_response())
                    .redact(&Secrets::of(&call.request.headers))
                    .with_call(operation, attempts, key, true)
                    .with_retry_stop(RetryStop::NotRetryable))
            }
        }
    }
}

impl<T: 'static> IntoFuture for Call<T> {
    type Output = Result<T, Error>;
    type IntoFuture = CallFuture<T>;

    fn into_future(self) -> CallFuture<T> {
        Box::pin(async move { self.with_response().await.map(Response::into_value) })
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut call = f.debug_struct("Call");
        call.field("operation", &self.operation.id());
        match &self.draft {
            Ok(draft) => call
                .field("path", &draft.path)
                .field("query", &draft.query)
                .field("headers", &HeaderNames(&draft.headers))
                .field("timeout", &draft.timeout)
                .field("deadline", &draft.deadline)
                .field("idempotency_key", &draft.idempotency_key),
            Err(error) => call.field("error", error),
        };
        call.finish_non_exhaustive()
    }
}

impl RequestDraft {
    /// Inserts the SDK's own headers last so that no other header replaces them.
    fn prepare(self, operation: Operation, settings: &ClientSettings) -> PreparedCall {
        let idempotency_key = operation.is_keyed().then(|| self.idempotency_key.unwrap_or_else(IdempotencyKey::random));
        let mut headers = settings.headers.clone();
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        headers.insert(ACCEPT, ACCEPTED);
        headers.insert(X_API_KEY, settings.api_key.header_value());
        if let Some(key) = &idempotency_key {
            headers.insert(IDEMPOTENCY_KEY, key.header_value());
        }
        let body = self.payload.into_body(idempotency_key.as_ref());
        if body.is_some() {
            headers.insert(CONTENT_TYPE, JSON);
        }
        let method = Method::from_bytes(operation.method().as_bytes()).expect("the operation table has valid methods");
        let mut url = settings.base_url.join(&self.path);
        self.query.write_to(&mut url);
        PreparedCall {
            operation,
            request: Request { method, url, headers, body },
            idempotency_key,
            timeout: self.timeout.unwrap_or(settings.total_timeout),
            deadline: self.deadline,
        }
    }
}

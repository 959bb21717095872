//! A call's value together with its HTTP response.

use std::fmt;

use http::{HeaderMap, StatusCode};

use crate::headers::{self, HeaderNames, IDEMPOTENCY_REPLAYED, X_REQUEST_ID};

/// A successful response: the value of the call, status, headers and number of attempts.
///
/// Returned by [`Call::with_response`](crate::Call::with_response). `Debug` prints the names of the headers only.
///
/// ```
/// # use parlor_sdk::NewChat;
/// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = server::Server::start([server::created(server::CHAT)]);
/// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
/// let response = client.create_chat(NewChat::new("user123")).with_response().await?;
/// assert_eq!(response.headers()["content-type"], "application/json");
/// assert_eq!(response.attempts(), 1);
/// let chat = response.into_value();
/// # assert_eq!(chat.user_id, "user123");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Response<T> {
    value: T,
    status: StatusCode,
    headers: HeaderMap,
    attempts: u32,
    idempotency_key: Option<String>,
}

impl<T> Response<T> {
    pub(crate) fn new(
        value: T,
        status: StatusCode,
        headers: HeaderMap,
        attempts: u32,
        idempotency_key: Option<String>,
    ) -> Self {
        Self { value, status, headers, attempts, idempotency_key }
    }

    /// Returns the value of the call.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Returns the value of the call, consuming the response.
    pub fn into_value(self) -> T {
        self.value
    }

    /// Returns the status: 2xx, or 404 if a retried deletion found that the first attempt had succeeded, see
    /// [`Client::delete_chat`](crate::Client::delete_chat).
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns all headers of the response.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the request id for the server's log (`X-Request-Id`).
    pub fn request_id(&self) -> Option<&str> {
        headers::text(&self.headers, &X_REQUEST_ID)
    }

    /// Returns whether this is the stored response to an earlier request with the same `Idempotency-Key` or
    /// `client_message_id` (`Idempotency-Replayed: true`), possibly an earlier attempt of the same call.
    pub fn is_replayed(&self) -> bool {
        headers::text(&self.headers, &IDEMPOTENCY_REPLAYED).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Returns the number of attempts, including those that could not connect; at least 1.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the `Idempotency-Key` of the call, set or generated; none if it has none.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }
}

impl<T: fmt::Debug> fmt::Debug for Response<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &HeaderNames(&self.headers))
            .field("attempts", &self.attempts)
            .field("idempotency_key", &self.idempotency_key)
            .field("value", &self.value)
            .finish()
    }
}

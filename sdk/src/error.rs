//! The error type of the crate: opaque, with methods that report its properties.

mod kind;
mod predicates;

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};

pub use self::kind::ErrorKind;
use self::kind::{classify, classify_status};
use crate::operation::Operation;
use crate::problem::{Code, Problem};
use crate::redact::Secrets;
use crate::retry_policy::RetryStop;

/// The error of a call, a live session or a client that could not be built.
///
/// Use [`is_retryable`](Error::is_retryable) and [`was_maybe_processed`](Error::was_maybe_processed) to decide what to
/// do; they hold for every kind, including kinds that a later version adds. [`source`](StdError::source) returns the
/// cause, if any, for example a [`std::io::Error`].
///
/// **Secrets.** The API key, tickets, user tokens and credentials from request headers are replaced with `***` in
/// everything that an error keeps and prints, even if the server echoes them. Response header values are available from
/// [`headers`](Error::headers) but are not printed.
///
/// **Formatting.** `Display` is one sentence. `Debug` is that sentence followed by the causes, because `fn main() ->
/// Result<(), parlor_sdk::Error>` prints `Debug`.
///
/// ```
/// use parlor_sdk::{Client, Code, ErrorKind, NewChat};
///
/// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = server::Server::start([server::problem(400, "invalid_request")]);
/// # let url = server.url();
/// let client = Client::new(url, "your-tenant-api-key")?;
/// let error = client.create_chat(NewChat::new("")).await.unwrap_err();
///
/// assert_eq!(error.kind(), ErrorKind::Status);
/// assert_eq!(error.status().map(|status| status.as_u16()), Some(400));
/// assert_eq!(error.code(), Some(&Code::InvalidRequest));
/// assert!(!error.is_retryable() && !error.was_maybe_processed());
/// for field in &error.problem().expect("the server sends a problem document").errors {
///     eprintln!("{}: {}", field.pointer, field.detail);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Error {
    /// Boxed to keep `Result`s small.
    inner: Box<ErrorInner>,
}

struct ErrorInner {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
    response: Option<ErrorResponse>,
    /// Details of a live session, which has no HTTP response.
    #[cfg(feature = "realtime")]
    session: SessionDetails,
    call: CallDetails,
    /// Whether the failure may be temporary.
    transient: bool,
    maybe_processed: bool,
}

/// The parts of an HTTP response that an error keeps.
#[derive(Default)]
pub(crate) struct ErrorResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) request_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) problem: Option<Problem>,
    pub(crate) body: Option<String>,
}

impl ErrorResponse {
    fn redact(&mut self, secrets: &Secrets) {
        for value in self.headers.values_mut() {
            if let Some(clean) = value.to_str().ok().and_then(|text| secrets.redacted(text)) {
                *value = HeaderValue::from_str(&clean).unwrap_or_else(|_| HeaderValue::from_static("***"));
            }
        }
        self.request_id.iter_mut().for_each(|text| secrets.redact(text));
        self.body.iter_mut().for_each(|text| secrets.redact(text));
        if let Some(problem) = &mut self.problem {
            problem.redact(secrets);
        }
    }
}

/// Details of an error in a live session.
#[cfg(feature = "realtime")]
#[derive(Default)]
struct SessionDetails {
    code: Option<Code>,
    close_code: Option<u16>,
    client_message_id: Option<String>,
}

/// Details of the call that failed.
#[derive(Default)]
struct CallDetails {
    operation: Option<Operation>,
    attempts: u32,
    idempotency_key: Option<String>,
    retry_stop: Option<RetryStop>,
}

impl Error {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let (transient, maybe_processed) = classify(kind);
        Self {
            inner: Box::new(ErrorInner {
                kind,
                message: message.into(),
                source: None,
                response: None,
                #[cfg(feature = "realtime")]
                session: SessionDetails::default(),
                call: CallDetails::default(),
                transient,
                maybe_processed,
            }),
        }
    }

    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Configuration, message)
    }

    pub(crate) fn invalid_call(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidCall, message)
    }

    pub(crate) fn connect(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Connect, message)
    }

    pub(crate) fn timeout(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Timeout, message)
    }

    pub(crate) fn transport(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Transport, message)
    }

    pub(crate) fn decode(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Decode, message)
    }

    /// Creates a decode error for metadata that the application converts; no call is involved.
    pub(crate) fn metadata_mismatch(message: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorKind::Decode, message);
        error.inner.maybe_processed = false;
        error
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::TooLarge, message)
    }

    pub(crate) fn redirect(message: impl Into<String>, response: ErrorResponse) -> Self {
        let mut error = Self::new(ErrorKind::Redirect, message);
        // 307 and 308 ask for the same request at another address (RFC 9110, sections 15.4.8 and 15.4.9), so the server
        // processed nothing.
        error.inner.maybe_processed = !matches!(response.status.as_u16(), 307 | 308);
        error.inner.response = Some(response);
        error
    }

    pub(crate) fn status_code(message: impl Into<String>, response: ErrorResponse) -> Self {
        let mut error = Self::new(ErrorKind::Status, message);
        let code = response.problem.as_ref().map(|problem| &problem.code);
        (error.inner.transient, error.inner.maybe_processed) = classify_status(response.status, code);
        error.inner.response = Some(response);
        error
    }

    /// Creates the error of a message that the server rejected with an `error` event.
    #[cfg(feature = "realtime")]
    pub(crate) fn message_rejected(message: impl Into<String>, code: Code) -> Self {
        let mut error = Self::new(ErrorKind::Refused, message);
        error.inner.session.code = Some(code);
        error
    }

    #[cfg(feature = "realtime")]
    pub(crate) fn closed(message: impl Into<String>, close_code: Option<u16>) -> Self {
        let mut error = Self::new(ErrorKind::Closed, message);
        error.inner.session.close_code = close_code;
        error
    }

    /// Sets whether the server may have processed the message.
    #[cfg(feature = "realtime")]
    pub(crate) fn maybe_processed(mut self, maybe: bool) -> Self {
        self.inner.maybe_processed = maybe;
        self
    }

    /// Sets the id of the message that failed.
    #[cfg(feature = "realtime")]
    pub(crate) fn with_client_message_id(mut self, client_message_id: String) -> Self {
        self.inner.session.client_message_id = Some(client_message_id);
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Prefixes the message with the source of the invalid value.
    pub(crate) fn context(mut self, subject: &str) -> Self {
        self.inner.message = format!("{subject}: {}", self.inner.message);
        self
    }

    /// Marks a failure of a usually temporary kind as permanent.
    pub(crate) fn permanent(mut self) -> Self {
        self.inner.transient = false;
        self
    }

    /// Attaches a successful response that cannot be used.
    pub(crate) fn with_response_details(mut self, response: ErrorResponse) -> Self {
        self.inner.response = Some(response);
        self
    }

    /// Attaches the call that failed. `maybe_processed` covers all its attempts, not only the last one.
    pub(crate) fn with_call(
        mut self,
        operation: Operation,
        attempts: u32,
        idempotency_key: Option<&str>,
        maybe_processed: bool,
    ) -> Self {
        self.inner.call = CallDetails {
            operation: Some(operation),
            attempts,
            idempotency_key: idempotency_key.map(str::to_owned),
            retry_stop: None,
        };
        self.inner.maybe_processed = maybe_processed;
        // A call that is not safe to repeat may be retried only if the server surely did not process it.
        self.inner.transient &= operation.is_retry_safe() || !maybe_processed;
        self
    }

    /// Sets the reason why the call was not retried.
    pub(crate) fn with_retry_stop(mut self, stop: RetryStop) -> Self {
        self.inner.call.retry_stop = Some(stop);
        self
    }

    /// Replaces the secrets in everything that the error keeps. A cause that contains one is reduced to its text.
    pub(crate) fn redact(mut self, secrets: &Secrets) -> Self {
        secrets.redact(&mut self.inner.message);
        if let Some(response) = &mut self.inner.response {
            response.redact(secrets);
        }
        #[cfg(feature = "realtime")]
        if let Some(Code::Other(code)) = &mut self.inner.session.code {
            secrets.redact(code);
        }
        self.inner.source = self.inner.source.map(|source| secrets.redact_cause(source));
        self
    }

    /// Returns the kind of error.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Returns the HTTP status; none if there was no response.
    pub fn status(&self) -> Option<StatusCode> {
        self.inner.response.as_ref().map(|response| response.status)
    }

    /// Returns the code of the server's problem document, or of the event that rejected a message; none if the response
    /// has no problem document.
    pub fn code(&self) -> Option<&Code> {
        #[cfg(feature = "realtime")]
        if self.inner.session.code.is_some() {
            return self.inner.session.code.as_ref();
        }
        self.problem().map(|problem| &problem.code)
    }

    /// Returns the WebSocket close code (RFC 6455, section 7.4) with which the server closed the live session; none if
    /// it ended for another reason.
    #[cfg(feature = "realtime")]
    pub fn close_code(&self) -> Option<u16> {
        self.inner.session.close_code
    }

    /// Returns the `client_message_id`, set or generated, of the message that a live session could not send. The server
    /// stores a message that is resent with this id at most once.
    #[cfg(feature = "realtime")]
    pub fn client_message_id(&self) -> Option<&str> {
        self.inner.session.client_message_id.as_deref()
    }

    /// Returns the server's problem document (RFC 9457); none if the response has none.
    pub fn problem(&self) -> Option<&Problem> {
        self.inner.response.as_ref()?.problem.as_ref()
    }

    /// Returns the response headers; none if there was no response. Echoed secrets are replaced with `***`.
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.inner.response.as_ref().map(|response| &response.headers)
    }

    /// Returns the body of a response that is not a problem document: its first 16 KiB, decoded as lossy UTF-8. For a
    /// successful status it may contain the data that the call should have returned.
    pub fn body(&self) -> Option<&str> {
        self.inner.response.as_ref()?.body.as_deref()
    }

    /// Returns the request id for the server's log: the header `X-Request-Id`, or else the problem's member.
    pub fn request_id(&self) -> Option<&str> {
        self.inner.response.as_ref()?.request_id.as_deref()
    }

    /// Returns how long the server asked to wait (`Retry-After`, RFC 9110, section 10.2.3). A date is relative to the
    /// response's own `Date`, or to the local clock if it has none.
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.response.as_ref()?.retry_after
    }

    /// Returns the number of attempts, including those that could not connect; 0 if the call was invalid.
    pub fn attempts(&self) -> u32 {
        self.inner.call.attempts
    }

    /// Returns why the call was not retried; none if no call is involved, or nothing was sent.
    ///
    /// ```
    /// use parlor_sdk::{Client, NewChat, RetryPolicy, RetryStop};
    ///
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::problem(503, "unavailable")]);
    /// # let url = server.url();
    /// let client = Client::builder(url, "your-tenant-api-key").retry(RetryPolicy::default().budget(0)).build()?;
    /// let error = client.create_chat(NewChat::new("user123")).await.unwrap_err();
    /// assert_eq!(error.retry_stop(), Some(RetryStop::BudgetExhausted));
    /// assert!(error.to_string().contains("retry budget is exhausted"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn retry_stop(&self) -> Option<RetryStop> {
        self.inner.call.retry_stop
    }

    /// Returns the `Idempotency-Key` of the call, set or generated; none if it has none. The server executes the same
    /// call with the same key ([`Call::idempotency_key`](crate::Call::idempotency_key)) at most once, for 24 hours.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.inner.call.idempotency_key.as_deref()
    }

    /// Returns whether the same call may succeed later. Repeating it is safe, with the same
    /// [`idempotency_key`](Error::idempotency_key) if it has one; wait first, because the [`attempts`](Error::attempts)
    /// so far have failed.
    pub fn is_retryable(&self) -> bool {
        self.inner.transient
    }

    /// Returns whether the server may have processed the call in any of its attempts. `false` is certain, `true` is
    /// not.
    pub fn was_maybe_processed(&self) -> bool {
        self.inner.maybe_processed
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operation) = &self.inner.call.operation {
            write!(f, "{}: ", operation.id())?;
        }
        f.write_str(&self.inner.message)?;
        let request = self.request_id().map(|id| format!("request {id}"));
        let attempts =
            Some(self.attempts()).filter(|attempts| *attempts > 1).map(|attempts| format!("attempt {attempts}"));
        let stop = self.retry_stop().map(|stop| stop.to_string());
        let notes: Vec<_> = [request, attempts, stop].into_iter().flatten().collect();
        if notes.is_empty() { Ok(()) } else { write!(f, " ({})", notes.join(", ")) }
    }
}

impl fmt::Debug for Error {
    /// Prints the error and its causes on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        std::iter::successors(self.source(), |&cause| cause.source()).try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsafe_call_is_retryable_only_if_it_was_not_processed() {
        use crate::operation::CREATE_CHAT;
        use crate::operation::tests::NOT_RETRY_SAFE;

        let after = |error: Error, operation, maybe| error.with_call(operation, 1, None, maybe).is_retryable();
        assert!(after(Error::timeout("late"), CREATE_CHAT, true));
        assert!(!after(Error::timeout("late"), NOT_RETRY_SAFE, true));
        assert!(after(Error::connect("refused"), NOT_RETRY_SAFE, false));
        assert!(!after(Error::decode("garbage"), CREATE_CHAT, true));
    }

    #[test]
    fn an_error_is_small_and_send_and_sync() {
        fn travels<T: Send + Sync + 'static>() {}
        travels::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}

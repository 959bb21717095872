//! What a call can end in: one opaque error with questions to ask it.

mod checks;
mod kind;

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};

pub use self::kind::ErrorKind;
use self::kind::{consequences, consequences_of_status};
use crate::operation::Operation;
use crate::problem::{Code, Problem};
use crate::redact::Secrets;
use crate::retry::RetryStop;

/// Why a client could not be built, or a call has no answer.
///
/// Ask it what to do rather than what it is: [`is_retryable`](Error::is_retryable) and
/// [`was_maybe_processed`](Error::was_maybe_processed) hold for every kind, including kinds that a later version adds.
/// [`source`](StdError::source) leads to the cause, where there is one, for example a [`std::io::Error`].
///
/// **Secrets.** What an error keeps and prints never holds the API key, a ticket, a user's token or a credential from a
/// header of the request, wherever the server repeats one: it reads `***` instead. Header values of an answer are
/// returned by [`headers`](Error::headers) but not printed.
///
/// **Printed.** `Display` is one sentence. `Debug` is that sentence followed by its causes, as it is what
/// `fn main() -> Result<(), parlor_sdk::Error>` prints.
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
/// for field in &error.problem().expect("the server sends one").errors {
///     eprintln!("{}: {}", field.pointer, field.detail);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Error {
    /// Boxed, so that a `Result` with it stays small.
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
    answer: Option<Refusal>,
    /// What a live session says without an answer.
    #[cfg(feature = "realtime")]
    live: Live,
    call: CallRecord,
    /// Whether the cause may pass by itself.
    transient: bool,
    maybe_processed: bool,
}

/// What the error keeps of an answer.
#[derive(Default)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) request_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) problem: Option<Problem>,
    pub(crate) body: Option<String>,
}

impl Refusal {
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

/// What the error keeps of a live session.
#[cfg(feature = "realtime")]
#[derive(Default)]
struct Live {
    code: Option<Code>,
    close_code: Option<u16>,
    client_message_id: Option<String>,
}

/// What the error keeps of the call it ended.
#[derive(Default)]
struct CallRecord {
    operation: Option<Operation>,
    attempts: u32,
    idempotency_key: Option<String>,
    retry_stop: Option<RetryStop>,
}

impl Error {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let (transient, maybe_processed) = consequences(kind);
        Self {
            inner: Box::new(Inner {
                kind,
                message: message.into(),
                source: None,
                answer: None,
                #[cfg(feature = "realtime")]
                live: Live::default(),
                call: CallRecord::default(),
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

    /// A value of the application's own asking that is not there; no call is involved.
    pub(crate) fn local_decode(message: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorKind::Decode, message);
        error.inner.maybe_processed = false;
        error
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::TooLarge, message)
    }

    pub(crate) fn redirect(message: impl Into<String>, refusal: Refusal) -> Self {
        let mut error = Self::new(ErrorKind::Redirect, message);
        // 307 and 308 ask for the same request elsewhere (RFC 9110, sections 15.4.8 and 15.4.9): nothing has been done.
        error.inner.maybe_processed = !matches!(refusal.status.as_u16(), 307 | 308);
        error.inner.answer = Some(refusal);
        error
    }

    pub(crate) fn status_code(message: impl Into<String>, refusal: Refusal) -> Self {
        let mut error = Self::new(ErrorKind::Status, message);
        let code = refusal.problem.as_ref().map(|problem| &problem.code);
        (error.inner.transient, error.inner.maybe_processed) = consequences_of_status(refusal.status, code);
        error.inner.answer = Some(refusal);
        error
    }

    /// The server's refusal of a message, sent as an event.
    #[cfg(feature = "realtime")]
    pub(crate) fn refused(message: impl Into<String>, code: Code) -> Self {
        let mut error = Self::new(ErrorKind::Refused, message);
        error.inner.live.code = Some(code);
        error
    }

    #[cfg(feature = "realtime")]
    pub(crate) fn closed(message: impl Into<String>, close_code: Option<u16>) -> Self {
        let mut error = Self::new(ErrorKind::Closed, message);
        error.inner.live.close_code = close_code;
        error
    }

    /// For a message that may have reached the server, or that surely has not.
    #[cfg(feature = "realtime")]
    pub(crate) fn maybe_processed(mut self, maybe: bool) -> Self {
        self.inner.maybe_processed = maybe;
        self
    }

    /// Puts down which message of a session it was.
    #[cfg(feature = "realtime")]
    pub(crate) fn of_message(mut self, client_message_id: String) -> Self {
        self.inner.live.client_message_id = Some(client_message_id);
        self
    }

    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Says where the wrong value came from.
    pub(crate) fn about(mut self, subject: &str) -> Self {
        self.inner.message = format!("{subject}: {}", self.inner.message);
        self
    }

    /// For a failure whose kind usually passes but whose cause will not.
    pub(crate) fn permanent(mut self) -> Self {
        self.inner.transient = false;
        self
    }

    /// For a successful answer that cannot be used.
    pub(crate) fn in_answer(mut self, refusal: Refusal) -> Self {
        self.inner.answer = Some(refusal);
        self
    }

    /// Puts down which call it was. `maybe_processed` speaks for all its attempts, not only the last.
    pub(crate) fn in_call(
        mut self,
        operation: Operation,
        attempts: u32,
        idempotency_key: Option<&str>,
        maybe_processed: bool,
    ) -> Self {
        self.inner.call = CallRecord {
            operation: Some(operation),
            attempts,
            idempotency_key: idempotency_key.map(str::to_owned),
            retry_stop: None,
        };
        self.inner.maybe_processed = maybe_processed;
        // Of a call that may not be repeated, only what was surely not carried out may be sent again.
        self.inner.transient &= operation.is_repeatable() || !maybe_processed;
        self
    }

    /// Records why the call was not repeated.
    pub(crate) fn stopped_by(mut self, stop: RetryStop) -> Self {
        self.inner.call.retry_stop = Some(stop);
        self
    }

    /// Replaces the secrets in everything that the error keeps. A cause that repeats one is kept as text only.
    pub(crate) fn redact(mut self, secrets: &Secrets) -> Self {
        secrets.redact(&mut self.inner.message);
        if let Some(answer) = &mut self.inner.answer {
            answer.redact(secrets);
        }
        #[cfg(feature = "realtime")]
        if let Some(Code::Other(code)) = &mut self.inner.live.code {
            secrets.redact(code);
        }
        self.inner.source = self.inner.source.map(|source| secrets.redact_cause(source));
        self
    }

    /// The sort of error.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The status of the answer; none when there was no answer.
    pub fn status(&self) -> Option<StatusCode> {
        self.inner.answer.as_ref().map(|answer| answer.status)
    }

    /// The stable word of the server's problem, or of the event that refused a message; none when the answer is no
    /// problem document.
    pub fn code(&self) -> Option<&Code> {
        #[cfg(feature = "realtime")]
        if self.inner.live.code.is_some() {
            return self.inner.live.code.as_ref();
        }
        self.problem().map(|problem| &problem.code)
    }

    /// The WebSocket close code (RFC 6455, section 7.4) with which the server ended the live session; none when it
    /// was ended otherwise.
    #[cfg(feature = "realtime")]
    pub fn close_code(&self) -> Option<u16> {
        self.inner.live.close_code
    }

    /// The name of the message that a live session could not send, given or generated. Sent again under this name, it is
    /// stored at most once.
    #[cfg(feature = "realtime")]
    pub fn client_message_id(&self) -> Option<&str> {
        self.inner.live.client_message_id.as_deref()
    }

    /// The server's problem document (RFC 9457); none when the answer has none.
    pub fn problem(&self) -> Option<&Problem> {
        self.inner.answer.as_ref()?.problem.as_ref()
    }

    /// The headers of the answer; none when there was no answer. A secret that the server repeats in one reads `***`.
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.inner.answer.as_ref().map(|answer| &answer.headers)
    }

    /// The body of an answer that is no problem document: its first 16 KiB, with what is not UTF-8 replaced. Of a success
    /// it may hold what the call was to return.
    pub fn body(&self) -> Option<&str> {
        self.inner.answer.as_ref()?.body.as_deref()
    }

    /// The name under which the server's log has the request: the header `X-Request-Id`, or else the problem's.
    pub fn request_id(&self) -> Option<&str> {
        self.inner.answer.as_ref()?.request_id.as_deref()
    }

    /// How long the server asked to wait: `Retry-After` (RFC 9110, section 10.2.3), a date counted from the
    /// answer's own `Date`, or from now when it has none.
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.answer.as_ref()?.retry_after
    }

    /// How many times the request was sent, or a connection for it was tried; 0 when it was refused before.
    pub fn attempts(&self) -> u32 {
        self.inner.call.attempts
    }

    /// Why the call was not sent again; none when no call is involved, or nothing was sent.
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

    /// The `Idempotency-Key` of the call, own or generated; none when it has none. The same call made again with it
    /// ([`Call::idempotency_key`](crate::Call::idempotency_key)) is carried out at most once, for 24 hours.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.inner.call.idempotency_key.as_deref()
    }

    /// Whether the same call may succeed later. It is safe to make it again, with the same
    /// [`idempotency_key`](Error::idempotency_key) if it has one; after the number of [`attempts`](Error::attempts)
    /// made, better not at once.
    pub fn is_retryable(&self) -> bool {
        self.inner.transient
    }

    /// Whether the server may have carried the call out, in any of its attempts. `false` is certain, `true` is not.
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
    /// The error and its causes in words, on one line.
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
    fn a_call_that_may_not_be_repeated_is_retryable_only_while_nothing_can_have_happened() {
        use crate::operation::CREATE_CHAT;
        use crate::operation::tests::NOT_REPEATABLE;

        let after = |error: Error, operation, maybe| error.in_call(operation, 1, None, maybe).is_retryable();
        assert!(after(Error::timeout("late"), CREATE_CHAT, true));
        assert!(!after(Error::timeout("late"), NOT_REPEATABLE, true));
        assert!(after(Error::connect("refused"), NOT_REPEATABLE, false));
        assert!(!after(Error::decode("garbage"), CREATE_CHAT, true));
    }

    #[test]
    fn an_error_is_small_and_travels_between_threads() {
        fn travels<T: Send + Sync + 'static>() {}
        travels::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}

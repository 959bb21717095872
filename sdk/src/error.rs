//! What a call can end in: one opaque error with questions to ask it.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::operation::Operation;
use crate::problem::{Code, Problem};

/// Why a client could not be built, or a call has no answer.
///
/// Ask it what to do rather than what it is: [`is_retryable`](Error::is_retryable) and
/// [`was_maybe_processed`](Error::was_maybe_processed) hold for every kind, including kinds that a later version adds.
/// [`source`](StdError::source) leads to the cause, where there is one, for example a [`std::io::Error`].
///
/// Neither `Display` nor `Debug` shows the API key, header values or a password in a URL.
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
    pub(crate) request_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) problem: Option<Problem>,
    pub(crate) body: Option<String>,
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a success says may be a secret, as a ticket is.
        let shown = self.body.as_ref().filter(|_| !self.status.is_success());
        f.debug_struct("Refusal")
            .field("status", &self.status)
            .field("request_id", &self.request_id)
            .field("retry_after", &self.retry_after)
            .field("problem", &self.problem)
            .field("body", &shown)
            .finish()
    }
}

/// What the error keeps of a live session.
#[cfg(feature = "realtime")]
#[derive(Debug, Default)]
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
}

/// The sort of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The client could not be built: an address, key or setting is not usable.
    Configuration,
    /// The call could not be sent as it was written: metadata, a header, the idempotency key or a part of the address
    /// is not valid.
    InvalidCall,
    /// No connection to the server: refused, not resolved, not encrypted as it should be, or not within the
    /// connect time-out. The server has seen nothing of this attempt.
    Connect,
    /// The attempt or the whole call ran out of time.
    Timeout,
    /// The connection broke while the request was sent or the answer read.
    Transport,
    /// The server answered with a redirect, which is not followed.
    Redirect,
    /// The server answered, and the status is not a success.
    Status,
    /// The answer is a success but its body is not what the contract says. Also: the metadata of a chat or a message
    /// does not have the type it was asked for as.
    Decode,
    /// The answer is a success but its body is larger than the client reads. In a live session: so is an event.
    TooLarge,
    /// The server refused a message of a live session; [`Error::code`] has the reason.
    Refused,
    /// A live session is over, and what was asked of it will not happen.
    Closed,
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
        self.inner.call =
            CallRecord { operation: Some(operation), attempts, idempotency_key: idempotency_key.map(str::to_owned) };
        self.inner.maybe_processed = maybe_processed;
        // Of a call that may not be repeated, only what was surely not carried out may be sent again.
        self.inner.transient &= operation.is_repeatable() || !maybe_processed;
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

    /// The body of an answer that is no problem document: its first 16 KiB, with what is not UTF-8 replaced.
    pub fn body(&self) -> Option<&str> {
        self.inner.answer.as_ref()?.body.as_deref()
    }

    /// The name under which the server's log has the request: the header `X-Request-Id`, or else the problem's.
    pub fn request_id(&self) -> Option<&str> {
        self.inner.answer.as_ref()?.request_id.as_deref()
    }

    /// How long the server asked to wait: `Retry-After` (RFC 9110, section 10.2.3), a date counted from now.
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.answer.as_ref()?.retry_after
    }

    /// How many times the request was sent, or a connection for it was tried; 0 when it was refused before.
    pub fn attempts(&self) -> u32 {
        self.inner.call.attempts
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

/// Whether a failure of this kind may pass, and whether the server may have acted.
fn consequences(kind: ErrorKind) -> (bool, bool) {
    match kind {
        ErrorKind::Configuration | ErrorKind::InvalidCall | ErrorKind::Refused => (false, false),
        ErrorKind::Connect => (true, false),
        ErrorKind::Timeout | ErrorKind::Transport => (true, true),
        ErrorKind::Redirect | ErrorKind::Status | ErrorKind::Decode | ErrorKind::TooLarge | ErrorKind::Closed => {
            (false, true)
        }
    }
}

/// The same for an answer. [`RetryPolicy`](crate::RetryPolicy) documents the choice.
fn consequences_of_status(status: StatusCode, code: Option<&Code>) -> (bool, bool) {
    match status.as_u16() {
        408 | 429 => (true, false),
        409 if code == Some(&Code::IdempotencyInProgress) => (true, true),
        400..=499 => (false, false),
        500 | 502 | 503 | 504 => (true, true),
        _ => (false, true),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operation) = &self.inner.call.operation {
            write!(f, "{}: ", operation.id())?;
        }
        f.write_str(&self.inner.message)?;
        match (self.request_id(), self.attempts()) {
            (Some(id), attempts @ 2..) => write!(f, " (request {id}, attempt {attempts})"),
            (Some(id), _) => write!(f, " (request {id})"),
            (None, attempts @ 2..) => write!(f, " (attempt {attempts})"),
            (None, _) => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut error = f.debug_struct("Error");
        #[cfg(feature = "realtime")]
        error.field("live", &self.inner.live);
        error
            .field("kind", &self.inner.kind)
            .field("message", &self.inner.message)
            .field("operation", &self.inner.call.operation.as_ref().map(Operation::id))
            .field("attempts", &self.inner.call.attempts)
            .field("idempotency_key", &self.inner.call.idempotency_key)
            .field("answer", &self.inner.answer)
            .field("retryable", &self.inner.transient)
            .field("maybe_processed", &self.inner.maybe_processed)
            .field("source", &self.inner.source)
            .finish()
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

    fn of_status(status: u16, code: &str) -> (bool, bool) {
        consequences_of_status(StatusCode::from_u16(status).unwrap(), Some(&Code::from(code)))
    }

    #[test]
    fn a_status_says_whether_it_may_pass_and_whether_the_server_may_have_acted() {
        for status in [408, 429] {
            assert_eq!(of_status(status, "x"), (true, false), "{status}");
        }
        for status in [400, 401, 403, 404, 405, 409, 413, 415, 422] {
            assert_eq!(of_status(status, "x"), (false, false), "{status}");
        }
        for status in [500, 502, 503, 504] {
            assert_eq!(of_status(status, "x"), (true, true), "{status}");
        }
        for status in [501, 505, 507, 511] {
            assert_eq!(of_status(status, "x"), (false, true), "{status}");
        }
    }

    #[test]
    fn of_the_conflicts_only_the_twin_in_progress_passes() {
        assert_eq!(of_status(409, "idempotency_in_progress"), (true, true));
        assert_eq!(of_status(409, "chat_in_use"), (false, false));
        assert_eq!(consequences_of_status(StatusCode::CONFLICT, None), (false, false));
    }

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

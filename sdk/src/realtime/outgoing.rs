//! A message to be sent in a session.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::attempts;
use crate::error::Error;
use crate::metadata::Given;
use crate::realtime::outbox::{Outgoing, Receipt};
use crate::realtime::sender::{Sender, over};

/// The largest frame that the server takes, in bytes. It has room for the longest content and the largest metadata.
const MAX_FRAME: usize = 512 * 1024;
/// The protocol's bound for a `client_message_id`, in characters.
const MAX_CLIENT_MESSAGE_ID: usize = 128;

/// A message to be sent in a [`Session`](crate::Session): [`Sender::send`].
///
/// Nothing is sent before it is awaited. Then:
///
/// 1. A message without a [`client_message_id`](OutgoingMessage::client_message_id) gets one, a random UUID.
/// 2. It is written to the connection. When there is none it waits for one, and so do further messages while 64 of the
///    session are without an answer. They are written in the order in which they were first awaited.
/// 3. The server acknowledges it: the [`Receipt`]. It is written again, under the same name, to every new connection until
///    then; the server stores it once. When the server says that it cannot take it at the moment, it is written again
///    after a random pause, as between [connections](crate::Session#reconnects), so others may overtake it.
/// 4. When the server refuses it for good the error is [`Refused`](crate::ErrorKind::Refused), with the reason as its
///    [`code`](Error::code), for example `chat_closed`.
///
/// Dropping the future abandons the message: it is not written again. Whether the server has stored it is then unknown;
/// sending it again with the same `client_message_id` finds out.
///
/// # Errors
///
/// Besides: [`Timeout`](crate::ErrorKind::Timeout) when it is not acknowledged in [time](OutgoingMessage::timeout), and
/// [`Closed`](crate::ErrorKind::Closed) when the session ends before. With both, the error knows whether the message
/// [may have been stored](Error::was_maybe_processed), and its [name](Error::client_message_id).
/// [`InvalidCall`](crate::ErrorKind::InvalidCall) is a message that could not be answered: one that takes more than 512 KiB
/// as JSON, metadata that is no JSON object, a name that is none.
#[must_use = "a message is not sent until it is awaited"]
pub struct OutgoingMessage {
    sender: Sender,
    content: String,
    metadata: Option<Given>,
    client_message_id: Option<String>,
    timeout: Option<Duration>,
}

#[derive(Serialize)]
struct Frame<'a> {
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Given>,
    client_message_id: &'a str,
}

impl OutgoingMessage {
    pub(crate) fn new(sender: Sender, content: String) -> Self {
        Self { sender, content, metadata: None, client_message_id: None, timeout: None }
    }

    /// Whatever the application wants to keep with the message: see [`NewChat::metadata`](crate::NewChat::metadata),
    /// whose rules hold here too.
    pub fn metadata(mut self, metadata: impl Serialize) -> Self {
        self.metadata = Given::new(&metadata);
        self
    }

    /// The sender's own name for the message, 1–128 characters without control characters, unique for good in its chat and
    /// for the session's user: sending a second message under the same name answers the first. A random UUID unless set.
    pub fn client_message_id(mut self, id: impl Into<String>) -> Self {
        self.client_message_id = Some(id.into());
        self
    }

    /// How long to wait for the acknowledgement, through all reconnects: the client's
    /// [`total_timeout`](crate::ClientBuilder::total_timeout) unless set. After that the message is not written again.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    async fn send(self) -> Result<Receipt, Error> {
        let id = self.client_message_id.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
        self.send_as(&id).await.map_err(|error| error.of_message(id))
    }

    async fn send_as(self, client_message_id: &str) -> Result<Receipt, Error> {
        let frame = self.frame(client_message_id)?;
        let settings = &self.sender.client.inner.settings;
        let (clock, timeout) = (&*settings.clock, self.timeout.unwrap_or(settings.total_timeout));
        let written = Arc::new(AtomicBool::new(false));
        let (reply, outcome) = oneshot::channel();
        let outgoing =
            Outgoing { client_message_id: client_message_id.to_owned(), frame, reply, written: Arc::clone(&written) };
        let exchange = async {
            self.sender.hand_over(outgoing).await?;
            // Without an outcome, the task has not taken the message any more, or is gone together with its runtime. Then
            // the message may have been on its way.
            outcome.await.unwrap_or_else(|_| Err(over().maybe_processed(written.load(Ordering::Acquire))))
        };
        attempts::before(clock.now().checked_add(timeout), clock, exchange).await.unwrap_or_else(|| {
            let is_held_up = self.sender.is_held_up.load(Ordering::Acquire);
            let why =
                if is_held_up { ": the events of the session are not read, and hold acknowledgements up" } else { "" };
            let error = Error::timeout(format!("the message was not acknowledged within {timeout:?}{why}"));
            Err(error.maybe_processed(written.load(Ordering::Acquire)))
        })
    }

    fn frame(&self, client_message_id: &str) -> Result<String, Error> {
        self.metadata.as_ref().map_or(Ok(()), Given::check)?;
        let length = client_message_id.chars().count();
        if length == 0 || length > MAX_CLIENT_MESSAGE_ID || client_message_id.chars().any(char::is_control) {
            return Err(Error::invalid_call(format!(
                "a client_message_id must be 1 to {MAX_CLIENT_MESSAGE_ID} characters, none of them a control character"
            )));
        }
        let frame = Frame { content: &self.content, metadata: self.metadata.as_ref(), client_message_id };
        let frame = serde_json::to_string(&frame).expect("strings and checked metadata are JSON");
        if frame.len() > MAX_FRAME {
            return Err(Error::invalid_call(format!(
                "the message takes {} bytes as JSON, and the server takes {MAX_FRAME} at most, here and by \
                 Client::send_message: shorten its content or its metadata",
                frame.len()
            )));
        }
        Ok(frame)
    }
}

impl IntoFuture for OutgoingMessage {
    type Output = Result<Receipt, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl fmt::Debug for OutgoingMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingMessage")
            .field("content", &self.content)
            .field("metadata", &self.metadata)
            .field("client_message_id", &self.client_message_id)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

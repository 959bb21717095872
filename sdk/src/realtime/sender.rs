//! The sending half of a session, and the messages that it sends.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Notify, mpsc, oneshot};
use uuid::Uuid;

use crate::client::Client;
use crate::clock;
use crate::error::Error;
use crate::metadata::MetadataInput;
use crate::realtime::handshake::Participant;
use crate::realtime::outbox::{QueuedMessage, Receipt};
use crate::realtime::session_task::Signal;

/// Capacity of the channels for messages and for signals to the task; further senders wait.
pub(crate) const CHANNEL_CAPACITY: usize = 16;

/// Maximum size of a frame that the server accepts, in bytes. The longest content and the largest metadata fit.
const MAX_FRAME: usize = 512 * 1024;
/// Maximum length of a `client_message_id`, in characters.
const MAX_CLIENT_MESSAGE_ID: usize = 128;

/// A handle to send in a [`Session`](crate::Session): [`Session::sender`](crate::Session::sender).
///
/// Cheap to clone. The session lasts until all handles and its [`Events`](crate::Events) are dropped, or until it is
/// [closed](Sender::close).
#[derive(Clone)]
pub struct Sender {
    pub(crate) client: Client,
    pub(crate) participant: Arc<Participant>,
    pub(crate) messages: mpsc::Sender<QueuedMessage>,
    pub(crate) signals: mpsc::Sender<Signal>,
    pub(crate) close: Arc<Notify>,
    /// Whether the connection is not read because the application reads no events.
    pub(crate) is_blocked_by_reader: Arc<AtomicBool>,
}

impl Sender {
    /// Returns the session's chat.
    pub fn chat_id(&self) -> Uuid {
        self.participant.chat_id
    }

    /// Returns the session's user.
    pub fn user_id(&self) -> &str {
        &self.participant.user_id
    }

    /// Creates a message of the session's user, 1–32,768 characters. Awaiting it sends it and returns a
    /// [`Receipt`](crate::Receipt) when it is stored.
    ///
    /// An application that only sends should drop the [`Events`](crate::Events): every sent message is also an event,
    /// and unread events block acknowledgements, see [slow readers](crate::Session#slow-readers).
    ///
    /// ```no_run
    /// # async fn send(sender: parlor_sdk::Sender) -> Result<(), parlor_sdk::Error> {
    /// use serde_json::json;
    ///
    /// let receipt = sender.send("My printer is on fire.").metadata(json!({"mood": "worried"})).await?;
    /// println!("{} has the seq {}", receipt.message_id, receipt.seq);
    /// # Ok(())
    /// # }
    /// ```
    pub fn send(&self, content: impl Into<String>) -> OutgoingMessage {
        OutgoingMessage::new(self.clone(), content.into())
    }

    /// Tells the other participants that the user is typing. Dropped without an error if there is no connection, or if
    /// called faster than it can be sent.
    pub fn typing(&self) {
        drop(self.signals.try_send(Signal::Typing));
    }

    /// Cancels the assistant's current response in the chat. The response ends with
    /// [`FinishReason::Cancelled`](crate::FinishReason::Cancelled).
    ///
    /// # Errors
    ///
    /// [`Connect`](crate::ErrorKind::Connect) if there is currently no connection. The request is not sent later,
    /// because it could then cancel another response. [`Closed`](crate::ErrorKind::Closed) if the session has ended.
    pub async fn cancel(&self) -> Result<(), Error> {
        let (reply, connected) = oneshot::channel();
        self.signals.send(Signal::Cancel(reply)).await.map_err(|_| session_closed())?;
        match connected.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::connect("there is no connection to send the cancellation")),
            Err(_) => Err(session_closed()),
        }
    }

    /// Closes the session for all its handles, with close code 1000, and waits until it is closed.
    ///
    /// Waits up to 5 seconds, while a connection is open, for pending messages to be acknowledged and for the server's
    /// close frame. Messages that are not acknowledged by then, and all pending messages if there is no connection,
    /// fail with [`ErrorKind::Closed`](crate::ErrorKind::Closed). Events that were already received can still be read;
    /// then the stream ends. A session whose last handle is dropped without `close` is closed without waiting.
    pub async fn close(&self) {
        self.close.notify_one();
        self.messages.closed().await;
    }

    pub(crate) async fn enqueue(&self, message: QueuedMessage) -> Result<(), Error> {
        self.messages.send(message).await.map_err(|_| session_closed())
    }
}

pub(crate) fn session_closed() -> Error {
    Error::closed("the session has ended", None).maybe_processed(false)
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("chat_id", &self.participant.chat_id)
            .field("user_id", &self.participant.user_id)
            .finish_non_exhaustive()
    }
}

/// A message to send in a [`Session`](crate::Session): [`Sender::send`].
///
/// Nothing is sent until it is awaited. Then:
///
/// 1. A message without a [`client_message_id`](OutgoingMessage::client_message_id) gets a random UUID.
/// 2. It is written to the connection. It waits while there is no connection, and while 64 messages of the session are
///    unacknowledged. Messages are written in the order in which they were first polled.
/// 3. The server acknowledges it with the [`Receipt`]. Until then it is rewritten to every new connection with the same
///    id, and the server stores it once. After a temporary rejection it is rewritten after a random delay, as between
///    [connections](crate::Session#reconnects), so other messages may overtake it.
/// 4. After a permanent rejection the error is [`Refused`](crate::ErrorKind::Refused), with the reason as its
///    [`code`](Error::code), for example `chat_closed`.
///
/// Dropping the future abandons the message: it is not rewritten. The server may or may not have stored it; sending it
/// again with the same `client_message_id` returns its receipt.
///
/// # Errors
///
/// [`Timeout`](crate::ErrorKind::Timeout) if it is not acknowledged within the [timeout](OutgoingMessage::timeout), and
/// [`Closed`](crate::ErrorKind::Closed) if the session ends first. Both errors have the message's
/// [`client_message_id`](Error::client_message_id) and whether it [may have been stored](Error::was_maybe_processed).
/// [`InvalidCall`](crate::ErrorKind::InvalidCall) if the message is larger than 512 KiB as JSON, if the metadata is not
/// a JSON object, or if the id is invalid.
#[must_use = "a message is not sent until it is awaited"]
pub struct OutgoingMessage {
    sender: Sender,
    content: String,
    metadata: Option<MetadataInput>,
    client_message_id: Option<String>,
    timeout: Option<Duration>,
}

#[derive(Serialize)]
struct MessageFrame<'a> {
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a MetadataInput>,
    client_message_id: &'a str,
}

impl OutgoingMessage {
    pub(crate) fn new(sender: Sender, content: String) -> Self {
        Self { sender, content, metadata: None, client_message_id: None, timeout: None }
    }

    /// Sets application data to store with the message. The rules are those of
    /// [`NewChat::metadata`](crate::NewChat::metadata).
    pub fn metadata(mut self, metadata: impl Serialize) -> Self {
        self.metadata = MetadataInput::new(&metadata);
        self
    }

    /// Sets the id of the message: 1–128 characters, no control characters, permanently unique in its chat for the
    /// session's user. Sending another message with the same id returns the receipt of the first. Default: a random
    /// UUID.
    pub fn client_message_id(mut self, id: impl Into<String>) -> Self {
        self.client_message_id = Some(id.into());
        self
    }

    /// Sets the maximum time to wait for the acknowledgement, including reconnects. After that the message is not
    /// rewritten. Default: the client's [`total_timeout`](crate::ClientBuilder::total_timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    async fn send(self) -> Result<Receipt, Error> {
        let id = self.client_message_id.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
        self.send_as(&id).await.map_err(|error| error.with_client_message_id(id))
    }

    async fn send_as(self, client_message_id: &str) -> Result<Receipt, Error> {
        let frame = self.frame(client_message_id)?;
        let settings = &self.sender.client.inner.settings;
        let (clock, timeout) = (&*settings.clock, self.timeout.unwrap_or(settings.total_timeout));
        let written = Arc::new(AtomicBool::new(false));
        let (reply, outcome) = oneshot::channel();
        let outgoing = QueuedMessage {
            client_message_id: client_message_id.to_owned(),
            frame,
            reply,
            written: Arc::clone(&written),
        };
        let exchange = async {
            self.sender.enqueue(outgoing).await?;
            // Without a result, the task did not accept the message or was dropped with its runtime. In the latter case
            // the message may have been sent.
            outcome.await.unwrap_or_else(|_| Err(session_closed().maybe_processed(written.load(Ordering::Acquire))))
        };
        clock::with_deadline(clock.now().checked_add(timeout), clock, exchange).await.unwrap_or_else(|| {
            let is_blocked_by_reader = self.sender.is_blocked_by_reader.load(Ordering::Acquire);
            let why = if is_blocked_by_reader {
                ": the session's events are not read, which blocks acknowledgements"
            } else {
                ""
            };
            let error = Error::timeout(format!("the message was not acknowledged within {timeout:?}{why}"));
            Err(error.maybe_processed(written.load(Ordering::Acquire)))
        })
    }

    fn frame(&self, client_message_id: &str) -> Result<String, Error> {
        self.metadata.as_ref().map_or(Ok(()), MetadataInput::check)?;
        let length = client_message_id.chars().count();
        if length == 0 || length > MAX_CLIENT_MESSAGE_ID || client_message_id.chars().any(char::is_control) {
            return Err(Error::invalid_call(format!(
                "a client_message_id must have 1 to {MAX_CLIENT_MESSAGE_ID} characters and no control characters"
            )));
        }
        let frame = MessageFrame { content: &self.content, metadata: self.metadata.as_ref(), client_message_id };
        let frame = serde_json::to_string(&frame).expect("strings and checked metadata are JSON");
        if frame.len() > MAX_FRAME {
            return Err(Error::invalid_call(format!(
                "the message has {} bytes as JSON, and the server accepts at most {MAX_FRAME}, also with \
                 Client::send_message: shorten its content or metadata",
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

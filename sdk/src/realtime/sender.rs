//! The sending half of a session.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{Notify, mpsc, oneshot};
use uuid::Uuid;

use crate::client::Client;
use crate::error::Error;
use crate::realtime::handshake::Participant;
use crate::realtime::outbox::Outgoing;
use crate::realtime::outgoing::OutgoingMessage;
use crate::realtime::task::Signal;

/// Capacity of the channels for messages and for signals to the task; further senders wait.
pub(crate) const UNSEEN: usize = 16;

/// A handle to send in a [`Session`](crate::Session): [`Session::sender`](crate::Session::sender).
///
/// Cheap to clone. The session lasts until all handles and its [`Events`](crate::Events) are dropped, or until it is
/// [closed](Sender::close).
#[derive(Clone)]
pub struct Sender {
    pub(crate) client: Client,
    pub(crate) participant: Arc<Participant>,
    pub(crate) messages: mpsc::Sender<Outgoing>,
    pub(crate) signals: mpsc::Sender<Signal>,
    pub(crate) close: Arc<Notify>,
    /// Whether the connection is not read because the application reads no events.
    pub(crate) is_held_up: Arc<AtomicBool>,
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
        self.signals.send(Signal::Cancel(reply)).await.map_err(|_| over())?;
        match connected.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::connect("there is no connection to send the cancellation")),
            Err(_) => Err(over()),
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

    pub(crate) async fn hand_over(&self, message: Outgoing) -> Result<(), Error> {
        self.messages.send(message).await.map_err(|_| over())
    }
}

pub(crate) fn over() -> Error {
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

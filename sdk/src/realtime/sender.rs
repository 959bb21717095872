//! The half of a session that sends.

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

/// How many messages, and how many signals, there may be before the task looks at them; who has more waits.
pub(crate) const UNSEEN: usize = 16;

/// A handle to send with in a [`Session`](crate::Session): [`Session::sender`](crate::Session::sender).
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
    /// Whether the connection is not read because the application takes no events.
    pub(crate) is_held_up: Arc<AtomicBool>,
}

impl Sender {
    /// The session's chat.
    pub fn chat_id(&self) -> Uuid {
        self.participant.chat_id
    }

    /// The session's user.
    pub fn user_id(&self) -> &str {
        &self.participant.user_id
    }

    /// A message of the session's user, 1–32,768 characters. Awaiting it sends it, and comes to a
    /// [`Receipt`](crate::Receipt) when it is stored.
    ///
    /// Whoever only sends drops the [`Events`](crate::Events). Each message is an event too, and events that are not taken
    /// hold the acknowledgements up: [slow readers](crate::Session#slow-readers).
    ///
    /// ```no_run
    /// # async fn send(sender: parlor_sdk::Sender) -> Result<(), parlor_sdk::Error> {
    /// use serde_json::json;
    ///
    /// let receipt = sender.send("My printer is on fire.").metadata(json!({"mood": "worried"})).await?;
    /// println!("{} is number {}", receipt.message_id, receipt.seq);
    /// # Ok(())
    /// # }
    /// ```
    pub fn send(&self, content: impl Into<String>) -> OutgoingMessage {
        OutgoingMessage::new(self.clone(), content.into())
    }

    /// Tells the others that the user is typing. It is worth nothing later, so it is dropped when there is no connection,
    /// or when it is asked for more often than it can be told.
    pub fn typing(&self) {
        drop(self.signals.try_send(Signal::Typing));
    }

    /// Stops the answer that an assistant is giving in the chat. It does so by ending the stream:
    /// [`FinishReason::Cancelled`](crate::FinishReason::Cancelled).
    ///
    /// # Errors
    ///
    /// [`Connect`](crate::ErrorKind::Connect) when there is no connection at the moment. It is not made up for later, when
    /// it could stop another answer. [`Closed`](crate::ErrorKind::Closed) when the session is over.
    pub async fn cancel(&self) -> Result<(), Error> {
        let (reply, connected) = oneshot::channel();
        self.signals.send(Signal::Cancel(reply)).await.map_err(|_| over())?;
        match connected.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::connect("there is no connection to cancel an answer over")),
            Err(_) => Err(over()),
        }
    }

    /// Closes the session for all its handles, with close code 1000, and waits until it is closed.
    ///
    /// Messages whose sending has begun are waited for, as long as a connection is open and no longer than 5 seconds,
    /// which includes the server's answer. Those not acknowledged by then, and all when there is no connection, fail with
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed). The events received until then can still be read; then the stream
    /// ends. Without this, a session whose last handle is dropped is closed without waiting for anything.
    pub async fn close(&self) {
        self.close.notify_one();
        self.messages.closed().await;
    }

    pub(crate) async fn hand_over(&self, message: Outgoing) -> Result<(), Error> {
        self.messages.send(message).await.map_err(|_| over())
    }
}

pub(crate) fn over() -> Error {
    Error::closed("the session is over", None).maybe_processed(false)
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("chat_id", &self.participant.chat_id)
            .field("user_id", &self.participant.user_id)
            .finish_non_exhaustive()
    }
}

//! The application's handle to a live session.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::error::Error;
use crate::realtime::event::Event;
use crate::realtime::event_queue::EventReader;
use crate::realtime::sender::{OutgoingMessage, Sender};

/// A user's live session in a chat: a stream of [`Event`]s, and methods to send. Opened by
/// [`Client::connect`](crate::Client::connect).
///
/// A task on the Tokio runtime owns the connection, so the session stays alive while the application does other work.
/// One task of the application reads events and any number of tasks send: see [`split`](Session::split) and
/// [`sender`](Session::sender).
///
/// # Reconnects
///
/// The session replaces a lost connection. Each attempt is preceded by a random delay of at most 0.25 s after the first
/// failure, doubling with each further failure up to 30 s; a `Retry-After` from the server is added, up to 5 minutes. A
/// connection that lasts 3 seconds resets the delay. The number of attempts is unlimited: to stop, close the session.
/// [`Event::Disconnected`] and [`Event::Connected`] report the progress.
///
/// A new connection continues after the last message in the stream, so stored messages are neither lost nor repeated.
/// Events that are not stored are lost: typing indicators, and the tokens of a response. A response that is still in
/// progress starts again with [`Event::MessageStreamStarted`] and all of its text so far; one that has ended is an
/// [`Event::MessageCreated`].
///
/// If the server skips a message, the session reconnects to get it. If the stream cannot be complete, an [`Event::Gap`]
/// reports which messages to read with [`list_messages`](crate::Client::list_messages).
///
/// # End of the session
///
/// The stream ends with an error if another connection would not help: the key is revoked (close code 4001 or status
/// 401), the chat is deleted (4004, 404), the request is rejected (400 and most other statuses from 400 to 499), the
/// server reports a protocol error (1002, 1003, 1007, 1009), it closes the session normally (1000) or with any close
/// code from 4000 to 4007, or an event is larger than [`max_response_bytes`](crate::ClientBuilder::max_response_bytes).
/// It ends without an error after the application has [closed](Session::close) the session.
///
/// # Own messages
///
/// [`send`](Session::send) returns a [`Receipt`](crate::Receipt). The stream yields the same data as
/// [`Event::MessageReceived`], in order with the messages of others. If the connection was lost before the
/// acknowledgement, the message is an [`Event::MessageCreated`] instead, with the `client_message_id` with which it was
/// sent, and counts as the acknowledgement. An application that relies on the stream alone therefore sees each message
/// once.
///
/// # Slow readers
///
/// Unread events are buffered up to [`buffer_bytes`](crate::Connect::buffer_bytes). When the buffer is full, the
/// connection is not read, which applies backpressure to the server. After 5 seconds the connection is closed, because
/// pings would remain unanswered: [`DisconnectReason::Overflow`](crate::DisconnectReason::Overflow). The buffered
/// events are kept; when the application has read half of them, a new connection continues after the last one.
///
/// Acknowledgements arrive over the same connection, so unread events block them, and pending [sends](Sender::send)
/// time out. Every sent message is also an event, [`Event::MessageReceived`]. An application that only sends should
/// drop the [`Events`]; then nothing is buffered.
///
/// # Keep-alive
///
/// The session answers the server's pings and sends its own every 20 to 25 seconds. A connection without any data from
/// the server for a minute is replaced.
///
/// ```no_run
/// # async fn show(client: parlor_sdk::Client, chat_id: parlor_sdk::uuid::Uuid) -> Result<(), parlor_sdk::Error> {
/// use parlor_sdk::Event;
///
/// let (sender, mut events) = client.connect(chat_id, "user123").after_seq(0).await?.split();
/// tokio::spawn(async move {
///     if let Err(error) = sender.send("Hello!").await {
///         eprintln!("not sent: {error}");
///     }
/// });
/// while let Some(event) = events.next().await {
///     match event? {
///         Event::Disconnected(lost) => eprintln!("offline, next attempt in {:?}: {}", lost.retry_in, lost.detail),
///         Event::MessageCreated(created) => println!("{}", created.message.content),
///         Event::MessageStreamToken(token) => print!("{}", token.token),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a session that is dropped is closed"]
pub struct Session {
    sender: Sender,
    events: Events,
}

impl Session {
    pub(crate) fn new(sender: Sender, events: Events) -> Self {
        Self { sender, events }
    }

    /// Returns the next event: [`Events::next`].
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        self.events.next().await
    }

    /// Creates a message to send: [`Sender::send`].
    pub fn send(&self, content: impl Into<String>) -> OutgoingMessage {
        self.sender.send(content)
    }

    /// Tells the other participants that the user is typing: [`Sender::typing`].
    pub fn typing(&self) {
        self.sender.typing();
    }

    /// Cancels the assistant's current response: [`Sender::cancel`].
    ///
    /// # Errors
    ///
    /// Same as [`Sender::cancel`].
    pub async fn cancel(&self) -> Result<(), Error> {
        self.sender.cancel().await
    }

    /// Returns the last sequence number that the application has read: [`Events::position`].
    pub fn position(&self) -> u64 {
        self.events.position()
    }

    /// Returns a handle for another task that sends.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Splits the session into halves for two tasks. The session lasts until both are dropped.
    pub fn split(self) -> (Sender, Events) {
        (self.sender, self.events)
    }

    /// Closes the session: [`Sender::close`]. Unread events are dropped; [`split`](Session::split) first to keep them.
    pub async fn close(self) {
        let Self { sender, events } = self;
        // Without a reader, unread events do not block acknowledgements.
        drop(events);
        sender.close().await;
    }
}

impl Stream for Session {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.events).poll_next(context)
    }
}

/// The events of a [`Session`]: a [`Stream`]; combinators are in `futures-util`, and [`next`](Events::next) suffices
/// for a plain loop.
///
/// Dropping it does not end the session for its [`Sender`]s.
#[must_use = "a stream does nothing until it is read"]
pub struct Events {
    reader: EventReader,
    position: u64,
}

impl Events {
    pub(crate) fn new(reader: EventReader, position: u64) -> Self {
        Self { reader, position }
    }

    /// Returns the next event; none after the session was closed, and after an error, which ends the session. Cancel
    /// safe.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        poll_fn(|context| self.poll(context)).await
    }

    /// Returns the last sequence number that the application has read: the [`seq`](Event::seq) of the last event that
    /// has one, initially the start of the session. Another session, in this process or the next, continues from here
    /// with it as [`after_seq`](crate::Connect::after_seq).
    pub fn position(&self) -> u64 {
        self.position
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        let polled = self.reader.poll(context);
        if let Poll::Ready(Some(Ok(event))) = &polled {
            match event {
                Event::Gap(gap) => self.position = gap.next_seq.saturating_sub(1),
                event => self.position = event.seq().unwrap_or(self.position),
            }
        }
        polled
    }
}

impl Stream for Events {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("position", &self.position).finish_non_exhaustive()
    }
}

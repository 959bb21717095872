//! A live session, as the application holds it.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::error::Error;
use crate::realtime::event::Event;
use crate::realtime::outgoing::OutgoingMessage;
use crate::realtime::queue::Reader;
use crate::realtime::sender::Sender;

/// A user's live session in a chat: a stream of [`Event`]s, and a way to send. [`Client::connect`](crate::Client::connect)
/// opens one.
///
/// A task of the Tokio runtime owns the connection, so the session stays alive while the application does something
/// else. Of several tasks of the application one reads the events and any number send: [`split`](Session::split), or
/// [`sender`](Session::sender).
///
/// # Reconnects
///
/// A connection that is lost is replaced. A random pause precedes each attempt, of at most 0.25 s after the first failure
/// and twice as much after each further one, up to 30 s; what the server asks for with `Retry-After` is added, up to
/// 5 minutes. A connection that has lasted 3 seconds makes the pauses begin anew. Attempts have no end: whoever wants one
/// closes the session. [`Event::Disconnected`] and [`Event::Connected`] tell how it goes.
///
/// The new connection goes on after the last message in the stream, so nothing that the server has stored is lost or comes
/// twice. What is not stored is gone: who was typing, and the pieces of an answer. An answer that is still being given
/// begins anew with [`Event::MessageStreamStarted`] and all of its text so far; one that has ended comes as
/// [`Event::MessageCreated`].
///
/// When the server leaves a message out, another connection is to bring it. Where the stream cannot be complete, an
/// [`Event::Gap`] tells which messages to read with [`list_messages`](crate::Client::list_messages).
///
/// # The end
///
/// The stream ends with an error when another connection would not help: the key is revoked (close code 4001 or status
/// 401), the chat is deleted (4004, 404), the request is refused (400 and most other statuses from 400 to 499), the server
/// does not understand this client (1002, 1003, 1007, 1009), it is done with the session (1000), any close code from 4000
/// to 4007, or an event is larger than [`max_response_bytes`](crate::ClientBuilder::max_response_bytes).
/// It ends without one when the application has [closed](Session::close) the session.
///
/// # Own messages
///
/// [`send`](Session::send) comes to a [`Receipt`](crate::Receipt). The stream shows the same as
/// [`Event::MessageReceived`], at its place between the messages of others. When the connection was lost in between, the
/// message comes as [`Event::MessageCreated`] instead, with the `client_message_id` under which it was sent, and
/// counts as the acknowledgement. So whoever goes by the stream alone sees each message once.
///
/// # Slow readers
///
/// What the application has not taken waits, up to [`buffer_bytes`](crate::Connect::buffer_bytes). Then the connection is
/// not read, and the server waits in turn. After 5 seconds of that it is closed, so that pings are not left unanswered:
/// [`DisconnectReason::Overflow`](crate::DisconnectReason::Overflow). What waits is kept; when the application has taken
/// half of it, a new connection goes on after it.
///
/// Acknowledgements come over the same connection, so unread events hold them up, and what is
/// [sent](Sender::send) meanwhile runs out of time. Each message sent is an event too: [`Event::MessageReceived`]. Whoever
/// only sends drops the [`Events`]; then nothing is kept, and nothing waits.
///
/// # Keep-alive
///
/// Pings of the server are answered, and the session sends its own every 20 to 25 seconds. A connection on which nothing
/// was heard for a minute is replaced.
///
/// ```no_run
/// # async fn show(client: parlor_sdk::Client, chat_id: parlor_sdk::uuid::Uuid) -> Result<(), parlor_sdk::Error> {
/// use parlor_sdk::Event;
///
/// let (sender, mut events) = client.connect(chat_id, "user123").after_seq(0).await?.split();
/// tokio::spawn(async move {
///     if let Err(error) = sender.send("Is anybody there?").await {
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

    /// The next event: [`Events::next`].
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        self.events.next().await
    }

    /// A message to be sent: [`Sender::send`].
    pub fn send(&self, content: impl Into<String>) -> OutgoingMessage {
        self.sender.send(content)
    }

    /// Tells the others that the user is typing: [`Sender::typing`].
    pub fn typing(&self) {
        self.sender.typing();
    }

    /// Stops the answer that an assistant is giving: [`Sender::cancel`].
    ///
    /// # Errors
    ///
    /// As [`Sender::cancel`].
    pub async fn cancel(&self) -> Result<(), Error> {
        self.sender.cancel().await
    }

    /// The last place of the chat that the application has taken: [`Events::position`].
    pub fn position(&self) -> u64 {
        self.events.position()
    }

    /// A handle for another task that sends.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// The two halves, for two tasks. The session lasts until both are dropped.
    pub fn split(self) -> (Sender, Events) {
        (self.sender, self.events)
    }

    /// Closes the session: [`Sender::close`]. Events that have not been taken are dropped; [`split`](Session::split) first
    /// to take them.
    pub async fn close(self) {
        let Self { sender, events } = self;
        // Nobody reads any more, so nothing holds up the acknowledgements.
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

/// The events of a [`Session`]: a [`Stream`], whose combinators are in `futures-util`; for a plain loop
/// [`next`](Events::next) is enough.
///
/// When it is dropped the session goes on for those who [send](Sender).
#[must_use = "a stream does nothing until it is read"]
pub struct Events {
    reader: Reader,
    position: u64,
}

impl Events {
    pub(crate) fn new(reader: Reader, position: u64) -> Self {
        Self { reader, position }
    }

    /// The next event; none after the session was closed, and after an error, which is the end of the session. Dropping the
    /// future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        poll_fn(|context| self.poll(context)).await
    }

    /// The last place of the chat that the application has taken: the [`seq`](Event::seq) of the last event that has one,
    /// and before that where the session has begun. With it as [`after_seq`](crate::Connect::after_seq), another session
    /// goes on from here, in this process or the next.
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

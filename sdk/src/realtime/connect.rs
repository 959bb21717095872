//! Opening a session.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use crate::client::Client;
use crate::error::Error;
use crate::operation::CONNECT;
use crate::realtime::event_queue::event_queue;
use crate::realtime::handshake::{self, Participant};
use crate::realtime::machine::Machine;
use crate::realtime::sender::{CHANNEL_CAPACITY, Sender};
use crate::realtime::session::{Events, Session};
use crate::realtime::session_task::SessionTask;
use crate::retry_loop;

/// Default buffer size for events, in bytes.
const DEFAULT_BUFFER_BYTES: usize = 4 * 1024 * 1024;

impl Client {
    /// Opens a live session of a user in a chat, over WebSocket: see [`Session`].
    ///
    /// The user need not be the chat's owner, and is created if unknown: the holder of the API key decides which users
    /// participate.
    ///
    /// ```no_run
    /// # async fn run(client: parlor_sdk::Client, chat_id: parlor_sdk::uuid::Uuid) -> Result<(), parlor_sdk::Error> {
    /// use parlor_sdk::Event;
    ///
    /// let mut session = client.connect(chat_id, "user123").await?;
    /// let receipt = session.send("My printer is on fire.").await?;
    /// println!("stored as number {}", receipt.seq);
    /// while let Some(event) = session.next().await.transpose()? {
    ///     if let Event::MessageCreated(created) = event {
    ///         println!("{}", created.message.content);
    ///         break;
    ///     }
    /// }
    /// session.close().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Opening is a call like any other, with the client's timeouts and [`RetryPolicy`](crate::RetryPolicy). It fails
    /// with the code `chat_not_found` if the tenant has no such chat; with [`Closed`](crate::ErrorKind::Closed) if the
    /// server closes the session at once; with [`Decode`](crate::ErrorKind::Decode) if the server does not speak the
    /// protocol; otherwise as [`get_chat`](Client::get_chat).
    pub fn connect(&self, chat_id: Uuid, user_id: impl Into<String>) -> Connect {
        Connect {
            client: self.clone(),
            participant: Participant { chat_id, user_id: user_id.into() },
            after_seq: None,
            buffer_bytes: DEFAULT_BUFFER_BYTES,
        }
    }
}

/// A session to open: [`Client::connect`]. Nothing is sent until it is awaited.
#[must_use = "no connection is opened until it is awaited"]
#[derive(Clone)]
pub struct Connect {
    client: Client,
    participant: Participant,
    after_seq: Option<u64>,
    buffer_bytes: usize,
}

impl Connect {
    /// Starts after the message with this [`seq`](crate::Message::seq), usually the last one that the application
    /// knows; 0 starts with the first message. Default: only messages sent from now on.
    pub fn after_seq(mut self, seq: u64) -> Self {
        self.after_seq = Some(seq);
        self
    }

    /// Sets the maximum size of unread events, in bytes. Default: 4 MiB. The buffer may exceed it by one event. See
    /// [slow readers](Session#slow-readers).
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes.max(1);
        self
    }

    async fn open(self) -> Result<Session, Error> {
        let Self { client, participant, after_seq, buffer_bytes } = self;
        let settings = &client.inner.settings;
        let deadline = settings.clock.now().checked_add(settings.total_timeout);
        let attempt = |_| {
            let opening = handshake::open(&client.inner, &participant, after_seq);
            retry_loop::with_attempt_timeout(&client.inner, deadline, opening)
        };
        let ((socket, connected), _) = retry_loop::run(&client.inner, CONNECT, None, deadline, attempt).await?;

        let position = after_seq.unwrap_or(connected.last_seq);
        let machine = Machine::new(settings.clock.now(), after_seq, connected, Arc::clone(&settings.randomness));
        let (writer, reader) = event_queue(buffer_bytes);
        let (to_send, messages) = mpsc::channel(CHANNEL_CAPACITY);
        let (to_signal, signals) = mpsc::channel(CHANNEL_CAPACITY);
        let close = Arc::new(Notify::new());
        let is_blocked_by_reader = Arc::new(AtomicBool::new(false));
        let sender = Sender {
            client: client.clone(),
            participant: Arc::new(participant.clone()),
            messages: to_send,
            signals: to_signal,
            close: Arc::clone(&close),
            is_blocked_by_reader: Arc::clone(&is_blocked_by_reader),
        };
        let task = SessionTask {
            client,
            participant,
            machine,
            socket: Some(socket),
            events: writer,
            messages,
            signals,
            close,
            is_blocked_by_reader,
            is_closing: false,
        };
        tokio::spawn(task.run());
        Ok(Session::new(sender, Events::new(reader, position)))
    }
}

impl IntoFuture for Connect {
    type Output = Result<Session, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("chat_id", &self.participant.chat_id)
            .field("user_id", &self.participant.user_id)
            .field("after_seq", &self.after_seq)
            .field("buffer_bytes", &self.buffer_bytes)
            .finish_non_exhaustive()
    }
}

//! The session task: owns the connection, passes inputs to the machine and executes its effects.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::{Notify, mpsc, oneshot};

use crate::client::Client;
use crate::clock::SleepFuture;
use crate::error::Error;
use crate::operation::CONNECT;
use crate::realtime::connection_loss::{self, ConnectionLoss};
use crate::realtime::event::Connected;
use crate::realtime::event_queue::EventWriter;
use crate::realtime::handshake::{self, Participant};
use crate::realtime::machine::{Effect, Machine};
use crate::realtime::outbox::QueuedMessage;
use crate::realtime::socket::{Incoming, Socket};
use crate::retry_loop;

const TYPING: &str = r#"{"type":"typing"}"#;
const CANCEL: &str = r#"{"type":"cancel"}"#;

/// A frame to write to the current connection, or not at all.
pub(crate) enum Signal {
    Typing,
    /// The reply is whether there is a connection.
    Cancel(oneshot::Sender<bool>),
}

type OpeningFuture = Pin<Box<dyn Future<Output = Result<(Socket, Connected), Error>> + Send>>;

pub(crate) struct SessionTask {
    pub(crate) client: Client,
    pub(crate) participant: Participant,
    pub(crate) machine: Machine,
    pub(crate) socket: Option<Socket>,
    pub(crate) events: EventWriter,
    /// Not received from while the outbox is full.
    pub(crate) messages: mpsc::Receiver<QueuedMessage>,
    /// Always received from: a delayed signal is useless or harmful.
    pub(crate) signals: mpsc::Receiver<Signal>,
    pub(crate) close: Arc<Notify>,
    /// Whether the connection is not read because the application reads no events; read by callers that wait for an
    /// acknowledgement.
    pub(crate) is_blocked_by_reader: Arc<AtomicBool>,
    /// Whether the session is being closed: nothing more is sent.
    pub(crate) is_closing: bool,
}

/// Futures that the task waits for.
#[derive(Default)]
struct PendingFutures {
    opening: Option<OpeningFuture>,
    backoff: Option<SleepFuture>,
    /// Kept while the deadline stays the same, because most frames do not change it.
    timer: Option<(Instant, SleepFuture)>,
}

/// The first of the awaited inputs.
#[expect(clippy::large_enum_variant, reason = "only one exists at a time")]
enum Input {
    Message(QueuedMessage),
    Signal(Signal),
    /// All senders were dropped.
    SendersDropped,
    /// The outbox was full, and a caller has stopped waiting.
    CallerGone,
    CloseRequested,
    Received(Result<Incoming, ConnectionLoss>),
    Opened(Result<(Socket, Connected), Error>),
    BackoffElapsed,
    DeadlineReached,
    /// The application has read events, or dropped the reader.
    QueueChanged,
}

impl SessionTask {
    pub(crate) async fn run(mut self) {
        let mut futures = PendingFutures::default();
        let mut has_senders = true;
        loop {
            self.update_backpressure();
            if !has_senders && self.events.is_reader_dropped() {
                self.machine.handles_dropped();
            }
            self.execute_effects(&mut futures);
            if self.machine.has_ended() {
                return;
            }
            match self.wait(&mut futures, has_senders).await {
                Input::SendersDropped => has_senders = false,
                input => self.handle(&mut futures, input),
            }
        }
    }

    fn now(&self) -> Instant {
        self.client.inner.settings.clock.now()
    }

    fn update_backpressure(&mut self) {
        let now = self.now();
        let is_overflowed = self.machine.is_overflowed();
        let reads_on = if is_overflowed { self.events.is_half_empty() } else { self.events.has_room() };
        self.is_blocked_by_reader.store(!reads_on, Ordering::Release);
        if reads_on {
            self.machine.reader_caught_up(now);
        } else if !is_overflowed {
            self.machine.reader_stalled(now);
        }
    }

    async fn wait(&mut self, futures: &mut PendingFutures, has_senders: bool) -> Input {
        let accepts_messages = self.machine.accepts_messages();
        let reads = self.events.has_room();
        let deadline = self.machine.deadline();
        if futures.timer.as_ref().map(|(instant, _)| *instant) != deadline {
            futures.timer = deadline.map(|instant| (instant, self.client.inner.settings.clock.sleep_until(instant)));
        }
        tokio::select! {
            message = self.messages.recv(), if has_senders && accepts_messages => {
                message.map_or(Input::SendersDropped, Input::Message)
            }
            signal = self.signals.recv(), if has_senders => signal.map_or(Input::SendersDropped, Input::Signal),
            () = poll_fn(|context| self.machine.poll_caller_gone(context)), if !accepts_messages => Input::CallerGone,
            () = self.close.notified() => Input::CloseRequested,
            received = next(&mut self.socket, reads) => Input::Received(received),
            opened = ready(&mut futures.opening) => Input::Opened(opened),
            () = ready(&mut futures.backoff) => Input::BackoffElapsed,
            () = reached(&mut futures.timer) => Input::DeadlineReached,
            () = self.events.changed() => Input::QueueChanged,
        }
    }

    fn handle(&mut self, futures: &mut PendingFutures, input: Input) {
        let now = self.now();
        match input {
            Input::Message(message) => self.send(now, message),
            Input::Signal(signal) => {
                // A signal must not overtake messages that were sent before it.
                while self.machine.accepts_messages()
                    && let Ok(message) = self.messages.try_recv()
                {
                    self.send(now, message);
                }
                self.handle_signal(signal);
            }
            Input::CloseRequested => {
                // Accept everything that was sent before the session was closed.
                while let Ok(message) = self.messages.try_recv() {
                    self.send(now, message);
                }
                while let Ok(signal) = self.signals.try_recv() {
                    self.handle_signal(signal);
                }
                self.is_closing = true;
                self.machine.close(now);
            }
            Input::Received(Ok(Incoming::Control)) => self.machine.data_received(now),
            Input::Received(Ok(Incoming::Text(text))) => {
                if let Some(event) = self.socket.as_ref().map(|socket| socket.event(&text)) {
                    self.machine.event_received(now, event, text.len());
                }
            }
            Input::Received(Err(loss)) => self.machine.connection_lost(now, &loss),
            Input::Opened(opened) => {
                futures.opening = None;
                match opened {
                    Ok((socket, connected)) => {
                        self.socket = Some(socket);
                        self.machine.opened(now, connected);
                    }
                    Err(error) => self.machine.open_failed(error.with_call(CONNECT, 1, None, false)),
                }
            }
            Input::BackoffElapsed => {
                futures.backoff = None;
                self.machine.backoff_elapsed();
            }
            Input::DeadlineReached => {
                futures.timer = None;
                self.machine.deadline_reached(now);
            }
            // Handled at the start of the next iteration.
            Input::SendersDropped | Input::CallerGone | Input::QueueChanged => {}
        }
    }

    fn send(&mut self, now: Instant, message: QueuedMessage) {
        // Otherwise the caller learns from the dropped reply that the session has ended.
        if !self.is_closing {
            self.machine.send(now, message);
        }
    }

    fn handle_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Typing => {
                self.machine.signal(TYPING);
            }
            // The send fails if the caller has stopped waiting.
            Signal::Cancel(reply) => drop(reply.send(self.machine.signal(CANCEL))),
        }
    }

    fn execute_effects(&mut self, futures: &mut PendingFutures) {
        while let Some(effect) = self.machine.next_effect() {
            match effect {
                Effect::Open { after_seq } => futures.opening = Some(self.open(after_seq)),
                Effect::Write(frame) => self.write(|socket| socket.write(frame)),
                Effect::Ping => self.write(Socket::ping),
                Effect::SendClose => self.write(|socket| socket.send_close(connection_loss::NORMAL_CLOSURE)),
                Effect::Disconnect(code) => {
                    if let Some(socket) = self.socket.take() {
                        socket.disconnect(code);
                    }
                }
                Effect::BackOff(duration) => futures.backoff = Some(self.client.inner.settings.clock.sleep(duration)),
                Effect::Deliver(event, bytes) => self.events.push(event, bytes),
                Effect::End(outcome) => self.events.end(outcome),
            }
        }
    }

    fn write(&mut self, write: impl FnOnce(&mut Socket) -> Result<(), ConnectionLoss>) {
        let Some(socket) = &mut self.socket else { return };
        if let Err(loss) = write(socket) {
            let now = self.now();
            self.machine.connection_lost(now, &loss);
        }
    }

    fn open(&self, after_seq: Option<u64>) -> OpeningFuture {
        let (client, participant) = (self.client.clone(), self.participant.clone());
        Box::pin(async move {
            let opening = handshake::open(&client.inner, &participant, after_seq);
            retry_loop::with_attempt_timeout(&client.inner, None, opening).await
        })
    }
}

async fn next(socket: &mut Option<Socket>, reads: bool) -> Result<Incoming, ConnectionLoss> {
    match socket {
        Some(socket) => socket.next(reads).await,
        None => pending().await,
    }
}

async fn ready<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

async fn reached(timer: &mut Option<(Instant, SleepFuture)>) {
    match timer {
        Some((_, reached)) => reached.await,
        None => pending().await,
    }
}

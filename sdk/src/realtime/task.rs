//! The session task: owns the connection, passes inputs to the machine and executes its effects.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::{Notify, mpsc, oneshot};

use crate::attempts;
use crate::client::Client;
use crate::clock::Pause;
use crate::error::Error;
use crate::operation::CONNECT;
use crate::realtime::close_code::{self, Loss};
use crate::realtime::event::Connected;
use crate::realtime::handshake::{self, Participant};
use crate::realtime::machine::{Effect, Machine};
use crate::realtime::outbox::Outgoing;
use crate::realtime::queue::Writer;
use crate::realtime::socket::{Heard, Socket};

const TYPING: &str = r#"{"type":"typing"}"#;
const CANCEL: &str = r#"{"type":"cancel"}"#;

/// A request for the current connection only.
pub(crate) enum Signal {
    Typing,
    /// The reply is whether there is a connection.
    Cancel(oneshot::Sender<bool>),
}

type Opening = Pin<Box<dyn Future<Output = Result<(Socket, Connected), Error>> + Send>>;

pub(crate) struct Task {
    pub(crate) client: Client,
    pub(crate) participant: Participant,
    pub(crate) machine: Machine,
    pub(crate) socket: Option<Socket>,
    pub(crate) events: Writer,
    /// Not received from while the outbox is full.
    pub(crate) messages: mpsc::Receiver<Outgoing>,
    /// Always received from: a delayed signal is useless or harmful.
    pub(crate) signals: mpsc::Receiver<Signal>,
    pub(crate) close: Arc<Notify>,
    /// Whether the connection is not read because the application reads no events; read by callers that wait for an
    /// acknowledgement.
    pub(crate) is_held_up: Arc<AtomicBool>,
    /// Whether the session is being closed: nothing more is sent.
    pub(crate) is_closing: bool,
}

/// Futures that the task waits for.
#[derive(Default)]
struct Waits {
    opening: Option<Opening>,
    pause: Option<Pause>,
    /// Kept while the deadline stays the same, because most frames do not change it.
    timer: Option<(Instant, Pause)>,
}

/// The first of the awaited inputs.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Happened {
    Sent(Outgoing),
    Signalled(Signal),
    /// All senders were dropped.
    Alone,
    /// The outbox was full, and a caller has stopped waiting.
    GivenUp,
    Closing,
    Heard(Result<Heard, Loss>),
    Opened(Result<(Socket, Connected), Error>),
    Paused,
    Reached,
    /// The application has read events, or dropped the reader.
    Read,
}

impl Task {
    pub(crate) async fn run(mut self) {
        let mut waits = Waits::default();
        let mut has_senders = true;
        loop {
            self.look_at_the_queue();
            if !has_senders && self.events.is_abandoned() {
                self.machine.abandon();
            }
            self.perform(&mut waits);
            if self.machine.is_over() {
                return;
            }
            match self.wait(&mut waits, has_senders).await {
                Happened::Alone => has_senders = false,
                happened => self.tell(&mut waits, happened),
            }
        }
    }

    fn now(&self) -> Instant {
        self.client.inner.settings.clock.now()
    }

    fn look_at_the_queue(&mut self) {
        let now = self.now();
        let waits = self.machine.waits_for_the_reader();
        let goes_on = if waits { self.events.has_plenty_of_room() } else { self.events.has_room() };
        self.is_held_up.store(!goes_on, Ordering::Release);
        if goes_on {
            self.machine.relieved(now);
        } else if !waits {
            self.machine.stalled(now);
        }
    }

    async fn wait(&mut self, waits: &mut Waits, has_senders: bool) -> Happened {
        let takes_messages = self.machine.takes_messages();
        let reads = self.events.has_room();
        let deadline = self.machine.deadline();
        if waits.timer.as_ref().map(|(instant, _)| *instant) != deadline {
            waits.timer = deadline.map(|instant| (instant, self.client.inner.settings.clock.reached(instant)));
        }
        tokio::select! {
            message = self.messages.recv(), if has_senders && takes_messages => {
                message.map_or(Happened::Alone, Happened::Sent)
            }
            signal = self.signals.recv(), if has_senders => signal.map_or(Happened::Alone, Happened::Signalled),
            () = poll_fn(|context| self.machine.poll_given_up(context)), if !takes_messages => Happened::GivenUp,
            () = self.close.notified() => Happened::Closing,
            heard = next(&mut self.socket, reads) => Happened::Heard(heard),
            opened = ready(&mut waits.opening) => Happened::Opened(opened),
            () = ready(&mut waits.pause) => Happened::Paused,
            () = reached(&mut waits.timer) => Happened::Reached,
            () = self.events.changed() => Happened::Read,
        }
    }

    fn tell(&mut self, waits: &mut Waits, happened: Happened) {
        let now = self.now();
        match happened {
            Happened::Sent(message) => self.send(now, message),
            Happened::Signalled(signal) => {
                // A signal must not overtake messages that were sent before it.
                while self.machine.takes_messages()
                    && let Ok(message) = self.messages.try_recv()
                {
                    self.send(now, message);
                }
                self.obey(signal);
            }
            Happened::Closing => {
                // Accept everything that was sent before the session was closed.
                while let Ok(message) = self.messages.try_recv() {
                    self.send(now, message);
                }
                while let Ok(signal) = self.signals.try_recv() {
                    self.obey(signal);
                }
                self.is_closing = true;
                self.machine.close(now);
            }
            Happened::Heard(Ok(Heard::SignOfLife)) => self.machine.heard(now),
            Happened::Heard(Ok(Heard::Text(text))) => {
                if let Some(event) = self.socket.as_ref().map(|socket| socket.event(&text)) {
                    self.machine.received(now, event, text.len());
                }
            }
            Happened::Heard(Err(loss)) => self.machine.lost(now, &loss),
            Happened::Opened(opened) => {
                waits.opening = None;
                match opened {
                    Ok((socket, connected)) => {
                        self.socket = Some(socket);
                        self.machine.opened(now, connected);
                    }
                    Err(error) => self.machine.open_failed(error.in_call(CONNECT, 1, None, false)),
                }
            }
            Happened::Paused => {
                waits.pause = None;
                self.machine.paused();
            }
            Happened::Reached => {
                waits.timer = None;
                self.machine.reached(now);
            }
            // Handled at the start of the next iteration.
            Happened::Alone | Happened::GivenUp | Happened::Read => {}
        }
    }

    fn send(&mut self, now: Instant, message: Outgoing) {
        // Otherwise the caller learns from the dropped reply that the session has ended.
        if !self.is_closing {
            self.machine.send(now, message);
        }
    }

    fn obey(&mut self, signal: Signal) {
        match signal {
            Signal::Typing => {
                self.machine.signal(TYPING);
            }
            // The send fails if the caller has stopped waiting.
            Signal::Cancel(reply) => drop(reply.send(self.machine.signal(CANCEL))),
        }
    }

    fn perform(&mut self, waits: &mut Waits) {
        while let Some(effect) = self.machine.effect() {
            match effect {
                Effect::Open { after_seq } => waits.opening = Some(self.open(after_seq)),
                Effect::Write(frame) => self.write(|socket| socket.write(frame)),
                Effect::Ping => self.write(Socket::ping),
                Effect::SayGoodbye => self.write(|socket| socket.say_goodbye(close_code::DONE)),
                Effect::HangUp(code) => {
                    if let Some(socket) = self.socket.take() {
                        socket.hang_up(code);
                    }
                }
                Effect::Pause(duration) => waits.pause = Some(self.client.inner.settings.clock.sleep(duration)),
                Effect::Deliver(event, bytes) => self.events.push(event, bytes),
                Effect::End(outcome) => self.events.end(outcome),
            }
        }
    }

    fn write(&mut self, write: impl FnOnce(&mut Socket) -> Result<(), Loss>) {
        let Some(socket) = &mut self.socket else { return };
        if let Err(loss) = write(socket) {
            let now = self.now();
            self.machine.lost(now, &loss);
        }
    }

    fn open(&self, after_seq: Option<u64>) -> Opening {
        let (client, participant) = (self.client.clone(), self.participant.clone());
        Box::pin(async move {
            let opening = handshake::open(&client.inner, &participant, after_seq);
            attempts::in_time(&client.inner, None, opening).await
        })
    }
}

async fn next(socket: &mut Option<Socket>, reads: bool) -> Result<Heard, Loss> {
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

async fn reached(timer: &mut Option<(Instant, Pause)>) {
    match timer {
        Some((_, reached)) => reached.await,
        None => pending().await,
    }
}

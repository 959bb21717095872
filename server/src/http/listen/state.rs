//! The state of one connection, shared by its task, its socket, the request's body and the admission control.

use std::{
    fmt, mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::{sync::oneshot, time::Instant};

use super::upgraded::Upgraded;
use crate::base::lock;

/// What a connection does. In every phase but [`Phase::Working`] it waits for its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// The head of a request is awaited.
    Head,
    /// A handler works on a request.
    Working,
    /// A handler waits for the body of its request.
    Body,
    /// The answer is complete, but not yet written to the socket.
    Answered,
}

/// What a connection was told to do; a greater order replaces a smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Order {
    /// Go on.
    None,
    /// Make room for another connection: close now, or after the request that is being worked on.
    Displace,
    /// The server stops: close after the current request; a peer gets [`Times::stop_grace`] to go on with what it began.
    Stop,
    /// Close now.
    Abort,
}

/// The bounds of time that a connection keeps, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// For a head, and for an idle connection.
    pub(super) head: u64,
    /// For the peer to take more of an answer.
    pub(super) write: u64,
    /// Bytes per second that a peer must take of an answer in the long run.
    pub(super) write_rate: u64,
    /// For a peer to go on after the server was told to stop.
    pub(super) stop_grace: u64,
}

/// Adds up the memory that connections hold.
pub(super) trait HeldMemory: fmt::Debug + Send + Sync {
    /// Notes that `connection` holds about `bytes`.
    fn hold(&self, connection: &ConnectionState, bytes: usize);
}

/// See the module. Times are milliseconds since [`Self::started`]; 0 stands for "not set".
#[derive(Debug)]
pub(crate) struct ConnectionState {
    started: Instant,
    pub(super) times: Times,
    phase: AtomicU8,
    /// When the phase began.
    since: AtomicU64,
    /// When the peer last took part of an answer, while the socket takes no more.
    stalled: AtomicU64,
    /// When the connection is closed unless the peer takes more of the answer.
    write_deadline: AtomicU64,
    /// When a byte of a body last arrived.
    last_read: AtomicU64,
    /// Whether the request has a body that was not read to its end.
    has_unread_body: AtomicBool,
    order: AtomicU8,
    /// Whether memory is short: hold less, or close.
    shrink: AtomicBool,
    waker: AtomicWaker,
    /// Estimated bytes of memory that the connection holds; written under the lock of the admission control.
    pub(super) held: AtomicUsize,
    admission: Arc<dyn HeldMemory>,
    /// Takes the connection after an answer of 101.
    upgrade: Mutex<Option<oneshot::Sender<Upgraded>>>,
}

impl ConnectionState {
    pub(super) fn new(admission: Arc<dyn HeldMemory>, started: Instant, times: Times) -> Self {
        let state = Self {
            started,
            times,
            phase: AtomicU8::new(Phase::Head as u8),
            since: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            write_deadline: AtomicU64::new(0),
            last_read: AtomicU64::new(0),
            has_unread_body: AtomicBool::new(false),
            order: AtomicU8::new(Order::None as u8),
            shrink: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            held: AtomicUsize::new(0),
            admission,
            upgrade: Mutex::new(None),
        };
        state.since.store(state.now(), Relaxed);
        state
    }

    /// The current time, at least 1.
    pub(super) fn now(&self) -> u64 {
        millis(self.started.elapsed()) + 1
    }

    /// The instant of a time.
    pub(super) fn instant(&self, time: u64) -> Instant {
        self.started + Duration::from_millis(time.saturating_sub(1))
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Head,
            1 => Phase::Working,
            2 => Phase::Body,
            _ => Phase::Answered,
        }
    }

    fn enter(&self, phase: Phase) {
        self.since.store(self.now(), Relaxed);
        self.phase.store(phase as u8, Relaxed);
    }

    /// When the phase began.
    pub(super) fn since(&self) -> u64 {
        self.since.load(Relaxed)
    }

    /// Since when the connection has been waiting for its peer; `None`: the server works on a request.
    pub(super) fn waiting_since(&self) -> Option<u64> {
        match (self.stalled.load(Relaxed), self.phase()) {
            (0, Phase::Working) => None,
            (0, _) => Some(self.since()),
            (stalled, _) => Some(stalled),
        }
    }

    /// A handler begins to work.
    pub(super) fn working(&self) {
        self.phase.store(Phase::Working as u8, Relaxed);
    }

    /// The answer is complete.
    pub(super) fn answered(&self) {
        self.enter(Phase::Answered);
    }

    /// Everything that was to be written is written.
    pub(super) fn flushed(&self) {
        if self.phase() == Phase::Answered {
            self.phase.store(Phase::Head as u8, Relaxed);
            self.write_deadline.store(0, Relaxed);
        }
    }

    /// Marks that the request's body is awaited, until what is returned is dropped.
    pub(crate) fn reading_body(&self) -> ReadingBody<'_> {
        self.enter(Phase::Body);
        self.last_read.store(self.since(), Relaxed);
        ReadingBody(self)
    }

    /// Notes whether a body is still to be read: at the beginning of a request that has one, and after its end.
    pub(crate) fn set_unread_body(&self, is_unread: bool) {
        self.has_unread_body.store(is_unread, Relaxed);
    }

    /// Whether the body of the request was not read to its end.
    pub(super) fn has_unread_body(&self) -> bool {
        self.has_unread_body.load(Relaxed)
    }

    /// Bytes of a body have arrived.
    pub(super) fn body_arrives(&self) {
        self.last_read.store(self.now(), Relaxed);
    }

    /// When a byte of the body last arrived.
    pub(super) fn last_read(&self) -> u64 {
        self.last_read.load(Relaxed)
    }

    /// The socket takes no more of the answer.
    pub(super) fn stalls(&self) {
        if self.stalled.load(Relaxed) == 0 {
            let now = self.now();
            self.stalled.store(now, Relaxed);
            if self.write_deadline.load(Relaxed) == 0 {
                self.write_deadline.store(now + self.write_window(), Relaxed);
            }
        }
    }

    /// The socket has taken `bytes` of the answer. Each buys time at the lowest rate, so a peer that takes a byte now and
    /// then does not hold the connection.
    pub(super) fn wrote(&self, bytes: usize) {
        let deadline = self.write_deadline.load(Relaxed);
        if deadline == 0 {
            return;
        }
        self.stalled.store(0, Relaxed);
        let bought = (bytes as u64).saturating_mul(1_000) / self.times.write_rate.max(1);
        let latest = self.now() + self.write_window();
        self.write_deadline.store(deadline.saturating_add(bought).min(latest), Relaxed);
    }

    /// When the connection is to be closed unless the peer takes more; `None`: nothing waits for it.
    pub(super) fn write_deadline(&self) -> Option<u64> {
        (self.stalled.load(Relaxed) != 0).then(|| self.write_deadline.load(Relaxed))
    }

    fn write_window(&self) -> u64 {
        let times = self.times;
        if self.order() >= Order::Stop { times.stop_grace.min(times.write) } else { times.write }
    }

    /// Wakes `waker` when an order comes.
    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    pub(super) fn order(&self) -> Order {
        match self.order.load(Relaxed) {
            0 => Order::None,
            1 => Order::Displace,
            2 => Order::Stop,
            _ => Order::Abort,
        }
    }

    /// Gives an order to the connection's task.
    pub(super) fn give(&self, order: Order) {
        self.order.fetch_max(order as u8, Relaxed);
        if order >= Order::Stop {
            let latest = self.now() + self.write_window();
            _ = self.write_deadline.fetch_update(Relaxed, Relaxed, |time| (time > latest).then_some(latest));
        }
        self.waker.wake();
    }

    /// Asks the connection's task to hold less memory while it waits for a head.
    pub(super) fn shrink(&self) {
        self.shrink.store(true, Relaxed);
        self.waker.wake();
    }

    /// Whether the connection was asked to hold less since this was last asked.
    pub(super) fn take_shrink(&self) -> bool {
        self.shrink.load(Relaxed) && self.shrink.swap(false, Relaxed)
    }

    /// Notes that the connection holds about `bytes` of memory.
    pub(super) fn hold(self: &Arc<Self>, bytes: usize) {
        self.admission.hold(self, bytes);
    }

    /// Prepares for an answer of 101: the connection will go to what is returned.
    pub(super) fn offer_upgrade(&self) -> oneshot::Receiver<Upgraded> {
        let (sender, receiver) = oneshot::channel();
        *lock::lock(&self.upgrade) = Some(sender);
        receiver
    }

    /// Takes the sender for the connection after an answer of 101; `None`: no upgrade was offered.
    pub(super) fn take_upgrade(&self) -> Option<oneshot::Sender<Upgraded>> {
        mem::take(&mut *lock::lock(&self.upgrade))
    }
}

/// See [`ConnectionState::reading_body`].
#[derive(Debug)]
pub(crate) struct ReadingBody<'a>(&'a ConnectionState);

impl Drop for ReadingBody<'_> {
    fn drop(&mut self) {
        self.0.working();
    }
}

/// The whole milliseconds of `duration`.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

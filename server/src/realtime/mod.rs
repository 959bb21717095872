//! Live messaging: the WebSocket at `/ws/chat`.
//!
//! # The life of a connection
//!
//! ```text
//! connect     who asks, for which chat; refuses with a problem, or switches protocols
//! upgrade     the handshake, and the stream with small buffers
//! metered     bounds what is read for one message, and skips one that is too large (frame_filter)
//! hub         the connection's inbox enters the chat's room, before the chat is read: nothing falls in between
//! session     replays what was missed from SQL, page by page; joins when nothing is missing; live from then on
//! socket      moves frames between the stream, the inbox, the writer and the session
//! ```
//!
//! # The life of a message
//!
//! A frame becomes a [`NewMessage`](crate::domain::NewMessage) and goes to the writer like one that came by REST. After the
//! commit the writer tells `broadcast`, which encodes the event once and puts it into every inbox of the chat; the
//! sender's inbox gives it the acknowledgement instead. SQL is the truth: whatever an inbox lacks is read from there.

mod answers;
mod broadcast;
pub(crate) mod connect;
#[cfg(feature = "echo")]
mod echo;
mod end;
mod frame_filter;
pub(crate) mod hub;
mod inbox;
mod limits;
mod member_scanner;
mod message_budget;
mod metered;
mod session;
mod socket;
mod upgrade;

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Utc};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::{message_budget::MessageBudget, session::Bounds};
use crate::{
    base::{clock::Moments, metrics::RealtimeMetrics},
    service::{Authenticator, Chats, Messages, Tickets},
    wire::protocol::Close,
};

pub(crate) use answers::Answers;
pub(crate) use broadcast::Broadcast;
pub(crate) use connect::{PATH, connect};
#[cfg(feature = "echo")]
pub(crate) use echo::{ECHO, echo};
pub(crate) use hub::Hub;
pub use limits::RealtimeLimits;

/// Everything that connections share.
#[derive(Debug)]
pub(crate) struct Realtime {
    hub: Arc<Hub>,
    chats: Arc<Chats>,
    messages: Arc<Messages>,
    tickets: Arc<Tickets>,
    authenticator: Arc<Authenticator>,
    answers: Answers,
    moments: Moments,
    limits: RealtimeLimits,
    /// The memory of messages that are arriving.
    budget: Arc<MessageBudget>,
    metrics: RealtimeMetrics,
    slots: Arc<Semaphore>,
    sockets: TaskTracker,
    closed: CancellationToken,
}

/// What [`Realtime`] is built from.
pub(crate) struct Parts {
    pub(crate) hub: Arc<Hub>,
    pub(crate) chats: Arc<Chats>,
    pub(crate) messages: Arc<Messages>,
    pub(crate) tickets: Arc<Tickets>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) answers: Answers,
    pub(crate) moments: Moments,
    pub(crate) limits: RealtimeLimits,
    pub(crate) metrics: RealtimeMetrics,
}

impl Realtime {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { hub, chats, messages, tickets, authenticator, answers, moments, limits, metrics } = parts;
        metrics.show(Close::ALL.iter().map(|close| close.code()));
        let slots = Arc::new(Semaphore::new(limits.connections));
        let (sockets, closed) = (TaskTracker::new(), CancellationToken::new());
        Self {
            hub,
            chats,
            messages,
            tickets,
            authenticator,
            answers,
            moments,
            limits,
            budget: MessageBudget::new(limits.arriving_bytes),
            metrics,
            slots,
            sockets,
            closed,
        }
    }

    /// Messages that a replay reads at once.
    const PAGE: u32 = 100;

    /// Ends what cannot go on: the connections of keys that are no longer valid, until [`Self::close`].
    pub(crate) async fn watch_keys(&self) {
        let mut interval = tokio::time::interval(self.limits.key_check);
        while self.closed.run_until_cancelled(interval.tick()).await.is_some() {
            let keys = self.hub.keys();
            if keys.is_empty() {
                continue;
            }
            match self.authenticator.live_keys(&keys).await {
                Ok(valid) => {
                    let ended: HashSet<Uuid> = keys.into_iter().filter(|key| !valid.contains(key)).collect();
                    if !ended.is_empty() {
                        self.hub.close_keys(&ended, Close::Unauthorized);
                    }
                }
                // Not knowing is no reason to end anything.
                Err(error) => tracing::warn!(%error, "could not look for revoked keys"),
            }
        }
    }

    /// Stops answering, and ends every connection after what it has yet to send.
    pub(crate) async fn close(&self) {
        self.closed.cancel();
        if tokio::time::timeout(self.limits.drain, self.answers.close()).await.is_err() {
            tracing::warn!("leaving answers that could not be stored in time");
        }
        self.slots.close();
        self.sockets.close();
        self.hub.close_all(Close::GoingAway);
        if tokio::time::timeout(self.limits.drain, self.sockets.wait()).await.is_err() {
            tracing::warn!(connections = self.sockets.len(), "leaving connections that did not close in time");
        }
    }

    fn cancel(&self, chat: Uuid) {
        self.answers.cancel(chat);
    }

    fn now(&self) -> DateTime<Utc> {
        self.moments.now()
    }

    fn bounds(&self) -> Bounds {
        let RealtimeLimits { ping, idle, in_flight, burst, refill, .. } = self.limits;
        // So that connections which came together, after a restart, do not ping together.
        let ping = ping.mul_f64(rand::random_range(0.8..=1.0));
        Bounds { ping, idle, in_flight, burst, refill }
    }
}

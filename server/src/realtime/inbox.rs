//! What one connection has yet to send.
//!
//! An inbox holds at most so many bytes. It MUST NOT make whoever fills it wait. While its connection replays, messages
//! beyond the bound push out the oldest: SQL has them, and the replay comes to them. While it is live, going beyond the
//! bound ends the connection; nothing is ever skipped in silence. Events that are not stored reach live connections only,
//! except for the last update of the chat, which is kept until the replay is done.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use uuid::Uuid;

use crate::{
    base::lock::lock,
    domain::{ConnectionId, TenantId, UserId},
    wire::protocol::Close,
};

/// A stored message on its way to the connections of its chat, encoded once for all of them.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Its place in the chat.
    pub(crate) seq: i64,
    /// For everybody but its sender.
    pub(crate) event: Utf8Bytes,
    /// For the connection that sent it.
    pub(crate) acknowledgement: Option<(ConnectionId, Utf8Bytes)>,
    /// Whether it is an answer that has streamed.
    pub(crate) ends_stream: bool,
}

/// One thing to send.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// A stored message, in the order of `seq`.
    Message(Arc<Delivery>),
    /// The chat as it is now.
    Update(Utf8Bytes),
    /// An event of the moment.
    Passing(Utf8Bytes),
}

impl Item {
    /// Bytes that it keeps from being freed, and a little for itself.
    fn cost(&self) -> usize {
        const OVERHEAD: usize = 64;
        OVERHEAD
            + match self {
                Self::Message(delivery) => delivery.event.len(),
                Self::Update(event) | Self::Passing(event) => event.len(),
            }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) id: ConnectionId,
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
    /// The key that the connection lives by.
    pub(crate) key: Uuid,
    limit: usize,
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug)]
struct State {
    live: bool,
    items: VecDeque<Item>,
    bytes: usize,
    /// The last update that came while the connection was not live; at most one, so it does not count in `bytes`.
    update: Option<Utf8Bytes>,
    closing: Option<Close>,
}

/// What was taken out of an inbox.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) items: VecDeque<Item>,
    /// The connection ends after these.
    pub(crate) closing: Option<Close>,
}

impl Inbox {
    /// Empty, for a connection that replays first; of at most `limit` bytes.
    pub(crate) fn new(id: ConnectionId, tenant: TenantId, user: UserId, key: Uuid, limit: usize) -> Self {
        let state = State { live: false, items: VecDeque::new(), bytes: 0, update: None, closing: None };
        Self { id, tenant, user, key, limit, state: Mutex::new(state), news: Notify::new() }
    }

    /// Adds something.
    pub(crate) fn push(&self, item: Item) {
        let mut state = self.lock();
        if state.closing.is_some() {
            return;
        }
        let item = match item {
            Item::Passing(_) if !state.live => return,
            Item::Update(event) if !state.live => {
                state.update = Some(event);
                return;
            }
            item => item,
        };
        state.bytes += item.cost();
        state.items.push_back(item);
        if state.bytes > self.limit {
            if state.live {
                state.end(Close::TooSlow);
            } else {
                // The newest stays: by it the connection sees what it lacks.
                while state.bytes > self.limit && state.items.len() > 1 {
                    state.drop_oldest();
                }
            }
        }
        let wanted = state.live || state.closing.is_some();
        drop(state);
        if wanted {
            self.news.notify_one();
        }
    }

    /// Ends the connection, after what is in here if it is live.
    pub(crate) fn close(&self, close: Close) {
        let mut state = self.lock();
        if state.closing.is_none() {
            state.closing = Some(close);
        }
        drop(state);
        self.news.notify_one();
    }

    /// Goes live, if everything after the message `delivered` is in here, with the chat's update and `passing` behind it;
    /// returns whether it did.
    pub(crate) fn join(&self, delivered: i64, passing: impl FnOnce() -> Vec<Utf8Bytes>) -> bool {
        let mut state = self.lock();
        while matches!(state.items.front(), Some(Item::Message(delivery)) if delivery.seq <= delivered) {
            state.drop_oldest();
        }
        if matches!(state.items.front(), Some(Item::Message(delivery)) if delivery.seq > delivered + 1) {
            return false;
        }
        state.live = true;
        let update = state.update.take().map(Item::Update);
        for item in update.into_iter().chain(passing().into_iter().map(Item::Passing)) {
            state.bytes += item.cost();
            state.items.push_back(item);
        }
        drop(state);
        self.news.notify_one();
        true
    }

    /// Goes back to replaying: something was missing.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        state.live = false;
        let update = state.items.iter().rev().find_map(|item| match item {
            Item::Update(event) => Some(event.clone()),
            Item::Message(_) | Item::Passing(_) => None,
        });
        state.update = update.or_else(|| state.update.take());
        state.items.retain(|item| matches!(item, Item::Message(_)));
        state.bytes = state.items.iter().map(Item::cost).sum();
    }

    /// Waits until there may be something to take, or the connection is to end.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// Takes everything when live; while replaying only whether to end.
    pub(crate) fn take(&self) -> Taken {
        let mut state = self.lock();
        if !state.live {
            return Taken { items: VecDeque::new(), closing: state.closing };
        }
        state.bytes = 0;
        Taken { items: mem::take(&mut state.items), closing: state.closing }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn drop_oldest(&mut self) {
        if let Some(item) = self.items.pop_front() {
            self.bytes -= item.cost();
        }
    }

    fn end(&mut self, close: Close) {
        self.closing = Some(close);
        self.items = VecDeque::new();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(limit: usize) -> Inbox {
        Inbox::new(ConnectionId(1), TenantId(Uuid::nil()), UserId::stored("u".into()), Uuid::nil(), limit)
    }

    fn message(seq: i64) -> Item {
        Item::Message(Arc::new(Delivery {
            seq,
            event: "x".repeat(100).into(),
            acknowledgement: None,
            ends_stream: false,
        }))
    }

    fn seqs(inbox: &Inbox) -> Vec<i64> {
        let seq = |item: Item| match item {
            Item::Message(delivery) => Some(delivery.seq),
            Item::Update(_) | Item::Passing(_) => None,
        };
        inbox.take().items.into_iter().filter_map(seq).collect()
    }

    #[test]
    fn a_replaying_inbox_keeps_the_newest_and_joins_when_nothing_is_missing() {
        let inbox = inbox(500);
        for seq in 1..=10 {
            inbox.push(message(seq));
        }
        assert!(inbox.take().items.is_empty(), "nothing is given out before the replay is done");
        assert!(!inbox.join(0, Vec::new), "the first messages were pushed out");
        assert!(!inbox.join(6, Vec::new), "7 was pushed out too");
        assert!(inbox.join(8, Vec::new));
        assert_eq!(seqs(&inbox), [9, 10]);
    }

    #[test]
    fn an_empty_inbox_joins() {
        let inbox = inbox(500);
        assert!(inbox.join(7, || vec!["started".into()]));
        assert_eq!(inbox.take().items.len(), 1);
    }

    #[test]
    fn what_is_not_stored_waits_for_nobody_who_replays() {
        let inbox = inbox(500);
        inbox.push(Item::Passing("typing".into()));
        assert!(inbox.join(0, Vec::new));
        assert!(inbox.take().items.is_empty());
        inbox.push(Item::Passing("typing".into()));
        inbox.push(message(1));
        inbox.leave();
        assert!(inbox.join(0, Vec::new));
        assert_eq!(inbox.take().items.len(), 1, "the message alone");
    }

    #[test]
    fn the_last_update_waits_until_the_connection_is_live() {
        let updates = |inbox: &Inbox| {
            let update = |item: Item| match item {
                Item::Update(event) => Some(event.to_string()),
                Item::Message(_) | Item::Passing(_) => None,
            };
            inbox.take().items.into_iter().filter_map(update).collect::<Vec<_>>()
        };
        let inbox = inbox(500);
        inbox.push(Item::Update("first".into()));
        inbox.push(Item::Update("second".into()));
        assert!(inbox.join(0, Vec::new));
        assert_eq!(updates(&inbox), ["second"]);
        inbox.push(Item::Update("third".into()));
        inbox.leave();
        assert!(inbox.join(0, Vec::new));
        assert_eq!(updates(&inbox), ["third"]);
        assert!(inbox.join(0, Vec::new));
        assert_eq!(updates(&inbox), Vec::<String>::new(), "each once");
    }

    #[test]
    fn a_live_inbox_that_overflows_ends_its_connection() {
        let inbox = inbox(500);
        assert!(inbox.join(0, Vec::new));
        for seq in 1..=10 {
            inbox.push(message(seq));
        }
        let taken = inbox.take();
        assert_eq!((taken.items.len(), taken.closing), (0, Some(Close::TooSlow)));
    }

    #[test]
    fn what_is_in_it_is_sent_before_it_closes() {
        let inbox = inbox(500);
        assert!(inbox.join(0, Vec::new));
        inbox.push(message(1));
        inbox.close(Close::GoingAway);
        inbox.close(Close::Unauthorized);
        inbox.push(message(2));
        let taken = inbox.take();
        assert_eq!((taken.items.len(), taken.closing), (1, Some(Close::GoingAway)));
    }
}

//! Who listens to what: the connections of every chat on this node, and the answer that streams in it.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::{DateTime, Utc};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::inbox::{Delivery, Inbox, Item};
use crate::{
    base::{clock::next_time, lock::lock},
    domain::{Chat, ConnectionId, FinishReason, Message, Origin, TenantId, UserId},
    service::Connections,
    wire::protocol::{
        Close,
        event::{
            ChatUpdated, MessageCreated, MessageReceived, MessageStreamEnded, MessageStreamStarted, MessageStreamToken,
            UserTyping, encode,
        },
    },
};

/// A chat's room is behind one of so many locks, so that chats rarely wait for each other.
const SHARDS: usize = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct Hub {
    shards: [Mutex<HashMap<Uuid, Room>>; SHARDS],
    /// How many connections live by each key.
    keys: Mutex<HashMap<Uuid, usize>>,
    connections: AtomicU64,
    /// The chats whose connections were told that the server stops before a question is answered.
    told_of_stop: Mutex<HashSet<Uuid>>,
}

/// A chat with connections, or with an answer on its way.
#[derive(Debug, Default)]
struct Room {
    inboxes: Vec<Arc<Inbox>>,
    answer: Option<Answer>,
    /// The `updated_at` of the last change that the connections were told of.
    updated_at: Option<DateTime<Utc>>,
}

/// An answer that streams.
#[derive(Debug)]
struct Answer {
    message_id: Uuid,
    text: String,
    tokens: u32,
    cancel: CancellationToken,
    /// Cancelled when the answer is over: stored, or lost.
    ended: DropGuard,
}

/// One connection's place in a room, until it is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    hub: Arc<Hub>,
    pub(crate) chat: Uuid,
    pub(crate) inbox: Arc<Inbox>,
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            keys: Mutex::default(),
            connections: AtomicU64::default(),
            told_of_stop: Mutex::default(),
        }
    }

    /// Adds a connection, whose inbox has at most `limit` bytes. It gets every message that is stored from now on, and
    /// everything else once it has [joined](Membership::join).
    pub(crate) fn enter(
        self: &Arc<Self>,
        tenant: TenantId,
        chat: Uuid,
        user: UserId,
        key: Uuid,
        limit: usize,
    ) -> Membership {
        let id = ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed));
        let inbox = Arc::new(Inbox::new(id, tenant, user, key, limit));
        *lock(&self.keys).entry(key).or_default() += 1;
        self.shard(chat).entry(chat).or_default().inboxes.push(inbox.clone());
        Membership { hub: self.clone(), chat, inbox }
    }

    /// The keys that connections live by.
    pub(crate) fn keys(&self) -> Vec<Uuid> {
        lock(&self.keys).keys().copied().collect()
    }

    /// Tells everybody of a stored message, `at` being now.
    pub(crate) fn message_stored(&self, message: &Message, origin: Origin, at: DateTime<Utc>) {
        let mut shard = self.shard(message.chat_id);
        let Some(room) = shard.get_mut(&message.chat_id) else { return };
        let (event, acknowledgement) = match origin {
            Origin::Assistant { finish_reason, message_id } => {
                room.answer.take_if(|answer| answer.message_id == message_id);
                (encode(&MessageStreamEnded::of(message, finish_reason), at), None)
            }
            Origin::Api => (encode(&MessageCreated::of(message.clone()), at), None),
            Origin::Connection(sender) => {
                let acknowledgement = encode(&MessageReceived::of(message), at);
                (encode(&MessageCreated::of(message.clone()), at), Some((sender, acknowledgement)))
            }
        };
        let ends_stream = matches!(origin, Origin::Assistant { .. });
        let delivery = Arc::new(Delivery { seq: message.seq, event, acknowledgement, ends_stream });
        for inbox in &room.inboxes {
            inbox.push(Item::Message(delivery.clone()));
        }
        leave_if_empty(&mut shard, message.chat_id);
    }

    /// Tells the connections of all other users that the user of `by` types. The user's own further connections, such as a
    /// second tab, are not told.
    pub(crate) fn user_typing(&self, chat: Uuid, by: &Inbox, at: DateTime<Utc>) {
        let event = encode(&UserTyping { user_id: by.user.clone(), chat_id: chat }, at);
        if let Some(room) = self.shard(chat).get(&chat) {
            for inbox in room.inboxes.iter().filter(|inbox| inbox.user != by.user) {
                inbox.push(Item::Passing(event.clone()));
            }
        }
    }

    /// An answer begins to stream.
    ///
    /// `cancel` is cancelled when there is nobody left to hear it.
    pub(crate) fn answer_started(&self, chat: Uuid, message_id: Uuid, cancel: CancellationToken, at: DateTime<Utc>) {
        let mut shard = self.shard(chat);
        let room = shard.entry(chat).or_default();
        let ended = CancellationToken::new().drop_guard();
        room.answer = Some(Answer { message_id, text: String::new(), tokens: 0, cancel, ended });
        room.pass(&encode(&MessageStreamStarted { message_id, chat_id: chat }, at));
    }

    /// The answer of a chat goes on.
    pub(crate) fn answer_token(&self, chat: Uuid, message_id: Uuid, token: &str, at: DateTime<Utc>) {
        let mut shard = self.shard(chat);
        let Some(room) = shard.get_mut(&chat) else { return };
        let Some(answer) = room.answer.as_mut().filter(|answer| answer.message_id == message_id) else { return };
        let index = answer.tokens;
        answer.text.push_str(token);
        answer.tokens += 1;
        room.pass(&encode(&MessageStreamToken::new(chat, message_id, token, index), at));
    }

    /// The answer of a chat is over, and was not stored.
    pub(crate) fn answer_lost(&self, chat: Uuid, message_id: Uuid, finish_reason: FinishReason, at: DateTime<Utc>) {
        let mut shard = self.shard(chat);
        if let Some(room) = shard.get_mut(&chat) {
            room.answer.take_if(|answer| answer.message_id == message_id);
            room.pass(&encode(&MessageStreamEnded::empty(chat, message_id, finish_reason), at));
        }
        leave_if_empty(&mut shard, chat);
    }

    /// The answer of a chat is over, in whatever state it was.
    pub(crate) fn answer_abandoned(&self, chat: Uuid, at: DateTime<Utc>) {
        let message_id = self.shard(chat).get(&chat).and_then(|room| Some(room.answer.as_ref()?.message_id));
        if let Some(message_id) = message_id {
            self.answer_lost(chat, message_id, FinishReason::Error, at);
        }
    }

    /// Tells everybody in a chat what an encoded event says.
    pub(crate) fn pass(&self, chat: Uuid, event: &Utf8Bytes) {
        if let Some(room) = self.shard(chat).get(&chat) {
            room.pass(event);
        }
    }

    /// Passes `event`, which says that the server stops before a question in `chat` is answered, unless that was said.
    pub(crate) fn question_abandoned(&self, chat: Uuid, event: &Utf8Bytes) {
        if lock(&self.told_of_stop).insert(chat) {
            self.pass(chat, event);
        }
    }

    /// Ends the connections that live by `keys`.
    pub(crate) fn close_keys(&self, keys: &HashSet<Uuid>, close: Close) {
        self.for_each(|inbox| {
            if keys.contains(&inbox.key) {
                inbox.close(close);
            }
        });
    }

    /// Ends every connection.
    pub(crate) fn close_all(&self, close: Close) {
        self.for_each(|inbox| inbox.close(close));
    }

    fn for_each(&self, each: impl Fn(&Inbox)) {
        for shard in &self.shards {
            lock(shard).values().flat_map(|room| &room.inboxes).for_each(|inbox| each(inbox));
        }
    }

    fn shard(&self, chat: Uuid) -> MutexGuard<'_, HashMap<Uuid, Room>> {
        // The last byte of a version 7 UUID is random.
        lock(&self.shards[usize::from(chat.as_bytes()[15]) % SHARDS])
    }
}

impl Connections for Hub {
    fn are_open(&self, tenant: TenantId, chat: Uuid) -> bool {
        // Another tenant's are about to be refused.
        let shard = self.shard(chat);
        shard.get(&chat).is_some_and(|room| room.inboxes.iter().any(|inbox| inbox.tenant == tenant))
    }

    fn chat_updated(&self, chat: &Chat, at: DateTime<Utc>) {
        let event = encode(&ChatUpdated { chat: chat.clone().into() }, at);
        let mut shard = self.shard(chat.id);
        let Some(room) = shard.get_mut(&chat.id) else { return };
        // Of two changes that were committed one after the other, the first may be told last: it is out of date then.
        if room.updated_at.is_some_and(|told| next_time(told, chat.updated_at) != chat.updated_at) {
            return;
        }
        room.updated_at = Some(chat.updated_at);
        for inbox in &room.inboxes {
            inbox.push(Item::Update(event.clone()));
        }
    }

    fn chat_deleted(&self, chat: Uuid) {
        if let Some(room) = self.shard(chat).get(&chat) {
            room.inboxes.iter().for_each(|inbox| inbox.close(Close::ChatDeleted));
            if let Some(answer) = &room.answer {
                answer.cancel.cancel();
            }
        }
    }

    fn cancel_answer(&self, chat: Uuid) -> Option<CancellationToken> {
        let shard = self.shard(chat);
        let answer = shard.get(&chat)?.answer.as_ref()?;
        answer.cancel.cancel();
        Some(answer.ended.token().clone())
    }
}

impl Room {
    fn pass(&self, event: &Utf8Bytes) {
        for inbox in &self.inboxes {
            inbox.push(Item::Passing(event.clone()));
        }
    }
}

impl Membership {
    /// Goes live when everything after the message `delivered` waits in the inbox, and learns of the answer that streams;
    /// tells whether it did. If not, there is more to read from SQL.
    pub(crate) fn join(&self, delivered: i64, at: DateTime<Utc>) -> bool {
        let shard = self.hub.shard(self.chat);
        let answer = shard.get(&self.chat).and_then(|room| room.answer.as_ref());
        // Under the room's lock, so that no token is missed and none comes twice.
        self.inbox.join(delivered, || answer.map(|answer| answer.so_far(self.chat, at)).unwrap_or_default())
    }

    /// Tells the other users that this connection's user types.
    pub(crate) fn typing(&self, at: DateTime<Utc>) {
        self.hub.user_typing(self.chat, &self.inbox, at);
    }
}

impl Answer {
    fn so_far(&self, chat_id: Uuid, at: DateTime<Utc>) -> Vec<Utf8Bytes> {
        let message_id = self.message_id;
        let mut events = vec![encode(&MessageStreamStarted { message_id, chat_id }, at)];
        if let Some(index) = self.tokens.checked_sub(1) {
            events.push(encode(&MessageStreamToken::new(chat_id, message_id, &self.text, index), at));
        }
        events
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        {
            let mut shard = self.hub.shard(self.chat);
            if let Some(room) = shard.get_mut(&self.chat) {
                room.inboxes.retain(|inbox| inbox.id != self.inbox.id);
            }
            leave_if_empty(&mut shard, self.chat);
        }
        let mut keys = lock(&self.hub.keys);
        if let Some(count) = keys.get_mut(&self.inbox.key) {
            *count -= 1;
            if *count == 0 {
                keys.remove(&self.inbox.key);
            }
        }
    }
}

fn leave_if_empty(shard: &mut HashMap<Uuid, Room>, chat: Uuid) {
    if shard.get(&chat).is_some_and(|room| room.inboxes.is_empty() && room.answer.is_none()) {
        shard.remove(&chat);
    }
}

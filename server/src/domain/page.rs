//! Lists, a page at a time.

use chrono::{DateTime, Utc};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::{Label, Status, UserId};

/// Which way a list goes, by what it is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Asc,
    /// Newest first.
    Desc,
}

/// Where a page begins. `K` names a place in the list: the last thing of the page before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start<K> {
    /// After that many things. Its cost grows with the number for chats; it shifts when things come and go.
    Offset(i64),
    /// After this one, whether or not it is still there. Costs the same everywhere.
    After(K),
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window<K> {
    /// Where it begins.
    pub start: Start<K>,
    /// How many things it has at most; at least 1.
    pub limit: u32,
    /// Which way the list goes.
    pub order: Order,
}

impl<K> Window<K> {
    /// Things at most on a page.
    pub const MAX_LIMIT: u32 = 100;
    /// Things at most on a page, if nobody says.
    pub const DEFAULT_LIMIT: u32 = 50;
}

/// A part of a list, filled.
#[derive(Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Whether the list goes on.
    pub has_more: bool,
    /// How many things the whole list has; known when the page began at an offset.
    pub total: Option<i64>,
    /// Its share of the memory for pages, until it is dropped.
    _room: OwnedSemaphorePermit,
}

impl<T> Page<T> {
    /// Takes up to `limit + 1` items, of which the last one only shows that there are more. `room` bounds how many pages
    /// are in memory.
    pub(crate) fn new(mut items: Vec<T>, limit: u32, total: Option<i64>, room: OwnedSemaphorePermit) -> Self {
        let limit = limit as usize;
        let has_more = items.len() > limit;
        items.truncate(limit);
        Self { items, has_more, total, _room: room }
    }
}

/// Which of a tenant's chats are meant; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatFilter {
    /// Of this user.
    pub user_id: Option<UserId>,
    /// In this state.
    pub status: Option<Status>,
    /// Created later than this.
    pub created_after: Option<DateTime<Utc>>,
    /// Created earlier than this.
    pub created_before: Option<DateTime<Utc>>,
    /// With these members in their metadata.
    pub metadata: Vec<Label>,
}

/// A part of a list of chats, and what the list is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatWindow {
    /// By creation, which is the order of ids.
    ByCreation(Window<ChatPlace>),
    /// By last activity.
    ByActivity(Window<ActivityPlace>),
}

impl ChatWindow {
    /// Returns whether the window begins at an offset, rather than after a place.
    pub(crate) fn is_at_offset(self) -> bool {
        match self {
            Self::ByCreation(window) => matches!(window.start, Start::Offset(_)),
            Self::ByActivity(window) => matches!(window.start, Start::Offset(_)),
        }
    }

    /// How many things it has at most.
    pub(crate) fn limit(self) -> u32 {
        match self {
            Self::ByCreation(window) => window.limit,
            Self::ByActivity(window) => window.limit,
        }
    }
}

/// Where a list of chats by creation is: at this chat.
pub type ChatPlace = Uuid;

/// Where a list of chats by last activity is: at the chat `id`, which was last active then. Of chats that were active at the
/// same time, ids decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivityPlace {
    /// In whole microseconds.
    pub active_at: DateTime<Utc>,
    /// The chat.
    pub id: Uuid,
}

/// Where a list of messages is: at the message with this `seq`.
pub type MessagePlace = i64;

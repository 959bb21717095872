//! A part of a list.

/// A page of a list: what awaiting a [`List`](crate::List) gives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// What is on it, in the list's order.
    pub items: Vec<T>,
    /// Whether the list goes on.
    pub has_more: bool,
    /// Where the list goes on: for [`List::cursor`](crate::List::cursor). None at its end.
    pub next_cursor: Option<String>,
    /// How many there are in the whole list. None on a page that a cursor began, and in [`Client::chats`], which does
    /// not count.
    ///
    /// [`Client::chats`]: crate::Client::chats
    pub total: Option<u64>,
}

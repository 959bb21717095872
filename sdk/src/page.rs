//! A page of a list.

/// A page of a list: the value of an awaited [`List`](crate::List).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Whether there are more pages.
    pub has_more: bool,
    /// The cursor of the next page, for [`List::cursor`](crate::List::cursor). None on the last page.
    pub next_cursor: Option<String>,
    /// The number of items in the whole list. None on a page that was requested by cursor, and in [`Client::list_chats`],
    /// which does not count.
    ///
    /// [`Client::list_chats`]: crate::Client::list_chats
    pub total: Option<u64>,
}

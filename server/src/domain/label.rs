//! A member of metadata by which chats can be found.

/// A member of a chat's metadata that a filter can ask for: its name, and its value as text. A string is its own text; a
/// number, `true`, `false` and `null` are their JSON.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label {
    /// The member's name.
    pub name: String,
    /// Its value.
    pub value: String,
}

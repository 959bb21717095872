//! The parameter `sort` of lists of chats.

use chrono::DateTime;
use poem_openapi::registry::MetaSchema;
use uuid::Uuid;

use crate::{
    api::paging::{Paging, next_cursor},
    base::validation::Violation,
    domain::{ActivityPlace, Chat, ChatWindow, Page},
    http::{
        problem::Problem,
        query::{Parameter, Parameters},
        schema::FromParameter,
    },
    wire::{
        cursor::{Cursor, List, Place},
        values::parameter_words,
    },
};

/// `sort`
pub(super) const SORT: Parameter = Parameter {
    name: "sort",
    description: "By creation, or by last activity: a chat's last message, or the creation of a chat without messages. \
                  With `last_message_at` a chat moves when it gets a message. Newest first, pages show each chat at most \
                  once; one that moves while the list is read is at the top when it is read anew. Oldest first, no chat is \
                  left out; one that moves may be shown again at the end.",
    schema: || MetaSchema { default: Some("created_at".into()), ..Sort::schema() },
};

/// The order of a list of chats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    CreatedAt,
    LastMessageAt,
}

impl Sort {
    /// Takes the parameter; by creation if there is none.
    pub(super) fn take(parameters: &mut Parameters) -> Option<Self> {
        Some(parameters.optional(SORT.name)?.unwrap_or(Self::CreatedAt))
    }

    /// `list` in this order, for its cursors. By creation it is what it was before there was another order, so that the
    /// cursors of earlier versions stay good.
    pub(super) fn list(self, list: List) -> List {
        match self {
            Self::CreatedAt => list,
            Self::LastMessageAt => list.with("last_message_at"),
        }
    }

    /// The part of `list` that is asked for.
    pub(super) fn window(self, paging: &Paging, list: &List) -> Result<ChatWindow, Problem> {
        Ok(match self {
            Self::CreatedAt => ChatWindow::ByCreation(paging.window(list, Uuid::from_u128)?),
            Self::LastMessageAt => ChatWindow::ByActivity(paging.window(list, |place: ActivityPlace| place)?),
        })
    }

    /// Where `list` goes on after `page`; `None` at its end.
    pub(super) fn next_cursor(self, list: &List, page: &Page<Chat>) -> Option<Cursor> {
        match self {
            Self::CreatedAt => next_cursor(list, page, |chat| chat.id.as_u128()),
            Self::LastMessageAt => {
                next_cursor(list, page, |chat| ActivityPlace { active_at: chat.active_at(), id: chat.id })
            }
        }
    }
}

parameter_words!(Sort: "created_at" => Sort::CreatedAt, "last_message_at" => Sort::LastMessageAt);

/// Whole microseconds, which is what is stored, and the id.
impl Place for ActivityPlace {
    const BYTES: usize = size_of::<i64>() + size_of::<Uuid>();

    fn to_bytes(&self) -> Vec<u8> {
        [self.active_at.timestamp_micros().to_be_bytes().as_slice(), self.id.as_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (micros, id) = bytes.split_first_chunk()?;
        let active_at = DateTime::from_timestamp_micros(i64::from_be_bytes(*micros))?;
        Some(Self { active_at, id: Uuid::from_slice(id).ok()? })
    }
}

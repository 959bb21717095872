//! What REST and live messaging both say: chats, messages, values, events and frames as JSON.

pub(crate) mod chat;
pub(crate) mod cursor;
mod date_time;
pub(crate) mod message;
pub(crate) mod protocol;
pub(crate) mod values;

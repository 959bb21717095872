//! The tables as sea-orm sees them, one file each. `migration` creates them.

pub(super) mod api_key;
pub(super) mod chat;
pub(super) mod chat_label;
pub(super) mod idempotency_record;
pub(super) mod message;
pub(super) mod tenant;
pub(super) mod ticket;
pub(super) mod user;
pub(super) mod write_probe;

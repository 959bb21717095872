//! Who is told of a stored message.

use super::{Message, Origin, TenantId};

/// Learns of every message, once it is durable.
pub trait Listener: Send + Sync + 'static {
    /// Told by the writer between two transactions, for the messages of one chat in the order of their `seq`: must not
    /// wait.
    fn message_stored(&self, tenant: TenantId, message: &Message, origin: Origin);
}

/// Nobody listens.
impl Listener for () {
    fn message_stored(&self, _: TenantId, _: &Message, _: Origin) {}
}

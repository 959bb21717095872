//! The use cases: they choose ids and times, apply the rules of [`domain`](crate::domain), and read and write the store.

mod authenticator;
mod chats;
mod connection_registry;
mod messages;
mod tenants;
mod tickets;

pub use authenticator::Authenticator;
pub use chats::Chats;
pub use connection_registry::Connections;
pub use messages::Messages;
pub use tenants::{Bootstrap, Tenants};
pub use tickets::Tickets;

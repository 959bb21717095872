//! Live sessions over WebSocket.

mod close_code;
mod connect;
mod event;
mod handshake;
mod machine;
mod outbox;
mod outgoing;
mod position;
mod queue;
mod sender;
mod session;
mod socket;
mod task;

pub use connect::Connect;
pub use event::{
    Connected, DisconnectReason, Disconnected, ErrorEvent, Event, FinishReason, Gap, MessageCreated, MessageReceived,
    MessageStreamEnded, MessageStreamStarted, MessageStreamToken, UnknownEvent, UserCreated, UserTyping,
};
pub use outbox::Receipt;
pub use outgoing::OutgoingMessage;
pub use sender::Sender;
pub use session::{Events, Session};

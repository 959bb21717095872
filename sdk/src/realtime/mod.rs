//! Live sessions over WebSocket.
//!
//! # The life of a session
//!
//! `connect` opens the first connection and spawns the task that owns all connections. `handshake` opens a connection:
//! the upgrade of a request, and the server's first event. `session` is the application's handle, in two halves:
//! `Events` to read and `Sender` to send.
//!
//! ```text
//! an event is read                              a message is sent
//! socket      parses it                         sender      builds the frame, awaits the receipt
//! task        passes it to the machine          task        passes it to the machine
//! machine     decides                           machine     decides
//! position    next, duplicate, or after a gap   outbox      keeps it until it is acknowledged
//! queue       holds it until it is read         socket      writes it
//! session     Events::next
//! ```
//!
//! The machine has no sockets and no clock: inputs go in with the current time, effects come out. Reconnecting,
//! acknowledging and closing are therefore tested without either. The task executes the effects and makes no decisions.
//!
//! # Other modules
//!
//! `event` has the events, `close_code` the reasons for which a connection ends.

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
    ChatUpdated, Connected, DisconnectReason, Disconnected, ErrorEvent, Event, FinishReason, Gap, MessageCreated,
    MessageReceived, MessageStreamEnded, MessageStreamStarted, MessageStreamToken, UnknownEvent, UserCreated,
    UserTyping,
};
pub use outbox::Receipt;
pub use outgoing::OutgoingMessage;
pub use sender::Sender;
pub use session::{Events, Session};

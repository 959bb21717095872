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
//! `event` has the events, `connection_loss` the reasons for which a connection ends.

mod connect;
mod connection_loss;
mod event;
mod event_queue;
mod handshake;
mod machine;
mod outbox;
mod sender;
mod session;
mod session_task;
mod socket;
mod stream_position;

pub use connect::Connect;
pub use event::{
    ChatUpdated, Connected, DisconnectReason, Disconnected, ErrorEvent, Event, FinishReason, Gap, MessageCreated,
    MessageReceived, MessageStreamEnded, MessageStreamStarted, MessageStreamToken, UnknownEvent, UserCreated,
    UserTyping,
};
pub use outbox::Receipt;
pub use sender::{OutgoingMessage, Sender};
pub use session::{Events, Session};

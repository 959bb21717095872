//! Live sessions over WebSocket.
//!
//! # The life of a session
//!
//! ```text
//! connect     Client::connect: makes the first connection, and the task that owns it from then on
//! handshake   opens a connection: the upgrade of a request, and the server's first event
//! session     what the application holds, in two halves: Events to read, Sender to send
//!
//! socket      an event is read            outgoing    a message is made a frame, and waits for its outcome
//! task        tells the machine           sender      hands it to the task
//! machine     decides                     task        tells the machine
//! position    shown before, next, early   machine     decides
//! queue       holds it until it is taken  outbox      keeps it until it is acknowledged
//! session     Events::next                socket      it is written
//! ```
//!
//! The machine knows neither sockets nor time: what happens goes in, with the instant, and effects come out. So all of
//! reconnecting, acknowledging and closing is tested without either. The task carries the effects out and decides nothing.
//!
//! # The other modules
//!
//! `event` is what the server says, `close_code` why it hangs up and whether to come back.

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

//! The WebSocket's language: frames in, events out, and why a connection ends.

mod close;
pub(crate) mod event;
mod frame;

pub(crate) use close::Close;
pub(crate) use frame::{ClientFrame, ClientMessage};

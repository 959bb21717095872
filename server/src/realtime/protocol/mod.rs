//! The WebSocket's language: frames in, events out, and why a connection ends.

mod close;
mod error;
pub(crate) mod event;
mod examples;
pub(crate) mod frame;
mod kind;

pub(crate) use close::Close;
pub(crate) use error::ErrorCode;
pub(crate) use frame::{ClientFrame, ClientMessage};
pub(crate) use kind::Kind;

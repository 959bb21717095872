//! The WebSocket's language: frames in, events out, and why a connection ends.

mod close;
mod error_code;
pub(crate) mod event;
mod examples;
pub(crate) mod frame;
pub(crate) mod frame_spec;

pub(crate) use close::Close;
pub(crate) use error_code::ErrorCode;
pub(crate) use frame::{ClientFrame, ClientMessage};
pub(crate) use frame_spec::Kind;

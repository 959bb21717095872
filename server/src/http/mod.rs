//! The transport: from an accepted connection to a handler, and back as bytes.
//!
//! [`listen`] accepts connections, [`stack`] lists what every request passes through, [`problem`] renders every
//! failure. What handlers take and give is in [`auth`] (who calls), [`body`] (JSON in and out), [`path`], [`query`] and
//! [`idempotency`]; how large what they give can get is in [`bounded`].

pub(crate) mod answer;
pub(crate) mod auth;
pub(crate) mod body;
mod body_time;
pub(crate) mod bounded;
pub(crate) mod context;
pub(crate) mod cors;
pub(crate) mod docs;
pub(crate) mod field_error;
pub(crate) mod health;
pub(crate) mod home;
pub(crate) mod idempotency;
pub(crate) mod listen;
pub(crate) mod named;
pub(crate) mod origin;
pub(crate) mod path;
pub(crate) mod paths;
mod percent;
pub(crate) mod problem;
pub(crate) mod query;
pub(crate) mod stack;
pub(crate) mod static_file;

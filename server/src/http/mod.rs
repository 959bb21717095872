//! The transport: from an accepted connection to a handler, and back as bytes.
//!
//! [`listen`] accepts connections, [`problem`] renders every failure. What handlers take and give is in [`body`] (JSON in
//! and out), [`path`], [`query`], [`idempotency`] and [`response`]; how large what they give can get is in [`bounded`].

pub(crate) mod body;
mod body_time;
pub(crate) mod context;
pub(crate) mod cors;
pub(crate) mod field_error;
pub(crate) mod idempotency;
pub(crate) mod limits;
pub(crate) mod listen;
pub(crate) mod named;
pub(crate) mod operation;
pub(crate) mod origin;
pub(crate) mod path;
pub(crate) mod percent;
pub(crate) mod problem;
pub(crate) mod query;
pub(crate) mod response;
pub(crate) mod schema;
pub(crate) mod static_file;
pub(crate) mod trailing_slash;

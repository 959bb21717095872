//! The documents that describe the server, and the pages that show them.

pub(crate) mod asyncapi;
pub(crate) mod openapi;
pub(crate) mod pages;

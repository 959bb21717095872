//! The REST interface: one file a noun, each with its schema types and its handlers. Together they are the document.

mod chats;
mod document;
mod values;

pub(crate) use document::{document, render, service};

//! Programs that use the Parlor SDK. Each is one file, to be read from the top and copied.
//!
//! | example | shows |
//! |---|---|
//! | `quickstart` | a first chat: connect, create, print |
//! | `support_inbox` | a support desk: messages, lists as streams, filters, metadata, closing, deleting |
//! | `live_chat` | a chat in the terminal: a live session, answers as they are given, reconnects |
//! | `embed_in_utoipa` | an application whose own `OpenAPI` document speaks of Parlor's `Chat` |
//!
//! All talk to the server at `PARLOR_URL`, by default `http://localhost:8000`, with the key in `PARLOR_API_KEY`:
//!
//! ```text
//! PARLOR_API_KEY=… cargo run --release -p parlor-examples --example quickstart
//! ```

/// The README's program compiles against the SDK as it is.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

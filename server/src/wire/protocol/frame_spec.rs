//! The kinds of frames of both sides, for the document.

use poem_openapi::{registry::Registry, types::Type};
use serde::Serialize;
use serde_json::Value;

use crate::http::body::FromMembers;

/// One kind of event.
pub(crate) trait Event: Serialize + Type {
    /// Its `event_type`.
    const TYPE: &'static str;
}

/// One kind of frame.
pub(crate) trait Frame: FromMembers {
    /// Its `type`.
    const TYPE: &'static str;
    /// The event that answers it, if all goes well.
    const ANSWER: Option<&'static str> = None;
}

/// Shows itself in the document.
pub(super) trait Examples {
    /// Whole frames, one or more.
    fn examples() -> Vec<Value>;
}

/// A kind of frame, of either side, for the document.
pub(crate) struct Kind {
    /// The word that tells it from the others of its side.
    pub(crate) word: &'static str,
    /// The name of the schema of what else it has.
    pub(crate) schema: fn() -> String,
    /// Adds that schema.
    pub(crate) register: fn(&mut Registry),
    /// Whole frames.
    pub(crate) examples: fn() -> Vec<Value>,
    /// Of a client's frame: the event that answers it.
    pub(crate) answer: Option<&'static str>,
}

impl Kind {
    pub(super) const fn of_event<E: Event + Examples>() -> Self {
        let schema = || E::name().into_owned();
        Self { word: E::TYPE, schema, register: E::register, examples: E::examples, answer: None }
    }

    pub(super) const fn of_frame<F: Frame + Examples>() -> Self {
        let schema = || F::name().into_owned();
        Self { word: F::TYPE, schema, register: F::register, examples: F::examples, answer: F::ANSWER }
    }
}

//! One thing that is wrong with a request: where, and what.

use poem_openapi::Object;
use serde::Serialize;

use super::schema::{Text, describe, text, text_schema};
use crate::base::validation::Violation;

/// A sentence about what is wrong.
pub(crate) type Detail = Text<1_024>;

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
pub(crate) struct FieldError {
    /// Where: a JSON pointer (RFC 6901) into the body, empty for the body itself; `/header/` or `/query/` and a name for a
    /// parameter. Where that would be too long, to the nearest thing around it.
    pointer: Pointer,
    /// What is wrong there. Never repeats the value.
    detail: Detail,
}

impl FieldError {
    pub(crate) fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: Pointer::new(pointer.into()), detail: Detail::cut(detail.into()) }
    }

    pub(crate) fn pointer(&self) -> &str {
        &self.pointer.0
    }

    pub(crate) fn detail(&self) -> &str {
        self.detail.as_str()
    }

    /// A violation by the value at `pointer`.
    pub(crate) fn at(pointer: &str, violation: Violation) -> Self {
        Self::new(format!("{pointer}{}", violation.pointer), violation.detail)
    }
}

/// A JSON pointer that is not repeated at whatever length a caller chose for its names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
struct Pointer(String);

impl Pointer {
    /// Characters at most.
    const MAX_CHARS: usize = 1_024;

    /// As many steps of `pointer` as are within the bounds: half a name would point at something else.
    fn new(mut pointer: String) -> Self {
        if pointer.chars().nth(Self::MAX_CHARS).is_some() {
            let slashes = pointer.char_indices().take(Self::MAX_CHARS + 1).filter(|(_, character)| *character == '/');
            let end = slashes.last().map_or(0, |(index, _)| index);
            pointer.truncate(end);
        }
        Self(pointer)
    }
}

describe!(Pointer, text_schema(0, Self::MAX_CHARS), |json| text(&json).map(Self::new), |value| {
    Some(value.0.as_str().into())
});

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(text: &str) -> String {
        Pointer::new(text.to_owned()).0
    }

    #[test]
    fn a_pointer_is_shortened_by_whole_steps() {
        let long = |chars: usize| format!("/{}", "é".repeat(chars - 1));
        let full = long(Pointer::MAX_CHARS);
        assert_eq!(pointer(&full), full);
        assert_eq!(pointer(&format!("{full}/a/b")), full);
        assert_eq!(pointer(&format!("/metadata{full}")), "/metadata");
        assert_eq!(pointer(&format!("/query{}", long(60_000))), "/query");
        assert_eq!(pointer(&long(Pointer::MAX_CHARS + 1)), "");
    }
}

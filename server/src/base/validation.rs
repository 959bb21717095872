//! What is said of a value that breaks a rule.

/// A rule that a value breaks: where inside the value (a JSON pointer, RFC 6901; empty for the value itself) and a
/// sentence without a subject, such as `must not be empty`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where, relative to the value.
    pub pointer: String,
    /// What is wrong, in words for the caller. Never repeats the value.
    pub detail: String,
}

impl Violation {
    /// A violation by the value as a whole.
    pub fn new(detail: impl Into<String>) -> Self {
        Self { pointer: String::new(), detail: detail.into() }
    }
}

/// One step of a JSON pointer (RFC 6901): a slash and the member's name, escaped.
pub(crate) fn pointer_step(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

//! What the server can be asked: one row per operation of the server's `openapi.json`.

use http::Method;

/// An operation of the server's `OpenAPI` document, as this version of the SDK knows it.
///
/// ```
/// let create_chat = parlor_sdk::OPERATIONS[0];
/// assert_eq!(create_chat.id(), "create_chat");
/// assert_eq!(create_chat.method(), "POST");
/// assert_eq!(create_chat.path(), "/api/v1/chats/");
/// assert!(create_chat.statuses().contains(&201));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    id: &'static str,
    method: &'static str,
    path: &'static str,
    statuses: &'static [u16],
}

impl Operation {
    /// The `operationId`, which is also the name of the [`Client`](crate::Client)'s method.
    pub const fn id(&self) -> &'static str {
        self.id
    }

    /// The HTTP method, in capitals.
    pub const fn method(&self) -> &'static str {
        self.method
    }

    /// The path below the base URL, with `{name}` for each parameter.
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// The statuses that the document promises, ascending.
    pub const fn statuses(&self) -> &'static [u16] {
        self.statuses
    }

    /// Whether each call carries an `Idempotency-Key`.
    pub(crate) fn is_keyed(&self) -> bool {
        self.method == Method::POST.as_str()
    }

    /// Whether a request that may have been carried out may be sent again: because the server recognises its key, or
    /// because the method is idempotent (RFC 9110, section 9.2.2).
    pub(crate) fn is_repeatable(&self) -> bool {
        self.is_keyed() || matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
    }
}

pub(crate) const CREATE_CHAT: Operation = Operation {
    id: "create_chat",
    method: "POST",
    path: "/api/v1/chats/",
    statuses: &[201, 400, 401, 413, 415, 422, 500, 503],
};

/// Every operation this version of the SDK can call.
///
/// The contract test compares this table with the server's document, in both directions.
pub const OPERATIONS: &[Operation] = &[CREATE_CHAT];

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn operation(method: &'static str) -> Operation {
        Operation { method, ..CREATE_CHAT }
    }

    #[test]
    fn only_a_post_carries_a_key() {
        assert!(operation("POST").is_keyed());
        for method in ["GET", "PUT", "PATCH", "DELETE"] {
            assert!(!operation(method).is_keyed(), "{method}");
        }
    }

    #[test]
    fn a_patch_without_a_key_is_not_repeatable() {
        assert!(!operation("PATCH").is_repeatable());
        for method in ["GET", "PUT", "POST", "DELETE"] {
            assert!(operation(method).is_repeatable(), "{method}");
        }
    }
}

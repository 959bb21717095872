//! The operations of the server: one constant for each operation of `openapi.json`.

/// An operation of the server's `OpenAPI` document.
///
/// ```
/// use parlor_sdk::OPERATIONS;
///
/// let list_messages = OPERATIONS.iter().find(|operation| operation.id() == "list_messages").unwrap();
/// assert_eq!(list_messages.method(), "GET");
/// assert_eq!(list_messages.path(), "/api/v1/chats/{chat_id}/messages");
/// assert!(list_messages.query().contains(&"after_seq"));
/// assert!(list_messages.statuses().contains(&404));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    id: &'static str,
    method: &'static str,
    path: &'static str,
    query: &'static [&'static str],
    statuses: &'static [u16],
    retry_safety: RetrySafety,
}

/// Why it is safe to repeat a request that the server may have processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RetrySafety {
    /// The operation changes nothing, or its method is idempotent (RFC 9110, section 9.2.2).
    Idempotent,
    /// The server recognises the `Idempotency-Key`.
    Keyed,
    /// A duplicate is harmless because it can be used only once, and expires.
    ShortLived,
    /// A JSON merge patch has the same result however often it is applied (RFC 7396).
    MergePatch,
    /// It is not safe.
    #[cfg(test)]
    Never,
}

impl Operation {
    /// Returns the `operationId`, which is also the name of the [`Client`](crate::Client)'s method.
    pub const fn id(&self) -> &'static str {
        self.id
    }

    /// Returns the HTTP method in upper case.
    pub const fn method(&self) -> &'static str {
        self.method
    }

    /// Returns the path below the base URL, with `{name}` for each parameter.
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// Returns the names of the query parameters, in the document's order. All are optional.
    pub const fn query(&self) -> &'static [&'static str] {
        self.query
    }

    /// Returns the documented statuses in ascending order.
    pub const fn statuses(&self) -> &'static [u16] {
        self.statuses
    }

    /// Returns whether calls carry an `Idempotency-Key`.
    pub(crate) fn is_keyed(&self) -> bool {
        self.retry_safety == RetrySafety::Keyed
    }

    /// Returns whether a request that the server may have processed may be sent again.
    pub(crate) fn is_retry_safe(&self) -> bool {
        match self.retry_safety {
            RetrySafety::Idempotent | RetrySafety::Keyed | RetrySafety::ShortLived | RetrySafety::MergePatch => true,
            #[cfg(test)]
            RetrySafety::Never => false,
        }
    }

    /// Returns whether the operation deletes its resource, so that a retry may not find it any more.
    pub(crate) fn is_deletion(&self) -> bool {
        self.method == "DELETE"
    }
}

pub(crate) const CREATE_CHAT: Operation = Operation {
    id: "create_chat",
    method: "POST",
    path: "/api/v1/chats/",
    query: &[],
    statuses: &[201, 400, 401, 413, 415, 422, 500, 503],
    retry_safety: RetrySafety::Keyed,
};

pub(crate) const LIST_CHATS: Operation = Operation {
    id: "list_chats",
    method: "GET",
    path: "/api/v1/chats/",
    query: &["user_id", "status", "created_after", "created_before", "metadata", "limit", "sort", "order", "cursor"],
    statuses: &[200, 400, 401, 500, 503],
    retry_safety: RetrySafety::Idempotent,
};

pub(crate) const LIST_USER_CHATS: Operation = Operation {
    id: "list_user_chats",
    method: "GET",
    path: "/api/v1/chats/user/{user_id}",
    query: &["offset", "limit", "sort", "order", "cursor"],
    statuses: &[200, 400, 401, 404, 500, 503],
    retry_safety: RetrySafety::Idempotent,
};

pub(crate) const GET_CHAT: Operation = Operation {
    id: "get_chat",
    method: "GET",
    path: "/api/v1/chats/{chat_id}",
    query: &[],
    statuses: &[200, 401, 404, 500, 503],
    retry_safety: RetrySafety::Idempotent,
};

pub(crate) const UPDATE_CHAT: Operation = Operation {
    id: "update_chat",
    method: "PATCH",
    path: "/api/v1/chats/{chat_id}",
    query: &[],
    statuses: &[200, 400, 401, 404, 413, 415, 500, 503],
    retry_safety: RetrySafety::MergePatch,
};

pub(crate) const DELETE_CHAT: Operation = Operation {
    id: "delete_chat",
    method: "DELETE",
    path: "/api/v1/chats/{chat_id}",
    query: &["force"],
    statuses: &[200, 400, 401, 404, 409, 500, 503],
    retry_safety: RetrySafety::Idempotent,
};

pub(crate) const LIST_MESSAGES: Operation = Operation {
    id: "list_messages",
    method: "GET",
    path: "/api/v1/chats/{chat_id}/messages",
    query: &["offset", "limit", "order", "cursor", "after_seq"],
    statuses: &[200, 400, 401, 404, 500, 503],
    retry_safety: RetrySafety::Idempotent,
};

pub(crate) const SEND_MESSAGE: Operation = Operation {
    id: "send_message",
    method: "POST",
    path: "/api/v1/chats/{chat_id}/messages",
    query: &[],
    statuses: &[201, 400, 401, 404, 409, 413, 415, 422, 500, 503],
    retry_safety: RetrySafety::Keyed,
};

pub(crate) const CREATE_TICKET: Operation = Operation {
    id: "create_ticket",
    method: "POST",
    path: "/api/v1/chats/{chat_id}/tickets",
    query: &[],
    statuses: &[201, 400, 401, 404, 413, 415, 500, 503],
    retry_safety: RetrySafety::ShortLived,
};

/// Opens a live session. WebSocket is not part of the `OpenAPI` document.
#[cfg(feature = "realtime")]
pub(crate) const CONNECT: Operation = Operation {
    id: "connect",
    method: "GET",
    path: "/ws/chat",
    query: &["user_id", "after_seq"],
    statuses: &[101, 400, 401, 404, 503],
    retry_safety: RetrySafety::Idempotent,
};

/// All operations that this version of the SDK supports.
///
/// The contract test compares this table with the server's document, in both directions.
pub const OPERATIONS: &[Operation] = &[
    CREATE_CHAT,
    LIST_CHATS,
    LIST_USER_CHATS,
    GET_CHAT,
    UPDATE_CHAT,
    DELETE_CHAT,
    LIST_MESSAGES,
    SEND_MESSAGE,
    CREATE_TICKET,
];

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An operation that is not safe to repeat. The table has none.
    pub(crate) const NOT_RETRY_SAFE: Operation = Operation { retry_safety: RetrySafety::Never, ..UPDATE_CHAT };

    #[test]
    fn the_reason_for_retrying_matches_the_method() {
        for operation in OPERATIONS {
            let expected = match operation.method {
                "GET" | "DELETE" => RetrySafety::Idempotent,
                "POST" if operation.id == "create_ticket" => RetrySafety::ShortLived,
                "POST" => RetrySafety::Keyed,
                "PATCH" => RetrySafety::MergePatch,
                other => panic!("no reason to retry {other}"),
            };
            assert_eq!(operation.retry_safety, expected, "{}", operation.id);
            assert_eq!(operation.is_keyed(), expected == RetrySafety::Keyed, "{}", operation.id);
            assert!(operation.is_retry_safe(), "{}", operation.id);
        }
        assert!(!NOT_RETRY_SAFE.is_retry_safe());
    }
}

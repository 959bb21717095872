//! What the server can be asked: one row per operation of the server's `openapi.json`.

/// An operation of the server's `OpenAPI` document, as this version of the SDK knows it.
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
    repetition: Repetition,
}

/// Why a request that may have been carried out may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repetition {
    /// It changes nothing, or its method is idempotent (RFC 9110, section 9.2.2).
    Idempotent,
    /// The server recognises its `Idempotency-Key`.
    Keyed,
    /// What it creates twice is used once at most, and expires.
    Expendable,
    /// A JSON merge patch, which gives the same result however often it is applied (RFC 7396).
    MergePatch,
    /// For no reason at all.
    #[cfg(test)]
    Never,
}

impl Operation {
    /// The `operationId`, which is also the name of the [`Client`](crate::Client)'s method, but for `list_chats`:
    /// [`Client::chats`](crate::Client::chats).
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

    /// The names of the query parameters, in the document's order. None has to be given.
    pub const fn query(&self) -> &'static [&'static str] {
        self.query
    }

    /// The statuses that the document promises, ascending.
    pub const fn statuses(&self) -> &'static [u16] {
        self.statuses
    }

    /// Whether each call carries an `Idempotency-Key`.
    pub(crate) fn is_keyed(&self) -> bool {
        self.repetition == Repetition::Keyed
    }

    /// Whether a request that may have been carried out may be sent again.
    pub(crate) fn is_repeatable(&self) -> bool {
        match self.repetition {
            Repetition::Idempotent | Repetition::Keyed | Repetition::Expendable | Repetition::MergePatch => true,
            #[cfg(test)]
            Repetition::Never => false,
        }
    }

    /// Whether what it names is gone once it has been carried out, so that a repetition may not find it any more.
    pub(crate) fn deletes(&self) -> bool {
        self.method == "DELETE"
    }
}

pub(crate) const CREATE_CHAT: Operation = Operation {
    id: "create_chat",
    method: "POST",
    path: "/api/v1/chats/",
    query: &[],
    statuses: &[201, 400, 401, 413, 415, 422, 500, 503],
    repetition: Repetition::Keyed,
};

pub(crate) const LIST_CHATS: Operation = Operation {
    id: "list_chats",
    method: "GET",
    path: "/api/v1/chats/",
    query: &["user_id", "status", "created_after", "created_before", "metadata", "limit", "sort", "order", "cursor"],
    statuses: &[200, 400, 401, 500, 503],
    repetition: Repetition::Idempotent,
};

pub(crate) const LIST_USER_CHATS: Operation = Operation {
    id: "list_user_chats",
    method: "GET",
    path: "/api/v1/chats/user/{user_id}",
    query: &["offset", "limit", "sort", "order", "cursor"],
    statuses: &[200, 400, 401, 404, 500, 503],
    repetition: Repetition::Idempotent,
};

pub(crate) const GET_CHAT: Operation = Operation {
    id: "get_chat",
    method: "GET",
    path: "/api/v1/chats/{chat_id}",
    query: &[],
    statuses: &[200, 401, 404, 500, 503],
    repetition: Repetition::Idempotent,
};

pub(crate) const UPDATE_CHAT: Operation = Operation {
    id: "update_chat",
    method: "PATCH",
    path: "/api/v1/chats/{chat_id}",
    query: &[],
    statuses: &[200, 400, 401, 404, 413, 415, 500, 503],
    repetition: Repetition::MergePatch,
};

pub(crate) const DELETE_CHAT: Operation = Operation {
    id: "delete_chat",
    method: "DELETE",
    path: "/api/v1/chats/{chat_id}",
    query: &["force"],
    statuses: &[200, 400, 401, 404, 409, 500, 503],
    repetition: Repetition::Idempotent,
};

pub(crate) const LIST_MESSAGES: Operation = Operation {
    id: "list_messages",
    method: "GET",
    path: "/api/v1/chats/{chat_id}/messages",
    query: &["offset", "limit", "order", "cursor", "after_seq"],
    statuses: &[200, 400, 401, 404, 500, 503],
    repetition: Repetition::Idempotent,
};

pub(crate) const SEND_MESSAGE: Operation = Operation {
    id: "send_message",
    method: "POST",
    path: "/api/v1/chats/{chat_id}/messages",
    query: &[],
    statuses: &[201, 400, 401, 404, 409, 413, 415, 422, 500, 503],
    repetition: Repetition::Keyed,
};

pub(crate) const CREATE_TICKET: Operation = Operation {
    id: "create_ticket",
    method: "POST",
    path: "/api/v1/chats/{chat_id}/tickets",
    query: &[],
    statuses: &[201, 400, 401, 404, 413, 415, 500, 503],
    repetition: Repetition::Expendable,
};

/// A live session, which the server's document leaves to WebSocket.
#[cfg(feature = "realtime")]
pub(crate) const CONNECT: Operation = Operation {
    id: "connect",
    method: "GET",
    path: "/ws/chat",
    query: &["user_id", "after_seq"],
    statuses: &[101, 400, 401, 404, 503],
    repetition: Repetition::Idempotent,
};

/// Every operation this version of the SDK can call.
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

    /// What would not be safe to repeat. There is none in the table.
    pub(crate) const NOT_REPEATABLE: Operation = Operation { repetition: Repetition::Never, ..UPDATE_CHAT };

    #[test]
    fn the_reason_for_repeating_fits_the_method() {
        for operation in OPERATIONS {
            let expected = match operation.method {
                "GET" | "DELETE" => Repetition::Idempotent,
                "POST" if operation.id == "create_ticket" => Repetition::Expendable,
                "POST" => Repetition::Keyed,
                "PATCH" => Repetition::MergePatch,
                other => panic!("why may {other} be repeated?"),
            };
            assert_eq!(operation.repetition, expected, "{}", operation.id);
            assert_eq!(operation.is_keyed(), expected == Repetition::Keyed, "{}", operation.id);
            assert!(operation.is_repeatable(), "{}", operation.id);
        }
        assert!(!NOT_REPEATABLE.is_repeatable());
    }
}

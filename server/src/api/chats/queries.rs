//! What the operations on chats take in a query.

use poem_openapi::registry::MetaSchema;

use super::sort::{SORT, Sort};
use crate::{
    api::paging::{self, Paging},
    base::validation::Violation,
    domain::{ChatFilter, Label, Metadata, Order, Status, UserId},
    http::{
        query::{FromQuery, Parameter, Parameters},
        schema::{FromParameter, text_schema},
    },
    wire::values::Timestamp,
};

pub(crate) struct ListUserChatsQuery {
    pub(super) sort: Sort,
    pub(super) paging: Paging,
}

impl FromQuery for ListUserChatsQuery {
    const PARAMETERS: &'static [Parameter] =
        &[paging::OFFSET, paging::LIMIT, SORT, paging::order(paging::newest_first), paging::CURSOR];

    fn from_query(parameters: &mut Parameters) -> Option<Self> {
        let sort = Sort::take(parameters);
        let paging = Paging::with_offset(parameters, Order::Desc);
        Some(Self { sort: sort?, paging: paging? })
    }
}

pub(crate) struct ListChatsQuery {
    pub(super) filter: ChatFilter,
    pub(super) sort: Sort,
    pub(super) paging: Paging,
}

/// Labels at most in one filter.
const MAX_LABELS: usize = 10;

impl FromQuery for ListChatsQuery {
    const PARAMETERS: &'static [Parameter] = &[
        Parameter { name: "user_id", description: "Of this user.", schema: UserId::schema },
        Parameter { name: "status", description: "In this state.", schema: Status::schema },
        Parameter { name: "created_after", description: "Created later than this.", schema: Timestamp::schema },
        Parameter { name: "created_before", description: "Created earlier than this.", schema: Timestamp::schema },
        Parameter {
            name: "metadata",
            description: "With this member of the metadata, as `name:value`; may be repeated, all must hold. A number, \
                          `true`, `false` and `null` are compared as their JSON; arrays and objects are not. In the \
                          name `\\:` stands for a colon and `\\\\` for a backslash.",
            schema: || paging::several(Label::schema(), MAX_LABELS),
        },
        paging::LIMIT,
        SORT,
        paging::order(paging::newest_first),
        paging::CURSOR,
    ];

    fn from_query(parameters: &mut Parameters) -> Option<Self> {
        let user_id = parameters.optional("user_id");
        let status = parameters.optional("status");
        let created_after = parameters.optional::<Timestamp>("created_after");
        let created_before = parameters.optional::<Timestamp>("created_before");
        let metadata = parameters.repeated("metadata", MAX_LABELS);
        let sort = Sort::take(parameters);
        let paging = Paging::without_offset(parameters, Order::Desc);
        let filter = ChatFilter {
            user_id: user_id?,
            status: status?,
            created_after: created_after?.map(|moment| moment.0),
            created_before: created_before?.map(|moment| moment.0),
            metadata: metadata?,
        };
        Some(Self { filter, sort: sort?, paging: paging? })
    }
}

impl FromParameter for Label {
    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some(r"^([^:\\]|\\[\s\S])*:".to_owned()),
            example: Some("department:technical".into()),
            ..text_schema(1, Metadata::MAX_BYTES)
        }
    }

    fn from_parameter(text: &str) -> Result<Self, Violation> {
        let (name, value) = split_label(text).ok_or_else(|| Violation::new("must be written as name:value"))?;
        if text.chars().count() > Metadata::MAX_BYTES {
            return Err(Violation::new(format!("must have at most {} characters", Metadata::MAX_BYTES)));
        }
        Ok(Self { name, value: value.to_owned() })
    }
}

/// The name and the value of a label, which are separated by the first colon that is not escaped. A backslash before
/// anything but a colon or a backslash is one of the name.
fn split_label(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            ':' => return Some((name, &text[place + 1..])),
            '\\' => match characters.next() {
                Some((_, escaped @ (':' | '\\'))) => name.push(escaped),
                Some((_, other)) => name.extend(['\\', other]),
                None => return None,
            },
            other => name.push(other),
        }
    }
    None
}

pub(crate) struct DeleteChatQuery {
    pub(super) force: bool,
}

impl FromQuery for DeleteChatQuery {
    const PARAMETERS: &'static [Parameter] = &[Parameter {
        name: "force",
        description: "Whether open connections are closed rather than respected.",
        schema: || MetaSchema { default: Some(false.into()), ..MetaSchema::new("boolean") },
    }];

    fn from_query(parameters: &mut Parameters) -> Option<Self> {
        struct Force(bool);

        impl FromParameter for Force {
            fn schema() -> MetaSchema {
                MetaSchema::new("boolean")
            }

            fn from_parameter(text: &str) -> Result<Self, Violation> {
                // `True` is what Python makes of it, `1` what PHP does.
                match text.to_ascii_lowercase().as_str() {
                    "true" | "1" => Ok(Self(true)),
                    "false" | "0" => Ok(Self(false)),
                    _ => Err(Violation::new("must be one of true, false")),
                }
            }
        }

        let force = parameters.optional::<Force>("force")?;
        Some(Self { force: force.is_some_and(|force| force.0) })
    }
}

//! What all lists have in common on the wire.

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};

use crate::{
    chat::{Order, Page, Start, Violation, Window},
    http::{
        problem::{FieldError, Problem},
        query::{FromParameter, Parameter, Parameters},
    },
};

use super::cursor::List;

/// The largest integer that every JSON reader keeps exact.
const MAX_INTEGER: i64 = (1 << 53) - 1;

/// `limit`
pub(super) const LIMIT: Parameter =
    Parameter { name: "limit", description: "How many to answer at most.", schema: Limit::schema };
/// `offset`
pub(super) const OFFSET: Parameter = Parameter {
    name: "offset",
    description: "How many to skip. Shifts when something is added or deleted between pages; a cursor does not.",
    schema: Offset::schema,
};
/// `cursor`
pub(super) const CURSOR: Parameter = Parameter {
    name: "cursor",
    description: "`next_cursor` of the page before; the other parameters stay the same, and `offset` is not given.",
    schema: Cursor::schema,
};

/// `order`, with the list's own default.
pub(super) const fn order(schema: fn() -> MetaSchema) -> Parameter {
    Parameter { name: "order", description: "By creation: oldest or newest first.", schema }
}

/// Which page is asked for.
#[derive(Debug)]
pub(super) struct Paging {
    limit: u32,
    order: Order,
    offset: Option<i64>,
    cursor: Option<String>,
}

impl Paging {
    /// Of a list that takes offsets too.
    pub(super) fn with_offset(parameters: &mut Parameters, default: Order) -> Option<Self> {
        let offset = parameters.optional::<Offset>("offset");
        let paging = Self::without_offset(parameters, default);
        let (offset, paging) = (offset?, paging?);
        if offset.is_some() && paging.cursor.is_some() {
            parameters.refuse("offset", "cannot be combined with cursor");
            parameters.refuse("cursor", "cannot be combined with offset");
        }
        Some(Self { offset: offset.map(|offset| offset.0), ..paging })
    }

    /// Of a list that takes cursors only.
    pub(super) fn without_offset(parameters: &mut Parameters, default: Order) -> Option<Self> {
        let limit = parameters.optional::<Limit>("limit");
        let order = parameters.optional::<Order>("order");
        let cursor = parameters.optional::<Cursor>("cursor");
        Some(Self {
            limit: limit?.map_or(Window::<()>::DEFAULT_LIMIT, |limit| limit.0),
            order: order?.unwrap_or(default),
            offset: None,
            cursor: cursor?.map(|cursor| cursor.0),
        })
    }

    /// The order, as a part of the list that a cursor belongs to.
    pub(super) fn order(&self) -> &'static str {
        order_word(self.order)
    }

    /// How many were asked for at most.
    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// How many were skipped; `None` when a cursor said where to begin.
    pub(super) fn offset(&self) -> Option<i64> {
        self.cursor.is_none().then(|| self.offset.unwrap_or(0))
    }

    /// The part of `list` that is asked for; `place` takes back what [`next_cursor`] was given.
    pub(super) fn window<K>(&self, list: &List, place: impl FnOnce(u128) -> K) -> Result<Window<K>, Problem> {
        let start = match &self.cursor {
            Some(cursor) => Start::After(place(
                list.place(cursor)
                    .map_err(|violation| Problem::invalid(vec![FieldError::at("/query/cursor", violation)]))?,
            )),
            None => Start::Offset(self.offset.unwrap_or(0)),
        };
        Ok(Window { start, limit: self.limit, order: self.order })
    }
}

/// Where the list goes on after `page`; `None` at its end.
pub(super) fn next_cursor<T>(list: &List, page: &Page<T>, place: impl FnOnce(&T) -> u128) -> Option<String> {
    page.items.last().filter(|_| page.has_more).map(|last| list.cursor(place(last)))
}

fn order_word(order: Order) -> &'static str {
    match order {
        Order::Asc => "asc",
        Order::Desc => "desc",
    }
}

/// `order` of a list that begins with the oldest.
pub(super) fn oldest_first() -> MetaSchema {
    MetaSchema { default: Some(order_word(Order::Asc).into()), ..Order::schema() }
}

/// `order` of a list that begins with the newest.
pub(super) fn newest_first() -> MetaSchema {
    MetaSchema { default: Some(order_word(Order::Desc).into()), ..Order::schema() }
}

struct Limit(u32);

impl FromParameter for Limit {
    fn schema() -> MetaSchema {
        MetaSchema {
            minimum: Some(1.0),
            maximum: Some(f64::from(Window::<()>::MAX_LIMIT)),
            default: Some(Window::<()>::DEFAULT_LIMIT.into()),
            ..MetaSchema::new_with_format("integer", "int32")
        }
    }

    fn from_parameter(text: &str) -> Result<Self, Violation> {
        let max = Window::<()>::MAX_LIMIT;
        let limit = integer(text).and_then(|limit| u32::try_from(limit).ok());
        let limit = limit.filter(|limit| (1..=max).contains(limit));
        limit.map(Self).ok_or_else(|| Violation::new(format!("must be an integer from 1 to {max}")))
    }
}

/// A count of things before the one meant.
pub(super) struct Offset(pub(super) i64);

impl FromParameter for Offset {
    fn schema() -> MetaSchema {
        #[expect(clippy::cast_precision_loss, reason = "the largest integer that a double keeps exact")]
        let maximum = Some(MAX_INTEGER as f64);
        MetaSchema { minimum: Some(0.0), maximum, ..MetaSchema::new_with_format("integer", "int64") }
    }

    fn from_parameter(text: &str) -> Result<Self, Violation> {
        let offset = integer(text).filter(|offset| (0..=MAX_INTEGER).contains(offset));
        offset.map(Self).ok_or_else(|| Violation::new(format!("must be an integer from 0 to {MAX_INTEGER}")))
    }
}

/// JSON's integers: no plus sign, no leading zeros.
fn integer(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

struct Cursor(String);

impl Cursor {
    const MAX_CHARS: usize = 128;
}

impl FromParameter for Cursor {
    fn schema() -> MetaSchema {
        MetaSchema { min_length: Some(1), max_length: Some(Self::MAX_CHARS), ..MetaSchema::new("string") }
    }

    fn from_parameter(text: &str) -> Result<Self, Violation> {
        Ok(Self(text.to_owned()))
    }
}

impl FromParameter for Order {
    fn schema() -> MetaSchema {
        let words = [Order::Asc, Order::Desc].map(|order| order_word(order).into());
        MetaSchema { enum_items: words.to_vec(), ..MetaSchema::new("string") }
    }

    fn from_parameter(text: &str) -> Result<Self, Violation> {
        match text {
            "asc" => Ok(Self::Asc),
            "desc" => Ok(Self::Desc),
            _ => Err(Violation::new("must be one of asc, desc")),
        }
    }
}

/// A parameter that may be given several times.
pub(super) fn several(item: MetaSchema, max: usize) -> MetaSchema {
    MetaSchema {
        items: Some(Box::new(MetaSchemaRef::Inline(Box::new(item)))),
        max_items: Some(max),
        ..MetaSchema::new("array")
    }
}

//! What all lists have in common on the wire.

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};

use crate::{
    base::validation::Violation,
    domain::{Order, Page, Start, Window},
    http::{
        field_error::FieldError,
        problem::Problem,
        query::{Parameter, Parameters},
        schema::{self, FromParameter, Integer},
    },
    wire::{
        cursor::{Cursor, List, Place},
        values::{Count, parameter_words},
    },
};

/// How many things a page has at most.
pub(super) type Limit = Integer<1, { Window::<()>::MAX_LIMIT as i64 }>;
/// The things of a page.
pub(super) type Items<T> = schema::Items<T, { Window::<()>::MAX_LIMIT as usize }>;

/// `limit`
pub(super) const LIMIT: Parameter =
    Parameter { name: "limit", description: "How many to answer at most.", schema: limit };
/// `offset`
pub(super) const OFFSET: Parameter = Parameter {
    name: "offset",
    description: "How many to skip. Shifts when something is added or deleted between pages; a cursor does not.",
    schema: Count::schema,
};
/// `cursor`
pub(super) const CURSOR: Parameter = Parameter {
    name: "cursor",
    description: "`next_cursor` of the page before; the other parameters stay the same, and `offset` is not given.",
    schema: Cursor::schema,
};

/// `order`, with the list's own default.
pub(super) const fn order(schema: fn() -> MetaSchema) -> Parameter {
    Parameter { name: "order", description: "Oldest or newest first.", schema }
}

/// Which page is asked for.
#[derive(Debug)]
pub(super) struct Paging {
    limit: Limit,
    order: Order,
    offset: Option<Count>,
    cursor: Option<Cursor>,
}

impl Paging {
    /// Of a list that takes offsets too.
    pub(super) fn with_offset(parameters: &mut Parameters, default: Order) -> Option<Self> {
        let offset = parameters.optional::<Count>("offset");
        let paging = Self::without_offset(parameters, default);
        let (offset, paging) = (offset?, paging?);
        if offset.is_some() && paging.cursor.is_some() {
            parameters.refuse("offset", "cannot be combined with cursor");
            parameters.refuse("cursor", "cannot be combined with offset");
        }
        Some(Self { offset, ..paging })
    }

    /// Of a list that takes cursors only.
    pub(super) fn without_offset(parameters: &mut Parameters, default: Order) -> Option<Self> {
        let limit = parameters.optional::<Limit>("limit");
        let order = parameters.optional::<Order>("order");
        let cursor = parameters.optional::<Cursor>("cursor");
        Some(Self {
            limit: limit?.unwrap_or_else(default_limit),
            order: order?.unwrap_or(default),
            offset: None,
            cursor: cursor?,
        })
    }

    /// The order, as a part of the list that a cursor belongs to.
    pub(super) fn order(&self) -> &'static str {
        order_word(self.order)
    }

    /// How many were asked for at most.
    pub(super) fn limit(&self) -> Limit {
        self.limit
    }

    /// How many were skipped; `None` when a cursor said where to begin.
    pub(super) fn offset(&self) -> Option<Count> {
        self.cursor.is_none().then(|| self.offset.unwrap_or(Count::nearest(0)))
    }

    /// The part of `list` that is asked for; `place` takes back what [`next_cursor`] was given.
    pub(super) fn window<P: Place, K>(&self, list: &List, place: impl FnOnce(P) -> K) -> Result<Window<K>, Problem> {
        let start = match &self.cursor {
            Some(cursor) => Start::After(place(
                list.place(cursor)
                    .map_err(|violation| Problem::invalid(vec![FieldError::at("/query/cursor", violation)]))?,
            )),
            None => Start::Offset(self.offset.map_or(0, Count::get)),
        };
        let limit = u32::try_from(self.limit.get()).unwrap_or(Window::<()>::MAX_LIMIT);
        Ok(Window { start, limit, order: self.order })
    }
}

/// Where the list goes on after `page`; `None` at its end.
pub(super) fn next_cursor<T, P: Place>(list: &List, page: &Page<T>, place: impl FnOnce(&T) -> P) -> Option<Cursor> {
    page.items.last().filter(|_| page.has_more).map(|last| list.cursor(&place(last)))
}

/// The limit of a page, if nobody says.
pub(super) fn default_limit() -> Limit {
    Limit::nearest(Window::<()>::DEFAULT_LIMIT)
}

fn limit() -> MetaSchema {
    MetaSchema { default: Some(default_limit().get().into()), ..Limit::schema() }
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

parameter_words!(Order: "asc" => Order::Asc, "desc" => Order::Desc);

/// A parameter that may be given several times.
pub(super) fn several(item: MetaSchema, max: usize) -> MetaSchema {
    MetaSchema {
        items: Some(Box::new(MetaSchemaRef::Inline(Box::new(item)))),
        max_items: Some(max),
        ..MetaSchema::new("array")
    }
}

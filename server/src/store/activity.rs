//! Lists of chats by last activity.
//!
//! Each is in the order of an index on tenant, or tenant and user, activity and id (migration `m0005`). Filters are applied
//! to what the index gives, so that a page costs the chats that it passes over: few in an inbox, whose chats are mostly
//! recent and active, and at most all of the tenant's for a label that hardly any chat has.

use sea_orm::{
    Condition, QueryFilter as _, QueryOrder as _, QuerySelect as _, QueryTrait as _, Select,
    sea_query::{Alias, Expr, ExprTrait as _, Func, Query, SelectStatement},
};
use uuid::Uuid;

use super::{
    TenantScope,
    chat_columns::{by_id, status_code, to_micros_up},
    entity::{chat, chat_label},
    labels, to_micros,
};
use crate::domain::{ActivityPlace, ChatFilter, Order, Start, Window};

impl TenantScope<'_> {
    /// The chats that `filter` means, in the order of their last activity.
    pub(super) fn by_activity(&self, filter: &ChatFilter, window: Window<ActivityPlace>) -> Select<chat::Entity> {
        let status = column(chat::Column::Status);
        // SQLite must not be led by the index of a status, whose chats it would have to sort: there is none on a sum.
        let status = if self.store.is_sqlite() { status.add(0) } else { status };
        let mut chats = self
            .chats()
            .apply_if(filter.user_id.as_ref(), |chats, user| {
                chats.filter(column(chat::Column::UserId).eq(user.as_str()))
            })
            .apply_if(filter.status, |chats, wanted| chats.filter(status.eq(status_code(wanted))))
            .apply_if(filter.created_after, |chats, after| {
                chats.filter(column(chat::Column::CreatedAt).gt(to_micros(after)))
            })
            .apply_if(filter.created_before, |chats, before| {
                chats.filter(column(chat::Column::CreatedAt).lt(to_micros_up(before)))
            });
        for (index, label) in filter.metadata.iter().enumerate() {
            chats = chats.filter(Expr::exists(labelled(index, labels::digest(self.tenant, label))));
        }
        windowed(chats, window)
    }
}

/// The chats of `window`, in the order of their last activity, and one more if there is one.
pub(super) fn windowed(chats: Select<chat::Entity>, window: Window<ActivityPlace>) -> Select<chat::Entity> {
    let chats = match window.start {
        Start::Offset(offset) => chats.offset(u64::try_from(offset).unwrap_or(0)),
        Start::After(place) => chats.filter(beyond(place, window.order)),
    };
    let chats = match window.order {
        Order::Asc => chats.order_by_asc(active_at()).order_by_asc(by_id()),
        Order::Desc => chats.order_by_desc(active_at()).order_by_desc(by_id()),
    };
    chats.limit(u64::from(window.limit) + 1)
}

/// What comes after `place`. The first part is a bound that an index finds; the second leaves out, of the chats that were
/// active at the same microsecond, those that were listed. A comparison of pairs would say it in one, but SQLite finds no
/// place in an index on an expression by it.
fn beyond(ActivityPlace { active_at: at, id }: ActivityPlace, order: Order) -> Condition {
    let at = to_micros(at);
    let (bound, past, next) = match order {
        Order::Asc => (active_at().gte(at), active_at().gt(at), by_id().gt(id)),
        Order::Desc => (active_at().lte(at), active_at().lt(at), by_id().lt(id)),
    };
    Condition::all().add(bound).add(Condition::any().add(past).add(next))
}

/// When a chat was last active, as the indexes have it.
fn active_at() -> Expr {
    Func::coalesce([column(chat::Column::LastMessageAt), column(chat::Column::CreatedAt)]).into()
}

fn column(column: chat::Column) -> Expr {
    Expr::col((chat::Entity, column))
}

/// Whether a chat has the label with this digest; the `index`th of a query.
fn labelled(index: usize, label: Uuid) -> SelectStatement {
    let alias = Alias::new(format!("label_{index}"));
    Query::select()
        .expr(Expr::val(1))
        .from_as(chat_label::Entity, alias.clone())
        .and_where(Expr::col((alias.clone(), chat_label::Column::Label)).eq(label))
        .and_where(Expr::col((alias, chat_label::Column::ChatId)).eq(by_id()))
        .to_owned()
}

//! Columns of a chat in conditions, and how its values are kept in them.

use chrono::{DateTime, Utc};
use sea_orm::sea_query::Expr;

use super::{entity::chat, to_micros};
use crate::{
    base::error::{Cause, Error, Result},
    domain::Status,
};

/// The first whole microsecond that is not before `moment`.
pub(super) fn to_micros_up(moment: DateTime<Utc>) -> i64 {
    to_micros(moment) + i64::from(!moment.timestamp_subsec_nanos().is_multiple_of(1_000))
}

pub(super) fn by_id() -> Expr {
    Expr::col((chat::Entity, chat::Column::Id))
}

pub(super) fn status_code(status: Status) -> i16 {
    match status {
        Status::Active => 0,
        Status::Closed => 1,
    }
}

pub(super) fn status_of(code: i16) -> Result<Status> {
    match code {
        0 => Ok(Status::Active),
        1 => Ok(Status::Closed),
        _ => Err(Error::Internal(Cause::new(format!("{code} is no chat status")))),
    }
}

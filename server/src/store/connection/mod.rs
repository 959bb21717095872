//! Connections to the database on which every wait has a bound.
//!
//! sqlx's own pool pings a connection each time it comes back, without a time limit, and its transactions count their
//! depth themselves: a COMMIT that fails on a full SQLite disk leaves that count at one for ever, so that every later
//! "transaction" on the connection is a savepoint inside one that never ends. Here
//!
//! - a check-out and the statement after it share one time limit;
//! - `BEGIN`, `COMMIT` and `ROLLBACK` are plain statements;
//! - a connection whose last statement failed for a reason outside, was cut off by its time limit, or was left inside a
//!   transaction is closed and never used again;
//! - after such a failure all other connections are asked whether they are well before their next use.
//!
//! `driver` sends statements to either database, `health` keeps what failures tell about other connections, `pool` hands
//! connections out, `database` is the pool as sea-orm's queries take it, and `pinned` is a connection of one task.

mod database;
mod driver;
mod health;
mod pinned;
mod pool;

pub(super) use database::{Database, Transaction};
pub(super) use driver::{Call, Sqlite};
pub(super) use health::Health;
pub(super) use pinned::PinnedConnection;
pub(super) use pool::{Lease, MayOpen, Pool};

//! What a database error means for the caller.

use sea_orm::{DbErr, RuntimeErr};

use crate::error::{Cause, Error};

/// Tells what is temporary (the database is away, busy or full) from what is wrong with a statement of ours.
pub(super) fn fault(error: DbErr) -> Error {
    if is_temporary(&error) { Error::Unavailable(Cause::new(error)) } else { Error::Internal(Cause::new(error)) }
}

/// The same of a statement that sea-orm did not send.
pub(super) fn driver_fault(error: sqlx::Error) -> Error {
    fault(driver_error(error))
}

/// As sea-orm would have it.
pub(super) fn driver_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

/// The same of a statement that the writer called on a file.
pub(super) fn file_fault(error: rusqlite::Error) -> Error {
    let code = error.sqlite_error().map(|error| error.extended_code);
    if code.is_some_and(is_temporary_in_a_file) {
        Error::Unavailable(Cause::new(error))
    } else {
        Error::Internal(Cause::new(error))
    }
}

/// Whether another connection holds SQLite's lock.
pub(super) fn is_busy(error: &DbErr) -> bool {
    let (DbErr::Conn(RuntimeErr::SqlxError(error)) | DbErr::Exec(RuntimeErr::SqlxError(error))) = error else {
        return false;
    };
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.parse::<u32>().is_ok_and(|code| code & 0xff == BUSY))
}

const BUSY: u32 = 5;

/// Whether the fault is outside, and its connection perhaps gone.
pub(super) fn is_temporary(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => match &**error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            sqlx::Error::Database(error) => error.code().is_some_and(|code| is_temporary_code(&code)),
            _ => false,
        },
        _ => false,
    }
}

/// PostgreSQL: SQLSTATE classes (appendix A of its manual). SQLite: the primary result code is the low byte of the
/// extended one (<https://www.sqlite.org/rescode.html>). A SQLSTATE has five characters, a SQLite code at most four.
fn is_temporary_code(code: &str) -> bool {
    if code.len() == 5 {
        // 08 connection, 25006 read-only after a fail-over, 40 rollback (deadlock, serialisation), 53 out of resources,
        // 55P03 lock not available, 57 operator intervention (shutdown, cancelled), 58 system error.
        return matches!(&code[..2], "08" | "40" | "53" | "57" | "58") || matches!(code, "25006" | "55P03");
    }
    code.parse().is_ok_and(is_temporary_in_a_file)
}

fn is_temporary_in_a_file(code: i32) -> bool {
    // BUSY 5, LOCKED 6, NOMEM 7, IOERR 10, FULL 13, CANTOPEN 14.
    matches!(code & 0xff, 5 | 6 | 7 | 10 | 13 | 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_away_or_busy_is_temporary_and_a_wrong_statement_is_not() {
        for code in ["08006", "40P01", "53300", "57P01", "5", "517", "13", "1546"] {
            assert!(is_temporary_code(code), "{code}");
        }
        for code in ["23505", "42601", "1", "19", "2067"] {
            assert!(!is_temporary_code(code), "{code}");
        }
    }
}

//! Classification of database errors.

use sea_orm::{DbErr, RuntimeErr};

use crate::base::error::{Cause, Error};

/// The kind of a database error, by which the caller decides how to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The database is away, full or failing, or its connection is.
    Outside,
    /// The session only reads: PostgreSQL has failed over, and the session is with the server that is a standby now.
    ReadOnly,
    /// Another session keeps locked what the statement needs.
    Locked,
    /// Another transaction was in the way; the same transaction may succeed at once.
    Conflict,
    /// The statement was prepared before its table was changed; a new connection can run it.
    StalePlan,
    /// SQLite has found that the file is damaged or no database.
    Malformed,
    /// The statement is wrong, or broke a constraint.
    Statement,
}

impl Fault {
    pub(super) fn of(error: &DbErr) -> Self {
        let error = match error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(RuntimeErr::Internal(_)) => return Self::Outside,
            DbErr::Conn(RuntimeErr::SqlxError(error))
            | DbErr::Exec(RuntimeErr::SqlxError(error))
            | DbErr::Query(RuntimeErr::SqlxError(error)) => error,
            _ => return Self::Statement,
        };
        match &**error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Outside,
            sqlx::Error::Database(error) => {
                error.code().map_or(Self::Statement, |code| Self::of_code(&code, error.message()))
            }
            _ => Self::Statement,
        }
    }

    /// A SQLSTATE of PostgreSQL has five characters, a result code of SQLite at most four.
    fn of_code(code: &str, message: &str) -> Self {
        if code.len() == 5 {
            Self::of_sqlstate(code, message)
        } else {
            code.parse().map_or(Self::Statement, Self::of_sqlite)
        }
    }

    /// PostgreSQL's manual, appendix A.
    fn of_sqlstate(code: &str, message: &str) -> Self {
        match code {
            // lock_not_available
            "55P03" => Self::Locked,
            // serialization_failure, deadlock_detected
            "40001" | "40P01" => Self::Conflict,
            // feature_not_supported stands for many things; of this one the text is the only sign.
            "0A000" if message.contains("cached plan") => Self::StalePlan,
            // read_only_sql_transaction
            "25006" => Self::ReadOnly,
            // idle_in_transaction_session_timeout
            "25P03" => Self::Outside,
            // Connection, rollback, out of resources, operator intervention (shutdown, cancelled), system error, damage.
            _ if matches!(&code[..2], "08" | "40" | "53" | "57" | "58" | "XX") => Self::Outside,
            _ => Self::Statement,
        }
    }

    /// The primary result code is the low byte of the extended one (<https://www.sqlite.org/rescode.html>).
    fn of_sqlite(code: i32) -> Self {
        match code & 0xff {
            // BUSY, LOCKED
            5 | 6 => Self::Locked,
            // CORRUPT, NOTADB
            11 | 26 => Self::Malformed,
            // PERM, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL
            3 | 7 | 8 | 9 | 10 | 13 | 14 | 15 => Self::Outside,
            _ => Self::Statement,
        }
    }

    /// The same of a statement that the writer ran on a file.
    pub(super) fn of_file(error: &rusqlite::Error) -> Self {
        error.sqlite_error().map_or(Self::Statement, |error| Self::of_sqlite(error.extended_code))
    }

    fn into_error(self, cause: Cause) -> Error {
        match self {
            Self::Statement => Error::Internal(cause),
            _ => Error::Unavailable(cause),
        }
    }
}

/// Maps a database error to [`Error::Unavailable`] when its cause is outside or temporary, and to [`Error::Internal`] when
/// a statement of this crate is wrong.
pub(super) fn fault(error: DbErr) -> Error {
    Fault::of(&error).into_error(Cause::new(error))
}

/// As sea-orm would have it.
pub(super) fn driver_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

/// As [`fault`], of a statement that the writer ran on a file.
pub(super) fn file_fault(error: rusqlite::Error) -> Error {
    Fault::of_file(&error).into_error(Cause::new(error))
}

/// Whether another connection holds SQLite's lock.
pub(super) fn is_busy(error: &DbErr) -> bool {
    Fault::of(error) == Fault::Locked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_meaning() {
        let of = |code| Fault::of_code(code, "");
        for code in ["08006", "25P03", "53100", "53300", "57014", "57P01", "58030", "XX001", "13", "1546", "8"] {
            assert_eq!(of(code), Fault::Outside, "{code}");
        }
        for code in ["3", "7", "9", "10", "14", "15", "778", "3850"] {
            assert_eq!(of(code), Fault::Outside, "{code}");
        }
        for code in ["55P03", "5", "6", "517"] {
            assert_eq!(of(code), Fault::Locked, "{code}");
        }
        for code in ["40001", "40P01"] {
            assert_eq!(of(code), Fault::Conflict, "{code}");
        }
        for code in ["11", "26", "267"] {
            assert_eq!(of(code), Fault::Malformed, "{code}");
        }
        for code in ["23505", "42601", "0A000", "1", "19", "2067"] {
            assert_eq!(of(code), Fault::Statement, "{code}");
        }
        assert_eq!(of("25006"), Fault::ReadOnly);
        let stale = Fault::of_code("0A000", "cached plan must not change result type");
        assert_eq!(stale, Fault::StalePlan);
    }
}

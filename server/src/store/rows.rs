//! Many rows in one statement whose text does not depend on how many.
//!
//! The database compiles the statement once, and a batch crosses to it once, however large: PostgreSQL takes a column
//! as an array and unnests them side by side, SQLite takes the rows as one JSON text. Either way a statement reads them
//! like a table.

use std::fmt::{self, Write as _};

use sea_orm::{DbBackend, EntityTrait, IdenStatic as _, Iterable as _, Statement, Value};
use serde_json::json;
use uuid::Uuid;

/// The columns of a table under the alias `alias`, each by its name. Never `*`: a column that a newer node adds would change
/// what statements return that this one has prepared, and PostgreSQL refuses to run those.
pub(super) fn columns<E: EntityTrait>(alias: &str) -> String {
    let names = E::Column::iter().map(|column| format!("{alias}.\"{}\"", column.as_str()));
    names.collect::<Vec<_>>().join(", ")
}

/// Rows, given column by column; all columns have the same length.
pub(super) struct Rows(Vec<(&'static str, Column)>);

/// Rows inside a statement: as text, the table.
pub(super) struct Table {
    sql: String,
    names: String,
}

impl Table {
    /// `INSERT INTO table` all rows, as [`Rows::insert_into`] has it.
    pub(super) fn insert(&self, table: &str, tail: &str) -> String {
        let Self { sql, names } = self;
        // SQLite needs the WHERE to tell ON CONFLICT from a join's ON.
        format!("INSERT INTO \"{table}\" ({names}) SELECT {names} FROM {sql} WHERE true {tail}")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sql)
    }
}

/// Several statements of PostgreSQL in one, each around rows of its own.
#[derive(Default)]
pub(super) struct Parts {
    sql: Vec<String>,
    values: Vec<Value>,
}

impl Parts {
    /// Adds the statement that `sql` writes around `rows`, under a name of its own.
    pub(super) fn add(&mut self, name: &str, rows: Rows, sql: impl FnOnce(&Table) -> String) {
        let table = rows.table(DbBackend::Postgres, self.values.len() + 1);
        self.sql.push(format!("{name} AS ({})", sql(&table)));
        self.values.extend(rows.into_arrays());
    }

    /// All of them, which return one row with the value `result`; `None` without any.
    pub(super) fn into_statement(self, result: &str) -> Option<Statement> {
        let sql = format!("WITH {} SELECT {result}", self.sql.join(", "));
        (!self.sql.is_empty()).then(|| Statement::from_sql_and_values(DbBackend::Postgres, sql, self.values))
    }
}

/// The values of one column.
pub(super) enum Column {
    Uuid(Vec<Uuid>),
    Text(Vec<String>),
    /// Text that is NULL when it is empty, which no text of ours is: an array that holds NULLs cannot be bound.
    OptionalText(Vec<Option<String>>),
    BigInt(Vec<i64>),
    SmallInt(Vec<i16>),
    Bytes(Vec<Vec<u8>>),
}

impl Rows {
    /// A table of `columns`.
    pub(super) fn new(columns: Vec<(&'static str, Column)>) -> Self {
        debug_assert!(columns.windows(2).all(|pair| pair[0].1.len() == pair[1].1.len()), "columns of equal length");
        Self(columns)
    }

    /// `INSERT INTO table` all rows, under their own columns' names; `tail` may say `ON CONFLICT` and `RETURNING`.
    pub(super) fn insert_into(self, table: &str, tail: &str, backend: DbBackend) -> Statement {
        self.statement(backend, |rows| rows.insert(table, tail))
    }

    /// The statement that `sql` writes around the rows, which it gets as a table named `r`.
    pub(super) fn statement(self, backend: DbBackend, sql: impl FnOnce(&Table) -> String) -> Statement {
        let sql = sql(&self.table(backend, 1));
        let values = match backend {
            DbBackend::Sqlite => vec![self.as_json().into()],
            _ => self.into_arrays(),
        };
        Statement::from_sql_and_values(backend, sql, values)
    }

    fn into_arrays(self) -> Vec<Value> {
        self.0.into_iter().map(|(_, column)| column.into_array()).collect()
    }

    /// The rows as a table of SQL, whose parameters are numbered from `first`.
    fn table(&self, backend: DbBackend, first: usize) -> Table {
        let list = |item: &dyn Fn(usize, &str, &Column) -> String| {
            let items = self.0.iter().enumerate().map(|(index, (name, column))| item(index, name, column));
            items.collect::<Vec<_>>().join(", ")
        };
        let names = list(&|_, name, _| format!("\"{name}\""));
        let sql = if backend == DbBackend::Sqlite {
            let columns = list(&|index, name, column| match column {
                Column::Uuid(_) | Column::Bytes(_) => format!("unhex(value ->> {index}) AS \"{name}\""),
                Column::OptionalText(_) => format!("NULLIF(value ->> {index}, '') AS \"{name}\""),
                _ => format!("value ->> {index} AS \"{name}\""),
            });
            format!("(SELECT {columns} FROM json_each(?{first})) AS r")
        } else {
            let columns = list(&|_, name, column| match column {
                Column::OptionalText(_) => format!("NULLIF(\"{name}\", '') AS \"{name}\""),
                _ => format!("\"{name}\""),
            });
            let arrays = list(&|index, _, column| format!("${}::{}[]", first + index, column.postgres_type()));
            format!("(SELECT {columns} FROM unnest({arrays}) AS u({names})) AS r")
        };
        Table { sql, names }
    }

    fn as_json(&self) -> String {
        let rows = self.0.first().map_or(0, |(_, column)| column.len());
        let rows: Vec<Vec<serde_json::Value>> =
            (0..rows).map(|row| self.0.iter().map(|(_, column)| column.as_json(row)).collect()).collect();
        json!(rows).to_string()
    }
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Self::Uuid(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::OptionalText(values) => values.len(),
            Self::BigInt(values) => values.len(),
            Self::SmallInt(values) => values.len(),
            Self::Bytes(values) => values.len(),
        }
    }

    fn postgres_type(&self) -> &'static str {
        match self {
            Self::Uuid(_) => "uuid",
            Self::Text(_) | Self::OptionalText(_) => "text",
            Self::BigInt(_) => "bigint",
            Self::SmallInt(_) => "smallint",
            Self::Bytes(_) => "bytea",
        }
    }

    fn into_array(self) -> Value {
        match self {
            Self::Uuid(values) => values.into(),
            Self::Text(values) => values.into(),
            Self::OptionalText(values) => values.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().into(),
            Self::BigInt(values) => values.into(),
            Self::SmallInt(values) => values.into(),
            Self::Bytes(values) => values.into(),
        }
    }

    fn as_json(&self, row: usize) -> serde_json::Value {
        match self {
            Self::Uuid(values) => values[row].simple().to_string().into(),
            Self::Text(values) => values[row].as_str().into(),
            Self::OptionalText(values) => values[row].as_deref().unwrap_or_default().into(),
            Self::BigInt(values) => values[row].into(),
            Self::SmallInt(values) => values[row].into(),
            Self::Bytes(values) => hex(&values[row]).into(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize) -> Rows {
        Rows::new(vec![
            ("id", Column::Uuid(vec![Uuid::nil(); count])),
            ("name", Column::OptionalText(vec![None; count])),
            ("at", Column::BigInt(vec![i64::MAX; count])),
        ])
    }

    #[test]
    fn the_text_does_not_depend_on_the_number_of_rows() {
        let sql = |count, backend| rows(count).insert_into("things", "ON CONFLICT DO NOTHING", backend).sql;
        for backend in [DbBackend::Sqlite, DbBackend::Postgres] {
            assert_eq!(sql(1, backend), sql(500, backend));
        }
        assert_eq!(
            sql(1, DbBackend::Postgres),
            "INSERT INTO \"things\" (\"id\", \"name\", \"at\") SELECT \"id\", \"name\", \"at\" FROM \
             (SELECT \"id\", NULLIF(\"name\", '') AS \"name\", \"at\" FROM \
             unnest($1::uuid[], $2::text[], $3::bigint[]) AS u(\"id\", \"name\", \"at\")) AS r \
             WHERE true ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            sql(1, DbBackend::Sqlite),
            "INSERT INTO \"things\" (\"id\", \"name\", \"at\") SELECT \"id\", \"name\", \"at\" FROM \
             (SELECT unhex(value ->> 0) AS \"id\", NULLIF(value ->> 1, '') AS \"name\", value ->> 2 AS \"at\" \
             FROM json_each(?1)) AS r WHERE true ON CONFLICT DO NOTHING"
        );
    }
}

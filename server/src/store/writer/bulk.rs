//! Many rows in one statement whose text does not depend on how many.
//!
//! The database compiles the statement once, and a batch crosses to it once, however large: PostgreSQL takes a column
//! as an array and unnests them side by side, SQLite takes the rows as one JSON text.

use std::fmt::Write as _;

use sea_orm::{DbBackend, Statement, Value};
use serde_json::json;
use uuid::Uuid;

/// `INSERT INTO table (columns) …` with the rows given column by column; all columns have the same length.
pub(super) struct BulkInsert {
    table: &'static str,
    columns: Vec<(&'static str, Column)>,
    tail: &'static str,
}

/// The values of one column.
pub(super) enum Column {
    Uuid(Vec<Uuid>),
    Text(Vec<String>),
    BigInt(Vec<i64>),
    Bytes(Vec<Vec<u8>>),
}

impl BulkInsert {
    /// Into `table`; `tail` follows the rows: `ON CONFLICT`, `RETURNING`.
    pub(super) fn into(table: &'static str, columns: Vec<(&'static str, Column)>, tail: &'static str) -> Self {
        debug_assert!(columns.windows(2).all(|pair| pair[0].1.len() == pair[1].1.len()), "columns of equal length");
        Self { table, columns, tail }
    }

    /// The statement for `backend`.
    pub(super) fn statement(self, backend: DbBackend) -> Statement {
        let sql = self.sql(backend);
        let values: Vec<Value> = match backend {
            DbBackend::Sqlite => vec![self.rows_as_json().into()],
            _ => self.columns.into_iter().map(|(_, column)| column.into_array()).collect(),
        };
        Statement::from_sql_and_values(backend, sql, values)
    }

    fn sql(&self, backend: DbBackend) -> String {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let mut sql = format!("INSERT INTO \"{}\" ({}) SELECT ", self.table, names.join(", "));
        for (index, (_, column)) in self.columns.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            match (backend, column) {
                (DbBackend::Sqlite, Column::Uuid(_) | Column::Bytes(_)) => {
                    _ = write!(sql, "{separator}unhex(value ->> {index})");
                }
                (DbBackend::Sqlite, Column::Text(_) | Column::BigInt(_)) => {
                    _ = write!(sql, "{separator}value ->> {index}");
                }
                _ => {
                    let open = if index == 0 { "* FROM unnest(" } else { ", " };
                    _ = write!(sql, "{open}${}::{}[]", index + 1, column.postgres_type());
                }
            }
        }
        // SQLite needs the WHERE to tell ON CONFLICT from a join's ON.
        sql.push_str(if backend == DbBackend::Sqlite { " FROM json_each(?1) WHERE true " } else { ") " });
        sql.push_str(self.tail);
        sql
    }

    fn rows_as_json(&self) -> String {
        let rows = self.columns.first().map_or(0, |(_, column)| column.len());
        let rows: Vec<Vec<serde_json::Value>> =
            (0..rows).map(|row| self.columns.iter().map(|(_, column)| column.as_json(row)).collect()).collect();
        json!(rows).to_string()
    }
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Self::Uuid(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::BigInt(values) => values.len(),
            Self::Bytes(values) => values.len(),
        }
    }

    fn postgres_type(&self) -> &'static str {
        match self {
            Self::Uuid(_) => "uuid",
            Self::Text(_) => "text",
            Self::BigInt(_) => "bigint",
            Self::Bytes(_) => "bytea",
        }
    }

    fn into_array(self) -> Value {
        match self {
            Self::Uuid(values) => values.into(),
            Self::Text(values) => values.into(),
            Self::BigInt(values) => values.into(),
            Self::Bytes(values) => values.into(),
        }
    }

    fn as_json(&self, row: usize) -> serde_json::Value {
        match self {
            Self::Uuid(values) => values[row].simple().to_string().into(),
            Self::Text(values) => values[row].as_str().into(),
            Self::BigInt(values) => values[row].into(),
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

    fn insert(rows: usize) -> BulkInsert {
        let columns = vec![
            ("id", Column::Uuid(vec![Uuid::nil(); rows])),
            ("name", Column::Text(vec!["é \"quoted\"".to_owned(); rows])),
            ("at", Column::BigInt(vec![i64::MAX; rows])),
        ];
        BulkInsert::into("things", columns, "ON CONFLICT DO NOTHING")
    }

    #[test]
    fn the_text_does_not_depend_on_the_number_of_rows() {
        for backend in [DbBackend::Sqlite, DbBackend::Postgres] {
            assert_eq!(insert(1).statement(backend).sql, insert(500).statement(backend).sql);
        }
        assert_eq!(
            insert(1).statement(DbBackend::Postgres).sql,
            "INSERT INTO \"things\" (\"id\", \"name\", \"at\") \
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[]) ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            insert(1).statement(DbBackend::Sqlite).sql,
            "INSERT INTO \"things\" (\"id\", \"name\", \"at\") \
             SELECT unhex(value ->> 0), value ->> 1, value ->> 2 FROM json_each(?1) WHERE true ON CONFLICT DO NOTHING"
        );
    }
}

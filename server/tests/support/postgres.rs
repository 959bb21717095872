//! Failing the statements that a server sends to PostgreSQL, by triggers on every table.

use sea_orm::{ConnectionTrait as _, DatabaseConnection, FromQueryResult, Statement};

use super::TestDatabase;

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    /// Before a row is inserted, updated or deleted.
    Row,
    /// At the end of the transaction, so that its COMMIT fails.
    Commit,
}

/// Faults of one database, struck by triggers on its tables. None until [`Self::arm`] is called.
pub(crate) struct StatementFaults(DatabaseConnection);

/// One row of parameters, and a sequence that counts, since what a transaction counts in a table is rolled back with it.
///
/// The function is called once for a row (`strike` is `row`) and, by a deferred constraint trigger, once for a row at
/// commit (`commit`).
const INSTALL: &str = r"
CREATE SCHEMA fault;
CREATE TABLE fault.control (strike text NOT NULL, state text NOT NULL, first bigint NOT NULL, last bigint NOT NULL);
INSERT INTO fault.control VALUES ('none', '58000', 1, 1);
CREATE SEQUENCE fault.seen MINVALUE 0 START 0;
CREATE FUNCTION fault.strike() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE control fault.control%ROWTYPE; number bigint;
BEGIN
    SELECT * INTO control FROM fault.control;
    IF control.strike = TG_ARGV[0] THEN
        number := nextval('fault.seen');
        IF number BETWEEN control.first AND control.last THEN
            RAISE EXCEPTION 'injected fault' USING ERRCODE = control.state;
        END IF;
    END IF;
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    RETURN NEW;
END $$;
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'seaql_migrations' LOOP
        EXECUTE format('CREATE TRIGGER fault_row BEFORE INSERT OR UPDATE OR DELETE ON %I '
            'FOR EACH ROW EXECUTE FUNCTION fault.strike(''row'')', name);
        EXECUTE format('CREATE CONSTRAINT TRIGGER fault_commit AFTER INSERT OR UPDATE OR DELETE ON %I '
            'DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fault.strike(''commit'')', name);
    END LOOP;
END $$;
";

impl StatementFaults {
    /// Puts triggers on the tables of `database`, which a server has made.
    pub(crate) async fn install(database: &TestDatabase) -> Self {
        let connection = database.connect().await;
        connection.execute_unprepared(INSTALL).await.unwrap();
        Self(connection)
    }

    /// Raises the SQLSTATE `state` at the `first` strike, counted from 1 and from now on, and at `count - 1` after it.
    pub(crate) async fn arm(&self, strike: Strike, state: &str, first: u64, count: u64) {
        let strike = match strike {
            Strike::Row => "row",
            Strike::Commit => "commit",
        };
        let (first, last) = (first, first.saturating_add(count - 1).min(i64::MAX.unsigned_abs()));
        let sql = format!(
            "SELECT setval('fault.seen', 0, true); \
             UPDATE fault.control SET strike = '{strike}', state = '{state}', first = {first}, last = {last}"
        );
        self.0.execute_unprepared(&sql).await.unwrap();
    }

    /// Lets all statements pass again.
    pub(crate) async fn disarm(&self) {
        self.0.execute_unprepared("UPDATE fault.control SET strike = 'none'").await.unwrap();
    }

    /// How many strikes were counted since the fault was armed.
    pub(crate) async fn seen(&self) -> u64 {
        #[derive(FromQueryResult)]
        struct Row {
            n: i64,
        }
        let seen = Statement::from_string(self.0.get_database_backend(), "SELECT last_value AS n FROM fault.seen");
        let row = Row::find_by_statement(seen).one(&self.0).await.unwrap().unwrap();
        u64::try_from(row.n).unwrap()
    }
}

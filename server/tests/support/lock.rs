use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend};

use super::TestDatabase;

/// Keeps every writer waiting until it is released: how a test makes requests pile up.
pub(crate) struct WriteLock(DatabaseConnection);

impl WriteLock {
    pub(crate) async fn take(database: &TestDatabase) -> Self {
        let mut options = sea_orm::ConnectOptions::new(database.url());
        options.max_connections(1).min_connections(1);
        let connection = Database::connect(options).await.unwrap();
        match connection.get_database_backend() {
            DbBackend::Sqlite => connection.execute_unprepared("BEGIN IMMEDIATE").await.unwrap(),
            _ => {
                connection.execute_unprepared("BEGIN").await.unwrap();
                connection.execute_unprepared("LOCK TABLE users IN EXCLUSIVE MODE").await.unwrap()
            }
        };
        Self(connection)
    }

    pub(crate) async fn release(self) {
        self.0.execute_unprepared("ROLLBACK").await.unwrap();
        self.0.close().await.unwrap();
    }
}

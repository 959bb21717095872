use std::{env, sync::mpsc, thread, time::Duration};

use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, FromQueryResult, Statement};
use tempfile::TempDir;
use uuid::Uuid;

/// How long a test waits for its database to be gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// A database of one test's own: empty at first, gone at the end.
pub(crate) struct TestDatabase {
    url: String,
    place: Place,
}

enum Place {
    Sqlite(#[expect(dead_code, reason = "removed when dropped")] TempDir),
    Postgres { cluster: String, name: String },
}

impl TestDatabase {
    pub(crate) async fn create() -> Self {
        match env::var("PARLOR_TEST_POSTGRES_URL") {
            Ok(cluster) => {
                let name = format!("parlor_test_{}", Uuid::new_v4().simple());
                run(&cluster, &format!("CREATE DATABASE {name}")).await;
                let (server, _) = cluster.rsplit_once('/').expect("PARLOR_TEST_POSTGRES_URL ends in a database");
                Self { url: format!("{server}/{name}"), place: Place::Postgres { cluster, name } }
            }
            Err(_) => {
                let folder = TempDir::new().unwrap();
                let url = format!("sqlite://{}", folder.path().join("parlor.db").display());
                Self { url, place: Place::Sqlite(folder) }
            }
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.place, Place::Postgres { .. })
    }

    /// A connection beside the server's.
    pub(crate) async fn connect(&self) -> DatabaseConnection {
        Database::connect(&self.url).await.unwrap()
    }

    /// The first column of the first row, an integer.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        #[derive(FromQueryResult)]
        struct Row {
            n: i64,
        }
        let connection = self.connect().await;
        let statement = Statement::from_string(connection.get_database_backend(), sql);
        let row = Row::find_by_statement(statement).one(&connection).await.unwrap().unwrap();
        connection.close().await.unwrap();
        row.n
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Place::Postgres { cluster, name } = &self.place {
            let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            let cluster = cluster.clone();
            // The test's own runtime is busy dropping; another one waits for the database.
            let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (dropped, wait) = mpsc::channel();
            thread::spawn(move || {
                runtime().block_on(run(&cluster, &drop));
                dropped.send(()).ok();
            });
            // A connection that a server of the test was just opening keeps the database until that runtime is gone,
            // which it is after this.
            wait.recv_timeout(PATIENCE).ok();
        }
    }
}

async fn run(url: &str, sql: &str) {
    let connection = Database::connect(url).await.unwrap();
    connection.execute_unprepared(sql).await.unwrap();
    connection.close().await.unwrap();
}

use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend};

use super::*;
use crate::store::test_database::TestDatabase;

/// How many steps there were while names were unique in a chat.
const BEFORE: u32 = 5;

fn id(backend: DbBackend, n: u32) -> String {
    match backend {
        DbBackend::Sqlite => format!("x'{n:032x}'"),
        _ => format!("'{n:032x}'::uuid"),
    }
}

/// Adds a message of `sender` that is called `name`, both in SQL; tells whether the database takes it.
async fn takes(database: &DatabaseConnection, seq: u32, name: &str, sender: &str) -> bool {
    let backend = database.get_database_backend();
    let insert = format!(
        "INSERT INTO messages (chat_id, seq, id, role, sender_id, content, metadata, client_message_id, created_at) \
         VALUES ({}, {seq}, {}, 0, {sender}, 'x', '{{}}', {name}, 0)",
        id(backend, 1),
        id(backend, seq)
    );
    database.execute_unprepared(&insert).await.is_ok()
}

#[tokio::test]
async fn names_that_were_unique_in_a_chat_become_unique_for_each_sender() {
    let test_database = TestDatabase::create().await;
    let create = if test_database.is_postgres() { "" } else { "?mode=rwc" };
    let url = format!("{}{create}", test_database.url());
    let database = Database::connect(url).await.unwrap();
    Migrator::up(&database, Some(BEFORE)).await.unwrap();
    assert!(takes(&database, 1, "'m'", "'ann'").await);
    assert!(!takes(&database, 2, "'m'", "'bob'").await, "the rule before");
    assert!(takes(&database, 2, "NULL", "NULL").await);
    Migrator::up(&database, None).await.unwrap();
    let expected = [
        (3, "'m'", "'bob'", true),
        (4, "'m'", "'ann'", false),
        (4, "'m'", "NULL", true),
        (5, "'m'", "NULL", false),
        (5, "'n'", "'ann'", true),
        (6, "NULL", "'ann'", true),
        (7, "NULL", "'ann'", true),
        (8, "NULL", "NULL", true),
    ];
    for (seq, name, sender, is_taken) in expected {
        assert_eq!(takes(&database, seq, name, sender).await, is_taken, "{name} of {sender}");
    }
    database.close().await.unwrap();
}

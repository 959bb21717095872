//! What was acknowledged survives `kill -9`: a real process is killed under load, several times on one database.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use reqwest::Method;
use sea_orm::{FromQueryResult, Statement};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Client, KEY, ServerProcess, TestDatabase, requests};

/// Requests in flight at any time.
const CLIENTS: usize = 32;
/// Acknowledgements after which the process is killed.
const ENOUGH: usize = 400;

/// The ids in `table`, as 32 hexadecimal digits.
async fn stored(database: &TestDatabase, table: &str) -> HashSet<String> {
    #[derive(FromQueryResult)]
    struct Row {
        id: String,
    }
    let connection = database.connect().await;
    let id = if database.is_postgres() { "replace(id::text, '-', '')" } else { "lower(hex(id))" };
    let all = Statement::from_string(connection.get_database_backend(), format!("SELECT {id} AS id FROM {table}"));
    let rows = Row::find_by_statement(all).all(&connection).await.unwrap();
    connection.close().await.unwrap();
    rows.into_iter().map(|row| row.id).collect()
}

/// What a killed server leaves the clients with.
struct Load {
    /// The ids of acknowledged chats.
    chats: Vec<String>,
    /// The ids of acknowledged messages.
    messages: Vec<String>,
    /// The keys of all requests for chats, and the id that was answered.
    sent: Vec<(String, Option<String>)>,
}

/// Creates chats, and sends a message to each, until the server is gone; each chat has a key of its own.
async fn load(process: ServerProcess, round: usize) -> Load {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let messages = Arc::new(Mutex::new(Vec::new()));
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let (sent, messages, acknowledged) = (sent.clone(), messages.clone(), acknowledged.clone());
        let client = Client::new(process.address).key(KEY);
        clients.spawn(async move {
            for request in 0.. {
                let key = format!("{round}-{n}-{request}");
                let body = json!({ "user_id": format!("user{}", n % 5) }).to_string().into_bytes();
                let keyed = client.clone().header("Idempotency-Key", &key);
                match keyed.attempt(Method::POST, "/api/v1/chats/", Some(body)).await {
                    Ok((status, answer)) => {
                        assert_eq!(status, 201);
                        let id = answer.json()["id"].as_str().unwrap().to_owned();
                        sent.lock().unwrap().push((key, Some(id.replace('-', ""))));
                        acknowledged.fetch_add(1, Ordering::SeqCst);
                        let message = json!({ "content": "hello" }).to_string().into_bytes();
                        let path = requests::messages(&id);
                        let Ok((_, answer)) = client.attempt(Method::POST, &path, Some(message)).await else { return };
                        messages.lock().unwrap().push(answer.json()["id"].as_str().unwrap().replace('-', ""));
                    }
                    Err(_) => {
                        sent.lock().unwrap().push((key, None));
                        return;
                    }
                }
            }
        });
    }
    while acknowledged.load(Ordering::SeqCst) < ENOUGH {
        tokio::task::yield_now().await;
    }
    process.kill();
    while clients.join_next().await.is_some_and(|outcome| outcome.is_ok()) {}
    let sent = std::mem::take(&mut *sent.lock().unwrap());
    let messages = std::mem::take(&mut *messages.lock().unwrap());
    Load { chats: sent.iter().filter_map(|(_, id)| id.clone()).collect(), messages, sent }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_survives_kill_nine_and_every_unanswered_one_can_be_repeated() {
    let database = TestDatabase::create().await;
    let (mut acknowledged, mut messages) = (HashSet::new(), HashSet::new());
    let mut keys = HashSet::new();
    for round in 0..3 {
        let Load { chats, messages: sent_messages, sent } = load(ServerProcess::start(database.url()), round).await;
        assert!(chats.len() >= ENOUGH && !sent_messages.is_empty());
        acknowledged.extend(chats);
        messages.extend(sent_messages);
        keys.extend(sent.iter().map(|(key, _)| key.clone()));
        for (table, acknowledged) in [("chats", &acknowledged), ("messages", &messages)] {
            let survivors = stored(&database, table).await;
            let lost: Vec<_> = acknowledged.difference(&survivors).collect();
            assert!(lost.is_empty(), "round {round} lost {} of {} {table}: {lost:?}", lost.len(), acknowledged.len());
        }

        // Nobody knows whether the unanswered ones were committed; repeating them settles it.
        let process = ServerProcess::start(database.url());
        for (key, _) in sent.iter().filter(|(_, id)| id.is_none()) {
            let n: usize = key.split('-').nth(1).unwrap().parse().unwrap();
            let client = Client::new(process.address).key(KEY).header("Idempotency-Key", key);
            let answer = client.create_chat(&json!({ "user_id": format!("user{}", n % 5) }), 201).await;
            acknowledged.insert(answer.json()["id"].as_str().unwrap().replace('-', ""));
        }
        process.kill();
    }
    assert_eq!(stored(&database, "chats").await, acknowledged);
    assert_eq!(acknowledged.len(), keys.len(), "one chat for every key");
    let orphans =
        "SELECT COUNT(*) AS n FROM idempotency_records r LEFT JOIN chats c ON c.id = r.chat_id WHERE c.id IS NULL";
    assert_eq!(database.count(orphans).await, 0, "a record and its chat are committed together");
    let miscounted = "SELECT COUNT(*) AS n FROM chats c \
        WHERE c.message_count <> (SELECT COUNT(*) FROM messages m WHERE m.chat_id = c.id)";
    assert_eq!(database.count(miscounted).await, 0, "a message and its chat's count are committed together");
}

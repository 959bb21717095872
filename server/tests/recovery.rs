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

use crate::support::{Client, KEY, ServerProcess, TestDatabase};

/// Requests in flight at any time.
const CLIENTS: usize = 32;
/// Acknowledgements after which the process is killed.
const ENOUGH: usize = 400;

/// The ids of all chats, as 32 hexadecimal digits.
async fn stored(database: &TestDatabase) -> HashSet<String> {
    #[derive(FromQueryResult)]
    struct Row {
        id: String,
    }
    let connection = database.connect().await;
    let id = if database.is_postgres() { "replace(id::text, '-', '')" } else { "lower(hex(id))" };
    let all = Statement::from_string(connection.get_database_backend(), format!("SELECT {id} AS id FROM chats"));
    let rows = Row::find_by_statement(all).all(&connection).await.unwrap();
    connection.close().await.unwrap();
    rows.into_iter().map(|row| row.id).collect()
}

/// Creates chats until the server is gone; each request has a key of its own, which `sent` keeps.
async fn load(process: ServerProcess, round: usize) -> (Vec<String>, Vec<(String, Option<String>)>) {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let (sent, acknowledged) = (sent.clone(), acknowledged.clone());
        let client = Client::new(process.address).key(KEY);
        clients.spawn(async move {
            for request in 0.. {
                let key = format!("{round}-{n}-{request}");
                let body = json!({ "user_id": format!("user{}", n % 5) }).to_string().into_bytes();
                let keyed = client.clone().header("Idempotency-Key", &key);
                match keyed.attempt(Method::POST, "/api/v1/chats/", Some(body)).await {
                    Ok((status, answer)) => {
                        assert_eq!(status, 201);
                        let id = answer.json()["id"].as_str().unwrap().replace('-', "");
                        sent.lock().unwrap().push((key, Some(id)));
                        acknowledged.fetch_add(1, Ordering::SeqCst);
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
    (sent.iter().filter_map(|(_, id)| id.clone()).collect(), sent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_chat_survives_kill_nine_and_every_unanswered_one_can_be_repeated() {
    let database = TestDatabase::create().await;
    let mut acknowledged = HashSet::new();
    let mut keys = HashSet::new();
    for round in 0..3 {
        let (ids, sent) = load(ServerProcess::start(database.url()), round).await;
        assert!(ids.len() >= ENOUGH);
        acknowledged.extend(ids);
        keys.extend(sent.iter().map(|(key, _)| key.clone()));
        let survivors = stored(&database).await;
        let lost: Vec<_> = acknowledged.difference(&survivors).collect();
        assert!(lost.is_empty(), "round {round} lost {} of {}: {lost:?}", lost.len(), acknowledged.len());

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
    assert_eq!(stored(&database).await, acknowledged);
    assert_eq!(acknowledged.len(), keys.len(), "one chat for every key");
    let orphans =
        "SELECT COUNT(*) AS n FROM idempotency_records r LEFT JOIN chats c ON c.id = r.chat_id WHERE c.id IS NULL";
    assert_eq!(database.count(orphans).await, 0, "a record and its chat are committed together");
}

//! Lists of chats by last activity, as an inbox shows them.

use std::sync::Arc;

use chrono::Duration;
use parlor_server::config::Limits;
use serde_json::{Value, json};

use crate::support::{Client, ManualClock, TestDatabase, TestServer, requests};

const BY_ACTIVITY: (&str, &str) = ("sort", "last_message_at");

/// The lists that can be sorted, for a tenant of which all chats are the user `u`'s.
const LISTS: [&str; 2] = ["/api/v1/chats/", "/api/v1/chats/user/u"];

/// A page of `path`: the ids on it, and the cursor of the next one.
async fn page(client: &Client, path: &str, parameters: &[(&str, &str)], cursor: Option<&str>) -> (Vec<String>, Value) {
    let mut all = vec![BY_ACTIVITY];
    all.extend(parameters);
    all.extend(cursor.map(|cursor| ("cursor", cursor)));
    let answer = client.get(&format!("{path}{}", requests::query(&all)), 200).await;
    (answer.each("chats", "id"), answer.json()["next_cursor"].clone())
}

/// The whole of `path`, read page by page; `between` happens after each page.
async fn read(
    client: &Client,
    path: &str,
    parameters: &[(&str, &str)],
    mut between: impl AsyncFnMut(usize),
) -> Vec<String> {
    let (mut ids, mut next) = page(client, path, parameters, None).await;
    for n in 0.. {
        between(n).await;
        let Some(cursor) = next.as_str() else { break };
        let (more, after) = page(client, path, parameters, Some(cursor)).await;
        ids.extend(more);
        next = after;
    }
    ids
}

async fn speak(client: &Client, chat: &str) {
    client.send_message(chat, &json!({ "content": "x" }), 201).await;
}

/// A server whose clock is set by hand, with `count` chats of `u`, a millisecond apart.
async fn chats(count: usize) -> (TestDatabase, TestServer, ManualClock, Vec<String>) {
    let database = TestDatabase::create().await;
    let clock = ManualClock::new();
    let server = TestServer::start_with(database.url(), Limits::default(), Arc::new(clock.clone())).await;
    let mut ids = Vec::new();
    for _ in 0..count {
        clock.advance(Duration::milliseconds(1));
        ids.push(server.client().new_chat("u").await);
    }
    (database, server, clock, ids)
}

#[tokio::test]
async fn chats_are_listed_by_their_last_message_and_new_ones_by_their_creation() {
    let (_database, server, clock, mut ids) = chats(5).await;
    let client = server.client();
    for spoken in [1, 3, 1] {
        clock.advance(Duration::milliseconds(1));
        speak(&client, &ids[spoken]).await;
    }
    clock.advance(Duration::milliseconds(1));
    ids.push(client.new_chat("u").await);
    let newest_first: Vec<String> = [5, 1, 3, 4, 2, 0].map(|n: usize| ids[n].clone()).into();
    for path in LISTS {
        for limit in ["1", "2", "5", "100"] {
            let mut expected = newest_first.clone();
            for order in ["desc", "asc"] {
                assert_eq!(read(&client, path, &[("limit", limit), ("order", order)], async |_| {}).await, expected);
                expected.reverse();
            }
        }
        assert_eq!(read(&client, path, &[], async |_| {}).await, newest_first, "newest first by default");
    }
    // A change of the chat is no activity; the default order stays by creation.
    clock.advance(Duration::milliseconds(1));
    client.update_chat(&ids[0], &json!({ "title": "renamed" }), 200).await;
    assert_eq!(read(&client, LISTS[0], &[], async |_| {}).await, newest_first);
    ids.reverse();
    assert_eq!(client.list_chats(&[], 200).await.each("chats", "id"), ids);
    assert_eq!(client.list_chats(&[("sort", "created_at")], 200).await.each("chats", "id"), ids);
    let page = client.list_user_chats("u", &[BY_ACTIVITY, ("offset", "2"), ("limit", "2")], 200).await;
    assert_eq!(page.each("chats", "id"), newest_first[2..4]);
    assert_eq!((&page.json()["total"], &page.json()["offset"]), (&json!(6), &json!(2)));
    assert_eq!(client.list_user_chats("nobody", &[BY_ACTIVITY], 404).await.problem(), "user_not_found");
    server.stop().await;
}

#[tokio::test]
async fn chats_that_were_active_at_the_same_time_are_listed_once_each() {
    let (_database, server, _clock, ids) = chats(3).await;
    let client = server.client();
    // The clock stands still: all of these are active at one microsecond.
    let mut all = Vec::new();
    for _ in 0..9 {
        all.push(client.new_chat("u").await);
    }
    for id in &ids {
        speak(&client, id).await;
    }
    let mut expected = [ids, all].concat();
    for path in LISTS {
        for limit in ["1", "2", "5"] {
            for order in ["asc", "desc"] {
                let read = read(&client, path, &[("limit", limit), ("order", order)], async |_| {}).await;
                assert_eq!(read, expected, "{order}, {limit} at a time: by id");
                expected.reverse();
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn newest_first_each_chat_comes_once_at_most_while_chats_move() {
    for path in LISTS {
        let (_database, server, clock, ids) = chats(20).await;
        let client = server.client();
        let expected: Vec<String> = ids.iter().rev().cloned().collect();
        let mut moved = Vec::new();
        let seen = read(&client, path, &[("limit", "3")], async |n| {
            clock.advance(Duration::milliseconds(1));
            // One that was shown, one that was not, and a new one.
            for id in [expected.get(n * 3), expected.get(n * 3 + 4)].into_iter().flatten() {
                speak(&client, id).await;
                moved.push(id.clone());
            }
            client.new_chat("u").await;
        })
        .await;
        let mut once = seen.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), seen.len(), "{path}: none comes twice");
        assert!(seen.is_sorted_by_key(|id| expected.iter().position(|other| other == id)), "in order");
        for id in &expected {
            assert!(seen.contains(id) || moved.contains(id), "{path}: what did not move is not left out");
        }
        // Those that were left out are at the top of the list that is read anew.
        let again = read(&client, path, &[("limit", "100")], async |_| {}).await;
        let lowest = again.iter().rposition(|id| moved.contains(id)).unwrap();
        let others = again[..lowest].iter().filter(|id| ids.contains(id) && !moved.contains(id)).count();
        assert_eq!(others, 0, "{path}");
        server.stop().await;
    }
}

#[tokio::test]
async fn oldest_first_no_chat_is_left_out_while_chats_move() {
    for path in LISTS {
        let (_database, server, clock, ids) = chats(20).await;
        let client = server.client();
        let seen = read(&client, path, &[("limit", "3"), ("order", "asc")], async |n| {
            clock.advance(Duration::milliseconds(1));
            if n < 5 {
                speak(&client, &ids[n * 3]).await;
                speak(&client, &ids[n * 3 + 4]).await;
            }
        })
        .await;
        for id in &ids {
            assert!(seen.contains(id), "{path}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn filters_hold_by_activity_too() {
    let (_database, server, clock, mut ids) = chats(6).await;
    let client = server.client();
    for (n, id) in ids.iter().enumerate() {
        clock.advance(Duration::milliseconds(1));
        let metadata = json!({ "department": (["technical", "sales"][n % 2]), "level": n % 3 });
        client.update_chat(id, &json!({ "metadata": metadata }), 200).await;
        if n % 3 == 0 {
            client.update_chat(id, &json!({ "status": "closed" }), 200).await;
        }
    }
    clock.advance(Duration::milliseconds(1));
    ids.push(client.new_chat("v").await);
    for spoken in [4, 2, 1] {
        clock.advance(Duration::milliseconds(1));
        speak(&client, &ids[spoken]).await;
    }
    let created = client.get_chat(&ids[3], 200).await.json()["created_at"].as_str().unwrap().to_owned();
    for (filter, expected) in [
        (&[][..], &[1, 2, 4, 6, 5, 3, 0][..]),
        (&[("user_id", "u")], &[1, 2, 4, 5, 3, 0]),
        (&[("user_id", "v")], &[6]),
        (&[("status", "closed")], &[3, 0]),
        (&[("status", "active"), ("user_id", "u")], &[1, 2, 4, 5]),
        (&[("created_before", &created)], &[1, 2, 0]),
        (&[("created_after", &created)], &[4, 6, 5]),
        (&[("metadata", "department:technical")], &[2, 4, 0]),
        (&[("metadata", "department:technical"), ("metadata", "level:1")], &[4]),
        (&[("metadata", "department:sales"), ("status", "active"), ("created_before", &created)], &[1]),
        (&[("metadata", "department:unknown")], &[]),
    ] {
        let mut expected: Vec<String> = expected.iter().map(|n: &usize| ids[*n].clone()).collect();
        for order in ["desc", "asc"] {
            let parameters = [filter, &[("limit", "2"), ("order", order)]].concat();
            assert_eq!(read(&client, LISTS[0], &parameters, async |_| {}).await, expected, "{parameters:?}");
            expected.reverse();
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_cursor_of_another_sort_is_refused() {
    let (_database, server, _clock, _) = chats(3).await;
    let client = server.client();
    for path in LISTS {
        for (own, other) in [("created_at", "last_message_at"), ("last_message_at", "created_at")] {
            let first = client.get(&format!("{path}?limit=1&sort={own}"), 200).await.json();
            let cursor = first["next_cursor"].as_str().unwrap();
            client.get(&format!("{path}?sort={own}&cursor={cursor}"), 200).await;
            for wrong in [format!("sort={other}"), format!("sort={own}&order=asc")] {
                let answer = client.get(&format!("{path}?{wrong}&cursor={cursor}"), 400).await;
                let error = ("/query/cursor".to_owned(), "is not a cursor of this list".to_owned());
                assert_eq!(answer.errors(), [error], "{path} {own} as {wrong}");
            }
            // The order by creation is the same with and without its name.
            let status = if own == "created_at" { 200 } else { 400 };
            client.get(&format!("{path}?cursor={cursor}"), status).await;
        }
    }
    server.stop().await;
}

//! Lists: what is on them, in which order, and how they stay right while they change.

use std::sync::Arc;

use chrono::Duration;
use parlor_server::config::Limits;
use serde_json::{Value, json};

use crate::support::{Client, ManualClock, TestDatabase, TestServer};

/// Reads a list to its end by cursors; `change` happens after each page.
async fn by_cursor(
    client: &Client,
    path: &str,
    list: &str,
    parameters: &[(&str, &str)],
    mut change: impl AsyncFnMut(usize),
) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    for page in 0.. {
        let mut all = parameters.to_vec();
        all.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let answer = client.get(&format!("{path}{}", crate::support::requests::query(&all)), 200).await.json();
        items.extend(answer[list].as_array().unwrap().clone());
        assert_eq!(answer["has_more"], answer["next_cursor"].is_string());
        change(page).await;
        match answer["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    items
}

fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_user_s_chats_are_listed_newest_first_with_the_family_s_fields() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    assert_eq!(client.list_user_chats("u", &[], 404).await.problem(), "user_not_found");
    let mut newest_first = Vec::new();
    for _ in 0..5 {
        newest_first.insert(0, client.new_chat("u").await);
        client.new_chat("somebody else").await;
    }
    client.send_message(&newest_first[0], &json!({ "content": "x" }), 201).await;
    let all = client.list_user_chats("u", &[], 200).await;
    assert_eq!(all.each("chats", "id"), newest_first);
    let all = all.json();
    let rest = json!({ "total": 5, "offset": 0, "limit": 50, "has_more": false, "next_cursor": null });
    for (name, value) in rest.as_object().unwrap() {
        assert_eq!(all[name], *value, "{name}");
    }
    let mut details = client.get_chat(&newest_first[0], 200).await.json();
    details.as_object_mut().unwrap().remove("status");
    assert_eq!(all["chats"][0], details);

    let page = client.list_user_chats("u", &[("offset", "3"), ("limit", "1"), ("order", "asc")], 200).await;
    assert_eq!(page.each("chats", "id"), [newest_first[1].clone()]);
    let page = page.json();
    assert_eq!((&page["total"], &page["offset"], &page["has_more"]), (&json!(5), &json!(3), &json!(true)));
    let beyond = client.list_user_chats("u", &[("offset", "5")], 200).await.json();
    assert_eq!((&beyond["chats"], &beyond["total"]), (&json!([]), &json!(5)));

    for id in &newest_first {
        client.delete_chat(id, &[], 200).await;
    }
    assert_eq!(client.list_user_chats("u", &[], 404).await.problem(), "no_chats");
    server.stop().await;
}

#[tokio::test]
async fn users_with_odd_names_have_their_lists() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    for (name, encoded) in
        [("a/b", "a%2Fb"), ("Zoë ?#&", "Zo%C3%AB%20%3F%23%26"), ("messages", "messages"), ("%41", "%2541")]
    {
        let id = client.new_chat(name).await;
        assert_eq!(client.list_user_chats(encoded, &[], 200).await.each("chats", "id"), [id], "{name}");
    }
    for nobody in ["%00", "%0a", &"x".repeat(256)] {
        assert_eq!(client.list_user_chats(nobody, &[], 404).await.problem(), "user_not_found");
    }
    server.stop().await;
}

#[tokio::test]
async fn cursors_neither_skip_nor_repeat_while_the_list_changes() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    for (order, path) in [("asc", "/api/v1/chats/user/u"), ("desc", "/api/v1/chats/"), ("asc", "/api/v1/chats/")] {
        let mut expected = Vec::new();
        for _ in 0..20 {
            expected.push(client.new_chat("u").await);
        }
        let doomed = expected.clone();
        let parameters = [("limit", "3"), ("order", order)];
        let read = by_cursor(&client, path, "chats", &parameters, async |page| {
            // What is deleted may be the very chat that the cursor stands on.
            let last = page * 3 + 2;
            if let Some(id) = if order == "asc" { doomed.get(last) } else { doomed.iter().rev().nth(last) } {
                client.delete_chat(id, &[], 200).await;
            }
            if page < 3 {
                client.new_chat("u").await;
            }
        });
        let read = ids(&read.await);
        if order == "desc" {
            expected.reverse();
        }
        assert_eq!(read[..20], expected, "{order}: each once, in order");
        assert_eq!(read.len(), if order == "asc" { 23 } else { 20 }, "new ones come after the old");
        for id in client.list_chats(&[("limit", "100")], 200).await.each("chats", "id") {
            client.delete_chat(&id, &[], 200).await;
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn filters_hold_together() {
    let database = TestDatabase::create().await;
    let clock = ManualClock::new();
    let server = TestServer::start_with(database.url(), Limits::default(), Arc::new(clock.clone())).await;
    let client = server.client();
    let mut made = Vec::new();
    for n in 0..12 {
        clock.advance(Duration::milliseconds(1) + Duration::microseconds(1));
        let department = ["technical", "sales"][n % 2];
        let metadata =
            json!({ "department": department, "level": n % 3, "urgent": n % 4 == 0, "none": null, "list": [1] });
        let request = json!({ "user_id": (["u", "v"][n / 6]), "metadata": metadata });
        let chat = client.create_chat(&request, 201).await.json();
        if n % 5 == 0 {
            client.update_chat(chat["id"].as_str().unwrap(), &json!({ "status": "closed" }), 200).await;
        }
        made.push(chat);
    }
    let select = async |parameters: &[(&str, &str)], expected: &[usize]| {
        let mut expected: Vec<&str> = expected.iter().map(|n| made[*n]["id"].as_str().unwrap()).collect();
        for order in ["asc", "desc"] {
            let mut all = parameters.to_vec();
            all.extend([("order", order), ("limit", "2")]);
            let read = by_cursor(&client, "/api/v1/chats/", "chats", &all, async |_| {}).await;
            assert_eq!(ids(&read), expected, "{all:?}");
            expected.reverse();
        }
    };
    let at = |n: usize| made[n]["created_at"].as_str().unwrap();
    select(&[], &(0..12).collect::<Vec<_>>()).await;
    select(&[("user_id", "v")], &[6, 7, 8, 9, 10, 11]).await;
    select(&[("user_id", "nobody")], &[]).await;
    select(&[("status", "closed")], &[0, 5, 10]).await;
    select(&[("status", "active"), ("user_id", "u")], &[1, 2, 3, 4]).await;
    select(&[("created_after", at(3))], &[4, 5, 6, 7, 8, 9, 10, 11]).await;
    select(&[("created_before", at(3))], &[0, 1, 2]).await;
    select(&[("created_after", at(2)), ("created_before", at(5))], &[3, 4]).await;
    select(&[("created_after", "2024-01-15T12:30:00.003003+02:00"), ("created_before", at(5))], &[3, 4]).await;
    // A bound may be finer than what is stored.
    let nanosecond_later = at(3).replace('Z', "001Z");
    select(&[("created_before", &nanosecond_later)], &[0, 1, 2, 3]).await;
    select(&[("created_after", &nanosecond_later), ("created_before", at(6))], &[4, 5]).await;
    select(&[("metadata", "department:technical")], &[0, 2, 4, 6, 8, 10]).await;
    select(&[("metadata", "level:1")], &[1, 4, 7, 10]).await;
    select(&[("metadata", "urgent:true")], &[0, 4, 8]).await;
    select(&[("metadata", "none:null"), ("status", "closed")], &[0, 5, 10]).await;
    select(&[("metadata", "department:technical"), ("metadata", "level:1")], &[4, 10]).await;
    select(&[("metadata", "level:1"), ("metadata", "urgent:true"), ("user_id", "u")], &[4]).await;
    select(&[("metadata", "department:Technical")], &[]).await;
    select(&[("metadata", "list:[1]")], &[]).await;
    select(&[("metadata", "department:technical"), ("created_after", at(4)), ("status", "active")], &[6, 8]).await;

    // Labels follow the metadata.
    let id = made[4]["id"].as_str().unwrap();
    client.update_chat(id, &json!({ "metadata": { "department": "sales", "level": null, "new": "a:b" } }), 200).await;
    select(&[("metadata", "department:technical"), ("metadata", "urgent:true")], &[0, 8]).await;
    select(&[("metadata", "new:a:b")], &[4]).await;
    select(&[("metadata", "level:1")], &[1, 7, 10]).await;
    server.stop().await;
}

#[tokio::test]
async fn a_cursor_belongs_to_its_list() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    for _ in 0..3 {
        client.new_chat("u").await;
        client.new_chat("v").await;
    }
    let page = client.list_chats(&[("limit", "1"), ("status", "active")], 200).await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    client.list_chats(&[("limit", "100"), ("status", "active"), ("cursor", cursor)], 200).await;
    for other in [
        [("status", "closed"), ("cursor", cursor)].as_slice(),
        &[("cursor", cursor)],
        &[("status", "active"), ("order", "asc"), ("cursor", cursor)],
        &[("status", "active"), ("user_id", "u"), ("cursor", cursor)],
    ] {
        let answer = client.list_chats(other, 400).await;
        assert_eq!(answer.errors(), [("/query/cursor".to_owned(), "is not a cursor of this list".to_owned())]);
    }
    let of_u = client.list_user_chats("u", &[("limit", "1")], 200).await.json();
    let cursor = of_u["next_cursor"].as_str().unwrap();
    let next = client.list_user_chats("u", &[("cursor", cursor)], 200).await.json();
    assert_eq!((&next["total"], &next["offset"]), (&Value::Null, &Value::Null));
    client.list_user_chats("v", &[("cursor", cursor)], 400).await;
    server.stop().await;
}

#[tokio::test]
async fn messages_are_paged_by_offset_by_cursor_and_by_number() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let id = client.new_chat("u").await;
    let empty = client.list_messages(&id, &[], 200).await.json();
    assert_eq!((&empty["messages"], &empty["total"], &empty["has_more"]), (&json!([]), &json!(0), &json!(false)));
    for n in 1..=10 {
        client.send_message(&id, &json!({ "content": n.to_string() }), 201).await;
    }
    let page = async |parameters: &[(&str, &str)]| {
        let answer = client.list_messages(&id, parameters, 200).await.json();
        let seqs: Vec<i64> =
            answer["messages"].as_array().unwrap().iter().map(|m| m["seq"].as_i64().unwrap()).collect();
        (seqs, answer["total"].as_i64(), answer["offset"].as_i64(), answer["has_more"].as_bool().unwrap())
    };
    assert_eq!(page(&[("limit", "3")]).await, (vec![1, 2, 3], Some(10), Some(0), true));
    assert_eq!(page(&[("limit", "3"), ("offset", "8")]).await, (vec![9, 10], Some(10), Some(8), false));
    assert_eq!(page(&[("limit", "3"), ("order", "desc")]).await, (vec![10, 9, 8], Some(10), Some(0), true));
    assert_eq!(
        page(&[("limit", "3"), ("order", "desc"), ("offset", "8")]).await,
        (vec![2, 1], Some(10), Some(8), false)
    );
    assert_eq!(page(&[("after_seq", "7")]).await, (vec![8, 9, 10], Some(3), Some(0), false));
    assert_eq!(page(&[("after_seq", "7"), ("offset", "1"), ("limit", "1")]).await, (vec![9], Some(3), Some(1), true));
    assert_eq!(
        page(&[("after_seq", "7"), ("order", "desc"), ("offset", "2")]).await,
        (vec![8], Some(3), Some(2), false)
    );
    assert_eq!(page(&[("after_seq", "10")]).await, (vec![], Some(0), Some(0), false));
    assert_eq!(page(&[("after_seq", "9007199254740991")]).await, (vec![], Some(0), Some(0), false));
    assert_eq!(page(&[("offset", "9007199254740991"), ("order", "desc")]).await.0, Vec::<i64>::new());

    let path = crate::support::requests::messages(&id);
    let parameters = [("limit", "3"), ("after_seq", "2")];
    let forward = by_cursor(&client, &path, "messages", &parameters, async |page| {
        if page == 0 {
            client.send_message(&id, &json!({ "content": "11" }), 201).await;
        }
    });
    let contents =
        |items: Vec<Value>| items.iter().map(|m| m["content"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(contents(forward.await), (3..=11).map(|n| n.to_string()).collect::<Vec<_>>());
    let parameters = [("limit", "4"), ("order", "desc")];
    let backward = by_cursor(&client, &path, "messages", &parameters, async |_| {
        client.send_message(&id, &json!({ "content": "later" }), 201).await;
    });
    assert_eq!(contents(backward.await), (1..=11).rev().map(|n| n.to_string()).collect::<Vec<_>>());
    server.stop().await;
}

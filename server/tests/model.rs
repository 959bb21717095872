//! Random sequences of all operations by two tenants, compared answer by answer with a model in memory.
//!
//! The sequences are random but not new: each run takes the same seeds, so a failure comes back. `PARLOR_TEST_SEED`
//! takes another one.

mod memory;

use std::{env, sync::Arc};

use parlor_server::{chat::Ticket, config::Limits};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use reqwest::Method;
use serde_json::{Value, json};

use self::memory::{Expected, Tenant};
use crate::support::{
    Client, ManualClock, TestDatabase, TestServer,
    requests::{chat, messages, query, tickets},
};

/// Sequences, and operations in each.
const SEEDS: u64 = 6;
const STEPS: usize = 250;

const USERS: [&str; 4] = ["ann", "bob", "a/b", "Zoë"];
const KEYS: [&str; 3] = ["k1", "k2", "k3"];
const NAMES: [&str; 3] = ["m1", "m2", "m3"];
const SORTS: [&str; 2] = ["created_at", "last_message_at"];
const DEPARTMENTS: [&str; 3] = ["technical", "sales", "a:b"];

#[tokio::test]
async fn every_answer_is_the_model_s() {
    let seeds = match env::var("PARLOR_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("PARLOR_TEST_SEED is a number")],
        Err(_) => (0..SEEDS).collect::<Vec<u64>>(),
    };
    for seed in seeds {
        let database = TestDatabase::create().await;
        let clock = ManualClock::new();
        let server = TestServer::start_with(database.url(), Limits::default(), Arc::new(clock.clone())).await;
        let mut tenants =
            [(server.client_of("one").await, Tenant::default()), (server.client_of("other").await, Tenant::default())];
        let mut random = StdRng::seed_from_u64(seed);
        for step in 0..STEPS {
            if random.random_bool(0.7) {
                clock.advance(chrono::Duration::microseconds(random.random_range(1..3_000)));
            }
            let who = random.random_range(0..2);
            // An id of either tenant, or of nobody.
            let foreign = random.random_bool(0.1);
            let id = tenants[usize::from(foreign) ^ who].1.any_id(&mut random);
            let (client, model) = &mut tenants[who];
            let what = operation(client, model, &mut random, &id).await;
            what.unwrap_or_else(|difference| panic!("seed {seed}, step {step}: {difference}"));
        }
        for (ticket, expected) in tenants.iter_mut().flat_map(|(_, model)| model.take_tickets()) {
            let grant = server.tickets.redeem(&Ticket::presented(&ticket).unwrap(), None).await.unwrap().granted();
            let got = grant.map(|grant| (grant.chat_id.to_string(), grant.user_id.as_str().to_owned()));
            assert_eq!(got, expected, "seed {seed}: {ticket}");
        }
        server.stop().await;
    }
}

/// Sends one random request and compares its answer with the model's.
async fn operation(client: &Client, model: &mut Tenant, random: &mut StdRng, id: &str) -> Result<(), String> {
    match random.random_range(0..100) {
        0..22 => {
            let mut request = json!({ "user_id": pick(random, &USERS) });
            if random.random_bool(0.5) {
                request["title"] = json!(format!(" title {} ", random.random_range(0..5)));
            }
            if random.random_bool(0.7) {
                request["metadata"] = metadata(random);
            }
            let key = random.random_bool(0.3).then(|| pick(random, &KEYS));
            let answer = send(client, Method::POST, "/api/v1/chats/", Some(&request), key).await;
            let expected = model.create_chat(&request, key, &answer.body);
            compare("create_chat", &request, expected, &answer)
        }
        22..47 => {
            let mut request = json!({ "content": format!("message {}", random.random_range(0..9)) });
            if random.random_bool(0.3) {
                request["sender_role"] = json!(pick(random, &["user", "assistant"]));
            }
            if random.random_bool(0.3) {
                request["sender_id"] = json!(pick(random, &USERS));
            }
            if random.random_bool(0.3) {
                request["client_message_id"] = json!(pick(random, &NAMES));
            }
            let key = random.random_bool(0.2).then(|| pick(random, &KEYS));
            let answer = send(client, Method::POST, &messages(id), Some(&request), key).await;
            let expected = model.send_message(id, &request, key, &answer.body);
            compare("send_message", &request, expected, &answer)
        }
        47..57 => {
            let answer = send(client, Method::GET, &chat(id), None, None).await;
            compare("get_chat", &json!(id), model.get_chat(id), &answer)
        }
        57..67 => {
            let mut patch = json!({});
            if random.random_bool(0.4) {
                patch["title"] = json!(format!("patched {}", random.random_range(0..3)));
            }
            if random.random_bool(0.5) {
                patch["metadata"] = metadata(random);
                patch["metadata"]["level"] = Value::Null;
            }
            if random.random_bool(0.4) {
                patch["status"] = json!(pick(random, &["active", "active", "closed"]));
            }
            let answer = send(client, Method::PATCH, &chat(id), Some(&patch), None).await;
            let expected = model.update_chat(id, &patch, &answer.body);
            compare("update_chat", &patch, expected, &answer)
        }
        67..70 => {
            let request = json!({ "user_id": pick(random, &USERS) });
            // Ignored.
            let key = random.random_bool(0.3).then(|| pick(random, &KEYS));
            let answer = send(client, Method::POST, &tickets(id), Some(&request), key).await;
            let expected = model.create_ticket(id, &request, &answer.body);
            compare("create_ticket", &request, expected, &answer)
        }
        70..74 => {
            let answer = send(client, Method::DELETE, &chat(id), None, None).await;
            let expected = model.delete_chat(id, &answer.body);
            compare("delete_chat", &json!(id), expected, &answer)
        }
        _ => list(client, model, random, id).await,
    }
}

/// Reads one random list and compares it with the model's.
async fn list(client: &Client, model: &mut Tenant, random: &mut StdRng, id: &str) -> Result<(), String> {
    match random.random_range(0..3) {
        0 => {
            let user = pick(random, &USERS);
            let (order, limit) = paging(random);
            let path = format!("/api/v1/chats/user/{}", query(&[("", user)]).replace("?=", "").replace('+', "%20"));
            let offset = random.random_range(0..5_usize);
            let sort = pick(random, &SORTS);
            let whole = model.list_user_chats(user, sort, order);
            let Ok(whole) = whole else {
                let answer = send(client, Method::GET, &path, None, None).await;
                return compare("list_user_chats", &json!(user), whole, &answer);
            };
            compare_offset(client, &path, "chats", &whole, offset, limit, &[("order", order), ("sort", sort)]).await?;
            compare_cursors(client, &path, "chats", &whole, limit, &[("order", order), ("sort", sort)]).await
        }
        1 => {
            let (order, limit) = paging(random);
            let mut filter: Vec<(&str, String)> = vec![("order", order.to_owned())];
            if random.random_bool(0.5) {
                filter.push(("sort", pick(random, &SORTS).to_owned()));
            }
            if random.random_bool(0.4) {
                filter.push(("user_id", pick(random, &USERS).to_owned()));
            }
            if random.random_bool(0.4) {
                filter.push(("status", pick(random, &["active", "closed"]).to_owned()));
            }
            if random.random_bool(0.5) {
                filter.push(("metadata", format!("department:{}", pick(random, &DEPARTMENTS))));
            }
            if random.random_bool(0.3) {
                filter.push(("metadata", format!("level:{}", random.random_range(0..3))));
            }
            if let Some(moment) = model.any_moment(random) {
                filter.push((pick(random, &["created_after", "created_before"]), moment));
            }
            let filter: Vec<(&str, &str)> = filter.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let whole = model.list_chats(&filter);
            compare_cursors(client, "/api/v1/chats/", "chats", &whole, limit, &filter).await
        }
        _ => {
            let (order, limit) = paging(random);
            let after = random.random_range(0..4_i64);
            let path = messages(id);
            let whole = model.list_messages(id, after, order);
            let Ok(whole) = whole else {
                let answer = send(client, Method::GET, &path, None, None).await;
                return compare("list_messages", &json!(id), whole, &answer);
            };
            let after = after.to_string();
            let parameters = [("order", order), ("after_seq", after.as_str())];
            compare_cursors(client, &path, "messages", &whole, limit, &parameters).await?;
            if after == "0" {
                let offset = random.random_range(0..5);
                compare_offset(client, &path, "messages", &whole, offset, limit, &[("order", order)]).await?;
            }
            Ok(())
        }
    }
}

/// An answer, whatever it says.
struct Got {
    status: u16,
    body: Value,
    replayed: bool,
}

async fn send(client: &Client, method: Method, path: &str, body: Option<&Value>, key: Option<&str>) -> Got {
    let client = match key {
        Some(key) => client.clone().header("Idempotency-Key", key),
        None => client.clone(),
    };
    let body = body.map(|body| body.to_string().into_bytes());
    let (status, answer) = client.attempt(method, path, body).await.unwrap();
    let replayed = answer.header("idempotency-replayed") == Some("true");
    Got { status: status.as_u16(), body: answer.json(), replayed }
}

fn compare<T>(what: &str, request: &Value, expected: Result<T, (u16, &'static str)>, got: &Got) -> Result<(), String>
where
    Expected: From<T>,
{
    let (status, body, replayed) = match expected {
        Ok(expected) => {
            let Expected { status, body, replayed } = Expected::from(expected);
            (status, body, replayed)
        }
        Err((status, code)) => (status, json!(code), false),
    };
    let shown = if got.status < 400 { got.body.clone() } else { got.body["code"].clone() };
    if (status, &body, replayed) == (got.status, &shown, got.replayed) {
        return Ok(());
    }
    Err(format!(
        "{what} {request}\nexpected {status} {body} replayed: {replayed}\ngot      {} {shown} replayed: {}",
        got.status, got.replayed
    ))
}

/// One page at an offset.
async fn compare_offset(
    client: &Client,
    path: &str,
    list: &str,
    whole: &[Value],
    offset: usize,
    limit: usize,
    parameters: &[(&str, &str)],
) -> Result<(), String> {
    let (at, at_most) = (offset.to_string(), limit.to_string());
    let parameters = [&[("offset", at.as_str()), ("limit", at_most.as_str())], parameters].concat();
    let mut got = send(client, Method::GET, &format!("{path}{}", query(&parameters)), None, None).await;
    let page: Vec<&Value> = whole.iter().skip(offset).take(limit).collect();
    let has_more = offset + page.len() < whole.len() && !page.is_empty();
    got.body.as_object_mut().ok_or("the answer is no object")?.remove("next_cursor");
    let expected = json!({ list: page, "total": whole.len(), "offset": offset, "limit": limit, "has_more": has_more });
    compare(path, &json!(parameters), Ok(Expected::ok(expected)), &got)
}

/// The whole list by cursors.
async fn compare_cursors(
    client: &Client,
    path: &str,
    list: &str,
    whole: &[Value],
    limit: usize,
    parameters: &[(&str, &str)],
) -> Result<(), String> {
    let (limit, mut cursor) = (limit.to_string(), None::<String>);
    let mut read = Vec::new();
    loop {
        let mut all = parameters.to_vec();
        all.push(("limit", &limit));
        all.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let got = send(client, Method::GET, &format!("{path}{}", query(&all)), None, None).await;
        let items = got.body[list].as_array().ok_or_else(|| format!("{path} {all:?}: {}", got.body))?;
        read.extend(items.clone());
        let next = got.body["next_cursor"].as_str().map(str::to_owned);
        if got.body["has_more"] != json!(next.is_some()) {
            return Err(format!("{path} {all:?}: has_more and next_cursor differ: {}", got.body));
        }
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    if read == whole {
        Ok(())
    } else {
        Err(format!("{path} {parameters:?}\nexpected {}\ngot      {}", json!(whole), json!(read)))
    }
}

fn pick<'a>(random: &mut StdRng, words: &[&'a str]) -> &'a str {
    words.choose(random).copied().unwrap_or_default()
}

fn paging(random: &mut StdRng) -> (&'static str, usize) {
    (pick(random, &["asc", "desc"]), random.random_range(1..6))
}

fn metadata(random: &mut StdRng) -> Value {
    json!({
        "department": pick(random, &DEPARTMENTS),
        "level": random.random_range(0..3),
        "nested": { "n": random.random_range(0..3), "keep": true },
    })
}

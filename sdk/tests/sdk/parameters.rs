//! Compares the query parameters that the SDK sends with the server's document, in both directions.

use std::collections::{BTreeMap, BTreeSet};

use parlor_sdk::chrono::DateTime;
use parlor_sdk::{ChatFilter, ChatSort, Client, OPERATIONS, Order, Status};
use serde_json::Value;
use uuid::Uuid;

use crate::client;
use crate::contract::{document, parameters_of};
use crate::server::{CHAT, Server, chat_list, chat_page, deleted, messages};

/// The largest integer that all JSON parsers read exactly.
const LARGEST: u64 = (1 << 53) - 1;

#[tokio::test]
async fn sent_parameters_match_the_document() {
    let sent = send_everything().await;
    let differences = differences(&document(), &sent);
    assert!(differences.is_empty(), "the SDK and openapi.json disagree:\n{}", differences.join("\n"));
}

type Change = fn(&mut Value);

/// Proves that the comparison can fail.
#[tokio::test]
async fn a_change_of_the_document_is_noticed() {
    let sent = send_everything().await;
    let changes: [(&str, usize, Change); 9] = [
        ("/api/v1/chats/", 1, |status| status["schema"]["enum"] = ["active"].as_slice().into()),
        ("/api/v1/chats/", 2, |after| after["schema"]["format"] = "date".into()),
        ("/api/v1/chats/", 4, |metadata| metadata["schema"]["maxItems"] = 1.into()),
        ("/api/v1/chats/", 4, |metadata| metadata["schema"]["items"]["type"] = "integer".into()),
        ("/api/v1/chats/", 5, |limit| limit["schema"]["maximum"] = 99.into()),
        ("/api/v1/chats/", 6, |sort| sort["schema"]["enum"] = ["created_at", "title"].as_slice().into()),
        ("/api/v1/chats/", 7, |order| order["schema"]["type"] = "boolean".into()),
        ("/api/v1/chats/{chat_id}/messages", 1, |offset| offset["name"] = "skip".into()),
        ("/api/v1/chats/{chat_id}/messages", 5, |after| after["in"] = "header".into()),
    ];
    for (path, index, change) in changes {
        let mut document = document();
        change(&mut document["paths"][path]["get"]["parameters"][index]);
        assert!(!differences(&document, &sent).is_empty(), "change of {path}, parameter {index}, is overlooked");
    }
}

/// The values of each parameter of a request.
type Request = BTreeMap<String, Vec<String>>;
/// The requests of each operation.
type Sent = BTreeMap<&'static str, Vec<Request>>;

/// Sends requests with every parameter, and with every value of an enum.
async fn send_everything() -> Sent {
    let mut sent = Sent::new();
    for (order, status, sort) in
        [(Order::Asc, Status::Active, ChatSort::CreatedAt), (Order::Desc, Status::Closed, ChatSort::LastMessageAt)]
    {
        let moment = DateTime::from_timestamp_micros(1_705_314_600_000_001).unwrap();
        let filter = ChatFilter::new()
            .user_id("user 123")
            .status(status)
            .created_after(moment)
            .created_before(moment)
            .metadata("department", "technical")
            .metadata("urgent", true);
        let server = Server::start([chat_page(&[CHAT], None), chat_list(&[CHAT], None), messages(&[1], None)]);
        let client = client(&server);
        client.list_chats().filter(filter).limit(100).sort(sort).order(order).cursor("c").await.unwrap();
        client.list_user_chats("u").offset(LARGEST).limit(1).sort(sort).order(order).await.unwrap();
        client.list_messages(Uuid::nil()).offset(0).after_seq(LARGEST).limit(100).order(order).await.unwrap();
        note(&mut sent, &server, &["list_chats", "list_user_chats", "list_messages"]);
    }
    let server = Server::start([chat_list(&[CHAT], None), messages(&[1], None), deleted()]);
    let client: Client = client(&server);
    client.list_user_chats("u").cursor("c").await.unwrap();
    client.list_messages(Uuid::nil()).cursor("c").await.unwrap();
    client.delete_chat(Uuid::nil()).force().await.unwrap();
    note(&mut sent, &server, &["list_user_chats", "list_messages", "delete_chat"]);
    sent
}

fn note(sent: &mut Sent, server: &Server, operations: &[&'static str]) {
    let requests = server.requests();
    assert_eq!(requests.len(), operations.len());
    for (operation, request) in operations.iter().zip(requests) {
        let url = format!("{}{}", server.url(), request.line.split(' ').nth(1).unwrap());
        let mut parameters = Request::new();
        for (name, value) in reqwest::Url::parse(&url).unwrap().query_pairs() {
            parameters.entry(name.into_owned()).or_default().push(value.into_owned());
        }
        sent.entry(operation).or_default().push(parameters);
    }
}

fn differences(document: &Value, sent: &Sent) -> Vec<String> {
    let mut lines = Vec::new();
    for operation in OPERATIONS {
        let described = &document["paths"][operation.path()][operation.method().to_lowercase()];
        let described: BTreeMap<_, _> = parameters_of(described, "query").collect();
        let requests = sent.get(operation.id()).map_or(&[][..], Vec::as_slice);
        let names: BTreeSet<_> = requests.iter().flat_map(BTreeMap::keys).map(String::as_str).collect();
        if names != described.keys().copied().collect() {
            lines.push(format!("{}: sent are {names:?}, described {:?}", operation.id(), described.keys()));
            continue;
        }
        for (name, schema) in described {
            let all: Vec<_> = requests.iter().filter_map(|request| request.get(name)).collect();
            lines.extend(wrong(schema, &all).map(|what| format!("{}, {name}: {what}", operation.id())));
        }
    }
    lines
}

/// Describes the first invalid value of a parameter; `all` has the values of each request.
fn wrong(schema: &Value, all: &[&Vec<String>]) -> Option<String> {
    let (item, max) = match schema["type"].as_str()? {
        "array" => (&schema["items"], schema["maxItems"].as_u64().unwrap_or(u64::MAX)),
        _ => (schema, 1),
    };
    if let Some(values) = all.iter().find(|values| values.len() as u64 > max) {
        return Some(format!("given {} times", values.len()));
    }
    let values: BTreeSet<_> = all.iter().flat_map(|values| values.iter()).map(String::as_str).collect();
    if let Some(words) = item["enum"].as_array() {
        let words: BTreeSet<_> = words.iter().filter_map(Value::as_str).collect();
        return (words != values || item["type"] != "string").then(|| format!("{values:?} are sent"));
    }
    values.into_iter().find(|value| !fits(item, value)).map(|value| format!("{value:?} does not fit {item}"))
}

fn fits(schema: &Value, value: &str) -> bool {
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("integer"), _) => value.parse().is_ok_and(|number: u64| {
            schema["minimum"].as_u64().is_some_and(|least| least <= number)
                && schema["maximum"].as_u64().is_some_and(|most| number <= most)
        }),
        (Some("boolean"), _) => value.parse::<bool>().is_ok(),
        (Some("string"), Some("date-time")) => value.ends_with('Z') && DateTime::parse_from_rfc3339(value).is_ok(),
        (Some("string"), None) => {
            let length = value.chars().count() as u64;
            schema["minLength"].as_u64().is_some_and(|least| least <= length)
                && schema["maxLength"].as_u64().is_some_and(|most| length <= most)
        }
        _ => false,
    }
}

//! The conventions of `docs/API-DESIGN.md`, held against the document, the sources and a running server.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    KEY, Page, TestDatabase, TestServer,
    page::{quoted, rows},
    raw, requests,
};

/// An id that no chat has.
const NOBODY: &str = "018d0c8e-5a40-7b7c-8c9d-0e1f2a3b4c5d";

fn page() -> Page {
    Page::read("docs/API-DESIGN.md")
}

fn document() -> Value {
    serde_json::from_str(&fs::read_to_string(Page::root().join("openapi.json")).unwrap()).unwrap()
}

/// Each operation of the document: its path, its method, and what is said of it.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// The sources below `folders`, each with its path from the repository's root.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let mut folders: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Page::root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(entry.path()).unwrap();
                sources.push((path.into_os_string().into_string().unwrap(), text));
            }
        }
    }
    assert!(!sources.is_empty());
    sources
}

/// Whether `name` is `pattern`, in which `<…>` stands for some letters, digits and underscores.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('<') else { return pattern == name };
    let (_, after) = rest.split_once('>').unwrap();
    let Some(name) = name.strip_prefix(before) else { return false };
    let word = name.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    (1..=word).any(|length| fits(after, &name[length..]))
}

#[test]
fn an_operation_has_one_name_from_the_document_to_the_tests() {
    let page = page();
    let names = page.paragraph("An operation is a verb");
    let verbs: Vec<&str> = quoted(names.split_once("The verbs are").unwrap().1)
        .into_iter()
        .map(|word| word.split_once('_').map_or(word, |(verb, _)| verb))
        .collect();
    let document = document();
    let layers = ["server/src/api", "server/src/service", "server/src/store", "server/tests/support", "sdk/src"];
    let layers = layers.map(|layer| (layer, sources(&[layer])));
    for (path, method, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        let (verb, noun) = id.split_once('_').unwrap();
        assert!(verbs.contains(&verb) && !noun.is_empty(), "{id} of {method} {path}");
        for (layer, sources) in &layers {
            let function = [format!("fn {id}("), format!("fn {id}<")];
            let named = sources.iter().any(|(_, text)| function.iter().any(|function| text.contains(function)));
            assert!(named, "{layer} has no function {id}");
        }
    }
}

#[tokio::test]
async fn an_operation_is_counted_under_its_name() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let document = document();
    let mut expected = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let path = path.replace("{chat_id}", NOBODY).replace("{user_id}", "nobody");
        let body = operation.get("requestBody").map(|_| b"not JSON".to_vec());
        client.attempt(method.to_uppercase().parse().unwrap(), &path, body).await.unwrap();
        expected.insert(operation["operationId"].as_str().unwrap().to_owned());
    }
    let text = String::from_utf8(client.get("/metrics", 200).await.body).unwrap();
    let labels = text.lines().filter_map(|line| line.strip_prefix("parlor_http_requests_total{operation=\""));
    assert_eq!(labels.map(|rest| rest.split_once('"').unwrap().0.to_owned()).collect::<BTreeSet<_>>(), expected);
    server.stop().await;
}

#[test]
fn paths_and_members_are_named_as_the_page_says() {
    let document = document();
    page().says("the one singular, `user`, comes from the published API");
    for path in document["paths"].as_object().unwrap().keys() {
        for noun in path.strip_prefix("/api/v1/").unwrap().split('/').filter(|segment| !segment.is_empty()) {
            assert!(noun.starts_with('{') || noun.ends_with('s') || noun == "user", "{path}");
        }
    }
    for (schema, object) in document["components"]["schemas"].as_object().unwrap() {
        for (name, member) in object["properties"].as_object().into_iter().flatten() {
            let place = format!("{schema}.{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{place}");
            let format = member["format"].as_str();
            assert_eq!(name.ends_with("_at"), format == Some("date-time"), "{place}");
            assert!(format != Some("uuid") || name == "id" || name.ends_with("_id"), "{place}");
        }
    }
}

#[test]
fn each_piece_is_where_the_page_says() {
    let files = sources(&["server/src", "server/tests", "sdk/src"]);
    let section = page().section("## Where each piece goes");
    let (mut places, mut names) = (0, 0);
    for word in quoted(&section) {
        if word.starts_with("cargo run") {
            continue;
        }
        if let Some(stages) = word.strip_prefix("scripts/test.sh ") {
            for stage in stages.split(' ') {
                assert!(Page::root().join(format!("scripts/stages/{stage}.sh")).is_file(), "{stage}");
            }
        } else if Path::new(word).extension().is_some_and(|extension| extension == "rs") {
            let roots = ["", "server/", "server/src/", "server/tests/"];
            let mut patterns = roots.iter().map(|root| format!("{root}{word}"));
            assert!(patterns.any(|pattern| files.iter().any(|(path, _)| fits(&pattern, path))), "there is no {word}");
            places += 1;
        } else {
            let name = word.rsplit("::").next().unwrap().trim_end_matches("…)").trim_end_matches('…');
            assert!(files.iter().any(|(_, text)| text.contains(name)), "no source has {word}");
            names += 1;
        }
    }
    assert!(places >= 15 && names >= 15, "{places} places and {names} names");
}

#[tokio::test]
async fn the_table_of_answers_has_every_status_and_every_code() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let document = document();
    let (mut statuses, mut codes) = (BTreeSet::new(), BTreeSet::new());
    for (_, _, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let problems = response["content"]["application/problem+json"]["examples"].as_object();
            codes.extend(problems.into_iter().flatten().map(|(code, _)| (status.clone(), code.clone())));
            statuses.insert(status.clone());
        }
    }
    // The router's own are in no operation.
    let router = [client.get("/nope", 404).await, client.send(Method::PUT, "/api/v1/chats/", None, 405).await];
    for answer in router {
        let status = answer.json()["status"].to_string();
        codes.insert((status.clone(), answer.problem()));
        statuses.insert(status);
    }
    // Nor are those of HTTP itself.
    let coded = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned();
    for request in [coded, format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(200))] {
        let answer = raw(server.address, request.as_bytes()).await;
        let problem: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        let status = problem["status"].to_string();
        codes.insert((status.clone(), problem["code"].as_str().unwrap().to_owned()));
        statuses.insert(status);
    }
    // Nor is the refusal of a page whose origin the operator has not listed.
    let other = TestDatabase::create().await;
    let listing = TestServer::start_as(other.url(), |config| config.origins = vec!["https://example.org".into()]).await;
    let answer = listing.client().header("Origin", "https://example.com").get("/api/v1/chats/", 403).await;
    codes.insert(("403".to_owned(), answer.problem()));
    statuses.insert("403".to_owned());
    listing.stop().await;

    let page = page();
    let section = page.section("## Responses");
    let (mut shown_statuses, mut shown_codes) = (BTreeSet::new(), BTreeSet::new());
    for row in &rows(&section)[1..] {
        let row_statuses: Vec<&str> = row[0].split(", ").collect();
        // Headers are capital; the one member of a problem that the table names is no code.
        let is_code =
            |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && *word != "request_id";
        let row_codes: Vec<&str> = quoted(row[1]).into_iter().filter(is_code).collect();
        for (n, code) in row_codes.into_iter().enumerate() {
            // A row of several statuses has a code for each, in their order.
            let status = row_statuses[if row_statuses.len() > 1 { n } else { 0 }];
            shown_codes.insert((status.to_owned(), code.to_owned()));
        }
        shown_statuses.extend(row_statuses.into_iter().map(str::to_owned));
    }
    assert_eq!(shown_codes, codes);
    assert_eq!(shown_statuses, statuses);
    let never = page.paragraph("There is no 202");
    let never: Vec<&str> = never.split_once(". ").unwrap().0.split(|c: char| !c.is_ascii_digit()).collect();
    for status in never.into_iter().filter(|word| !word.is_empty()) {
        assert!(!statuses.contains(status), "{status}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_path_is_named_before_a_wrong_request_and_that_before_what_the_database_holds() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let document = document();
    let own = client.new_chat("u").await;
    client.update_chat(&own, &json!({ "status": "closed" }), 200).await;
    let wrong = client.clone().header("Idempotency-Key", "two words");
    let untyped = wrong.clone().header("Content-Type", "text/plain");
    let mut asked = 0;
    for (path, method, operation) in operations(&document) {
        let method: Method = method.to_uppercase().parse().unwrap();
        let at = |chat: &str, user: &str| {
            format!("{}?limit=0&force=maybe", path.replace("{chat_id}", chat).replace("{user_id}", user))
        };
        let takes_a_query = operation["parameters"].as_array().unwrap().iter().any(|it| it["in"] == "query");
        let body = operation.get("requestBody").map(|_| b"not JSON".to_vec());
        if path.contains('{') {
            let answer = wrong.send(method.clone(), &at("no-uuid", "%00"), body.clone(), 404).await;
            let code = if path.contains("{user_id}") { "user_not_found" } else { "chat_not_found" };
            assert_eq!(answer.problem(), code, "{method} {path}");
        }
        // Neither the chat that is closed nor the one that is not there matters to a request that is wrong in itself.
        for chat in [NOBODY, &own] {
            if takes_a_query || body.is_some() {
                wrong.send(method.clone(), &at(chat, "nobody"), body.clone(), 400).await;
                asked += 1;
            }
            if body.is_some() {
                let body = || Some(b"{}".to_vec());
                untyped.send(method.clone(), &at(chat, "nobody"), body(), 415).await;
                let large = Some(vec![b' '; 512 * 1024 + 1]);
                client.send(method.clone(), &at(chat, "nobody"), large, 413).await;
            }
        }
    }
    assert!(asked > 0);
    client.send_message(NOBODY, &json!({ "content": "x" }), 404).await;
    client.send_message(&own, &json!({ "content": "x" }), 409).await;
    server.stop().await;
}

#[test]
fn every_post_but_of_a_ticket_takes_an_idempotency_key_and_says_when_it_repeats_an_answer() {
    let document = document();
    let mut posts = 0;
    for (path, method, operation) in operations(&document).filter(|(_, method, _)| *method == "post") {
        let parameters = operation["parameters"].as_array().unwrap();
        let takes = parameters.iter().any(|it| it["in"] == "header" && it["name"] == "Idempotency-Key");
        let says = operation["responses"]["201"]["headers"].get("Idempotency-Replayed").is_some();
        // A ticket is cheap, soon expired, and not kept in a form in which it could be answered again.
        let is_ticket = operation["operationId"] == "create_ticket";
        assert_eq!((takes, says), (!is_ticket, !is_ticket), "{method} {path}");
        posts += 1;
    }
    assert!(posts > 0);
}

#[tokio::test]
async fn json_that_merely_means_the_same_is_another_request() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let keyed = server.client().header("Idempotency-Key", "k");
    keyed.create_chat_from(r#"{"user_id": "u", "title": "t"}"#, 201).await;
    for same in [
        r#"{"title": "t", "user_id": "u"}"#,
        r#"{"user_id":"u","title":"t"}"#,
        r#"{"user_id": "\u0075", "title": "t"}"#,
    ] {
        assert_eq!(keyed.create_chat_from(same, 422).await.problem(), "idempotency_key_reused");
    }
    server.stop().await;
}

#[tokio::test]
async fn no_part_of_a_request_but_its_key_names_a_tenant() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let document = document();
    let named = |name: &Value| name.as_str().unwrap().to_ascii_lowercase().contains("tenant");
    for (path, method, operation) in operations(&document) {
        assert!(!path.contains("tenant"));
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        assert!(!parameters.map(|it| &it["name"]).any(named), "{method} {path}");
        if let Some(body) = operation.get("requestBody") {
            let schema = body["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
            let schema = document.pointer(schema.strip_prefix('#').unwrap()).unwrap();
            assert!(schema["properties"].get("tenant_id").is_none(), "{method} {path}");
        }
    }
    let other = server.client_of("other").await;
    let id = other.new_chat("u").await;
    let tenant = other.get_chat(&id, 200).await.json()["tenant_id"].as_str().unwrap().to_owned();
    let posing = server.client().header("X-Tenant-Id", &tenant).header("Host", "other").key(KEY);
    let path = format!("{}?tenant_id={tenant}", requests::chat(&id));
    posing.get(&path, 404).await;
    server.stop().await;
}

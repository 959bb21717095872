//! The demo: a page that needs no key, from a server that was asked for it, and for nobody else's pages.

use parlor_server::config::Config;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Live, ServerProcess, TestDatabase, TestServer};

const FILES: [(&str, &str); 15] = [
    ("/demo/", "text/html; charset=utf-8"),
    ("/demo/style.css", "text/css; charset=utf-8"),
    ("/demo/markdown.css", "text/css; charset=utf-8"),
    ("/demo/messages.css", "text/css; charset=utf-8"),
    ("/demo/panels.css", "text/css; charset=utf-8"),
    ("/demo/chat.mjs", "text/javascript; charset=utf-8"),
    ("/demo/chats.mjs", "text/javascript; charset=utf-8"),
    ("/demo/composer.mjs", "text/javascript; charset=utf-8"),
    ("/demo/connection.mjs", "text/javascript; charset=utf-8"),
    ("/demo/dom.mjs", "text/javascript; charset=utf-8"),
    ("/demo/guests.mjs", "text/javascript; charset=utf-8"),
    ("/demo/inline.mjs", "text/javascript; charset=utf-8"),
    ("/demo/markdown.mjs", "text/javascript; charset=utf-8"),
    ("/demo/transcript.mjs", "text/javascript; charset=utf-8"),
    ("/demo/icon.svg", "image/svg+xml"),
];
const NOBODY: &str = "018d0c8e-5a40-7b7c-8c9d-0e1f2a3b4c5d";

fn with_demo(config: &mut Config) {
    config.demo = true;
}

async fn start(database: &TestDatabase) -> (TestServer, Client) {
    let server = TestServer::start_as(database.url(), with_demo).await;
    let client = Client::new(server.address);
    (server, client)
}

async fn post(client: &Client, path: &str, body: &Value, expected: u16) -> Answer {
    client.send(Method::POST, path, Some(body.to_string().into_bytes()), expected).await
}

async fn new_chat(client: &Client) -> String {
    let answer = post(client, "/demo/chats", &json!({ "user_id": "guest" }), 201).await.json();
    answer["chat_id"].as_str().unwrap().to_owned()
}

fn tickets(chat: &str) -> String {
    format!("/demo/chats/{chat}/tickets")
}

/// Connects as the page does; returns the first event, too.
async fn connect(server: &TestServer, client: &Client, chat: &str) -> (Live, Value) {
    let issued = post(client, &tickets(chat), &json!({ "user_id": "another guest" }), 201).await;
    assert_eq!(issued.header("cache-control"), Some("no-store"));
    let issued = issued.json();
    assert!(issued["expires_at"].as_str().unwrap().ends_with('Z'), "{issued}");
    let path = format!("/ws/chat?ticket={}&after_seq=0", issued["ticket"].as_str().unwrap());
    let mut live = Live::ask(server.address, &path, &[]).await.unwrap();
    let established = live.event("connection_established").await;
    (live, established)
}

#[tokio::test]
async fn there_is_no_demo_unless_it_is_asked_for() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = Client::new(server.address);
    for path in ["/demo"].into_iter().chain(FILES.map(|(path, _)| path)) {
        assert_eq!(client.get(path, 404).await.problem(), "not_found", "{path}");
    }
    for path in ["/demo/chats", &tickets(NOBODY)] {
        assert_eq!(post(&client, path, &json!({ "user_id": "guest" }), 404).await.problem(), "not_found");
    }
    assert_eq!(server.tenants.list_keys(None).await.unwrap().len(), 1, "nor a key of it");
    server.stop().await;
}

#[tokio::test]
async fn the_page_may_load_its_own_files_and_nothing_else() {
    let database = TestDatabase::create().await;
    let (server, client) = start(&database).await;
    assert_eq!(client.get("/demo", 303).await.header("location"), Some("/demo/"));
    for (path, content_type) in FILES {
        let file = client.get(path, 200).await;
        assert_eq!(file.header("content-type"), Some(content_type), "{path}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(file.header("x-frame-options"), Some("DENY"));
        let policy = file.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!String::from_utf8(file.body).unwrap().contains("https://"), "{path} works offline");
    }
    assert_eq!(client.get("/demo/nope.js", 404).await.problem(), "not_found");
    for (method, path, allow) in [
        (Method::POST, "/demo/", "GET, HEAD"),
        (Method::GET, "/demo/chats", "POST"),
        (Method::POST, "/demo/chats/states", "GET, HEAD"),
        (Method::GET, &tickets("x"), "POST"),
    ] {
        assert_eq!(client.send(method, path, None, 405).await.header("allow"), Some(allow), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn whoever_is_at_the_page_creates_a_chat_and_talks_in_it() {
    let database = TestDatabase::create().await;
    let (server, client) = start(&database).await;
    let chat = new_chat(&client).await;
    assert_eq!(server.client().get_chat(&chat, 200).await.json()["user_id"], "guest", "a chat of the tenant `default`");
    let (live, established) = connect(&server, &client, &chat).await;
    assert_eq!((&established["user_id"], &established["chat_id"]), (&json!("another guest"), &json!(chat)));
    drop(live);
    server.stop().await;
}

#[tokio::test]
async fn states_of_chats_are_told_to_those_who_know_their_ids() {
    let database = TestDatabase::create().await;
    let (server, client) = start(&database).await;
    let [open, closed, deleted] = [new_chat(&client).await, new_chat(&client).await, new_chat(&client).await];
    let foreign = server.client_of("other").await.new_chat("owner").await;
    let api = server.client();
    let message = json!({ "content": "Hello" }).to_string().into_bytes();
    api.send(Method::POST, &format!("/api/v1/chats/{open}/messages"), Some(message), 201).await;
    let close = json!({ "title": "Done", "status": "closed" }).to_string().into_bytes();
    api.send(Method::PATCH, &format!("/api/v1/chats/{closed}"), Some(close), 200).await;
    api.send(Method::DELETE, &format!("/api/v1/chats/{deleted}"), None, 200).await;

    let states = "/demo/chats/states";
    let ask = [&closed, &deleted, &foreign, &NOBODY.to_owned(), &open].map(|id| format!("chat_id={id}")).join("&");
    let answer = client.get(&format!("{states}?{ask}"), 200).await.json();
    let chats = answer["chats"].as_array().unwrap();
    let told = chats.iter().map(|chat| (&chat["id"], &chat["status"], &chat["message_count"])).collect::<Vec<_>>();
    let expected = [(&json!(closed), &json!("closed"), &json!(0)), (&json!(open), &json!("active"), &json!(1))];
    assert_eq!(told, expected, "in the order asked for, without those that are not this tenant's or are gone");
    assert_eq!(chats[0]["title"], "Done");
    assert_eq!(chats[0]["last_message_at"], Value::Null);
    assert!(chats[1]["last_message_at"].as_str().unwrap().ends_with('Z'), "{answer}");
    assert_eq!(chats[1].as_object().unwrap().len(), 6, "neither the user nor the metadata: {answer}");
    assert_eq!(client.get(states, 200).await.json(), json!({ "chats": [] }));

    assert_eq!(client.get(&format!("{states}?chat_id=x"), 400).await.problem(), "invalid_request");
    assert_eq!(client.get(&format!("{states}?user_id=guest"), 400).await.problem(), "invalid_request");
    let many = vec![format!("chat_id={open}"); 51].join("&");
    assert_eq!(client.get(&format!("{states}?{many}"), 400).await.problem(), "invalid_request");
    for (name, value) in
        [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Site", "none")]
    {
        let answer = client.clone().header(name, value).get(states, 401).await;
        assert_eq!(answer.problem(), "unauthorized", "{name}: {value}");
    }
    let key =
        server.tenants.list_keys(Some("default")).await.unwrap().into_iter().find(|key| key.name == "demo").unwrap();
    server.tenants.revoke_key(key.id).await.unwrap();
    assert_eq!(client.get(states, 401).await.problem(), "unauthorized");
    server.stop().await;
}

#[tokio::test]
async fn what_the_page_asks_for_is_checked() {
    let database = TestDatabase::create().await;
    let (server, client) = start(&database).await;
    let guest = json!({ "user_id": "guest" });
    let foreign = server.client_of("other").await.new_chat("owner").await;
    for id in [NOBODY, "x", &foreign] {
        assert_eq!(post(&client, &tickets(id), &guest, 404).await.problem(), "chat_not_found", "{id}");
    }
    let chat = new_chat(&client).await;
    for path in ["/demo/chats", &tickets(&chat)] {
        let refused = post(&client, path, &json!({ "user_id": "", "title": "x" }), 400).await;
        let errors = [("/user_id", "must not be empty"), ("/title", "is not a known member")];
        assert_eq!(refused.errors(), errors.map(|(pointer, detail)| (pointer.to_owned(), detail.to_owned())));
        let form = client.clone().header("Content-Type", "text/plain");
        assert_eq!(post(&form, path, &guest, 415).await.problem(), "unsupported_media_type");
    }
    server.stop().await;
}

#[tokio::test]
async fn other_sites_pages_are_refused() {
    let database = TestDatabase::create().await;
    let (server, client) = start(&database).await;
    let chat = new_chat(&client).await;
    let own = format!("http://{}", server.address);
    let guest = json!({ "user_id": "guest" });
    for path in ["/demo/chats", &tickets(&chat)] {
        post(&client.clone().header("Origin", &own), path, &guest, 201).await;
        for (name, value) in [("Origin", "http://evil.example"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site")] {
            let answer = post(&client.clone().header(name, value), path, &guest, 401).await;
            assert_eq!(answer.problem(), "unauthorized", "{name}: {value}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn the_demo_s_key_is_made_once_and_ends_the_demo_when_it_is_revoked() {
    let database = TestDatabase::create().await;
    start(&database).await.0.stop().await;
    let (server, client) = start(&database).await;
    let chat = new_chat(&client).await;
    let (mut live, _) = connect(&server, &client, &chat).await;
    let keys = server.tenants.list_keys(Some("default")).await.unwrap();
    let demo: Vec<_> = keys.iter().filter(|key| key.name == "demo").collect();
    assert_eq!(demo.len(), 1, "the second start uses the first one's key");
    server.tenants.revoke_key(demo[0].id).await.unwrap();
    assert_eq!(live.closed_at_last().await, 4001);
    for path in ["/demo/chats", &tickets(&chat)] {
        assert_eq!(post(&client, path, &json!({ "user_id": "guest" }), 401).await.problem(), "unauthorized");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_command_line_asks_for_it_and_is_told_where_it_is() {
    let database = TestDatabase::create().await;
    for (value, status) in [("1", 200), ("true", 200), ("0", 404)] {
        let process = ServerProcess::spawn(ServerProcess::command(database.url()).env("PARLOR_DEMO", value));
        let address = process.address;
        Client::new(address).get("/demo/", status).await;
        assert_eq!(process.finish().contains(&format!("Demo: http://{address}/demo/")), status == 200);
    }
}

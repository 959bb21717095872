//! A rolling upgrade: a newer node adds columns while an older one runs, which goes on as if nothing had happened.

use std::{collections::BTreeSet, fs, process::Stdio};

use chrono::Duration;
use reqwest::Method;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, FromQueryResult, Statement};
use serde_json::{Map, Value, json};

use crate::support::{Client, Live, Page, ServerProcess, TestDatabase, TestServer, requests};

/// Callers at a time: more than a node has connections to its database, so that each of these has every statement.
const CALLERS: usize = 24;
/// How often each caller calls every operation.
const ROUNDS: usize = 2;
/// How often a patient caller tries. Each 503 takes seconds, so this is long enough on any machine.
const ATTEMPTS: u32 = 20;

/// An operation's name, its status and the shape of its answer.
type Answered = (String, u16, String);

/// The members of `value` and the types of their values.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("boolean"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), shape(value))).collect::<Map<_, _>>().into()
        }
    }
}

/// One caller's answers.
struct Calls {
    client: Client,
    /// Whether a 503 is tried again: connections to PostgreSQL that are opened all at once take long on a busy machine.
    /// Once they are open nothing excuses one.
    is_patient: bool,
    answers: BTreeSet<Answered>,
}

impl Calls {
    /// Sends a request and notes what is answered, whatever it is.
    async fn call(&mut self, name: &str, method: Method, path: &str, body: Option<Value>) -> Value {
        let client = self.client.clone();
        self.call_by(&client, name, method, path, body).await
    }

    async fn call_by(&mut self, client: &Client, name: &str, method: Method, path: &str, body: Option<Value>) -> Value {
        let body = body.map(|body| body.to_string().into_bytes());
        let mut attempts = if self.is_patient { ATTEMPTS } else { 1 };
        loop {
            let (status, answer) = client.attempt(method.clone(), path, body.clone()).await.unwrap();
            attempts -= 1;
            if status != 503 || attempts == 0 {
                let json = answer.json();
                self.answers.insert((name.to_owned(), status.as_u16(), shape(&json).to_string()));
                return json;
            }
        }
    }

    /// Calls every operation, with chats and a user of its own.
    async fn every_operation(&mut self, server: &TestServer, user: &str) {
        let chats = "/api/v1/chats/";
        let new = json!({ "user_id": user, "metadata": { "of": user } });
        let keyed = self.client.clone().header("Idempotency-Key", user);
        let first = self.call_by(&keyed, "create_chat", Method::POST, chats, Some(new.clone())).await;
        let again = self.call_by(&keyed, "create_chat", Method::POST, chats, Some(new.clone())).await;
        assert_eq!(first["id"], again["id"], "a repetition of {user}: {again}");
        self.call("create_chat", Method::POST, chats, Some(new)).await;
        let id = first["id"].as_str().unwrap_or_default();
        self.call("get_chat", Method::GET, &requests::chat(id), None).await;
        let patch = json!({ "title": user, "metadata": { "more": true } });
        self.call("update_chat", Method::PATCH, &requests::chat(id), Some(patch)).await;

        let messages = requests::messages(id);
        let named = json!({ "content": "named", "client_message_id": "m", "sender_id": format!("{user}-guest") });
        let stored = self.call("send_message", Method::POST, &messages, Some(named.clone())).await;
        let repeated = self.call("send_message", Method::POST, &messages, Some(named)).await;
        assert_eq!(stored["id"], repeated["id"], "a repetition by name: {repeated}");
        let keyed = self.client.clone().header("Idempotency-Key", &format!("{user}-message"));
        for _ in 0..2 {
            let unnamed = json!({ "content": "unnamed", "sender_role": "assistant" });
            self.call_by(&keyed, "send_message", Method::POST, &messages, Some(unnamed)).await;
        }
        self.call("list_messages", Method::GET, &format!("{messages}?limit=1"), None).await;
        self.call("list_messages", Method::GET, &format!("{messages}?after_seq=1"), None).await;

        let by_user = format!("{chats}user/{user}?limit=1");
        self.call("list_user_chats", Method::GET, &by_user, None).await;
        for filter in ["status=active".to_owned(), format!("user_id={user}"), format!("metadata=of:{user}")] {
            self.call("list_chats", Method::GET, &format!("{chats}?limit=1&{filter}"), None).await;
        }

        self.join_by_ticket(server, id, &format!("{user}-reader")).await;
        // The server may not have seen yet that the connection is closed.
        self.call("delete_chat", Method::DELETE, &format!("{}?force=true", requests::chat(id)), None).await;
        self.call("get_chat", Method::GET, &requests::chat(id), None).await;
    }

    /// Makes a ticket for a new user, connects with it, reads the chat's two messages and sends one.
    async fn join_by_ticket(&mut self, server: &TestServer, chat: &str, user: &str) {
        let joining = json!({ "user_id": user });
        let mut attempts = if self.is_patient { ATTEMPTS } else { 1 };
        loop {
            let tickets = requests::tickets(chat);
            let issued = self.call("create_ticket", Method::POST, &tickets, Some(joining.clone())).await;
            let path = format!("/ws/chat?ticket={}&after_seq=0", issued["ticket"].as_str().unwrap_or_default());
            attempts -= 1;
            match Live::ask(server.address, &path, &[]).await {
                Ok(mut live) => {
                    live.event("connection_established").await;
                    // Made by an attempt before this one, or by this one.
                    let mut event = live.next().await;
                    if event["event_type"] == "user_created" {
                        event = live.next().await;
                    }
                    assert_eq!(event["event_type"], "message_created", "{event}");
                    live.event("message_created").await;
                    live.say("live", "live").await;
                    live.event("message_received").await;
                    return live.close().await;
                }
                Err(refused) if refused.status == 503 && attempts > 0 => {}
                Err(refused) => {
                    let answered = ("connect_chat".to_owned(), refused.status, shape(&refused.problem).to_string());
                    self.answers.insert(answered);
                    return;
                }
            }
        }
    }
}

/// Calls every operation on every connection that `server` has to its database, and the operators' side too; returns all
/// different answers.
async fn call_everything(server: &TestServer, part: &str, is_patient: bool) -> BTreeSet<Answered> {
    let mut answers = BTreeSet::new();
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let mut calls = Calls { client: server.client(), is_patient, answers: BTreeSet::new() };
        callers.push(async move {
            for round in 0..ROUNDS {
                calls.every_operation(server, &format!("{part}-{caller}-{round}")).await;
            }
            calls.answers
        });
    }
    for of_caller in futures_util::future::join_all(callers).await {
        answers.extend(of_caller);
    }
    let tenant = server.tenants.create_tenant(part).await.unwrap();
    let issued = server.tenants.create_key(&tenant.name, "", Some(Duration::hours(1))).await.unwrap();
    Client::new(server.address).key(issued.key.reveal()).list_chats(&[], 200).await;
    assert_eq!(server.tenants.list_keys(Some(&tenant.name)).await.unwrap().len(), 1);
    assert!(server.tenants.list_tenants().await.unwrap().len() > 1);
    server.tenants.revoke_key(issued.record.id).await.unwrap();
    answers
}

/// The names of all tables, those of migrations included.
async fn tables(connection: &DatabaseConnection) -> Vec<String> {
    #[derive(FromQueryResult)]
    struct Table {
        name: String,
    }
    let backend = connection.get_database_backend();
    let all = match backend {
        DbBackend::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        _ => "SELECT table_name::text AS name FROM information_schema.tables WHERE table_schema = 'public'",
    };
    let tables = Table::find_by_statement(Statement::from_string(backend, all)).all(connection).await.unwrap();
    tables.into_iter().map(|table| table.name).collect()
}

/// The names of all operations of `openapi.json`.
fn operations() -> BTreeSet<String> {
    let document: Value =
        serde_json::from_str(&fs::read_to_string(Page::root().join("openapi.json")).unwrap()).unwrap();
    let methods = document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    methods.map(|operation| operation["operationId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_running_server_goes_on_while_a_newer_one_adds_a_column_to_every_table() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let before = call_everything(&server, "before", true).await;
    let failed: Vec<_> = before.iter().filter(|(_, status, _)| *status >= 500).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let called: BTreeSet<String> = before.iter().map(|(name, ..)| name.clone()).collect();
    assert_eq!(called, operations(), "say here how each operation is called");

    let newer = database.connect().await;
    let tables = tables(&newer).await;
    assert!(tables.len() > 8, "{tables:?}");
    for table in tables {
        newer.execute_unprepared(&format!(r#"ALTER TABLE "{table}" ADD COLUMN "added_later" TEXT"#)).await.unwrap();
    }
    newer.close().await.unwrap();

    let after = call_everything(&server, "after", false).await;
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "answered differently since: {new:#?}");
    assert_eq!(after, before);
    server.stop().await;
    // A node of this version can be started again, and the commands go on.
    let server = TestServer::start(&database).await;
    assert_eq!(call_everything(&server, "restarted", true).await, before);
    server.stop().await;
}

/// The end of the line that, as the page says, an older server prints on a database that has had the step `m0009_example`.
const NEWER: &str = "a newer Parlor has changed it (this version does not know the step \"m0009_example\"); run that \
                     version, or restore a backup that was made before the upgrade";

#[tokio::test]
async fn an_older_server_does_not_start_on_a_newer_database_and_leaves_it_as_it_is() {
    Page::read("docs/UPGRADING.md").says(NEWER);
    let database = TestDatabase::create().await;
    ServerProcess::start(database.url()).finish();
    let connection = database.connect().await;
    let step = "version = 'm0009_example'";
    let add = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m0009_example', 0)";
    connection.execute_unprepared(add).await.unwrap();
    for command in ["serve", "key list", "tenant list"] {
        let mut older = ServerProcess::command(database.url());
        let output = older.args(command.split(' ')).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(output.stdout.is_empty(), "{command} goes on");
        let said = String::from_utf8(output.stderr).unwrap();
        let is_told = |line: &str| line.starts_with("parlor: cannot open the ") && line.ends_with(NEWER);
        assert!(said.lines().any(is_told), "{command}: {said}");
    }
    let found = format!("SELECT COUNT(*) AS n FROM seaql_migrations WHERE {step}");
    assert_eq!(database.count(&found).await, 1);
    connection.execute_unprepared(&format!("DELETE FROM seaql_migrations WHERE {step}")).await.unwrap();
    connection.close().await.unwrap();
    ServerProcess::start(database.url()).finish();
}

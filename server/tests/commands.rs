//! The command line, beside a running server.

use std::process::{Command, Output};

use serde_json::json;

use crate::support::{Client, KEY, ServerProcess, TestDatabase};

fn parlor(database_url: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_parlor"))
        .env_clear()
        .env("DATABASE_URL", database_url)
        .args(arguments)
        .output()
        .unwrap()
}

fn success(database_url: &str, arguments: &[&str]) -> String {
    let output = parlor(database_url, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn failure(database_url: &str, arguments: &[&str]) -> String {
    let output = parlor(database_url, arguments);
    assert!(!output.status.success(), "{arguments:?} should fail");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn tenants_and_keys_are_managed_while_the_server_runs() {
    let database = TestDatabase::create().await;
    let url = database.url();
    let process = ServerProcess::start(url);
    let tenant = success(url, &["tenant", "create", "acme"]).trim().to_owned();
    assert!(success(url, &["tenant", "list"]).contains(&format!("{tenant}  acme")));
    let key = success(url, &["key", "create", "--tenant", "acme", "--name", "ci", "--expires-in", "30d"]);
    let client = Client::new(process.address).key(key.trim());
    let chat = client.create_chat(&json!({ "user_id": "u" }), 201).await.json();
    assert_eq!(chat["tenant_id"], tenant);

    let list = success(url, &["key", "list", "--tenant", "acme"]);
    let line = list.lines().nth(1).unwrap();
    assert!(line.contains("acme") && line.contains("ci") && line.contains("until 20"), "{list}");
    assert!(!list.contains(key.trim()) && line.contains(&key[..8]), "{list}");
    assert_eq!(list.lines().count(), 2);
    assert_eq!(success(url, &["key", "list"]).lines().count(), 3);

    let id = line.split_whitespace().next().unwrap();
    success(url, &["key", "revoke", id]);
    assert!(success(url, &["key", "list", "--tenant", "acme"]).contains("revoked 20"));
    let body = || Some(json!({ "user_id": "u" }).to_string().into_bytes());
    while client.attempt(reqwest::Method::POST, "/api/v1/chats/", body()).await.unwrap().0 != 401 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    process.finish();
}

#[tokio::test]
async fn an_empty_database_gets_a_key_once_that_works_as_printed() {
    let database = TestDatabase::create().await;
    let process = ServerProcess::spawn(&mut ServerProcess::command(database.url()));
    let address = process.address;
    // The greeting is complete once the server answers; the client reads it after the end.
    Client::new(address).get("/readyz", 200).await;
    let greeting = process.finish();
    let key = greeting.lines().map(str::trim).find(|line| line.starts_with("plr_")).unwrap().to_owned();
    assert_eq!(greeting.matches(&key).count(), 2, "once by itself and once in the command:\n{greeting}");
    assert!(greeting.contains(&format!("curl -X POST http://{address}/api/v1/chats/")), "{greeting}");
    assert!(greeting.contains(&format!("Swagger UI: http://{address}/docs/")), "{greeting}");

    let again = ServerProcess::spawn(&mut ServerProcess::command(database.url()));
    Client::new(again.address).key(&key).create_chat(&json!({ "user_id": "u" }), 201).await;
    assert!(!again.finish().contains("plr_"), "the key is shown once");
}

#[tokio::test]
async fn the_bootstrap_key_is_added_once_and_stays_revoked() {
    let database = TestDatabase::create().await;
    let url = database.url();
    let process = ServerProcess::start(url);
    Client::new(process.address).key(KEY).create_chat(&json!({ "user_id": "u" }), 201).await;
    let greeting = process.finish();
    assert!(!greeting.contains(KEY) && greeting.contains("$PARLOR_BOOTSTRAP_API_KEY"), "{greeting}");

    let list = success(url, &["key", "list"]);
    assert_eq!(list.lines().count(), 2);
    success(url, &["key", "revoke", list.lines().nth(1).unwrap().split_whitespace().next().unwrap()]);
    let process = ServerProcess::start(url);
    Client::new(process.address).key(KEY).create_chat(&json!({ "user_id": "u" }), 401).await;
    process.finish();
    assert_eq!(success(url, &["key", "list"]).lines().count(), 2);
}

#[tokio::test]
async fn several_servers_may_start_on_one_empty_database_at_once() {
    let database = TestDatabase::create().await;
    if !database.is_postgres() {
        return;
    }
    let url = database.url().to_owned();
    let starts: Vec<_> = (0..6)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || ServerProcess::spawn(&mut ServerProcess::command(&url)).finish())
        })
        .collect();
    let greetings: Vec<String> = starts.into_iter().map(|start| start.join().unwrap()).collect();
    assert_eq!(greetings.iter().filter(|greeting| greeting.contains("plr_")).count(), 1, "one shows the first key");
}

#[tokio::test]
async fn several_commands_may_run_at_once() {
    let database = TestDatabase::create().await;
    let url = database.url().to_owned();
    ServerProcess::start(&url).finish();
    let starts: Vec<_> = (0..12)
        .map(|n| {
            let url = url.clone();
            std::thread::spawn(move || success(&url, &["tenant", "create", &format!("tenant{n}")]))
        })
        .collect();
    for start in starts {
        start.join().unwrap();
    }
    assert_eq!(success(&url, &["tenant", "list"]).lines().count(), 14, "a head, `default` and those");
}

#[tokio::test]
async fn a_second_server_on_one_sqlite_file_is_refused_and_the_first_goes_on() {
    let database = TestDatabase::create().await;
    if database.is_postgres() {
        return;
    }
    let url = database.url();
    let process = ServerProcess::start(url);
    let refusal = failure(url, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(refusal.contains("another server (process ") && refusal.contains("--database-url"), "{refusal}");
    Client::new(process.address).key(KEY).create_chat(&json!({ "user_id": "u" }), 201).await;
    assert_eq!(success(url, &["tenant", "list"]).lines().count(), 2);
    process.kill();
    // The lock ends with its process, however that ends.
    ServerProcess::start(url).finish();
}

#[tokio::test]
async fn mistakes_are_answered_with_a_sentence_that_says_what_to_do() {
    let database = TestDatabase::create().await;
    let url = database.url();
    ServerProcess::start(url).finish();
    success(url, &["tenant", "create", "acme"]);
    assert!(failure(url, &["tenant", "create", "acme"]).contains("a tenant named \"acme\" exists already"));
    assert!(failure(url, &["tenant", "create", ""]).contains("a name must have 1 to 100 characters"));
    assert!(failure(url, &["key", "create", "--tenant", "nobody"]).contains("`parlor tenant list` shows"));
    let unknown = "018d0c8e-5a40-7b7c-8c9d-0e1f2a3b4c5d";
    assert!(failure(url, &["key", "revoke", unknown]).contains("`parlor key list` shows"));
    assert!(failure(url, &["key", "create", "--expires-in", "soon"]).contains("--expires-in"));

    let mysql = failure("mysql://root:hunter2@localhost/x", &["tenant", "list"]);
    assert!(mysql.contains("sqlite:// or postgres://") && !mysql.contains("hunter2"), "{mysql}");
    let memory = failure("sqlite::memory:", &["serve"]);
    assert!(memory.contains("must name a file that can be written"), "{memory}");
    let port = failure("postgres://parlor:hunter2@localhost:no/x", &["tenant", "list"]);
    assert!(port.contains("DATABASE_URL cannot be understood: invalid port") && !port.contains("hunter2"), "{port}");
    let short = failure(url, &["serve", "--bootstrap-api-key", "hunter2"]);
    assert!(short.contains("16 to 255 visible ASCII characters") && !short.contains("hunter2"), "{short}");
    assert!(failure(url, &["serve", "--log", "parlor=loud"]).contains("cannot be understood"));
    assert!(failure(url, &["serve", "--assistant", "openai"]).contains("--openai-model or PARLOR_OPENAI_MODEL"));
    let openai = ["serve", "--assistant", "openai", "--openai-model", "tiny"];
    for (flag, value, rule) in [
        ("--openai-base-url", "http://me:hunter2@localhost/v1", "must not hold a user name or password"),
        ("--openai-api-key", "hunter2 ", "must be visible ASCII"),
    ] {
        let sentence = failure(url, &[&openai[..], &[flag, value]].concat());
        assert!(sentence.contains(rule) && !sentence.contains("hunter2"), "{sentence}");
    }
    assert!(failure(url, &["serve", "--assistant-history", "0"]).contains("--assistant-history"));
    assert!(failure(url, &["serve", "--listen", "192.0.2.1:80"]).contains("--listen takes another address"));
}

#[test]
fn a_document_that_drifted_is_shown_with_the_command_that_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("openapi.json");
    let file = path.to_str().unwrap();
    assert!(failure("", &["openapi", "--check", "--output", file]).contains("cannot read"));
    assert_eq!(success("", &["openapi", "--output", file]), format!("wrote {file}\n"));
    assert!(success("", &["openapi", "--check", "--output", file]).contains("is what the handlers say"));
    let written = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, written.replace("Create Chat", "Make Chat")).unwrap();
    let check = parlor("", &["openapi", "--check", "--output", file]);
    assert!(!check.status.success());
    let difference = String::from_utf8(check.stdout).unwrap();
    assert!(
        difference.contains("-        \"summary\": \"Make Chat\"")
            && difference.contains("+        \"summary\": \"Create Chat\"")
    );
    assert!(String::from_utf8(check.stderr).unwrap().contains("mend it with `cargo run -- openapi`"));
}

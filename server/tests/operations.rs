//! What `docs/OPERATIONS.md` promises to who runs a server, where no other test has it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};

use parlor_server::{
    chat::Idempotency,
    config::{Config, Limits},
    tenant::ApiKey,
};
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use crate::support::{
    Client, KEY, LogFile, Page, ServerProcess, TestDatabase, TestServer,
    page::{quoted, rows},
};

fn page() -> Page {
    Page::read("docs/OPERATIONS.md")
}

/// Runs a command that ends by itself.
fn ended(command: &mut Command) -> Output {
    command.stderr(Stdio::piped()).output().unwrap()
}

/// The file of a SQLite database; `None` on PostgreSQL, which is no file.
fn file_of(database: &TestDatabase) -> Option<PathBuf> {
    database.url().strip_prefix("sqlite://").map(PathBuf::from)
}

#[tokio::test]
async fn every_setting_is_a_flag_and_a_variable_and_the_flag_wins() {
    let database = TestDatabase::create().await;
    let settings = [
        ("--listen", "127.0.0.1:0", "PARLOR_LISTEN", "nowhere"),
        ("--database-url", database.url(), "DATABASE_URL", "mysql://localhost/x"),
        ("--bootstrap-api-key", KEY, "PARLOR_BOOTSTRAP_API_KEY", "short"),
        ("--keep-bootstrap-keys", "1", "PARLOR_KEEP_BOOTSTRAP_KEYS", "perhaps"),
        ("--allowed-origins", "https://example.org", "PARLOR_ALLOWED_ORIGINS", "example.org"),
        ("--assistant", "echo", "PARLOR_ASSISTANT", "somebody"),
        ("--assistant-history", "1", "PARLOR_ASSISTANT_HISTORY", "0"),
        ("--assistant-context-tokens", "4096", "PARLOR_ASSISTANT_CONTEXT_TOKENS", "0"),
        ("--assistant-first-token-timeout", "300", "PARLOR_ASSISTANT_FIRST_TOKEN_TIMEOUT", "0"),
        ("--demo", "1", "PARLOR_DEMO", "perhaps"),
        ("--max-connections", "100", "PARLOR_MAX_CONNECTIONS", "0"),
        ("--max-connections-per-address", "100", "PARLOR_MAX_CONNECTIONS_PER_ADDRESS", "0"),
        ("--max-connection-memory", "8", "PARLOR_MAX_CONNECTION_MEMORY", "0"),
        ("--drain-delay", "10ms", "PARLOR_DRAIN_DELAY", "soon"),
        ("--log", "warn", "PARLOR_LOG", "parlor=loud"),
        ("--log-format", "json", "PARLOR_LOG_FORMAT", "xml"),
    ];
    let page = page().section("## Settings");
    let rows = rows(&page);
    let named = rows[1..].iter().map(|row| (quoted(row[0])[0], quoted(row[1])[0]));
    // What a provider is given is wrong, if at all, together with the provider; see `commands`. A file with a secret stands
    // in place of the secret; see `first_run`.
    let is_here = |flag: &str| !flag.starts_with("--openai-") && !flag.ends_with("-file");
    let named: Vec<_> = named.filter(|(flag, _)| is_here(flag)).collect();
    assert_eq!(named, settings.map(|(flag, _, variable, _)| (flag, variable)), "say here what is wrong for each");

    let command = || ServerProcess::command(database.url());
    for (_, right, variable, wrong) in settings {
        let output = ended(command().env(variable, wrong));
        assert!(!output.status.success(), "{variable}={wrong} is taken");
        ServerProcess::spawn(command().env(variable, right)).finish();
    }
    let mut flags = command();
    for (flag, right, variable, wrong) in settings {
        flags.env(variable, wrong).arg(flag);
        // A switch: to be there says all.
        if !["--demo", "--keep-bootstrap-keys"].contains(&flag) {
            flags.arg(right);
        }
    }
    let process = ServerProcess::spawn(&mut flags);
    Client::new(process.address).key(KEY).list_chats(&[], 200).await;
    process.finish();
}

#[test]
fn help_lists_the_commands() {
    let output = ended(Command::new(env!("CARGO_BIN_EXE_parlor")).env_clear().arg("help"));
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    let commands = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let names: Vec<&str> = commands.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(names, ["serve", "openapi", "openapi-3.1", "asyncapi", "tenant", "key", "help"]);
    assert!(help.contains("Without a command it serves"));
}

/// As people write it: `100,000`.
fn thousands(number: usize) -> String {
    format!("{},{:03}", number / 1000, number % 1000)
}

#[test]
fn the_page_s_numbers_are_the_server_s() {
    let (page, limits) = (page(), Limits::default());
    page.says(&format!("{}–{} visible ASCII characters", ApiKey::MIN_CHARS, ApiKey::MAX_CHARS));
    page.says(&format!("remembers a key's lookup for {} seconds", limits.key_cache.as_secs()));
    page.says(&format!("(for at most {} seconds)", limits.http.drain.as_secs()));
    page.says(&format!("any request safely for {} hours", Idempotency::RETENTION.num_hours()));
    let live = limits.realtime;
    page.says(&format!("A node takes at most {} at a time", thousands(live.connections)));
    for row in [
        format!("HTTP connections at one time | {} |", thousands(limits.http.connections)),
        format!("(IPv4 address or IPv6 /64) | {} |", thousands(limits.http.connections_per_address)),
        format!("for heads, bodies and responses | {} MiB |", limits.http.connection_bytes / (1024 * 1024)),
        format!("size of a request's head | {} KiB |", limits.http.head_bytes / 1024),
        format!("time that an idle connection is kept | {} seconds |", limits.http.head.as_secs()),
        format!("time for a request's body | {} seconds |", limits.http.body.as_secs()),
        format!("reads nothing of its response | {} seconds |", limits.http.write.as_secs()),
        format!("in the long run | {} KiB per second |", limits.http.write_rate / 1024),
    ] {
        page.says(&row);
    }
    page.says(&format!("more than {} KiB wait", live.outbox_bytes / 1024));
    page.says(&format!("accepts no data for {} seconds", live.write.as_secs()));
    page.says(&format!("is silent for {} seconds", live.idle.as_secs()));
    let spare_kib = 64;
    page.says(&format!("sends more than {} KiB, the heads", 2 * live.message_bytes / 1024 + spare_kib));
    page.says(&format!("pings every {} seconds", live.ping.as_secs()));
    page.says(&format!("a read timeout above {} seconds", live.ping.as_secs()));
    page.says(&format!("Up to {} answers stream", live.answers));
    page.says(&format!("may take {} seconds at most", live.drain.as_secs()));
}

#[tokio::test]
async fn the_commands_work_as_the_page_shows_them_beside_a_running_server() {
    let database = TestDatabase::create().await;
    let process = ServerProcess::start(database.url());
    let parlor = |arguments: &[&str]| {
        let output = ended(ServerProcess::command(database.url()).args(arguments));
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let blocks = page().blocks();
    let mut blocks = blocks.iter().filter(|block| block.text.starts_with("parlor "));
    let (Some(block), None) = (blocks.next(), blocks.next()) else { panic!("the page has one block of commands") };
    let (mut listed, mut revoked) = (String::new(), false);
    for line in block.text.lines() {
        let mut words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words.remove(0), "parlor");
        if words[..2] == ["key", "revoke"] {
            // The key that the block has just made, since the page cannot know its id.
            words[2] = listed.lines().last().unwrap().split_once(' ').unwrap().0;
            revoked = true;
        }
        let printed = parlor(&words);
        if words[..2] == ["key", "list"] {
            listed = printed;
        }
    }
    let made: Vec<&str> = listed.lines().last().unwrap().split_whitespace().collect();
    assert!(revoked && made[1..3] == ["acme", "ci"] && made[5] == "until", "{listed}");
    assert!(parlor(&["key", "list", "--tenant", "acme"]).contains("revoked 20"));
    process.finish();
}

#[tokio::test]
async fn a_bootstrap_key_that_the_database_does_not_know_is_added_at_a_later_start_too() {
    let database = TestDatabase::create().await;
    let greeting = ServerProcess::spawn(&mut ServerProcess::command(database.url())).finish();
    let first = greeting.lines().map(str::trim).find(|line| line.starts_with("plr_")).unwrap();
    let (shortest, longest) = ("k".repeat(ApiKey::MIN_CHARS), "~".repeat(ApiKey::MAX_CHARS));
    for key in [&shortest, &longest] {
        ServerProcess::spawn(ServerProcess::command(database.url()).env("PARLOR_BOOTSTRAP_API_KEY", key)).finish();
    }
    for wrong in [&shortest[1..], &format!("{longest}~")] {
        let mut command = ServerProcess::command(database.url());
        assert!(!ended(command.env("PARLOR_BOOTSTRAP_API_KEY", wrong)).status.success());
    }
    let process = ServerProcess::spawn(&mut ServerProcess::command(database.url()));
    for (key, status) in [(first, 200), (&shortest, 401), (&longest, 200)] {
        Client::new(process.address).key(key).list_chats(&[], status).await;
    }
    process.finish();
    let tenants = "SELECT COUNT(DISTINCT tenant_id) AS n FROM api_keys";
    assert_eq!(database.count(tenants).await, 1, "all are keys of the tenant `default`");
}

#[tokio::test]
async fn keys_are_stored_as_sha_256() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let issued = server.tenants.create_key("default", "", None).await.unwrap();
    for key in [KEY, issued.key.reveal()] {
        let digest = <[u8; 32]>::from(Sha256::digest(key)).map(|byte| format!("{byte:02x}")).concat();
        let hash = if database.is_postgres() { format!(r"'\x{digest}'") } else { format!("x'{digest}'") };
        assert_eq!(database.count(&format!("SELECT COUNT(*) AS n FROM api_keys WHERE hash = {hash}")).await, 1);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_start_that_cannot_make_all_tables_makes_none() {
    let database = TestDatabase::create().await;
    if let Some(file) = file_of(&database) {
        File::create(file).unwrap();
    }
    let connection = database.connect().await;
    connection.execute_unprepared("CREATE TABLE messages (in_the_way INTEGER)").await.unwrap();
    let output = ended(&mut ServerProcess::command(database.url()));
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "it listens");
    let of_an_earlier_step = connection.execute_unprepared("SELECT * FROM tenants").await;
    assert!(of_an_earlier_step.is_err());
    connection.execute_unprepared("DROP TABLE messages").await.unwrap();
    connection.close().await.unwrap();
    ServerProcess::start(database.url()).finish();
}

#[tokio::test]
async fn a_stopped_server_s_file_is_a_whole_backup() {
    let database = TestDatabase::create().await;
    let Some(file) = file_of(&database) else { return };
    let process = ServerProcess::start(database.url());
    let client = Client::new(process.address).key(KEY);
    let id = client.new_chat("u").await;
    client.send_message(&id, &json!({ "content": "kept" }), 201).await;
    process.finish();

    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    fs::copy(file, &copy).unwrap();
    let process = ServerProcess::spawn(&mut ServerProcess::command(&format!("sqlite://{}", copy.display())));
    let client = Client::new(process.address).key(KEY);
    assert_eq!(client.list_messages(&id, &[], 200).await.each("messages", "content"), ["kept"]);
    process.finish();
}

#[tokio::test]
async fn a_node_opens_no_more_connections_to_postgresql_than_the_page_says() {
    let database = TestDatabase::create().await;
    if !database.is_postgres() {
        return;
    }
    let sentence = page().paragraph("- One node opens at most");
    let most = sentence.split("at most ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let patient = |config: &mut Config| {
        config.limits.database.statement = Duration::from_mins(1);
        config.limits.database.read = Duration::from_mins(1);
        config.limits.database.write = Duration::from_mins(2);
        config.limits.database.pages = 100;
    };
    let server = TestServer::start_as(database.url(), patient).await;
    // The key is known from here on. The table of chats is locked: every connection there is will wait.
    server.client().list_chats(&[], 200).await;
    let mut options = ConnectOptions::new(database.url());
    options.max_connections(1);
    let locker = Database::connect(options).await.unwrap();
    locker.execute_unprepared("BEGIN; LOCK TABLE chats IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut waiting = JoinSet::new();
    for _ in 0..most * 3 {
        let client = server.client();
        waiting.spawn(async move { client.list_chats(&[], 200).await });
    }
    let of_the_node = format!(
        "SELECT COUNT(*) AS n FROM pg_stat_activity WHERE application_name = 'parlor' AND datname = '{}'",
        database.url().rsplit_once('/').unwrap().1
    );
    let all_wait = async {
        while database.count(&format!("{of_the_node} AND wait_event_type = 'Lock'")).await < most {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all_wait).await.expect("every connection waits for the lock");
    assert_eq!(database.count(&of_the_node).await, most);
    locker.execute_unprepared("ROLLBACK").await.unwrap();
    waiting.join_all().await;
    locker.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn the_endpoints_of_the_page_need_no_key_and_a_proxy_can_tell_them_from_the_api() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let anybody = Client::new(server.address);
    let page = page();
    let monitoring = page.section("## Monitoring");
    let endpoints: Vec<&str> = quoted(&monitoring).into_iter().filter_map(|word| word.strip_prefix("GET ")).collect();
    assert_eq!(endpoints, ["/healthz", "/readyz", "/metrics"]);
    for endpoint in endpoints {
        anybody.get(endpoint, 200).await;
    }
    let passed: Vec<String> =
        quoted(&page.paragraph("The endpoints for monitoring")).iter().map(ToString::to_string).collect();
    let [api, live, open @ ..] = &passed[..] else { panic!("{passed:?}") };
    let asyncapi = anybody.get("/asyncapi.json", 200).await.json();
    assert!(asyncapi["channels"]["chat"]["address"].as_str().unwrap().starts_with(live), "{live} is where they talk");
    for path in open {
        anybody.get(path, 200).await;
    }
    let document = anybody.get("/openapi.json", 200).await.json();
    let paths = document["paths"].as_object().unwrap();
    assert!(!paths.is_empty() && paths.keys().all(|path| path.starts_with(api)), "{api} is all that clients need");
    server.stop().await;
}

#[tokio::test]
async fn the_metrics_of_the_page_are_those_of_the_server() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    server.client().new_chat("u").await;
    let text = String::from_utf8(server.client().get("/metrics", 200).await.body).unwrap();
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let names = families.map(|(name, kind)| format!("{name}{}", if kind == "counter" { "_total" } else { "" }));
    let section = page().section("### Metrics");
    let shown: BTreeSet<_> = rows(&section)[1..].iter().map(|row| quoted(row[0])[0].to_owned()).collect();
    assert_eq!(shown, names.collect());
    server.stop().await;
}

#[tokio::test]
async fn a_request_s_line_has_the_fields_of_the_page_in_either_format() {
    let paragraph = page().paragraph("Every request is one line");
    let (sentence, _) = paragraph.split_once("`. ").unwrap();
    let fields: BTreeSet<&str> = quoted(sentence).into_iter().collect();
    for format in ["text", "json"] {
        let database = TestDatabase::create().await;
        let mut command = ServerProcess::command(database.url());
        command.env("PARLOR_BOOTSTRAP_API_KEY", KEY);
        let file = LogFile::of(&mut command);
        if format == "text" {
            // It is the default.
            command.env_remove("PARLOR_LOG_FORMAT");
        }
        let process = ServerProcess::spawn(&mut command);
        let client = Client::new(process.address).key(KEY);
        let id = client.create_chat(&json!({ "user_id": "u" }), 201).await.header("x-request-id").unwrap().to_owned();
        process.finish();
        let log = file.text();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(&id)).collect();
        let [line] = lines[..] else { panic!("one line names the request {id}:\n{log}") };
        let found: BTreeSet<&str> = if format == "text" {
            line.split(' ').filter_map(|word| word.split_once('=')).map(|(name, _)| name).collect()
        } else {
            let common = ["timestamp", "level", "message", "target"];
            let names = file.lines().iter().find(|line| line["request_id"] == *id).unwrap().clone();
            let own = names.as_object().unwrap().keys().filter(|name| !common.contains(&name.as_str()));
            own.map(|name| *fields.get(name.as_str()).unwrap_or_else(|| panic!("the page has no {name}"))).collect()
        };
        assert_eq!(found, fields, "{line}");
    }
}

#[tokio::test]
async fn an_answer_s_id_finds_the_cause_of_a_500_that_says_nothing_else() {
    let database = TestDatabase::create().await;
    let mut command = ServerProcess::command(database.url());
    command.env("PARLOR_BOOTSTRAP_API_KEY", KEY);
    let log = LogFile::of(&mut command);
    let process = ServerProcess::spawn(&mut command);
    let client = Client::new(process.address).key(KEY);
    let id = client.new_chat("u").await;
    let connection = database.connect().await;
    connection.execute_unprepared("ALTER TABLE messages RENAME TO lost").await.unwrap();
    connection.close().await.unwrap();
    let answers =
        [client.send_message(&id, &json!({ "content": "x" }), 500).await, client.list_messages(&id, &[], 500).await];
    process.finish();
    for answer in answers {
        assert_eq!(answer.problem(), "internal");
        assert!(!String::from_utf8_lossy(&answer.body).contains("messages"), "{:?}", answer.json());
        let mut lines = log.lines();
        lines.retain(|line| line["request_id"] == answer.header("x-request-id").unwrap());
        let [failed, answered] = &lines[..] else { panic!("the cause and the answer: {lines:?}") };
        assert!(failed["cause"].as_str().unwrap().contains("messages"), "{failed}");
        assert_eq!((&failed["level"], &failed["code"]), (&json!("ERROR"), &json!("internal")));
        assert_eq!(answered["status"], 500);
    }
}

//! What an operator sees, and what nobody must.

use serde_json::{Value, json};

use crate::support::{Client, KEY, Live, LogFile, ServerProcess, TestDatabase, TestServer};

#[tokio::test]
async fn requests_are_counted_by_operation_and_status() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    client.create_chat(&json!({ "user_id": "u" }), 201).await;
    client.create_chat(&json!({ "user_id": "u" }), 201).await;
    client.create_chat(&json!({}), 400).await;
    Client::new(server.address).create_chat(&json!({}), 401).await;
    client.get("/nope", 404).await;
    client.send(reqwest::Method::PUT, "/api/v1/chats/", None, 405).await;
    let answer = client.get("/metrics", 200).await;
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = String::from_utf8(answer.body).unwrap();
    for line in [
        "parlor_http_requests_total{operation=\"create_chat\",status=\"201\"} 2",
        "parlor_http_requests_total{operation=\"create_chat\",status=\"400\"} 1",
        "parlor_http_requests_total{operation=\"create_chat\",status=\"401\"} 1",
        "parlor_http_requests_total{operation=\"none\",status=\"404\"} 1",
        "parlor_http_requests_total{operation=\"none\",status=\"405\"} 1",
        "parlor_http_request_duration_seconds_count{operation=\"create_chat\"} 4",
        "parlor_http_requests_in_flight 1",
        "parlor_writer_batch_size_sum 2.0",
        "parlor_writer_queue 0",
        "parlor_writer_failures_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    server.stop().await;
}

#[tokio::test]
async fn each_request_is_one_line_and_no_line_has_a_secret() {
    let database = TestDatabase::create().await;
    let mut command = ServerProcess::command(database.url());
    command.env("PARLOR_BOOTSTRAP_API_KEY", KEY).env("PARLOR_LOG", "trace");
    let log = LogFile::of(&mut command);
    let process = ServerProcess::spawn(&mut command);
    let client = Client::new(process.address).key(KEY).header("X-Request-Id", "request-7");
    let chat =
        client.create_chat(&json!({ "user_id": "a-private-user", "title": "a private title" }), 201).await.json();
    let ticket = client.create_ticket(chat["id"].as_str().unwrap(), &json!({ "user_id": "u" }), 201).await.json();
    client.create_chat(&json!({ "user_id": 7 }), 400).await;
    client.clone().key("a-wrong-key-of-somebody").create_chat(&json!({}), 401).await;
    client.get(&format!("/a-private-path?api_key={KEY}"), 404).await;
    client.list_user_chats("a-private-user", &[], 200).await;
    let message = json!({ "content": "private words", "metadata": { "a": "private-value" } });
    client.send_message(chat["id"].as_str().unwrap(), &message, 201).await;
    let ticket = ticket["ticket"].as_str().unwrap();
    let by_key = format!("/ws/chat?api_key={KEY}&user_id=a-private-user&chat_id={}", chat["id"].as_str().unwrap());
    for path in [by_key, format!("/ws/chat?ticket={ticket}")] {
        let mut live = Live::ask(process.address, &path, &[]).await.unwrap();
        live.send(&message).await;
        while live.next().await["event_type"] != "message_received" {}
        live.close().await;
    }
    process.finish();

    let (lines, log) = (log.lines(), log.text());
    let answered: Vec<&Value> = lines.iter().filter(|line| line["message"] == "answered").collect();
    assert_eq!(answered.len(), 9, "{log}");
    assert_eq!(answered[0]["request_id"], "request-7");
    assert_eq!(answered[0]["tenant"], chat["tenant_id"]);
    assert_eq!(answered[0]["operation"], "create_chat");
    assert_eq!(answered[0]["status"], 201);
    assert!(answered[0]["duration_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(answered[1]["operation"], "create_ticket");
    assert_eq!(answered[3]["status"], 401);
    assert!(answered[3].get("tenant").is_none());
    assert_eq!((&answered[7]["operation"], &answered[7]["status"]), (&json!("connect_chat"), &json!(101)));
    assert_eq!((&answered[8]["operation"], &answered[8]["tenant"]), (&json!("connect_chat"), &chat["tenant_id"]));
    let what_is_private = [KEY, ticket, "a-wrong-key-of-somebody", "a private title", "private words", "private-"];
    for secret in what_is_private {
        assert!(!log.contains(secret), "{secret:?} is in the log");
    }
}

//! Lists: one page, all pages, all items.

use futures_util::{StreamExt, TryStreamExt};
use parlor_sdk::{ChatFilter, Client, Error, ErrorKind, List, Message, Order, Page, RetryPolicy, Status};
use serde_json::json;
use uuid::Uuid;

use crate::clock::VirtualClock;
use crate::server::{CHAT, Server, Step, chat_list, chat_page, done, messages, problem, raw};
use crate::{builder, client};

const CHAT_ID: Uuid = Uuid::from_u128(0x018d_0c8e_5a40_7b7c_8c9d_0e1f_2a3b_4c5d);

fn all(client: &Client) -> List<Message> {
    client.list_messages(CHAT_ID)
}

/// Returns the queries of the requests.
fn queries(server: &Server) -> Vec<String> {
    let targets = server.requests().into_iter().map(|request| request.line.split(' ').nth(1).unwrap().to_owned());
    targets.map(|target| target.split_once('?').map_or(String::new(), |(_, query)| query.to_owned())).collect()
}

fn seqs(page: &Page<Message>) -> Vec<u64> {
    page.items.iter().map(|message| message.seq).collect()
}

async fn read(list: List<Message>) -> (Vec<u64>, Option<Error>) {
    let (mut seqs, mut items) = (Vec::new(), list.items());
    while let Some(item) = items.next().await {
        match item {
            Ok(message) => seqs.push(message.seq),
            Err(error) => {
                assert!(items.next().await.is_none(), "the stream ends after an error");
                return (seqs, Some(error));
            }
        }
    }
    assert!(items.next().await.is_none(), "the stream stays at its end");
    (seqs, None)
}

#[tokio::test]
async fn a_page_is_fetched_with_what_was_asked_for() {
    let server = Server::start([messages(&[9, 8], Some("c/1 +")), messages(&[7], None)]);
    let client = client(&server);
    let page = all(&client).order(Order::Desc).limit(2).after_seq(6).offset(3).await.unwrap();
    assert_eq!((seqs(&page), page.has_more, page.total), (vec![9, 8], true, Some(99)));
    assert_eq!(page.next_cursor.as_deref(), Some("c/1 +"));

    let page = all(&client).order(Order::Desc).cursor(page.next_cursor.unwrap()).with_response().await.unwrap();
    assert_eq!((page.status().as_u16(), page.attempts(), page.request_id()), (200, 1, Some("request-1")));
    let page = page.into_value();
    assert_eq!((seqs(&page), page.has_more, page.next_cursor), (vec![7], false, None));

    assert_eq!(queries(&server), ["order=desc&limit=2&after_seq=6&offset=3", "order=desc&cursor=c%2F1+%2B"]);
    let request = &server.requests()[0];
    let path = "/api/v1/chats/018d0c8e-5a40-7b7c-8c9d-0e1f2a3b4c5d/messages";
    assert!(request.line.starts_with(&format!("GET {path}?")), "{}", request.line);
    assert_eq!(request.body, "");
    for absent in ["content-type", "content-length", "idempotency-key"] {
        assert_eq!(request.header(absent), None);
    }
}

#[tokio::test]
async fn without_settings_there_is_no_query() {
    let server = Server::start([chat_page(&[], None)]);
    let page = client(&server).list_chats().await.unwrap();
    assert_eq!((page.items.len(), page.total), (0, None));
    assert_eq!(server.requests()[0].line, "GET /api/v1/chats/ HTTP/1.1");
}

#[tokio::test]
async fn the_items_of_all_pages_are_streamed_in_order() {
    let server = Server::start([messages(&[1, 2], Some("a")), messages(&[3, 4], Some("b")), messages(&[5], None)]);
    let list = all(&client(&server)).limit(2).after_seq(0);
    assert_eq!(read(list).await.0, [1, 2, 3, 4, 5]);
    assert_eq!(
        queries(&server),
        ["limit=2&after_seq=0", "limit=2&after_seq=0&cursor=a", "limit=2&after_seq=0&cursor=b"],
        "the same list, each time where the page before ended"
    );
}

#[tokio::test]
async fn only_the_first_page_uses_the_offset() {
    let server = Server::start([messages(&[8], Some("a")), messages(&[9], None)]);
    assert_eq!(read(all(&client(&server)).offset(7)).await.0, [8, 9]);
    assert_eq!(queries(&server), ["offset=7", "cursor=a"]);
}

#[tokio::test]
async fn a_page_is_fetched_when_the_one_before_is_used_up() {
    let server = Server::start([messages(&[1, 2], Some("a")), messages(&[3], None)]);
    let mut items = all(&client(&server)).items();
    assert!(server.requests().is_empty(), "nothing is sent before the stream is read");
    for (seq, requests) in [(1, 1), (2, 1), (3, 2)] {
        assert_eq!(items.next().await.unwrap().unwrap().seq, seq);
        assert_eq!(server.requests().len(), requests);
    }
    assert!(items.next().await.is_none());
    assert_eq!(server.requests().len(), 2, "no request after the last page");
}

#[tokio::test]
async fn an_empty_page_is_not_the_end() {
    let server = Server::start([messages(&[], Some("a")), messages(&[1], None)]);
    assert_eq!(read(all(&client(&server))).await.0, [1]);
}

#[tokio::test]
async fn a_stream_supports_combinators() {
    let script = || [chat_list(&[CHAT, CHAT], Some("a")), chat_list(&[CHAT], None)];
    let server = Server::start(script().into_iter().chain(script()));
    let client = client(&server);
    let titles: Vec<_> = client.list_user_chats("u").items().map_ok(|chat| chat.title).try_collect().await.unwrap();
    assert_eq!(titles, ["Support Session"; 3]);
    let sizes: Vec<_> = client.list_user_chats("u").pages().map(|page| page.unwrap().items.len()).collect().await;
    assert_eq!(sizes, [2, 1]);
}

#[tokio::test]
async fn a_stream_can_move_to_another_task() {
    let server = Server::start([messages(&[1], Some("a")), messages(&[2], None)]);
    let items = all(&client(&server)).items();
    let read = tokio::spawn(async move { items.try_collect::<Vec<_>>().await.unwrap().len() });
    assert_eq!(read.await.unwrap(), 2);
}

#[tokio::test]
async fn every_page_has_its_own_retries() {
    let unavailable = || problem(503, "unavailable");
    let script =
        [unavailable(), unavailable(), messages(&[1], Some("a")), raw(""), unavailable(), messages(&[2], None)];
    let server = Server::start(script);
    assert_eq!(read(all(&client(&server))).await.0, [1, 2]);
    assert_eq!(queries(&server), ["", "", "", "cursor=a", "cursor=a", "cursor=a"]);
}

#[tokio::test]
async fn a_stream_ends_with_its_first_error_and_is_resumed_by_cursor() {
    let script = [messages(&[1, 2], Some("a")), problem(500, "internal"), messages(&[3], None)];
    let server = Server::start(script);
    let client = builder(&server, &VirtualClock::new()).retry(RetryPolicy::never()).build().unwrap();

    let mut pages = all(&client).limit(2).pages();
    let first = pages.next().await.unwrap().unwrap();
    let error = pages.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.code().unwrap().as_str()), (ErrorKind::Status, "internal"));
    assert!(pages.next().await.is_none());
    assert_eq!(server.requests().len(), 2, "nothing is sent after the error");

    let rest = all(&client).limit(2).cursor(first.next_cursor.unwrap());
    assert_eq!(read(rest).await.0, [3]);
    assert_eq!(queries(&server)[2], "limit=2&cursor=a");
}

#[tokio::test]
async fn the_timeout_applies_to_a_page_and_the_deadline_to_the_list() {
    use std::time::Duration;

    let clock = VirtualClock::new();
    let slow = |seq, next: Option<&'static str>| -> Step {
        let (clock, step) = (clock.clone(), messages(&[seq], next));
        Box::new(move |stream| {
            clock.advance(Duration::from_secs(6));
            step(stream);
        })
    };
    let client = |server: &Server| builder(server, &clock).build().unwrap();

    let server = Server::start([slow(1, Some("a")), slow(2, Some("b")), slow(3, None)]);
    let list = all(&client(&server)).timeout(Duration::from_secs(10));
    assert_eq!(read(list).await.0, [1, 2, 3], "18 seconds in all, 6 for each page");

    let server = Server::start([slow(1, Some("a")), slow(2, Some("b"))]);
    let list = all(&client(&server)).deadline(parlor_sdk::Clock::now(&clock) + Duration::from_secs(12));
    let (seqs, error) = read(list).await;
    assert!(seqs.len() < 3 && error.unwrap().kind() == ErrorKind::Timeout, "{seqs:?}");
}

#[tokio::test]
async fn every_page_has_the_headers_of_the_list() {
    let server = Server::start([messages(&[1], Some("a")), messages(&[2], None)]);
    read(all(&client(&server)).header("X-Trace", "t-1")).await;
    for request in server.requests() {
        assert_eq!(request.header("x-trace"), Some("t-1"));
    }
}

#[tokio::test]
async fn a_missing_or_repeated_cursor_is_an_error() {
    let nowhere = r#"{"messages": [], "total": 9, "offset": 0, "limit": 50, "has_more": true, "next_cursor": null}"#;
    for script in [vec![done(nowhere)], vec![messages(&[1], Some("a")), messages(&[1], Some("a"))]] {
        let requests = script.len();
        let server = Server::start(script);
        let error = read(all(&client(&server))).await.1.unwrap();
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert_eq!(error.to_string(), "list_messages: the server reports more items but returns no new cursor");
        assert_eq!(server.requests().len(), requests);
    }
}

#[tokio::test]
async fn an_offset_and_a_cursor_exclude_each_other() {
    let server = Server::start([messages(&[1], None)]);
    let client = client(&server);
    for list in [all(&client).offset(1).cursor("c"), all(&client).cursor("c").offset(1)] {
        assert_eq!(list.await.unwrap_err().kind(), ErrorKind::InvalidCall);
    }
    for list in [client.list_user_chats("u").offset(0).cursor("c"), client.list_user_chats("u").cursor("c").offset(0)] {
        let error = list.items().next().await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::InvalidCall, 0));
        assert!(error.to_string().starts_with("list_user_chats: "), "{error}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_filter_applies_to_every_page() {
    let server = Server::start([chat_page(&[CHAT], Some("a")), chat_page(&[CHAT], None)]);
    let filter = ChatFilter::new()
        .user_id("a&b=c")
        .status(Status::from("archived"))
        .created_after(
            "2024-01-15T10:30:00+01:00"
                .parse::<parlor_sdk::chrono::DateTime<parlor_sdk::chrono::FixedOffset>>()
                .unwrap(),
        )
        .created_before(std::time::SystemTime::UNIX_EPOCH)
        .metadata("department", "technical")
        .metadata("floor", 3);
    let chats: Vec<_> = client(&server).list_chats().filter(filter).items().try_collect().await.unwrap();
    assert_eq!(chats.len(), 2);
    assert_eq!((&chats[0].status, chats[0].message_count), (&Status::Active, 2));
    let filter = "user_id=a%26b%3Dc&status=archived&created_after=2024-01-15T09%3A30%3A00Z\
                  &created_before=1970-01-01T00%3A00%3A00Z&metadata=department%3Atechnical&metadata=floor%3A3";
    assert_eq!(queries(&server), [filter.to_owned(), format!("{filter}&cursor=a")]);
}

#[tokio::test]
async fn an_invalid_filter_is_rejected() {
    let server = Server::start([chat_page(&[], None)]);
    let list = client(&server).list_chats().filter(ChatFilter::new().metadata("floors", json!([1, 2])));
    let error = list.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidCall);
    assert!(error.to_string().contains("an array"), "{error}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_user_id_is_sent_as_one_path_segment() {
    let server = Server::start((0..2).map(|_| chat_list(&[CHAT], None)));
    let client = client(&server);
    client.list_user_chats("a/b?c=d% é").await.unwrap();
    client.list_user_chats("../..").limit(1).await.unwrap();
    let lines: Vec<_> = server.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(
        lines,
        [
            "GET /api/v1/chats/user/a%2Fb%3Fc%3Dd%25%20%C3%A9 HTTP/1.1",
            "GET /api/v1/chats/user/..%2F..?limit=1 HTTP/1.1"
        ]
    );
    for user_id in ["", ".", ".."] {
        let error = client.list_user_chats(user_id).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::InvalidCall, 0));
    }
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn no_chats_is_an_error_on_the_first_page_only() {
    for code in ["no_chats", "user_not_found"] {
        let server = Server::start([problem(404, code)]);
        let error = client(&server).list_user_chats("u").items().next().await.unwrap().unwrap_err();
        assert_eq!(error.code().unwrap().as_str(), code);
    }
    let server = Server::start([chat_list(&[CHAT], Some("a")), problem(404, "no_chats")]);
    let chats: Vec<_> = client(&server).list_user_chats("u").items().try_collect().await.unwrap();
    assert_eq!(chats.len(), 1);

    let server = Server::start([chat_list(&[CHAT], Some("a")), problem(404, "not_found")]);
    let mut chats = client(&server).list_user_chats("u").items();
    chats.next().await.unwrap().unwrap();
    assert_eq!(chats.next().await.unwrap().unwrap_err().code().unwrap().as_str(), "not_found");
}

#[tokio::test]
async fn unusual_metadata_does_not_make_a_list_fail() {
    let strange = [
        r#"{"n": 1e999, "m": 123456789012345678901234567890}"#.to_owned(),
        r#"{"half": "\ud800", "\udfff": 1, "n": 1, "n": 2}"#.to_owned(),
        format!(r#"{{"deep": {}{}}}"#, "[".repeat(2_000), "]".repeat(2_000)),
        "null".to_owned(),
        "[1]".to_owned(),
    ];
    let chats: Vec<_> =
        strange.iter().map(|json| CHAT.replace(r#"{"department": "technical", "priority": "high"}"#, json)).collect();
    let chats: Vec<_> = chats.iter().map(String::as_str).collect();
    let server = Server::start([chat_list(&chats, None), messages(&[1], None)]);
    let chats = client(&server).list_user_chats("u").await.unwrap().items;
    let texts: Vec<_> = chats.iter().map(|chat| chat.config.metadata.as_str().replace(' ', "")).collect();
    assert_eq!(texts, strange.map(|json| json.replace(' ', "")));
    assert_eq!(chats[0].config.metadata.get("m"), Some(json!(1.234_567_890_123_456_8e29)));
    assert!(chats[2].config.metadata.get("deep").unwrap().is_array());
}

#[test]
fn debug_of_a_list_shows_its_query_and_no_secrets() {
    let client = Client::new("http://localhost:8000", crate::KEY).unwrap();
    let list = client.list_chats().limit(7).header("X-Token", "hunter2");
    let shown = format!("{list:?}");
    assert!(shown.contains("list_chats") && shown.contains("\"limit\", \"7\""), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains(crate::KEY), "{shown}");
    assert_eq!(
        format!("{:?} {:?}", client.list_chats().items(), client.list_chats().pages()),
        "Items { .. } Pages { .. }"
    );
}

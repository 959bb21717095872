//! Query parameters out of range, of the wrong kind, or unknown: each with its exact answer.

use serde_json::json;

use crate::support::{Answer, Live, TestDatabase, TestServer, requests};

fn wrong(answer: &Answer, errors: &[(&str, &str)]) {
    let expected: Vec<(String, String)> =
        errors.iter().map(|(name, detail)| (format!("/query/{name}"), (*detail).to_owned())).collect();
    assert_eq!(answer.errors(), expected);
}

const LIMIT: &str = "must be an integer from 1 to 100";
const OFFSET: &str = "must be an integer from 0 to 9007199254740991";
const ORDER: &str = "must be one of asc, desc";
const CURSOR: &str = "is not a cursor of this list";

#[tokio::test]
async fn paging_parameters_are_strict_in_every_list() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let chat = client.new_chat("u").await;
    let messages = requests::messages(&chat);
    for (path, takes_offset) in [("/api/v1/chats/user/u", true), (messages.as_str(), true), ("/api/v1/chats/", false)] {
        let get = async |query: &str| client.get(&format!("{path}?{query}"), 400).await;
        for limit in ["0", "101", "-1", "1.5", "1e1", "ten", "", "+5", "05", " 5", "99999999999999999999", "true"] {
            wrong(&get(&format!("limit={}", limit.replace('+', "%2B"))).await, &[("limit", LIMIT)]);
        }
        for order in ["ASC", "descending", "", "1"] {
            wrong(&get(&format!("order={order}")).await, &[("order", ORDER)]);
        }
        for cursor in ["x", "", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "%C3%A9", "null", "0"] {
            wrong(&get(&format!("cursor={cursor}")).await, &[("cursor", CURSOR)]);
        }
        wrong(
            &get("page=2&limit=5&Limit=6").await,
            &[("page", "is not a known parameter"), ("Limit", "is not a known parameter")],
        );
        wrong(&get("limit=1&limit=2").await, &[("limit", "is given twice")]);
        if takes_offset {
            for offset in ["-1", "1.0", "x", "", "9007199254740992"] {
                wrong(&get(&format!("offset={offset}")).await, &[("offset", OFFSET)]);
            }
            let both = [("offset", "cannot be combined with cursor"), ("cursor", "cannot be combined with offset")];
            wrong(&get("offset=0&cursor=x").await, &both);
            wrong(&get("offset=x&limit=0&order=up").await, &[("offset", OFFSET), ("limit", LIMIT), ("order", ORDER)]);
            client.get(&format!("{path}?offset=9007199254740991&limit=100&order=asc"), 200).await;
        } else {
            wrong(&get("offset=0").await, &[("offset", "is not a known parameter")]);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn each_list_s_own_parameters_are_strict_too() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let chat = client.new_chat("u").await;
    let moment = "must be a date-time such as 2024-01-15T10:30:00Z";
    for (name, value, detail) in [
        ("status", "open", "must be one of active, closed"),
        ("created_after", "yesterday", moment),
        ("created_before", "2024-01-15", moment),
        ("created_before", "1705314600", moment),
        ("user_id", "", "must not be empty"),
        ("user_id", "a\nb", "must not contain control characters"),
        ("metadata", "department", "must be written as name:value"),
        ("metadata", "", "must be written as name:value"),
        ("metadata", r"a\:b", "must be written as name:value"),
        ("created_after", "2024-01-15T10:30:00", moment),
    ] {
        wrong(&client.list_chats(&[(name, value)], 400).await, &[(name, detail)]);
    }
    for sort in ["updated_at", "last_message_at,created_at", "LAST_MESSAGE_AT", ""] {
        let detail = "must be one of created_at, last_message_at";
        wrong(&client.list_chats(&[("sort", sort)], 400).await, &[("sort", detail)]);
        wrong(&client.list_user_chats("u", &[("sort", sort)], 400).await, &[("sort", detail)]);
    }
    let unknown = [("sort", "is not a known parameter")];
    wrong(&client.list_messages(&chat, &[("sort", "created_at")], 400).await, &unknown);
    let many = [("metadata", "a:b"); 11];
    wrong(&client.list_chats(&many, 400).await, &[("metadata", "must be given at most 10 times")]);
    client.list_chats(&many[..10], 200).await;
    for value in ["-1", "x", "1.5"] {
        wrong(&client.list_messages(&chat, &[("after_seq", value)], 400).await, &[("after_seq", OFFSET)]);
    }
    for value in ["yes", "2", "on", ""] {
        wrong(&client.delete_chat(&chat, &[("force", value)], 400).await, &[("force", "must be one of true, false")]);
    }
    wrong(&client.delete_chat(&chat, &[("forced", "true")], 400).await, &[("forced", "is not a known parameter")]);
    client.get_chat(&chat, 200).await;
    server.stop().await;
}

#[tokio::test]
async fn a_query_that_cannot_be_decoded_is_refused_wherever_it_stands() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    let chat = client.new_chat("Jos\u{fffd}").await;
    let detail = "must be UTF-8 in percent-encoding, as in %C3%A9 for é";
    for path in ["/api/v1/chats/", "/api/v1/chats/user/u", &requests::messages(&chat), "/ws/chat"] {
        for value in ["Jos%E9", "Jos%E8", "%C3", "%", "%4", "%zz", "%ED%A0%80"] {
            let query = format!("limit=0&user_id={value}&a=%C3%A9&a%2Fb={value}");
            let answer = client.get(&format!("{path}?{query}"), 400).await;
            wrong(&answer, &[("user_id", detail), ("a~1b", detail)]);
        }
        let answer = client.get(&format!("{path}?%FF=1"), 400).await;
        assert_eq!(answer.errors(), [("/query".to_owned(), detail.to_owned())]);
    }
    for user in ["Jos%E9", "%zz", "%"] {
        client.get(&format!("/api/v1/chats/user/{user}"), 404).await;
    }
    assert_eq!(database.count("SELECT COUNT(*) AS n FROM users").await, 1, "a refused request creates no user");
    server.stop().await;
}

#[tokio::test]
async fn a_moment_is_taken_in_the_forms_of_other_languages() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    client.new_chat("u").await;
    for form in ["2020-11-25T01:21:35.123456+0000", "2020-01-01 00:00:00 +00:00", "2020-01-01 00:00:00 UTC"] {
        let found = client.list_chats(&[("created_after", form)], 200).await.json();
        assert_eq!(found["chats"].as_array().unwrap().len(), 1, "{form}");
        let found = client.list_chats(&[("created_before", form)], 200).await.json();
        assert_eq!(found["chats"].as_array().unwrap().len(), 0, "{form}");
    }
    // A plus sign that is not escaped is a space.
    client.get("/api/v1/chats/?created_after=2020-01-01T00:00:00+00:00", 200).await;
    server.stop().await;
}

#[tokio::test]
async fn a_metadata_filter_finds_names_with_colons_and_backslashes() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    for name in ["a", "a:b", r"a\", r"a\b", ":"] {
        client.create_chat(&json!({ "user_id": "u", "title": name, "metadata": { name: "c:d" } }), 201).await;
    }
    for (filter, title) in [
        ("a:c:d", "a"),
        (r"a\:b:c:d", "a:b"),
        (r"a\\:c:d", r"a\"),
        (r"a\b:c:d", r"a\b"),
        (r"a\\b:c:d", r"a\b"),
        (r"\::c:d", ":"),
    ] {
        let found = client.list_chats(&[("metadata", filter)], 200).await.json();
        let titles: Vec<_> = found["chats"].as_array().unwrap().iter().map(|chat| &chat["title"]).collect();
        assert_eq!(titles, [title], "{filter}");
    }
    server.stop().await;
}

#[tokio::test]
async fn force_is_taken_as_other_languages_write_it() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let client = server.client();
    for value in ["true", "True", "TRUE", "1", "false", "False", "0"] {
        let chat = client.new_chat("u").await;
        let live = Live::connect(&server, &chat, "u").await;
        let status = if matches!(value, "false" | "False" | "0") { 409 } else { 200 };
        client.delete_chat(&chat, &[("force", value)], status).await;
        drop(live);
    }
    server.stop().await;
}

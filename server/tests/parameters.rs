//! Query parameters out of range, of the wrong kind, or unknown: each with its exact answer.

use crate::support::{Answer, TestDatabase, TestServer, requests};

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
    for value in ["yes", "1", "TRUE", ""] {
        wrong(&client.delete_chat(&chat, &[("force", value)], 400).await, &[("force", "must be one of true, false")]);
    }
    wrong(&client.delete_chat(&chat, &[("forced", "true")], 400).await, &[("forced", "is not a known parameter")]);
    client.get_chat(&chat, 200).await;
    server.stop().await;
}

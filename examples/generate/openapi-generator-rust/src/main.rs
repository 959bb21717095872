//! A chat's life, by the client that openapi-generator makes for Rust.
//!
//!     ./generate.sh
//!     PARLOR_API_KEY=your-tenant-api-key cargo run
//!
//! The server is expected at http://localhost:8000, or where PARLOR_URL says.

use std::{collections::HashMap, env, fmt::Debug, process};

use chrono::{FixedOffset, TimeDelta, Utc};
use parlor_client::{
    apis::{
        Error,
        chats_api::{create_chat, delete_chat, get_chat, list_chats, list_user_chats, update_chat},
        configuration::{ApiKey, Configuration},
        messages_api::{list_messages, send_message},
        tickets_api::create_ticket,
    },
    models::{
        ChatStatus, ChatSummary, CreateChatRequest, CreateTicketRequest, Problem, SendMessageRequest, SenderRole,
        UpdateChatRequest,
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

const TITLE: &str = "Grüße, 世界 🦊";

/// Shared by all steps.
struct Scenario {
    url: String,
    api: Configuration,
    user: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = env::var("PARLOR_URL").unwrap_or_else(|_| "http://localhost:8000".to_owned());
    let Some(key) = env::var("PARLOR_API_KEY").ok().filter(|key| !key.is_empty()) else {
        eprintln!("Set PARLOR_API_KEY to your tenant's API key.");
        process::exit(1);
    };
    // A slash and a letter beyond ASCII: the client has to encode the path.
    let user = format!("zoë/{}", Uuid::new_v4());
    let scenario = Scenario { api: configuration(&url, &key), url, user };

    let created = scenario.create().await;
    scenario.read(&created).await;
    scenario.list_by_offset(&created).await;
    scenario.list_by_cursor(&created).await;
    scenario.list_by_metadata(&created).await;
    scenario.talk(&created[0]).await;
    scenario.invite(&created[0]).await;
    scenario.update(&created[0]).await;
    scenario.be_refused(&created[0]).await;
    scenario.delete(&created).await;
    println!("done");
}

fn configuration(url: &str, key: &str) -> Configuration {
    let api_key = ApiKey { prefix: None, key: key.to_owned() };
    Configuration { base_path: url.to_owned(), api_key: Some(api_key), ..Configuration::default() }
}

impl Scenario {
    async fn create(&self) -> Vec<String> {
        let request = CreateChatRequest {
            title: Some(Some(TITLE.to_owned())),
            metadata: Some(Some(metadata())),
            ..CreateChatRequest::new(self.user.clone())
        };
        let key = Uuid::new_v4().to_string();
        let chat = create_chat(&self.api, request.clone(), Some(&key)).await.unwrap();
        assert_eq!(chat.user_id, self.user);
        assert_eq!(chat.title, TITLE);
        assert_eq!(chat.config.metadata, metadata());
        assert_eq!(chat.updated_at, chat.created_at);
        assert_eq!(chat.last_message_at, None);
        // The same intent again creates no second chat, and another intent needs another key.
        assert_eq!(create_chat(&self.api, request, Some(&key)).await.unwrap().id, chat.id);
        let other = CreateChatRequest::new(self.user.clone());
        let problem = problem_of(422, create_chat(&self.api, other.clone(), Some(&key)).await);
        assert_eq!(problem.code, "idempotency_key_reused");

        let second = create_chat(&self.api, other.clone(), None).await.unwrap();
        let third = create_chat(&self.api, other, None).await.unwrap();
        println!("created {}", chat.id);
        [chat.id, second.id, third.id].map(|id| id.to_string()).to_vec()
    }

    async fn read(&self, created: &[String]) {
        let chat = get_chat(&self.api, &created[0]).await.unwrap();
        assert_eq!(chat.config.metadata, metadata());
        assert_eq!((chat.status, chat.message_count), (ChatStatus::Active, 0));
        println!("read {}", chat.title);
    }

    async fn list_by_offset(&self, created: &[String]) {
        let first = list_user_chats(&self.api, &self.user, None, Some(2), None, None, None).await.unwrap();
        assert_eq!((first.total, first.has_more), (Some(3), true));
        let second = list_user_chats(&self.api, &self.user, Some(2), Some(2), None, None, None).await.unwrap();
        assert_eq!((second.offset, second.has_more), (Some(2), false));
        let mut found = ids(&first.chats);
        found.extend(ids(&second.chats));
        found.reverse();
        assert_eq!(found, created);
        println!("listed by offset: 3");
    }

    async fn list_by_cursor(&self, created: &[String]) {
        let order = Some("asc");
        let mut page = list_user_chats(&self.api, &self.user, None, Some(2), None, order, None).await.unwrap();
        let mut found = ids(&page.chats);
        while let Some(cursor) = &page.next_cursor {
            page = list_user_chats(&self.api, &self.user, None, Some(2), None, order, Some(cursor)).await.unwrap();
            assert_eq!((page.total, page.offset), (None, None));
            found.extend(ids(&page.chats));
        }
        assert_eq!(found, created);
        println!("listed by cursor: {}", found.len());
    }

    async fn list_by_metadata(&self, created: &[String]) {
        let user = Some(self.user.as_str());
        let yesterday = Some((Utc::now() - TimeDelta::days(1)).into());
        let members = Some(vec!["department:technical".to_owned(), "nothing:null".to_owned()]);
        let active = Some(ChatStatus::Active);
        let page = list_chats(&self.api, user, active, yesterday, None, members, None, None, None, None).await.unwrap();
        assert_eq!(page.chats.iter().map(|chat| chat.id.to_string()).collect::<Vec<_>>(), created[..1]);
        // An offset other than UTC's.
        let offset = FixedOffset::east_opt(5 * 60 * 60 + 30 * 60).unwrap();
        let tomorrow = Some((Utc::now() + TimeDelta::days(1)).with_timezone(&offset));
        let earlier = list_chats(&self.api, user, None, None, tomorrow, None, None, None, None, None).await.unwrap();
        assert_eq!(earlier.chats.len(), created.len());
        let later = list_chats(&self.api, user, None, tomorrow, None, None, None, None, None, None).await.unwrap();
        assert!(later.chats.is_empty());
        println!("listed by metadata: {}", page.chats.len());
    }

    async fn talk(&self, chat_id: &str) {
        let request = SendMessageRequest {
            metadata: Some(Some(HashMap::from([("seen".to_owned(), Value::Null)]))),
            client_message_id: Some(Some("1".to_owned())),
            ..SendMessageRequest::new("Hallo 👋\nzweite Zeile".to_owned())
        };
        let sent = send_message(&self.api, chat_id, request, None).await.unwrap();
        assert_eq!((sent.seq, sent.sender_role), (1, SenderRole::User));
        assert_eq!(sent.sender_id.as_ref(), Some(&self.user));
        assert_eq!(sent.metadata, HashMap::from([("seen".to_owned(), Value::Null)]));
        assert_eq!(sent.media_url, None);
        let reply = SendMessageRequest {
            sender_role: Some(Some(SenderRole::Assistant)),
            ..SendMessageRequest::new("Hello!".to_owned())
        };
        send_message(&self.api, chat_id, reply, None).await.unwrap();
        let page = list_messages(&self.api, chat_id, None, None, None, None, None).await.unwrap();
        let contents: Vec<&str> = page.messages.iter().map(|message| message.content.as_str()).collect();
        assert_eq!(contents, ["Hallo 👋\nzweite Zeile", "Hello!"]);
        let later = list_messages(&self.api, chat_id, None, None, None, None, Some(1)).await.unwrap();
        let roles: Vec<SenderRole> = later.messages.iter().map(|message| message.sender_role).collect();
        assert_eq!(roles, [SenderRole::Assistant]);
        println!("sent and listed messages: {}", page.messages.len());
    }

    async fn invite(&self, chat_id: &str) {
        let issued = create_ticket(&self.api, chat_id, CreateTicketRequest::new("guest".to_owned())).await.unwrap();
        assert!(issued.ticket.starts_with("plt_"));
        println!("invited a guest until {}", issued.expires_at);
    }

    async fn update(&self, chat_id: &str) {
        // A merge patch: null removes a member, what is not named stays.
        let members = [("department".to_owned(), Value::Null), ("resolution".to_owned(), json!("answered"))];
        let patch = UpdateChatRequest {
            metadata: Some(Some(HashMap::from(members))),
            status: Some(Some(ChatStatus::Closed)),
            ..UpdateChatRequest::new()
        };
        let updated = update_chat(&self.api, chat_id, patch).await.unwrap();
        let mut expected = metadata();
        expected.remove("department");
        expected.insert("resolution".to_owned(), json!("answered"));
        assert_eq!(updated.config.metadata, expected);
        assert_eq!((updated.status, updated.message_count), (ChatStatus::Closed, 2));
        assert_eq!(updated.title, TITLE);
        println!("updated {}", updated.status);
    }

    async fn be_refused(&self, chat_id: &str) {
        let list = list_user_chats(&self.api, &self.user, None, None, None, None, Some("nonsense"));
        let problem = problem_of(400, list.await);
        assert_eq!(problem.code, "invalid_request");
        assert_eq!(problem.errors.unwrap()[0].pointer, "/query/cursor");

        let unknown_user = Uuid::new_v4().to_string();
        let list = list_user_chats(&self.api, &unknown_user, None, None, None, None, None);
        assert_eq!(problem_of(404, list.await).code, "user_not_found");

        let late = send_message(&self.api, chat_id, SendMessageRequest::new("Late".to_owned()), None);
        assert_eq!(problem_of(409, late.await).code, "chat_closed");

        let large = CreateChatRequest {
            metadata: Some(Some(HashMap::from([("note".to_owned(), json!("x".repeat(300_000)))]))),
            ..CreateChatRequest::new(self.user.clone())
        };
        assert_eq!(problem_of(413, create_chat(&self.api, large, None).await).code, "payload_too_large");

        let stranger = configuration(&self.url, "wrong");
        assert_eq!(problem_of(401, get_chat(&stranger, chat_id).await).code, "unauthorized");
    }

    async fn delete(&self, created: &[String]) {
        for chat_id in created {
            let deleted = delete_chat(&self.api, chat_id, None).await.unwrap();
            assert!(deleted.success && deleted.deleted_at <= Utc::now() + TimeDelta::days(1));
        }
        let gone = get_chat(&self.api, &created[0]).await;
        assert_eq!(problem_of(404, gone).code, "chat_not_found");
        println!("deleted {}", created.len());
    }
}

fn metadata() -> HashMap<String, Value> {
    let members = json!({
        "department": "technical",
        "tags": ["Grüße", "世界", "🦊"],
        "order": {"items": [{"sku": null, "count": u64::MAX}]},
        "nothing": null,
    });
    serde_json::from_value(members).unwrap()
}

fn ids(chats: &[ChatSummary]) -> Vec<String> {
    chats.iter().map(|chat| chat.id.to_string()).collect()
}

/// Why the call was refused. The body of every failure is a problem document.
fn problem_of<T: Debug, E: Debug>(status: u16, answer: Result<T, Error<E>>) -> Problem {
    let refused = match answer {
        Err(Error::ResponseError(refused)) => refused,
        other => panic!("expected a refusal rather than {other:?}"),
    };
    let problem: Problem = serde_json::from_str(&refused.content).unwrap();
    assert_eq!((refused.status.as_u16(), problem.status), (status, i32::from(status)));
    assert!(!problem.request_id.is_empty());
    println!("refused: {} {}", problem.status, problem.code);
    problem
}

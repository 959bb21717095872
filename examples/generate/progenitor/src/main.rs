//! A chat's life, by the client that progenitor makes.
//!
//!     ./generate.sh
//!     PARLOR_API_KEY=your-tenant-api-key cargo run
//!
//! The server is expected at http://localhost:8000, or where PARLOR_URL says.

use std::{env, fmt::Debug, process};

use chrono::{FixedOffset, TimeDelta, Utc};
use futures_util::TryStreamExt as _;
use parlor_client::{
    ByteStream, Client, Error,
    types::{
        ChatStatus, ChatSummary, CreateChatIdempotencyKey, CreateChatRequestTitle, ListUserChatsOrder, Problem,
        SendMessageRequestClientMessageId, SenderRole, UserId,
    },
};
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};
use uuid::Uuid;

const TITLE: &str = "Grüße, 世界 🦊";

/// Shared by all steps.
struct Scenario {
    url: String,
    api: Client,
    user: UserId,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = env::var("PARLOR_URL").unwrap_or_else(|_| "http://localhost:8000".to_owned());
    let Some(key) = env::var("PARLOR_API_KEY").ok().filter(|key| !key.is_empty()) else {
        eprintln!("Set PARLOR_API_KEY to your tenant's API key.");
        process::exit(1);
    };
    // A slash and a letter beyond ASCII: the client has to encode the path.
    let user = format!("zoë/{}", Uuid::new_v4()).parse().unwrap();
    let scenario = Scenario { api: client(&url, &key), url, user };

    let created = scenario.create().await;
    scenario.read(&created).await;
    scenario.list_by_offset(&created).await;
    scenario.list_by_cursor(&created).await;
    scenario.list_by_metadata(&created).await;
    scenario.talk(created[0]).await;
    scenario.invite(created[0]).await;
    scenario.update(created[0]).await;
    scenario.be_refused(created[0]).await;
    scenario.delete(&created).await;
    println!("done");
}

/// The client knows nothing of the key, so it is given one that sends the key with each request.
fn client(url: &str, key: &str) -> Client {
    let headers = HeaderMap::from_iter([("x-api-key".parse().unwrap(), key.parse().unwrap())]);
    Client::new_with_client(url, reqwest::Client::builder().default_headers(headers).build().unwrap())
}

impl Scenario {
    async fn create(&self) -> Vec<Uuid> {
        let key: CreateChatIdempotencyKey = Uuid::new_v4().to_string().parse().unwrap();
        let title: CreateChatRequestTitle = TITLE.parse().unwrap();
        let request = self.api.create_chat().idempotency_key(key.clone());
        let request = request.body_map(|body| body.user_id(self.user.clone()).title(title).metadata(metadata()));
        let chat = request.clone().send().await.unwrap();
        assert_eq!(chat.user_id, self.user);
        assert_eq!(*chat.title, TITLE);
        assert_eq!(chat.config.metadata, metadata());
        assert_eq!(chat.updated_at, chat.created_at);
        assert_eq!(chat.last_message_at, None);
        // The same intent again creates no second chat, and another intent needs another key.
        assert_eq!(request.send().await.unwrap().id, chat.id);
        let other = self.api.create_chat().body_map(|body| body.user_id(self.user.clone()));
        let problem = problem_of(422, other.clone().idempotency_key(key).send().await).await;
        assert_eq!(*problem.code, "idempotency_key_reused");

        let second = other.clone().send().await.unwrap();
        let third = other.send().await.unwrap();
        println!("created {}", chat.id);
        vec![chat.id, second.id, third.id]
    }

    async fn read(&self, created: &[Uuid]) {
        let chat = self.api.get_chat().chat_id(created[0]).send().await.unwrap();
        assert_eq!(chat.config.metadata, metadata());
        assert_eq!((chat.status, chat.message_count), (ChatStatus::Active, 0));
        println!("read {}", *chat.title);
    }

    async fn list_by_offset(&self, created: &[Uuid]) {
        let list = self.api.list_user_chats().user_id(self.user.clone()).limit(2_u32);
        let first = list.clone().send().await.unwrap();
        assert_eq!((first.total, first.has_more), (Some(3), true));
        let second = list.offset(2_u64).send().await.unwrap();
        assert_eq!((second.offset, second.has_more), (Some(2), false));
        let mut found = ids(&first.chats);
        found.extend(ids(&second.chats));
        found.reverse();
        assert_eq!(found, created);
        println!("listed by offset: {}", found.len());
    }

    async fn list_by_cursor(&self, created: &[Uuid]) {
        let list = self.api.list_user_chats().user_id(self.user.clone()).limit(2_u32).order(ListUserChatsOrder::Asc);
        let mut page = list.clone().send().await.unwrap();
        let mut found = ids(&page.chats);
        while let Some(cursor) = &page.next_cursor {
            page = list.clone().cursor(cursor.as_str()).send().await.unwrap();
            assert_eq!((page.total, page.offset), (None, None));
            found.extend(ids(&page.chats));
        }
        assert_eq!(found, created);
        println!("listed by cursor: {}", found.len());
    }

    async fn list_by_metadata(&self, created: &[Uuid]) {
        let list = self.api.list_chats().user_id(self.user.clone());
        let members = vec!["department:technical".parse().unwrap(), "nothing:null".parse().unwrap()];
        let filtered = list.clone().status(ChatStatus::Active).metadata(members);
        let page = filtered.created_after(Utc::now() - TimeDelta::days(1)).send().await.unwrap();
        assert_eq!(page.chats.iter().map(|chat| chat.id).collect::<Vec<_>>(), created[..1]);
        // The client reads a moment with any offset and sends it in UTC.
        let offset = FixedOffset::east_opt(5 * 60 * 60 + 30 * 60).unwrap();
        let tomorrow = (Utc::now() + TimeDelta::days(1)).with_timezone(&offset);
        let earlier = list.clone().created_before(tomorrow).send().await.unwrap();
        assert_eq!(earlier.chats.len(), created.len());
        assert!(list.created_after(tomorrow).send().await.unwrap().chats.is_empty());
        println!("listed by metadata: {}", page.chats.len());
    }

    async fn talk(&self, chat_id: Uuid) {
        let seen = Map::from_iter([("seen".to_owned(), Value::Null)]);
        let request = self.api.send_message().chat_id(chat_id);
        let name: SendMessageRequestClientMessageId = "1".parse().unwrap();
        let message = request
            .clone()
            .body_map(|body| body.content("Hallo 👋\nzweite Zeile").metadata(seen.clone()).client_message_id(name));
        let sent = message.send().await.unwrap();
        assert_eq!((sent.seq.get(), sent.sender_role), (1, SenderRole::User));
        assert_eq!(sent.sender_id.as_deref(), Some(&*self.user));
        assert_eq!(sent.metadata, seen);
        assert!(sent.media_url.is_none());
        let reply = request.body_map(|body| body.content("Hello!").sender_role(SenderRole::Assistant));
        reply.send().await.unwrap();
        let list = self.api.list_messages().chat_id(chat_id);
        let page = list.clone().send().await.unwrap();
        let contents: Vec<&str> = page.messages.iter().map(|message| message.content.as_str()).collect();
        assert_eq!(contents, ["Hallo 👋\nzweite Zeile", "Hello!"]);
        let later = list.after_seq(1_u64).send().await.unwrap();
        let roles: Vec<SenderRole> = later.messages.iter().map(|message| message.sender_role).collect();
        assert_eq!(roles, [SenderRole::Assistant]);
        println!("sent and listed messages: {}", page.messages.len());
    }

    async fn invite(&self, chat_id: Uuid) {
        let request = self.api.create_ticket().chat_id(chat_id);
        let issued = request.body_map(|body| body.user_id("guest")).send().await.unwrap();
        assert!(issued.ticket.starts_with("plt_"));
        println!("invited a guest until {}", issued.expires_at);
    }

    async fn update(&self, chat_id: Uuid) {
        // A merge patch: null removes a member, what is not named stays.
        let members = [("department".to_owned(), Value::Null), ("resolution".to_owned(), json!("answered"))];
        let request = self.api.update_chat().chat_id(chat_id);
        let patch = request.body_map(|body| body.metadata(Map::from_iter(members)).status(ChatStatus::Closed));
        let updated = patch.send().await.unwrap();
        let mut expected = metadata();
        expected.remove("department");
        expected.insert("resolution".to_owned(), json!("answered"));
        assert_eq!(updated.config.metadata, expected);
        assert_eq!((updated.status, updated.message_count), (ChatStatus::Closed, 2));
        assert_eq!(*updated.title, TITLE);
        println!("updated {}", updated.status);
    }

    async fn be_refused(&self, chat_id: Uuid) {
        let list = self.api.list_user_chats();
        let problem = problem_of(400, list.clone().user_id(self.user.clone()).cursor("nonsense").send().await).await;
        assert_eq!(*problem.code, "invalid_request");
        assert_eq!(*problem.errors[0].pointer, "/query/cursor");

        let problem = problem_of(404, list.user_id(Uuid::new_v4().to_string()).send().await).await;
        assert_eq!(*problem.code, "user_not_found");

        let late = self.api.send_message().chat_id(chat_id).body_map(|body| body.content("Late"));
        assert_eq!(*problem_of(409, late.send().await).await.code, "chat_closed");

        let note = Map::from_iter([("note".to_owned(), json!("x".repeat(300_000)))]);
        let large = self.api.create_chat().body_map(|body| body.user_id(self.user.clone()).metadata(note));
        assert_eq!(*problem_of(413, large.send().await).await.code, "payload_too_large");

        let stranger = client(&self.url, "wrong");
        let unknown_key = stranger.get_chat().chat_id(chat_id).send().await;
        assert_eq!(*problem_of(401, unknown_key).await.code, "unauthorized");
    }

    async fn delete(&self, created: &[Uuid]) {
        for chat_id in created {
            let deleted = self.api.delete_chat().chat_id(*chat_id).send().await.unwrap();
            assert!(deleted.success && deleted.deleted_at <= Utc::now() + TimeDelta::days(1));
        }
        let gone = self.api.get_chat().chat_id(created[0]).send().await;
        assert_eq!(*problem_of(404, gone).await.code, "chat_not_found");
        println!("deleted {}", created.len());
    }
}

fn metadata() -> Map<String, Value> {
    let members = json!({
        "department": "technical",
        "tags": ["Grüße", "世界", "🦊"],
        "order": {"items": [{"sku": null, "count": u64::MAX}]},
        "nothing": null,
    });
    serde_json::from_value(members).unwrap()
}

fn ids(chats: &[ChatSummary]) -> Vec<Uuid> {
    chats.iter().map(|chat| chat.id).collect()
}

/// Why the call was refused. The body of every failure is a problem document, which the client leaves to be read.
async fn problem_of<T: Debug>(status: u16, answer: Result<T, Error<ByteStream>>) -> Problem {
    let refused = match answer {
        Err(Error::ErrorResponse(refused)) => refused,
        other => panic!("expected a refusal rather than {other:?}"),
    };
    assert_eq!(refused.status().as_u16(), status);
    let body = refused.into_inner_stream().try_collect::<Vec<_>>().await.unwrap().concat();
    let problem: Problem = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem.status, i32::from(status));
    assert!(!problem.request_id.is_empty());
    println!("refused: {} {}", problem.status, *problem.code);
    problem
}

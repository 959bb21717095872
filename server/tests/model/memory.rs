//! The model: what a tenant's chats are, without a database. What the server alone decides (ids, moments, generated
//! titles) is taken from its answer and held against it from then on.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Value, json};

/// A successful answer.
pub(super) struct Expected {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) replayed: bool,
}

impl Expected {
    pub(super) fn ok(body: Value) -> Self {
        Self { status: 200, body, replayed: false }
    }

    fn created(body: Value) -> Self {
        Self { status: 201, body, replayed: false }
    }

    fn replayed(body: Value) -> Self {
        Self { status: 201, body, replayed: true }
    }
}

impl From<Vec<Value>> for Expected {
    fn from(items: Vec<Value>) -> Self {
        Self::ok(items.into())
    }
}

/// A failure: its status and its code.
type Refusal = (u16, &'static str);

const CHAT_NOT_FOUND: Refusal = (404, "chat_not_found");

struct Chat {
    /// As `get_chat` answers it.
    details: Value,
    messages: Vec<Value>,
}

/// One tenant's world.
#[derive(Default)]
pub(super) struct Tenant {
    users: BTreeSet<String>,
    /// By creation.
    chats: Vec<Chat>,
    /// By key: the request, the first answer, and the chat it belongs to.
    answers: HashMap<String, (Value, Value, String)>,
    /// By ticket: the chat and the user it is for.
    tickets: HashMap<String, (String, String)>,
}

impl Tenant {
    pub(super) fn any_id(&self, random: &mut StdRng) -> String {
        let known = self.chats.choose(random).filter(|_| random.random_bool(0.95));
        known.map_or_else(|| "018d0c8e-5a40-7b7c-8c9d-0e1f2a3b4c5d".to_owned(), |chat| id(&chat.details).to_owned())
    }

    pub(super) fn any_moment(&self, random: &mut StdRng) -> Option<String> {
        let chat = self.chats.choose(random).filter(|_| random.random_bool(0.3))?;
        chat.details["created_at"].as_str().map(str::to_owned)
    }

    fn find(&mut self, id_: &str) -> Result<&mut Chat, Refusal> {
        self.chats.iter_mut().find(|chat| id(&chat.details) == id_).ok_or(CHAT_NOT_FOUND)
    }

    fn repeated(&self, key: Option<&str>, request: &Value) -> Result<Option<Expected>, Refusal> {
        match key.and_then(|key| self.answers.get(key)) {
            None => Ok(None),
            Some((first, answer, _)) if first == request => Ok(Some(Expected::replayed(answer.clone()))),
            Some(_) => Err((422, "idempotency_key_reused")),
        }
    }

    pub(super) fn create_chat(&mut self, request: &Value, key: Option<&str>, got: &Value) -> Result<Expected, Refusal> {
        let whole = json!(["create", request]);
        if let Some(first) = self.repeated(key, &whole)? {
            return Ok(first);
        }
        let title = match request["title"].as_str() {
            Some(title) => json!(title.trim()),
            None => got["title"].clone(),
        };
        let metadata = request.get("metadata").cloned().unwrap_or_else(|| json!({}));
        let chat = json!({
            "id": got["id"],
            "user_id": request["user_id"],
            "tenant_id": got["tenant_id"],
            "title": title,
            "config": { "metadata": metadata },
            "created_at": got["created_at"],
            "updated_at": got["created_at"],
            "last_message_at": null,
        });
        let before = self.chats.last().map(|chat| moment(&chat.details["created_at"]));
        assert!(before <= Some(moment(&chat["created_at"])), "time runs backwards");
        self.users.insert(request["user_id"].as_str().unwrap_or_default().to_owned());
        let mut details = chat.clone();
        details["message_count"] = json!(0);
        details["status"] = json!("active");
        self.chats.push(Chat { details, messages: Vec::new() });
        self.keep(key, whole, &chat, id(&chat));
        Ok(Expected::created(chat))
    }

    pub(super) fn send_message(
        &mut self,
        chat_id: &str,
        request: &Value,
        key: Option<&str>,
        got: &Value,
    ) -> Result<Expected, Refusal> {
        let whole = json!(["send", chat_id, request]);
        if let Some(first) = self.repeated(key, &whole)? {
            return Ok(first);
        }
        let chat = self.find(chat_id)?;
        let role = request.get("sender_role").cloned().unwrap_or_else(|| json!("user"));
        let sender = match request.get("sender_id") {
            Some(sender) => sender.clone(),
            None if role == "user" => chat.details["user_id"].clone(),
            None => Value::Null,
        };
        let named = |message: &&Value| {
            request.get("client_message_id").is_some_and(|name| message["client_message_id"] == *name)
                && message["sender_id"] == sender
        };
        if let Some(stored) = chat.messages.iter().find(named).cloned() {
            self.keep(key, whole, &stored, chat_id);
            return Ok(Expected::replayed(stored));
        }
        if chat.details["status"] == "closed" {
            return Err((409, "chat_closed"));
        }
        let message = json!({
            "id": got["id"],
            "content": request["content"],
            "sender_role": role,
            "media_type": null,
            "media_url": null,
            "created_at": got["created_at"],
            "metadata": {},
            "seq": chat.messages.len() + 1,
            "client_message_id": request.get("client_message_id"),
            "sender_id": sender,
        });
        chat.messages.push(message.clone());
        chat.details["message_count"] = json!(chat.messages.len());
        chat.details["last_message_at"] = got["created_at"].clone();
        chat.details["updated_at"] = got["created_at"].clone();
        if role == "user" {
            self.users.insert(sender.as_str().unwrap_or_default().to_owned());
        }
        self.keep(key, whole, &message, chat_id);
        Ok(Expected::created(message))
    }

    pub(super) fn create_ticket(&mut self, chat_id: &str, request: &Value, got: &Value) -> Result<Expected, Refusal> {
        self.find(chat_id)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let grant = (chat_id.to_owned(), text(&request["user_id"]));
        let earlier = self.tickets.insert(text(&got["ticket"]), grant);
        assert!(earlier.is_none(), "a ticket is given once");
        Ok(Expected::created(json!({ "ticket": got["ticket"], "expires_at": got["expires_at"] })))
    }

    /// Each ticket that was given, and the chat and the user that it is still good for.
    pub(super) fn take_tickets(&mut self) -> Vec<(String, Option<(String, String)>)> {
        let tickets = std::mem::take(&mut self.tickets).into_iter();
        tickets.map(|(ticket, grant)| (ticket, self.find(&grant.0).is_ok().then_some(grant))).collect()
    }

    fn keep(&mut self, key: Option<&str>, request: Value, answer: &Value, chat_id: &str) {
        if let Some(key) = key {
            self.answers.insert(key.to_owned(), (request, answer.clone(), chat_id.to_owned()));
        }
    }

    pub(super) fn get_chat(&mut self, id: &str) -> Result<Expected, Refusal> {
        self.find(id).map(|chat| Expected::ok(chat.details.clone()))
    }

    pub(super) fn update_chat(&mut self, id: &str, patch: &Value, got: &Value) -> Result<Expected, Refusal> {
        let details = &mut self.find(id)?.details;
        let before = details.clone();
        for name in ["title", "status"] {
            if let Some(value) = patch.get(name) {
                details[name] = value.clone();
            }
        }
        if let Some(patch) = patch.get("metadata") {
            merge(&mut details["config"]["metadata"], patch);
        }
        if *details != before {
            let updated_at = &got["updated_at"];
            assert!(moment(updated_at) >= moment(&before["updated_at"]), "time runs backwards");
            details["updated_at"] = updated_at.clone();
        }
        Ok(Expected::ok(details.clone()))
    }

    pub(super) fn delete_chat(&mut self, id_: &str, got: &Value) -> Result<Expected, Refusal> {
        self.find(id_)?;
        self.chats.retain(|chat| id(&chat.details) != id_);
        self.answers.retain(|_, (_, _, chat_id)| chat_id != id_);
        let deleted_at = &got["deleted_at"];
        Ok(Expected::ok(json!({ "success": true, "message": "The chat was deleted.", "deleted_at": deleted_at })))
    }

    pub(super) fn list_user_chats(&self, user: &str, sort: &str, order: &str) -> Result<Vec<Value>, Refusal> {
        let of_user = self.chats.iter().filter(|chat| chat.details["user_id"] == user);
        let mut chats: Vec<Value> = of_user.map(|chat| chat.details.clone()).collect();
        if chats.is_empty() {
            return Err((404, if self.users.contains(user) { "no_chats" } else { "user_not_found" }));
        }
        for chat in &mut chats {
            chat.as_object_mut().map(|chat| chat.remove("status"));
        }
        Ok(ordered(sorted(chats, sort), order))
    }

    pub(super) fn list_chats(&self, filter: &[(&str, &str)]) -> Vec<Value> {
        let meant = |chat: &Value| {
            filter.iter().all(|(name, value)| match *name {
                "user_id" | "status" => chat[*name] == *value,
                "created_after" => moment(&chat["created_at"]) > moment(&json!(value)),
                "created_before" => moment(&chat["created_at"]) < moment(&json!(value)),
                "metadata" => value.split_once(':').is_some_and(|(member, value)| {
                    let found = &chat["config"]["metadata"][member];
                    found.as_str().map_or_else(|| found.to_string(), str::to_owned) == value
                }),
                _ => true,
            })
        };
        let given = |wanted: &str| filter.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
        let chats = self.chats.iter().map(|chat| chat.details.clone()).filter(meant).collect();
        ordered(sorted(chats, given("sort").unwrap_or("created_at")), given("order").unwrap_or("desc"))
    }

    pub(super) fn list_messages(&mut self, id: &str, after: i64, order: &str) -> Result<Vec<Value>, Refusal> {
        let messages = self.find(id)?.messages.iter();
        Ok(ordered(messages.filter(|message| message["seq"].as_i64() > Some(after)).cloned().collect(), order))
    }
}

fn id(thing: &Value) -> &str {
    thing["id"].as_str().unwrap_or_default()
}

fn moment(text: &Value) -> DateTime<Utc> {
    text.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{text} is no moment"))
}

/// Chats that are in the order of their creation, in the order `sort`.
fn sorted(mut chats: Vec<Value>, sort: &str) -> Vec<Value> {
    if sort == "last_message_at" {
        chats.sort_by_key(|chat| moment(if chat[sort].is_null() { &chat["created_at"] } else { &chat[sort] }));
    }
    chats
}

fn ordered(mut items: Vec<Value>, order: &str) -> Vec<Value> {
    if order == "desc" {
        items.reverse();
    }
    items
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(members) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), value);
        }
    }
}

//! The writes themselves, and what their answers tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{ANSWER, Chat, PAUSE, Presence, RECOVERY, Ticket, World, metadata, title};
use crate::support::{KEY, Live, Refused, requests};

impl World {
    pub(super) async fn create_chat(&mut self, with_key: bool) -> bool {
        let chat = self.number();
        let key = format!("{}-{chat}", self.name);
        let new = Chat {
            id: None,
            presence: Presence::Unsettled,
            key: with_key.then_some(key),
            versions: [0].into(),
            messages: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            is_dirty: true,
        };
        self.chats.insert(chat, new);
        if !self.post_chat(chat).await {
            return false;
        }
        self.current = chat;
        true
    }

    /// Sends the request for `chat`, which may have been sent before.
    async fn post_chat(&mut self, chat: u64) -> bool {
        let body = json!({ "user_id": self.owner(chat), "title": title(0), "metadata": metadata(&self.name, 0) });
        let client = match &self.chats[&chat].key {
            Some(key) => self.client.clone().header("Idempotency-Key", key),
            None => self.client.clone(),
        };
        // 409: the first of two requests with one key is not over yet.
        let answer = self.write(&client, Method::POST, "/api/v1/chats/", Some(body), &[409]).await;
        let Some((201, answer)) = answer else { return false };
        let id = answer["id"].as_str().expect("a chat has an id").to_owned();
        let new = self.touch(chat);
        (new.id, new.presence) = (Some(id), Presence::Stored);
        true
    }

    /// Repeats the creations with an `Idempotency-Key` that were answered 503; [`Self::verify`] finds two chats of one key.
    pub(super) async fn repeat_creations(&mut self) {
        let unsettled = self.chats.iter().filter(|(_, chat)| chat.key.is_some() && chat.id.is_none());
        for chat in unsettled.map(|(chat, _)| *chat).collect::<Vec<_>>() {
            let deadline = Instant::now() + RECOVERY;
            while !self.post_chat(chat).await {
                assert!(Instant::now() < deadline, "{}: a repeated create_chat does not succeed", self.context);
                sleep(PAUSE).await;
            }
        }
    }

    pub(super) async fn update_chat(&mut self, chat: u64) -> bool {
        let version = self.number();
        let body = json!({ "title": title(version), "metadata": metadata(&self.name, version) });
        let path = requests::chat(self.id(chat));
        self.touch(chat).versions.insert(version);
        let Some(_) = self.write(&self.client, Method::PATCH, &path, Some(body), &[]).await else { return false };
        self.touch(chat).versions = [version].into();
        true
    }

    pub(super) async fn delete_chat(&mut self, chat: u64) -> bool {
        let path = format!("{}?force=true", requests::chat(self.id(chat)));
        let also: &[u16] = if self.is_unsettled(chat) { &[404] } else { &[] };
        self.touch(chat).presence = Presence::Unsettled;
        let answer = self.write(&self.client, Method::DELETE, &path, None, also).await;
        if answer.is_some() {
            self.touch(chat).presence = Presence::Absent;
        }
        answer.is_some()
    }

    pub(super) async fn send_message(&mut self, chat: u64) -> bool {
        let content = format!("message {}", self.number());
        let path = requests::messages(self.id(chat));
        self.touch(chat).unsettled.insert(content.clone());
        let body = json!({ "content": content });
        let Some((_, answer)) = self.write(&self.client, Method::POST, &path, Some(body), &[]).await else {
            return false;
        };
        self.sent(chat, content, &answer["seq"]);
        true
    }

    fn sent(&mut self, chat: u64, content: String, seq: &Value) {
        let seq = seq.as_i64().expect("a message has a seq");
        let stored = self.touch(chat);
        stored.unsettled.remove(&content);
        let before = stored.messages.insert(seq, content);
        assert_eq!(before, None, "{}: two messages have the seq {seq}", self.context);
    }

    pub(super) async fn connect(&self, chat: u64) -> Live {
        let (user, id) = (self.owner(chat), self.id(chat));
        let headers = [("X-API-Key", KEY), ("X-User-ID", user.as_str()), ("X-Chat-ID", id)];
        let mut live = self.open("/ws/chat", &headers).await.expect("the handshake succeeds");
        live.event("connection_established").await;
        live
    }

    /// Opens a WebSocket without a fault; again while the answer is 503, which it may be on a busy machine, but not after
    /// [`RECOVERY`].
    pub(super) async fn open(&self, path: &str, headers: &[(&str, &str)]) -> Result<Live, Refused> {
        let deadline = Instant::now() + RECOVERY;
        loop {
            match Live::ask(self.address, path, headers).await {
                Err(refused) if refused.status == 503 && Instant::now() < deadline => sleep(PAUSE).await,
                outcome => return outcome,
            }
        }
    }

    pub(super) async fn send_live(&mut self, chat: u64, mut live: Live) -> bool {
        let content = format!("message {}", self.number());
        self.touch(chat).unsettled.insert(content.clone());
        live.say(&content, &content).await;
        loop {
            match live.next_unless_closed().await {
                Ok(event) if event["event_type"] == "message_received" => {
                    self.sent(chat, content, &event["seq"]);
                    live.close().await;
                    return true;
                }
                Ok(event) if event["event_type"] == "error" => {
                    assert_eq!(event["code"], "unavailable", "{}: {event}", self.context);
                    live.close().await;
                    return false;
                }
                Ok(_) => {}
                // The server may close instead; the client then connects again.
                Err(code) => {
                    assert!(matches!(code, 1001 | 1011..=1013), "{}: closed with {code}", self.context);
                    return false;
                }
            }
        }
    }

    pub(super) async fn create_ticket(&mut self, chat: u64) -> bool {
        let path = requests::tickets(self.id(chat));
        let body = json!({ "user_id": self.owner(chat) });
        let Some((_, answer)) = self.write(&self.client, Method::POST, &path, Some(body), &[]).await else {
            return false;
        };
        let ticket = answer["ticket"].as_str().expect("a ticket").to_owned();
        self.tickets.insert(ticket, Ticket { chat, created: Instant::now(), redeemed: Some(false) });
        true
    }

    pub(super) async fn redeem_ticket(&mut self, ticket: String) -> bool {
        let known = self.tickets.get_mut(&ticket).expect("the ticket is known");
        let before = known.redeemed.replace(true);
        match Live::ask(self.address, &format!("/ws/chat?ticket={ticket}"), &[]).await {
            Ok(mut live) => {
                assert_ne!(before, Some(true), "{}: a ticket was redeemed twice", self.context);
                let first = timeout(ANSWER, live.next_unless_closed()).await;
                let first = first.unwrap_or_else(|_| panic!("{}: a redeemed ticket hangs", self.context));
                if first.is_ok() {
                    live.close().await;
                }
                true
            }
            Err(refused) => {
                assert_eq!(refused.status, 503, "{}: {}", self.context, refused.problem);
                known.redeemed = None;
                false
            }
        }
    }

    pub(super) async fn join(&mut self, chat: u64) -> bool {
        let number = self.number();
        let user = format!("{}-guest-{number}", self.name);
        let headers = [("X-API-Key", KEY), ("X-User-ID", user.as_str()), ("X-Chat-ID", self.id(chat))];
        match Live::ask(self.address, "/ws/chat", &headers).await {
            Ok(mut live) => {
                for expected in ["connection_established", "user_created"] {
                    match live.next_unless_closed().await {
                        Ok(event) => assert_eq!(event["event_type"], expected, "{}", self.context),
                        // Between the handshake and the first event the database may fail.
                        Err(_) => return false,
                    }
                }
                live.close().await;
                self.users.insert(user);
                true
            }
            Err(refused) => {
                assert_eq!(refused.status, 503, "{}: {}", self.context, refused.problem);
                false
            }
        }
    }
}

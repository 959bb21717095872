//! One client's knowledge of the data: what was acknowledged, what was answered 503 and may or may not be stored.

mod verify;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::{Answer, Client, KEY, Live, Refused, requests};

/// The upper bound on one answer. The contract says 5 s for a write; this only guards against hangs.
pub(crate) const ANSWER: Duration = Duration::from_secs(15);
/// The upper bound on recovery after a fault has been lifted. The contract says 5 s; this only guards against hangs.
pub(crate) const RECOVERY: Duration = Duration::from_secs(15);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);
/// The age up to which a ticket is expected to work; they last 60 s.
const TICKET: Duration = Duration::from_secs(40);

/// The kinds of writes that clients can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// With a user that is new.
    CreateChat,
    /// The same with an `Idempotency-Key`.
    CreateChatWithKey,
    SendMessage,
    /// Over a WebSocket.
    SendLive,
    /// Title and metadata, hence labels.
    UpdateChat,
    /// Of a chat with a label, a message and a ticket.
    DeleteChat,
    CreateTicket,
    /// By opening a WebSocket.
    RedeemTicket,
    /// A WebSocket of a user that is new.
    Join,
}

impl Write {
    pub(crate) const ALL: [Self; 9] = [
        Self::CreateChat,
        Self::CreateChatWithKey,
        Self::SendMessage,
        Self::SendLive,
        Self::UpdateChat,
        Self::DeleteChat,
        Self::CreateTicket,
        Self::RedeemTicket,
        Self::Join,
    ];
}

/// A write with all that it needs, so that the write itself is all that a fault can strike.
pub(crate) enum Prepared {
    CreateChat { with_key: bool },
    SendMessage(u64),
    SendLive(u64, Box<Live>),
    UpdateChat(u64),
    DeleteChat(u64),
    CreateTicket(u64),
    RedeemTicket(String),
    Join(u64),
}

/// What is known of whether a chat is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Stored,
    Absent,
    /// Its creation or deletion was answered 503.
    Unsettled,
}

/// A chat; the number by which [`World`] knows it is part of its user's name, so that it is found without its id.
struct Chat {
    id: Option<String>,
    presence: Presence,
    /// The `Idempotency-Key` of its creation.
    key: Option<String>,
    /// Numbers of the updates that may be stored; one when the last was acknowledged. The creation is number 0.
    versions: BTreeSet<u64>,
    /// Acknowledged messages: their content by `seq`.
    messages: BTreeMap<i64, String>,
    /// Contents of messages that were answered 503.
    unsettled: BTreeSet<String>,
    /// Whether it was written to since it was last verified.
    is_dirty: bool,
}

/// An acknowledged ticket.
struct Ticket {
    chat: u64,
    created: Instant,
    /// `None`: a redemption was answered 503.
    redeemed: Option<bool>,
}

/// The data of one client, whose names begin with `name`; several may share a server.
pub(crate) struct World {
    name: String,
    client: Client,
    address: SocketAddr,
    /// What the test is doing, for the messages of failures.
    pub(crate) context: String,
    numbers: u64,
    current: u64,
    chats: BTreeMap<u64, Chat>,
    tickets: BTreeMap<String, Ticket>,
    users: BTreeSet<String>,
}

impl World {
    pub(crate) fn new(name: &str, address: SocketAddr) -> Self {
        let client = Client::new(address).key(KEY);
        let (context, name) = (String::new(), name.to_owned());
        let (chats, tickets, users) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { name, client, address, context, numbers: 0, current: 0, chats, tickets, users }
    }

    /// Speaks to the server at `address` from now on.
    pub(crate) fn move_to(&mut self, address: SocketAddr) {
        (self.client, self.address) = (Client::new(address).key(KEY), address);
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn owner(&self, chat: u64) -> String {
        format!("{}-owner-{chat}", self.name)
    }

    fn id(&self, chat: u64) -> &str {
        self.chats[&chat].id.as_deref().expect("the chat was acknowledged")
    }

    fn is_unsettled(&self, chat: u64) -> bool {
        self.chats[&chat].presence == Presence::Unsettled
    }

    fn touch(&mut self, chat: u64) -> &mut Chat {
        let chat = self.chats.get_mut(&chat).expect("the chat is known");
        chat.is_dirty = true;
        chat
    }

    /// Takes a new chat to write to. The others are only verified and deleted from now on.
    pub(crate) async fn renew(&mut self) {
        self.must(Write::CreateChat).await;
    }

    /// Gets ready for a write; the server must be able to write.
    pub(crate) async fn prepare(&mut self, write: Write) -> Prepared {
        if self.current == 0 && !matches!(write, Write::CreateChat) {
            Box::pin(self.must(Write::CreateChat)).await;
        }
        let chat = self.current;
        match write {
            Write::CreateChat => Prepared::CreateChat { with_key: false },
            Write::CreateChatWithKey => Prepared::CreateChat { with_key: true },
            Write::SendMessage => Prepared::SendMessage(chat),
            Write::SendLive => Prepared::SendLive(chat, Box::new(self.connect(chat).await)),
            Write::UpdateChat => Prepared::UpdateChat(chat),
            Write::DeleteChat => {
                for write in [Write::SendMessage, Write::CreateTicket] {
                    Box::pin(self.must(write)).await;
                }
                Box::pin(self.must(Write::CreateChat)).await;
                Prepared::DeleteChat(chat)
            }
            Write::CreateTicket => Prepared::CreateTicket(chat),
            Write::RedeemTicket => {
                Box::pin(self.must(Write::CreateTicket)).await;
                let newest = self.tickets.iter().filter(|(_, ticket)| ticket.redeemed == Some(false));
                let (newest, _) = newest.max_by_key(|(_, ticket)| ticket.created).expect("one was just created");
                Prepared::RedeemTicket(newest.clone())
            }
            Write::Join => Prepared::Join(chat),
        }
    }

    /// A message to the current chat; nothing is asked of the server.
    pub(crate) fn next_message(&self) -> Prepared {
        Prepared::SendMessage(self.current)
    }

    /// Writes and tells whether it was acknowledged. Panics when the answer is neither that nor 503 `unavailable`.
    pub(crate) async fn attempt(&mut self, write: Prepared) -> bool {
        match write {
            Prepared::CreateChat { with_key } => self.create_chat(with_key).await,
            Prepared::SendMessage(chat) => self.send_message(chat).await,
            Prepared::SendLive(chat, live) => self.send_live(chat, *live).await,
            Prepared::UpdateChat(chat) => self.update_chat(chat).await,
            Prepared::DeleteChat(chat) => self.delete_chat(chat).await,
            Prepared::CreateTicket(chat) => self.create_ticket(chat).await,
            Prepared::RedeemTicket(ticket) => self.redeem_ticket(ticket).await,
            Prepared::Join(chat) => self.join(chat).await,
        }
    }

    /// Tries to create a chat.
    pub(crate) async fn try_chat(&mut self) {
        self.attempt(Prepared::CreateChat { with_key: false }).await;
    }

    /// Chats whose creation was acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.chats.values().filter(|chat| chat.presence == Presence::Stored).count()
    }

    /// Writes, if need be again, until it is acknowledged. Panics after [`RECOVERY`].
    pub(crate) async fn must(&mut self, write: Write) {
        let deadline = Instant::now() + RECOVERY;
        loop {
            let prepared = self.prepare(write).await;
            if self.attempt(prepared).await {
                return;
            }
            assert!(Instant::now() < deadline, "{}: {write:?} is 503 for {RECOVERY:?} without a fault", self.context);
            sleep(PAUSE).await;
        }
    }

    /// The other writes of a client that does not give up while the database fails. None needs to be acknowledged.
    pub(crate) async fn insist(&mut self, victim: Prepared) {
        let chat = self.current;
        self.attempt(Prepared::UpdateChat(chat)).await;
        self.attempt(Prepared::UpdateChat(chat)).await;
        self.attempt(victim).await;
        self.attempt(Prepared::SendMessage(chat)).await;
        self.attempt(Prepared::CreateTicket(chat)).await;
        let current = self.current;
        self.attempt(Prepared::CreateChat { with_key: true }).await;
        self.current = current;
        let (status, _) = self.request(&self.client, Method::GET, &requests::chat(self.id(chat)), None).await;
        assert!(matches!(status, 200 | 503), "{}: get_chat is {status}", self.context);
    }

    /// Requires every path by which a client writes to work again. Begins with a new chat, so that what was acknowledged
    /// before is not covered up by a later write.
    pub(crate) async fn recovers(&mut self) {
        self.renew().await;
        for write in [Write::UpdateChat, Write::SendMessage, Write::RedeemTicket, Write::DeleteChat] {
            self.must(write).await;
        }
        self.repeat_creations().await;
    }

    /// Asks until `GET /readyz` has this status. Panics after [`RECOVERY`].
    pub(crate) async fn until_ready_is(&self, expected: u16) {
        let deadline = Instant::now() + RECOVERY;
        loop {
            let (status, answer) = self.request(&self.client, Method::GET, "/readyz", None).await;
            if status == expected {
                if status == 503 {
                    self.check_unavailable(&answer, "/readyz");
                }
                return;
            }
            assert!(Instant::now() < deadline, "{}: /readyz is {status}, not {expected}", self.context);
            sleep(PAUSE).await;
        }
    }

    /// The status of `GET /readyz`.
    pub(crate) async fn ready(&self) -> u16 {
        self.request(&self.client, Method::GET, "/readyz", None).await.0
    }

    /// The status of `GET` of the current chat.
    pub(crate) async fn read(&self) -> u16 {
        let path = requests::chat(self.id(self.current));
        self.request(&self.client, Method::GET, &path, None).await.0
    }

    async fn request(&self, client: &Client, method: Method, path: &str, body: Option<Value>) -> (u16, Answer) {
        let body = body.map(|body| body.to_string().into_bytes());
        let answer = timeout(ANSWER, client.attempt(method.clone(), path, body)).await;
        let answer = answer.unwrap_or_else(|_| panic!("{}: {method} {path} hangs", self.context));
        let (status, answer) = answer.unwrap_or_else(|error| panic!("{}: {method} {path}: {error:?}", self.context));
        (status.as_u16(), answer)
    }

    fn check_unavailable(&self, answer: &Answer, path: &str) {
        assert_eq!(answer.problem(), "unavailable", "{}: {path}", self.context);
        assert!(answer.header("retry-after").is_some(), "{}: {path} has no Retry-After", self.context);
    }

    /// Sends a request that writes; `None`: it was answered 503. `also` are other statuses that are right.
    async fn write(
        &self,
        client: &Client,
        method: Method,
        path: &str,
        body: Option<Value>,
        also: &[u16],
    ) -> Option<(u16, Value)> {
        let (status, answer) = self.request(client, method.clone(), path, body).await;
        if status == 503 {
            self.check_unavailable(&answer, path);
            return None;
        }
        let text = String::from_utf8_lossy(&answer.body);
        assert!(
            (200..300).contains(&status) || also.contains(&status),
            "{}: {method} {path} is {status}: {text}",
            self.context
        );
        Some((status, answer.json()))
    }

    async fn create_chat(&mut self, with_key: bool) -> bool {
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
    async fn repeat_creations(&mut self) {
        let unsettled = self.chats.iter().filter(|(_, chat)| chat.key.is_some() && chat.id.is_none());
        for chat in unsettled.map(|(chat, _)| *chat).collect::<Vec<_>>() {
            let deadline = Instant::now() + RECOVERY;
            while !self.post_chat(chat).await {
                assert!(Instant::now() < deadline, "{}: a repeated create_chat does not succeed", self.context);
                sleep(PAUSE).await;
            }
        }
    }

    async fn update_chat(&mut self, chat: u64) -> bool {
        let version = self.number();
        let body = json!({ "title": title(version), "metadata": metadata(&self.name, version) });
        let path = requests::chat(self.id(chat));
        self.touch(chat).versions.insert(version);
        let Some(_) = self.write(&self.client, Method::PATCH, &path, Some(body), &[]).await else { return false };
        self.touch(chat).versions = [version].into();
        true
    }

    async fn delete_chat(&mut self, chat: u64) -> bool {
        let path = format!("{}?force=true", requests::chat(self.id(chat)));
        let also: &[u16] = if self.is_unsettled(chat) { &[404] } else { &[] };
        self.touch(chat).presence = Presence::Unsettled;
        let answer = self.write(&self.client, Method::DELETE, &path, None, also).await;
        if answer.is_some() {
            self.touch(chat).presence = Presence::Absent;
        }
        answer.is_some()
    }

    async fn send_message(&mut self, chat: u64) -> bool {
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

    async fn connect(&self, chat: u64) -> Live {
        let (user, id) = (self.owner(chat), self.id(chat));
        let headers = [("X-API-Key", KEY), ("X-User-ID", user.as_str()), ("X-Chat-ID", id)];
        let mut live = self.open("/ws/chat", &headers).await.expect("the handshake succeeds");
        live.event("connection_established").await;
        live
    }

    /// Opens a WebSocket without a fault; again while the answer is 503, which it may be on a busy machine, but not after
    /// [`RECOVERY`].
    async fn open(&self, path: &str, headers: &[(&str, &str)]) -> Result<Live, Refused> {
        let deadline = Instant::now() + RECOVERY;
        loop {
            match Live::ask(self.address, path, headers).await {
                Err(refused) if refused.status == 503 && Instant::now() < deadline => sleep(PAUSE).await,
                outcome => return outcome,
            }
        }
    }

    async fn send_live(&mut self, chat: u64, mut live: Live) -> bool {
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

    async fn create_ticket(&mut self, chat: u64) -> bool {
        let path = requests::tickets(self.id(chat));
        let body = json!({ "user_id": self.owner(chat) });
        let Some((_, answer)) = self.write(&self.client, Method::POST, &path, Some(body), &[]).await else {
            return false;
        };
        let ticket = answer["ticket"].as_str().expect("a ticket").to_owned();
        self.tickets.insert(ticket, Ticket { chat, created: Instant::now(), redeemed: Some(false) });
        true
    }

    async fn redeem_ticket(&mut self, ticket: String) -> bool {
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

    async fn join(&mut self, chat: u64) -> bool {
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

fn title(version: u64) -> String {
    format!("Version {version}")
}

fn metadata(name: &str, version: u64) -> Value {
    json!({ "version": format!("{name}-{version}") })
}

//! One client's knowledge of the data: what was acknowledged, what was answered 503 and may or may not be stored.

mod verify;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::{Answer, Client, KEY, Live, requests};

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
}

fn title(version: u64) -> String {
    format!("Version {version}")
}

fn metadata(name: &str, version: u64) -> Value {
    json!({ "version": format!("{name}-{version}") })
}

//! The load under which faults occur: workers that change chats of their own and keep a ledger of what is acknowledged.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::{
    ledger::{Chat, Deleted, Message, repeat},
    timeline::{Operation, Timeline},
};
use crate::{
    Outcome,
    http::{CHATS, Connection, get, post, request},
    websocket::{Live, text},
};

/// A request without an answer after this time is given up, which fails the case.
pub(super) const HANG: Duration = Duration::from_secs(10);
/// Workers of the load of a case.
pub(super) const WORKERS: usize = 8;
/// The pause between two requests of a worker.
const PAUSE: Duration = Duration::from_millis(8);
/// The same after a failure.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);
/// The pause between two looks at `/readyz`.
const WATCH: Duration = Duration::from_millis(50);
/// A worker deletes chats while it has more than this.
const KEPT_CHATS: usize = 5;

/// A load in progress. It ends when it is dropped.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    workers: JoinSet<Vec<Chat>>,
    watcher: JoinSet<()>,
    /// What has been seen so far.
    pub(super) timeline: Arc<Timeline>,
}

impl Load {
    /// Starts `workers` workers and a watcher of `/readyz`.
    pub(super) fn start(address: SocketAddr, workers: usize) -> Self {
        let (stop, timeline) = (Arc::new(AtomicBool::new(false)), Arc::new(Timeline::default()));
        let mut load = Self { stop, workers: JoinSet::new(), watcher: JoinSet::new(), timeline };
        for _ in 0..workers {
            let worker = Worker {
                client: Client { address, connection: None, timeline: load.timeline.clone() },
                name: Uuid::now_v7().simple().to_string(),
                number: 0,
                pending: None,
                chats: Vec::new(),
                done: Vec::new(),
                live: None,
            };
            load.workers.spawn(worker.run(load.stop.clone()));
        }
        load.watcher.spawn(watch(address, load.timeline.clone()));
        load
    }

    /// Stops it, and returns what was acknowledged.
    pub(super) async fn stop(mut self) -> Vec<Chat> {
        self.stop.store(true, Ordering::Relaxed);
        self.watcher.abort_all();
        let mut chats = Vec::new();
        while let Some(worker) = self.workers.join_next().await {
            chats.extend(worker.expect("a worker does not panic"));
        }
        chats
    }
}

/// Asks `/readyz` on new connections until it is aborted.
async fn watch(address: SocketAddr, timeline: Arc<Timeline>) {
    loop {
        let mut client = Client { address, connection: None, timeline: timeline.clone() };
        _ = client.ask(Operation::Ready, &get("/readyz")).await;
        sleep(WATCH).await;
    }
}

/// One connection, opened again after each failure.
pub(super) struct Client {
    /// The server.
    pub(super) address: SocketAddr,
    /// The connection, when there is one.
    pub(super) connection: Option<Connection>,
    /// Where requests are noted.
    pub(super) timeline: Arc<Timeline>,
}

impl Client {
    /// Sends a request; `None`: there was no answer.
    pub(super) async fn ask(&mut self, operation: Operation, request: &[u8]) -> Option<(u16, Vec<u8>)> {
        let began = Instant::now();
        let connection = self.connection.take();
        let exchange = async {
            let mut connection = match connection {
                Some(connection) => connection,
                None => Connection::open(self.address).await?,
            };
            let (status, body) = connection.answer(request).await?;
            let body = body.to_vec();
            std::io::Result::Ok((connection, status, body))
        };
        let answer = timeout(HANG, exchange).await.ok().and_then(Result::ok).map(|(connection, status, body)| {
            self.connection = Some(connection);
            (status, body)
        });
        self.timeline.add(operation, began, answer.as_ref().map_or(0, |(status, _)| *status));
        answer
    }
}

struct Worker {
    client: Client,
    /// Part of all that it sends, so that nothing of it is sent twice.
    name: String,
    number: usize,
    /// A creation that is not acknowledged yet: its idempotency key, its body and its title.
    pending: Option<(String, String, String)>,
    /// The chats that it works on. The first one also has the live connection, and is not deleted.
    chats: Vec<Chat>,
    /// Chats that were deleted, or may have been.
    done: Vec<Chat>,
    live: Option<Live>,
}

impl Worker {
    async fn run(mut self, stop: Arc<AtomicBool>) -> Vec<Chat> {
        while !stop.load(Ordering::Relaxed) {
            self.number += 1;
            let number = self.number;
            let succeeded = match number % 10 {
                // The first chat is that of the live connection: all other requests need another one.
                _ if self.chats.len() < 2 => self.create().await,
                0 | 5 => self.create().await,
                1 => self.update().await,
                2 => self.send_live().await,
                3 => self.ticket().await,
                4 => self.repeat().await,
                6 => self.delete().await,
                7 => self.read(Operation::Get, "").await,
                8 => self.read(Operation::List, "/messages").await,
                _ => self.send().await,
            };
            sleep(if succeeded { PAUSE } else { PAUSE_AFTER_FAILURE }).await;
        }
        self.done.append(&mut self.chats);
        self.done
    }

    /// The index of one of the chats that live connections do not use.
    fn place(&self) -> usize {
        1 + self.number / 10 % (self.chats.len() - 1)
    }

    fn next_text(&self, what: &str) -> String {
        format!("{what} {} of {}", self.number, self.name)
    }

    async fn create(&mut self) -> bool {
        let (key, body, title) = self.pending.take().unwrap_or_else(|| {
            let title = self.next_text("chat");
            let body = format!(r#"{{"user_id":"{}","title":"{title}"}}"#, self.name);
            (format!("{}-{}", self.name, self.number), body, title)
        });
        let request = request("POST", CHATS, &[("Idempotency-Key", &key)], Some(&body));
        let answer = self.client.ask(Operation::Create, &request).await;
        if let Some((201, answer)) = answer
            && let Some(id) = member(&answer, "id")
        {
            self.chats.push(Chat { id, key, body, answer, title, acknowledged: 1, ..Chat::default() });
            return true;
        }
        self.pending = Some((key, body, title));
        false
    }

    async fn repeat(&mut self) -> bool {
        let place = self.place();
        let chat = &mut self.chats[place];
        match self.client.ask(Operation::Repeat, &repeat(chat)).await {
            Some((201, answer)) if answer == chat.answer => true,
            Some((201, answer)) => {
                let answer = String::from_utf8_lossy(&answer);
                chat.contradictions.push(format!("the idempotency key of {} answered {answer}", chat.id));
                false
            }
            _ => false,
        }
    }

    async fn send(&mut self) -> bool {
        let (place, content) = (self.place(), self.next_text("message"));
        let chat = &mut self.chats[place];
        let body = format!(r#"{{"content":"{content}"}}"#);
        let answer = self.client.ask(Operation::Send, &post(&format!("{CHATS}{}/messages", chat.id), &body)).await;
        let stored = answer.filter(|(status, _)| *status == 201);
        let message = stored.and_then(|(_, answer)| message(&answer, "id", &content));
        chat.take_message(message, content)
    }

    async fn send_live(&mut self) -> bool {
        let content = self.next_text("live message");
        let chat = &mut self.chats[0];
        let (began, address) = (Instant::now(), self.client.address);
        let live = self.live.take();
        let frame = text(&format!(r#"{{"content":"{content}"}}"#));
        let exchange = async {
            let mut live = match live {
                Some(live) => live,
                None => Live::open(address, &chat.id).await?,
            };
            live.send(&frame).await?;
            loop {
                let event = live.next_text().await?;
                let kind = member(&event, "event_type");
                if matches!(kind.as_deref(), Some("message_received" | "error")) {
                    return std::io::Result::Ok((live, event));
                }
            }
        };
        let message = timeout(HANG, exchange).await.ok().and_then(Result::ok).and_then(|(live, answer)| {
            let message = message(&answer, "message_id", &content);
            // After an error a new connection is opened: a late event of this message would be taken for the next one's.
            self.live = message.is_some().then_some(live);
            message
        });
        self.client.timeline.add(Operation::SendLive, began, if message.is_some() { 200 } else { 0 });
        chat.take_message(message, content)
    }

    async fn update(&mut self) -> bool {
        let (place, title) = (self.place(), self.next_text("title"));
        let chat = &mut self.chats[place];
        let body = format!(r#"{{"title":"{title}"}}"#);
        let request = request("PATCH", &format!("{CHATS}{}", chat.id), &[], Some(&body));
        if let Some((200, _)) = self.client.ask(Operation::Update, &request).await {
            chat.title = title;
            chat.titles_sent.clear();
            chat.acknowledged += 1;
            return true;
        }
        chat.titles_sent.push(title);
        false
    }

    async fn delete(&mut self) -> bool {
        if self.chats.len() <= KEPT_CHATS {
            return true;
        }
        let mut chat = self.chats.remove(1);
        let request = request("DELETE", &format!("{CHATS}{}", chat.id), &[], None);
        let answer = self.client.ask(Operation::Delete, &request).await;
        let acknowledged = matches!(answer, Some((200, _)));
        if acknowledged {
            chat.acknowledged += 1;
        }
        chat.deleted = if acknowledged { Deleted::Yes } else { Deleted::Unknown };
        self.done.push(chat);
        acknowledged
    }

    async fn ticket(&mut self) -> bool {
        let place = self.place();
        let chat = &mut self.chats[place];
        let body = format!(r#"{{"user_id":"{}"}}"#, self.name);
        let answer = self.client.ask(Operation::Ticket, &post(&format!("{CHATS}{}/tickets", chat.id), &body)).await;
        if let Some((201, answer)) = answer
            && let Some(ticket) = member(&answer, "ticket")
        {
            chat.tickets.push((ticket, Instant::now()));
            chat.acknowledged += 1;
            return true;
        }
        false
    }

    async fn read(&mut self, operation: Operation, of: &str) -> bool {
        let path = format!("{CHATS}{}{of}", self.chats[self.place()].id);
        matches!(self.client.ask(operation, &get(&path)).await, Some((200, _)))
    }
}

impl Chat {
    /// Takes a message that was acknowledged, or else the content of one that was sent.
    fn take_message(&mut self, message: Option<Message>, content: String) -> bool {
        match message {
            Some(message) => {
                self.messages.push(message);
                self.acknowledged += 1;
                true
            }
            None => {
                self.messages_sent.push(content);
                false
            }
        }
    }
}

fn member(answer: &[u8], name: &str) -> Option<String> {
    serde_json::from_slice::<Value>(answer).ok()?[name].as_str().map(str::to_owned)
}

/// The message that an answer or an event acknowledges; `id` is the name of its id.
fn message(answer: &[u8], id: &str, content: &str) -> Option<Message> {
    let object: Value = serde_json::from_slice(answer).ok()?;
    let (seq, id) = (object["seq"].as_u64()?, object[id].as_str()?.to_owned());
    Some(Message { seq, id, content: content.to_owned() })
}

/// Starts reads of a chat that are all in flight at one time.
pub(super) fn reads_in_flight(address: SocketAddr, chat: &str, count: usize, timeline: &Arc<Timeline>) -> JoinSet<()> {
    let mut reads = JoinSet::new();
    for _ in 0..count {
        let request = get(&format!("{CHATS}{chat}"));
        let mut client = Client { address, connection: None, timeline: timeline.clone() };
        reads.spawn(async move {
            _ = client.ask(Operation::Get, &request).await;
        });
    }
    reads
}

/// Creates a chat that no worker uses.
pub(super) async fn new_chat(address: SocketAddr) -> Outcome<String> {
    let mut connection = Connection::open(address).await?;
    let body = r#"{"user_id":"apart","title":"apart"}"#;
    Ok(crate::http::member(connection.exchange(&post(CHATS, body)).await?, "id")?)
}

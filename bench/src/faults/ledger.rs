//! What the server has acknowledged, and whether all of it is still there.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::{
    Outcome,
    http::{CHATS, Connection, get, request},
    websocket::Live,
};

/// Tickets that are younger than this must still be good; they live for a minute.
const TICKET: Duration = Duration::from_secs(40);
/// A request of the check may take this long.
const LIMIT: Duration = Duration::from_secs(10);
/// A request of the check that is refused is sent again so often.
const ATTEMPTS: u32 = 50;
/// The pause before it is sent again.
const AGAIN: Duration = Duration::from_millis(200);

/// Whether a chat was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Deleted {
    /// It was not.
    #[default]
    No,
    /// A request to delete it had no answer, or an error.
    Unknown,
    /// The deletion was acknowledged.
    Yes,
}

/// A message that was acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Its place in the chat.
    pub(super) seq: u64,
    /// Its id.
    pub(super) id: String,
    /// What was sent.
    pub(super) content: String,
}

/// A chat whose creation was acknowledged, with all that was acknowledged later.
#[derive(Debug, Clone, Default)]
pub(super) struct Chat {
    /// Its id.
    pub(super) id: String,
    /// The idempotency key with which it was created.
    pub(super) key: String,
    /// The body with which it was created.
    pub(super) body: String,
    /// The answer to that.
    pub(super) answer: Vec<u8>,
    /// The title that was acknowledged last.
    pub(super) title: String,
    /// Titles that were sent after that and not acknowledged.
    pub(super) titles_sent: Vec<String>,
    /// Whether it was deleted.
    pub(super) deleted: Deleted,
    /// Messages that were acknowledged.
    pub(super) messages: Vec<Message>,
    /// The contents of messages that were not.
    pub(super) messages_sent: Vec<String>,
    /// Tickets, and when they were made.
    pub(super) tickets: Vec<(String, Instant)>,
    /// Answers during the load that contradict earlier ones.
    pub(super) contradictions: Vec<String>,
    /// Acknowledged changes, its creation included.
    pub(super) acknowledged: usize,
}

/// What a check found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Acknowledged changes that were checked.
    pub(super) acknowledged: usize,
    /// Those that are not there.
    pub(super) lost: Vec<String>,
    /// What is there and was never sent, or not as it should be.
    pub(super) wrong: Vec<String>,
}

/// Compares all chats with what the server at `address` answers.
pub(super) async fn check(address: SocketAddr, chats: &[Chat]) -> Outcome<Found> {
    let mut client = Client { address, connection: Connection::open(address).await? };
    let mut found = Found::default();
    for chat in chats {
        found.acknowledged += chat.acknowledged;
        found.wrong.extend(chat.contradictions.iter().cloned());
        client.check(chat, &mut found).await?;
    }
    Ok(found)
}

struct Client {
    address: SocketAddr,
    connection: Connection,
}

impl Client {
    async fn ask(&mut self, request: &[u8]) -> Outcome<(u16, Vec<u8>)> {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            match timeout(LIMIT, self.connection.answer(request)).await {
                // A server that has just started may not be ready, and one may have limits.
                Ok(Ok((status @ (429 | 503), _))) => last = format!("status {status}"),
                Ok(Ok((status, body))) => return Ok((status, body.to_vec())),
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = format!("no answer within {} s", LIMIT.as_secs()),
            }
            sleep(AGAIN).await;
            self.connection = Connection::open(self.address).await?;
        }
        Err(format!("a request of the check fails: {last}").into())
    }

    async fn check(&mut self, chat: &Chat, found: &mut Found) -> Outcome<()> {
        let id = &chat.id;
        let (status, body) = self.ask(&get(&format!("{CHATS}{id}"))).await?;
        match (chat.deleted, status) {
            // With a chat its idempotency key is forgotten.
            (Deleted::Yes | Deleted::Unknown, 404) => {}
            (Deleted::Yes, _) => found.lost.push(format!("the deletion of {id}: {status}")),
            (Deleted::No | Deleted::Unknown, 200) => {
                let title = serde_json::from_slice::<Value>(&body)?["title"].as_str().unwrap_or_default().to_owned();
                if title != chat.title && !chat.titles_sent.contains(&title) {
                    found.lost.push(format!("the title {:?} of {id}: {title:?}", chat.title));
                }
                self.check_messages(chat, found).await?;
                self.check_repeat(chat, found).await?;
                self.check_tickets(chat, found).await;
            }
            (Deleted::No | Deleted::Unknown, _) => found.lost.push(format!("the chat {id}: {status}")),
        }
        Ok(())
    }

    /// Messages are there under their `seq`, without gaps, and no other ones than those that were sent.
    async fn check_messages(&mut self, chat: &Chat, found: &mut Found) -> Outcome<()> {
        let id = &chat.id;
        let mut stored: BTreeMap<u64, (String, String)> = BTreeMap::new();
        loop {
            let after = stored.keys().next_back().copied().unwrap_or_default();
            let (status, body) = self.ask(&get(&format!("{CHATS}{id}/messages?limit=100&after_seq={after}"))).await?;
            if status != 200 {
                found.lost.push(format!("the messages of {id}: {status}"));
                return Ok(());
            }
            let page: Value = serde_json::from_slice(&body)?;
            let text = |message: &Value, name: &str| message[name].as_str().unwrap_or_default().to_owned();
            for message in page["messages"].as_array().into_iter().flatten() {
                let seq = message["seq"].as_u64().ok_or("a message has no seq")?;
                stored.insert(seq, (text(message, "id"), text(message, "content")));
            }
            if page["has_more"] != true {
                break;
            }
        }
        if !stored.keys().copied().eq(1..=stored.len() as u64) {
            found.wrong.push(format!("the seqs of {id} have gaps: {:?}", stored.keys()));
        }
        for message in &chat.messages {
            match stored.remove(&message.seq) {
                Some((id, content)) if id == message.id && content == message.content => {}
                other => found.lost.push(format!("message {} of {id}: {other:?}", message.seq)),
            }
        }
        let mut sent = chat.messages_sent.clone();
        for (seq, (_, content)) in stored {
            // Each attempt may have stored one message.
            match sent.iter().position(|sent| *sent == content) {
                Some(place) => drop(sent.swap_remove(place)),
                None => {
                    found.wrong.push(format!("message {seq} of {id} was never sent or is there twice: {content:?}"));
                }
            }
        }
        Ok(())
    }

    /// The same key answers the same again, and creates nothing.
    async fn check_repeat(&mut self, chat: &Chat, found: &mut Found) -> Outcome<()> {
        let (status, body) = self.ask(&repeat(chat)).await?;
        if status != 201 || body != chat.answer {
            found.lost.push(format!("the idempotency key of {}: {status} {}", chat.id, String::from_utf8_lossy(&body)));
        }
        Ok(())
    }

    /// The newest ticket opens one connection.
    async fn check_tickets(&mut self, chat: &Chat, found: &mut Found) {
        let Some((ticket, made)) = chat.tickets.last() else { return };
        if made.elapsed() > TICKET {
            return;
        }
        let opened = timeout(LIMIT, Live::open_with(self.address, &format!("ticket={ticket}"))).await;
        let error = match opened {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        found.lost.push(format!("a ticket of {}: {error}", chat.id));
    }
}

/// The request that created a chat, once more.
pub(super) fn repeat(chat: &Chat) -> Vec<u8> {
    request("POST", CHATS, &[("Idempotency-Key", &chat.key)], Some(&chat.body))
}

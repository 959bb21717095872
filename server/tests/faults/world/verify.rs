//! Comparing what is stored with what is known.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use reqwest::Method;
use serde_json::Value;
use tokio::time::sleep;

use super::{Chat, PAUSE, Presence, RECOVERY, TICKET, World, metadata, title};
use crate::support::{Answer, Live, requests};

impl World {
    /// Checks everything that was acknowledged, and that nothing is stored that was not asked for; then takes what is
    /// stored for settled. Panics with all differences.
    pub(crate) async fn verify(&mut self) {
        let mut differences = Vec::new();
        self.verify_chats(&mut differences).await;
        self.verify_tickets(&mut differences).await;
        self.verify_users(&mut differences).await;
        assert!(differences.is_empty(), "{}: after a restart:\n{}", self.context, differences.join("\n"));
    }

    /// Reads until the answer is not 503, as it may be on a busy machine. Panics after [`RECOVERY`].
    async fn read_again(&self, path: &str) -> (u16, Answer) {
        let deadline = Instant::now() + RECOVERY;
        loop {
            let (status, answer) = self.request(&self.client, Method::GET, path, None).await;
            if status != 503 {
                return (status, answer);
            }
            assert!(Instant::now() < deadline, "{}: GET {path} is 503 for {RECOVERY:?}", self.context);
            sleep(PAUSE).await;
        }
    }

    async fn read_json(&self, path: &str) -> Value {
        let (status, answer) = self.read_again(path).await;
        assert_eq!(status, 200, "{}: GET {path}: {}", self.context, String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// All stored chats of this world, by the number in their owner's name.
    async fn stored_chats(&self, differences: &mut Vec<String>) -> HashMap<u64, Value> {
        let prefix = format!("{}-owner-", self.name);
        let mut stored = HashMap::new();
        let mut cursor = None;
        loop {
            let mut parameters = vec![("limit", "100")];
            parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = self.read_json(&format!("/api/v1/chats/{}", requests::query(&parameters))).await;
            for chat in page["chats"].as_array().expect("a list") {
                let owner = chat["user_id"].as_str().expect("an owner");
                let Some(number) = owner.strip_prefix(&prefix) else { continue };
                if stored.insert(number.parse().expect("a number"), chat.clone()).is_some() {
                    differences.push(format!("{owner} has two chats from one request"));
                }
            }
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return stored;
            }
        }
    }

    async fn verify_chats(&mut self, differences: &mut Vec<String>) {
        let mut stored = self.stored_chats(differences).await;
        let numbers: Vec<u64> = self.chats.keys().copied().collect();
        for number in numbers {
            let known = &self.chats[&number];
            let Some(found) = stored.remove(&number) else {
                if known.presence == Presence::Stored {
                    differences.push(format!("chat {number} is lost"));
                }
                self.chats.remove(&number);
                continue;
            };
            if known.presence == Presence::Absent {
                differences.push(format!("chat {number} was deleted and is back"));
            }
            let version = known.versions.iter().find(|version| found["title"] == title(**version));
            let Some(version) = version.copied() else {
                differences.push(format!("chat {number} has {}, not one of {:?}", found["title"], known.versions));
                continue;
            };
            let labelled = metadata(&self.name, version);
            if found["config"]["metadata"] != labelled {
                differences.push(format!("chat {number} has the title of version {version} and other metadata"));
            }
            let id = found["id"].as_str().expect("an id").to_owned();
            if known.id.as_ref().is_some_and(|known| *known != id) {
                differences.push(format!("chat {number} has another id"));
            }
            if known.is_dirty {
                self.verify_label(&id, &labelled, differences).await;
                let messages = self.verify_messages(&id, &self.chats[&number], &found, differences).await;
                self.chats.get_mut(&number).expect("it is known").messages = messages;
            }
            let settled = self.chats.get_mut(&number).expect("it is known");
            (settled.presence, settled.id) = (Presence::Stored, Some(id));
            settled.versions = [version].into();
            settled.unsettled.clear();
            settled.is_dirty = false;
        }
        for number in stored.into_keys() {
            differences.push(format!("chat {number} was deleted and is back"));
        }
    }

    /// The index of labels leads to the chat.
    async fn verify_label(&self, id: &str, metadata: &Value, differences: &mut Vec<String>) {
        let label = format!("version:{}", metadata["version"].as_str().expect("a string"));
        let path = format!("/api/v1/chats/{}", requests::query(&[("metadata", &label), ("limit", "100")]));
        let page = self.read_json(&path).await;
        // Every new chat has the label of version 0; one page need not hold all of them.
        let is_first_of_many = page["has_more"] == true;
        let found = page["chats"].as_array().expect("a list").iter().any(|chat| chat["id"] == id);
        if !found && !is_first_of_many {
            differences.push(format!("chat {id} is not found by its label {label}"));
        }
    }

    /// Acknowledged messages are stored under their `seq`, and `seq` has no gap; returns what is stored.
    async fn verify_messages(
        &self,
        id: &str,
        known: &Chat,
        chat: &Value,
        differences: &mut Vec<String>,
    ) -> BTreeMap<i64, String> {
        let mut stored = BTreeMap::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut parameters = vec![("limit", "100")];
            parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = self.read_json(&format!("{}{}", requests::messages(id), requests::query(&parameters))).await;
            for message in page["messages"].as_array().expect("a list") {
                let content = message["content"].as_str().expect("a string").to_owned();
                stored.insert(message["seq"].as_i64().expect("a number"), content);
            }
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        let count = i64::try_from(stored.len()).expect("few messages");
        if !stored.keys().copied().eq(1..=count) || chat["message_count"] != count {
            let (seqs, counted) = (stored.keys().collect::<Vec<_>>(), &chat["message_count"]);
            differences.push(format!("chat {id} counts {counted} messages and has the seqs {seqs:?}"));
        }
        for (seq, content) in &known.messages {
            if stored.get(seq) != Some(content) {
                differences.push(format!("chat {id}: message {seq} ({content}) is {:?}", stored.get(seq)));
            }
        }
        for (seq, content) in &stored {
            if !known.messages.contains_key(seq) && !known.unsettled.contains(content) {
                differences
                    .push(format!("chat {id}: message {seq} ({content}) was not sent, or sent once and stored twice"));
            }
        }
        stored
    }

    /// A redeemed ticket stays redeemed; one of a stored chat that was never presented still works.
    async fn verify_tickets(&mut self, differences: &mut Vec<String>) {
        for (ticket, known) in std::mem::take(&mut self.tickets) {
            let is_stored = self.chats.get(&known.chat).is_some_and(|chat| chat.presence == Presence::Stored);
            let expected = match known.redeemed {
                Some(true) => Err(401),
                Some(false) if is_stored && known.created.elapsed() < TICKET => Ok(()),
                // It may have expired, and one whose redemption was answered 503 may have been used up.
                _ => continue,
            };
            let path = format!("/ws/chat?ticket={ticket}");
            let outcome = match expected {
                Err(_) => self.open(&path, &[]).await,
                // A second attempt would not tell a lost ticket from one that the first has used up.
                Ok(()) => match Live::ask(self.address, &path, &[]).await {
                    Err(refused) if refused.status == 503 => continue,
                    outcome => outcome,
                },
            };
            let got = outcome.as_ref().map(|_| ()).map_err(|refused| refused.status);
            if got != expected {
                differences.push(format!("a ticket (redeemed: {:?}) is answered {got:?}", known.redeemed));
            }
            if let Ok(live) = outcome {
                live.close().await;
            }
        }
    }

    /// A user that joined is known.
    async fn verify_users(&mut self, differences: &mut Vec<String>) {
        for user in std::mem::take(&mut self.users) {
            let (status, answer) = self.read_again(&format!("/api/v1/chats/user/{user}")).await;
            if status != 404 || answer.problem() != "no_chats" {
                differences.push(format!("the user {user} joined and is answered {status}"));
            }
        }
    }
}

//! A small support desk: what it does with the chats of its customers, from the first question to the last.
//!
//! ```text
//! PARLOR_API_KEY=your-tenant-api-key cargo run --release -p parlor-examples --example support_inbox
//! ```
//!
//! The server is expected at `http://localhost:8000`, or where `PARLOR_URL` says. What the program creates it deletes
//! again, also when it fails.

use std::env;
use std::error::Error;
use std::time::SystemTime;

use parlor_sdk::uuid::Uuid;
use parlor_sdk::{Chat, ChatFilter, ChatPatch, Client, Code, NewChat, NewMessage, Order, Role, Status};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What the desk keeps with a chat.
#[derive(Serialize, Deserialize)]
struct Case {
    department: String,
    /// Names one run of this program, so that it finds its own chats only.
    desk: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<String>,
}

struct Desk {
    client: Client,
    name: Uuid,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("PARLOR_URL").unwrap_or_else(|_| "http://localhost:8000".to_owned());
    let key = env::var("PARLOR_API_KEY").map_err(|_| "set PARLOR_API_KEY to your tenant's API key")?;
    let desk = Desk { client: Client::new(url, key)?, name: Uuid::new_v4() };

    let worked = desk.work().await;
    let cleared = desk.clear().await;
    worked?;
    cleared?;
    println!("done");
    Ok(())
}

impl Desk {
    async fn work(&self) -> Result<(), Box<dyn Error>> {
        let since = SystemTime::now();
        let ada = format!("ada-{}", self.name);
        let printer = self.open(&ada, "Printer on fire", "technical").await?;
        self.open(&ada, "Invoice twice", "billing").await?;
        self.open(&format!("grace-{}", self.name), "Moth in the relay", "technical").await?;

        self.admit(printer.id, &ada).await?;
        self.converse(printer.id).await?;
        self.show_open("technical", since).await?;
        self.read(printer.id).await?;
        self.resolve(printer.id).await?;
        self.show_open("technical", since).await?;
        self.show_customer(&ada).await
    }

    async fn open(&self, customer: &str, title: &str, department: &str) -> Result<Chat, parlor_sdk::Error> {
        let case = Case { department: department.to_owned(), desk: self.name, resolution: None };
        let chat = self.client.create_chat(NewChat::new(customer).title(title).metadata(case)).await?;
        println!("opened \"{title}\" for {department}: {}", chat.id);
        Ok(chat)
    }

    /// What the customer's browser connects with, since the key must not leave this program.
    async fn admit(&self, chat: Uuid, customer: &str) -> Result<(), parlor_sdk::Error> {
        let ticket = self.client.create_ticket(chat, customer).await?;
        println!("{customer} may connect once, until {}", ticket.expires_at);
        Ok(())
    }

    async fn converse(&self, chat: Uuid) -> Result<(), parlor_sdk::Error> {
        let question = NewMessage::new("My printer is on fire.").metadata(json!({"mood": "worried"}));
        self.client.send_message(chat, question).await?;
        let answer = NewMessage::new("Is it plugged in?").role(Role::Assistant).sender_id("helper-1");
        self.client.send_message(chat, answer).await?;
        let picture = NewMessage::new("Look:").media("image/jpeg", "https://example.com/fire.jpg");
        let stored = self.client.send_message(chat, picture).await?;
        println!("the conversation has {} messages", stored.seq);
        Ok(())
    }

    /// Which chats of a department wait for an answer, of the whole tenant.
    async fn show_open(&self, department: &str, since: SystemTime) -> Result<(), parlor_sdk::Error> {
        let open = ChatFilter::new()
            .status(Status::Active)
            // The server's clock need not be this machine's.
            .created_after(since - std::time::Duration::from_hours(1))
            .metadata("department", department)
            .metadata("desk", self.name);
        println!("open for {department}:");
        let mut chats = self.client.list_chats().filter(open).order(Order::Asc).items();
        while let Some(chat) = chats.next().await {
            let chat = chat?;
            println!("  {} ({} messages, {})", chat.title, chat.message_count, chat.status);
        }
        Ok(())
    }

    /// Two messages a page: the stream fetches the next page when it is needed.
    async fn read(&self, chat: Uuid) -> Result<(), parlor_sdk::Error> {
        let mut messages = self.client.list_messages(chat).limit(2).items();
        while let Some(message) = messages.next().await {
            let message = message?;
            println!("  {} {}: {}", message.seq, message.sender_role, message.content);
        }
        Ok(())
    }

    async fn resolve(&self, chat: Uuid) -> Result<(), Box<dyn Error>> {
        let patch = ChatPatch::new().metadata(json!({"resolution": "extinguished"})).close();
        let closed = self.client.update_chat(chat, patch).await?;
        let case: Case = closed.metadata_as()?;
        println!("\"{}\" is {}: {}", closed.title, closed.status, case.resolution.unwrap_or_default());

        match self.client.send_message(chat, NewMessage::new("One more thing …")).await {
            Err(error) if error.code() == Some(&Code::ChatClosed) => println!("a closed chat takes no messages"),
            Err(error) => return Err(error.into()),
            Ok(message) => return Err(format!("the closed chat took message {}", message.seq).into()),
        }
        let details = self.client.get_chat(chat).await?;
        println!("it still has {} messages", details.message_count);
        Ok(())
    }

    async fn show_customer(&self, customer: &str) -> Result<(), Box<dyn Error>> {
        let page = self.client.list_user_chats(customer).limit(10).await?;
        println!("{} chats of {customer}:", page.total.unwrap_or_default());
        for chat in page.items {
            println!("  {} ({})", chat.title, chat.metadata_as::<Case>()?.department);
        }
        Ok(())
    }

    /// Deletes the chats of this run. The list goes on at a cursor, so it skips none while they go.
    async fn clear(&self) -> Result<(), parlor_sdk::Error> {
        let mut chats = self.client.list_chats().filter(ChatFilter::new().metadata("desk", self.name)).items();
        while let Some(chat) = chats.next().await {
            let chat = chat?;
            self.client.delete_chat(chat.id).force().await?;
            println!("deleted \"{}\"", chat.title);
        }
        Ok(())
    }
}

//! An application with an API of its own, which answers with Parlor's `Chat`.
//!
//! The SDK's models implement `utoipa::ToSchema` (feature `utoipa`), so the application's `OpenAPI` document describes
//! them without a copy. The program prints that document:
//!
//! ```text
//! cargo run --release -p parlor-examples --example embed_in_utoipa
//! ```
//!
//! With `PARLOR_API_KEY` set it also opens a ticket, which creates a chat on the server at `PARLOR_URL`
//! (by default `http://localhost:8000`).

use std::env;
use std::error::Error;

use parlor_sdk::{Chat, Client, NewChat};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

/// A customer's question, the application's own type.
#[derive(Deserialize, ToSchema)]
struct NewTicket {
    /// Who asks.
    customer_id: String,
    /// What it is about.
    subject: String,
    /// Which department is to answer.
    department: String,
}

/// What the application keeps with the chat.
#[derive(Debug, Serialize, Deserialize)]
struct TicketMetadata {
    department: String,
}

/// Opens a ticket
///
/// The conversation about it takes place in the chat that is returned.
#[utoipa::path(
    post,
    path = "/tickets",
    request_body = NewTicket,
    responses(
        (status = 201, description = "The ticket's chat", body = Chat),
        (status = 502, description = "The chat server did not create a chat"),
    )
)]
async fn open_ticket(client: &Client, ticket: NewTicket) -> Result<Chat, parlor_sdk::Error> {
    let metadata = TicketMetadata { department: ticket.department };
    client.create_chat(NewChat::new(ticket.customer_id).title(ticket.subject).metadata(metadata)).await
}

/// The application's document. `Chat` and what it refers to are collected from the operation.
#[derive(OpenApi)]
#[openapi(info(title = "Support desk", version = "1.0.0", description = "Customers' questions"), paths(open_ticket))]
struct SupportDesk;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("{}", SupportDesk::openapi().to_pretty_json()?);

    let Ok(key) = env::var("PARLOR_API_KEY") else { return Ok(()) };
    let url = env::var("PARLOR_URL").unwrap_or_else(|_| "http://localhost:8000".to_owned());
    let client = Client::new(url, key)?;
    // What a request to the application's `/tickets` would hold.
    let ticket =
        serde_json::from_str(r#"{"customer_id": "user123", "subject": "Support Session", "department": "technical"}"#)?;
    let chat = open_ticket(&client, ticket).await?;
    let metadata: TicketMetadata = chat.metadata_as()?;
    eprintln!("The {} department answers in chat {}.", metadata.department, chat.id);
    Ok(())
}

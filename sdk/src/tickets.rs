//! The operation on tickets, and its models.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::call::{self, Call, Payload};
use crate::client::Client;
use crate::operation::CREATE_TICKET;
use crate::target;
use crate::wire::CreateTicketRequest;

/// Opens one WebSocket connection to one chat as one user: what [`Client::create_ticket`] answers.
///
/// It serialises to what the server answered, so that it can be handed on; `Debug` does not show the ticket.
///
/// ```
/// let ticket: parlor_sdk::Ticket = serde_json::from_value(serde_json::json!({
///     "ticket": "plt_0123456789ABCDEFGHIJKLMNOPQRSTUV",
///     "expires_at": "2024-01-15T10:31:00Z"
/// }))?;
/// assert!(ticket.ticket.starts_with("plt_"));
/// assert_eq!(format!("{ticket:?}"), "Ticket { ticket: ***, expires_at: 2024-01-15T10:31:00Z }");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "utoipa",
    derive(utoipa::ToSchema),
    schema(description = "Opens one WebSocket connection to one chat as one user.")
)]
#[non_exhaustive]
pub struct Ticket {
    /// The ticket, a secret until it is used or has expired.
    pub ticket: String,
    /// From when on it is refused.
    pub expires_at: DateTime<Utc>,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("ticket", &format_args!("***")).field("expires_at", &self.expires_at).finish()
    }
}

impl Client {
    /// Makes a ticket for a user, with which a browser connects to a chat without seeing the API key: once, and within a
    /// minute.
    ///
    /// The user need not be known yet, nor own the chat. The ticket ends with the key that made it, and with the chat.
    ///
    /// The call is repeated like the others, although it carries no `Idempotency-Key`: the server keeps no ticket that it
    /// could answer again. Should an answer be lost, another ticket is made, and the lost one expires.
    ///
    /// ```
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::ticket()]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// # let chat_id = parlor_sdk::uuid::Uuid::nil();
    /// let ticket = client.create_ticket(chat_id, "user123").await?;
    /// let for_the_browser = serde_json::to_string(&ticket)?;
    /// # assert!(for_the_browser.contains(&ticket.ticket));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get_chat`](Client::get_chat).
    pub fn create_ticket(&self, chat_id: Uuid, user_id: impl Into<String>) -> Call<Ticket> {
        let request = CreateTicketRequest { user_id: user_id.into() };
        let body = serde_json::to_vec(&request).expect("a string is JSON");
        let path = target::of_chat(CREATE_TICKET, chat_id);
        Call::new(self, CREATE_TICKET, Ok(path), Ok(Payload::Json(body.into())), call::json)
    }
}

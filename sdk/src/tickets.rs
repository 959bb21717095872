//! The operation on tickets, and its models.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::call::{self, Call, Payload};
use crate::client::Client;
use crate::operation::CREATE_TICKET;
use crate::path_and_query;

/// A single-use credential to open one WebSocket connection to one chat as one user: [`Client::create_ticket`].
///
/// It serializes to the server's JSON so that it can be passed on; `Debug` does not print the ticket.
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
    schema(description = "A single-use credential to open one WebSocket connection.")
)]
#[non_exhaustive]
pub struct Ticket {
    /// The ticket, a secret until it is used or expires.
    pub ticket: String,
    /// When the ticket expires.
    pub expires_at: DateTime<Utc>,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("ticket", &format_args!("***")).field("expires_at", &self.expires_at).finish()
    }
}

/// The request to create a ticket.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[cfg_attr(not(feature = "utoipa"), expect(unreachable_pub, reason = "public for the contract test"))]
pub struct CreateTicketRequest {
    /// The id of the user who will connect.
    #[cfg_attr(feature = "utoipa", schema(min_length = 1, max_length = 255))]
    pub user_id: String,
}

impl Client {
    /// Creates a ticket with which a browser connects to a chat without the API key. It can be used once, within a
    /// minute.
    ///
    /// The user need not exist yet, nor own the chat. Revoking the API key or deleting the chat invalidates the ticket.
    ///
    /// The call is retried although it has no `Idempotency-Key`, because the server does not store tickets that it
    /// could return again. If a response is lost, a retry creates another ticket, and the lost one expires.
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
    /// Same as [`get_chat`](Client::get_chat).
    pub fn create_ticket(&self, chat_id: Uuid, user_id: impl Into<String>) -> Call<Ticket> {
        let request = CreateTicketRequest { user_id: user_id.into() };
        let body = serde_json::to_vec(&request).expect("a string is JSON");
        let path = path_and_query::chat_path(CREATE_TICKET, chat_id);
        Call::new(self, CREATE_TICKET, Ok(path), Ok(Payload::Json(body.into())), call::decode_json)
    }
}

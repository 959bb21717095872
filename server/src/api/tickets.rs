//! Tickets.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{Object, OpenApi, types::Example};
use serde::Serialize;
use serde_json::json;

use super::Tag;
use crate::{
    auth::Caller,
    domain::{self, UserId},
    http::{
        body::{FromMembers, JsonBody, Members},
        operation::{Failure, Operation},
        path::Path,
        problem::Code,
        response::Issued,
    },
    service::Tickets,
    wire::values::{ChatId, RevealedTicket, Timestamp, example},
};

/// The operations.
pub(crate) struct TicketsApi;

#[OpenApi(prefix_path = "/api/v1/chats", tag = "Tag::Tickets")]
impl TicketsApi {
    /// Create Ticket
    ///
    /// Makes a ticket, with which one WebSocket connection to the chat can be opened as the user within 60 seconds. It
    /// is for where an API key must not be: fetch it where the key is, and hand it to the browser. It ends with the key
    /// that made it, and with the chat. The user need not be known yet, nor own the chat.
    ///
    /// There is no `Idempotency-Key`: only a hash of the ticket is kept, so there is no first answer to repeat. Repeating
    /// the request is safe all the same: it makes another ticket, and one that was lost on the way expires unused. The
    /// body may have at most 256 KiB.
    #[oai(path = "/:chat_id/tickets", method = "post", operation_id = "create_ticket")]
    async fn create_ticket(
        &self,
        caller: Caller,
        tickets: Data<&Arc<Tickets>>,
        /// The chat's `id`.
        #[oai(name = "chat_id")]
        chat: Path<ChatId>,
        body: JsonBody<CreateTicketRequest>,
    ) -> Result<Issued<Ticket>, Failure<CreateTicket>> {
        let CreateTicketRequest { user_id } = body.value()?;
        let issued = tickets.create_ticket(caller.tenant, caller.key, chat.0.0, user_id).await?;
        Ok(Issued::new(issued.into()))
    }
}

/// See [`TicketsApi::create_ticket`].
pub(crate) struct CreateTicket;

impl Operation for CreateTicket {
    const ID: &'static str = "create_ticket";
    const CODES: &'static [Code] =
        &[Code::InvalidRequest, Code::ChatNotFound, Code::PayloadTooLarge, Code::UnsupportedMediaType];
    const WRONG: (&'static str, &'static str) = ("/user_id", "is required");
    type Query = ();
}

/// What a ticket is made from.
#[derive(Debug, Object)]
#[oai(example)]
struct CreateTicketRequest {
    /// The ID of the user who will connect. 1–255 characters, no control characters.
    user_id: UserId,
}

impl FromMembers for CreateTicketRequest {
    fn from_members(members: &mut Members<'_>) -> Option<Self> {
        Some(Self { user_id: members.required("user_id")? })
    }
}

impl Example for CreateTicketRequest {
    fn example() -> Self {
        example(json!({ "user_id": "user123" }))
    }
}

/// What opens one connection.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct Ticket {
    /// The ticket. Shown once, good once.
    ticket: RevealedTicket,
    /// Timestamp from which it is refused, UTC.
    expires_at: Timestamp,
}

impl From<domain::IssuedTicket> for Ticket {
    fn from(issued: domain::IssuedTicket) -> Self {
        Self { ticket: RevealedTicket(issued.ticket), expires_at: Timestamp(issued.expires_at) }
    }
}

impl Example for Ticket {
    fn example() -> Self {
        example(json!({ "ticket": "plt_0123456789ABCDEFGHIJKLMNOPQRSTUV", "expires_at": "2024-01-15T10:31:00Z" }))
    }
}

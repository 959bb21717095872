//! What can be done with tickets.

use std::time::Duration;

use uuid::Uuid;

use crate::{
    base::{
        clock::{Moments, STEP_BACK_TOLERANCE},
        error::{Error, Result},
    },
    domain::{IssuedTicket, Redemption, TenantId, Ticket, TicketGrant, UserId},
    store::Store,
};

/// What can be done with tickets.
#[derive(Debug, Clone)]
pub struct Tickets {
    store: Store,
    moments: Moments,
    lifetime: Duration,
}

impl Tickets {
    /// Works on `store`, with times from `moments`; what it issues is good for `lifetime`.
    pub fn new(store: Store, moments: Moments, lifetime: Duration) -> Self {
        Self { store, moments, lifetime }
    }

    /// Issues a ticket; returns after commit. The user need not be known yet, nor own the chat: whoever holds the key
    /// decides who joins.
    ///
    /// # Errors
    /// [`Error::ChatNotFound`], [`Error::Unavailable`].
    pub async fn create_ticket(
        &self,
        tenant: TenantId,
        key: Uuid,
        chat_id: Uuid,
        user_id: UserId,
    ) -> Result<IssuedTicket> {
        let ticket = Ticket::generate(&mut rand::rng());
        let expires_at = self.moments.now() + self.lifetime;
        let grant = TicketGrant { tenant, key, chat_id, user_id };
        if self.store.create_ticket(&ticket.hash(), &grant, expires_at).await? {
            Ok(IssuedTicket { ticket, expires_at })
        } else {
            Err(Error::ChatNotFound)
        }
    }

    /// Takes a ticket and tells what it was good for; where `chat` is named, it must be the ticket's. Of many who present
    /// one ticket one gets the grant, on whatever node.
    ///
    /// A ticket that expires later than one issued now would, by more than [`STEP_BACK_TOLERANCE`], was issued while a
    /// clock was ahead; it is refused as well, since it would be good for as long as that clock was wrong.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: then the ticket may be used or not.
    pub async fn redeem(&self, ticket: &Ticket, chat: Option<Uuid>) -> Result<Redemption> {
        let (hash, now) = (ticket.hash(), self.moments.now());
        if let Some(grant) =
            self.store.redeem_ticket(&hash, chat, now, now + self.lifetime + STEP_BACK_TOLERANCE).await?
        {
            return Ok(Redemption::Granted(grant));
        }
        let is_of_other_chat = match chat {
            Some(named) => self.store.ticket_chat(&hash).await?.is_some_and(|chat| chat != named),
            None => false,
        };
        Ok(if is_of_other_chat { Redemption::OtherChat } else { Redemption::Refused })
    }
}

//! A ticket: a secret that opens one connection.

use std::fmt;

use chrono::{DateTime, Utc};
use rand::CryptoRng;
use uuid::Uuid;

use super::{TenantId, UserId};
use crate::base::secret::{RANDOM_CHARS, SecretHash, random_text};

/// What opens one connection to one chat as one user, once and soon: `plt_` and 32 random base-62 characters. It stands
/// in the query of a WebSocket's URL, where an API key does not belong. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(String);

impl Ticket {
    /// What every ticket starts with.
    pub const PREFIX: &str = "plt_";
    /// The rule as a regular expression.
    pub const PATTERN: &str = "^plt_[0-9A-Za-z]{32}$";
    /// Characters of every ticket.
    pub const CHARS: usize = Self::PREFIX.len() + RANDOM_CHARS;

    /// Makes a new ticket from `random`.
    pub fn generate(random: &mut impl CryptoRng) -> Self {
        Self(format!("{}{}", Self::PREFIX, random_text(random)))
    }

    /// Takes a ticket that somebody presents; `None` when no ticket can look like that.
    pub fn presented(text: &str) -> Option<Self> {
        let random = text.strip_prefix(Self::PREFIX)?;
        let is_random = random.len() == RANDOM_CHARS && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_random.then(|| Self(text.to_owned()))
    }

    /// What is stored of the ticket.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }

    /// The ticket itself. The only way to it, so that a search for its callers finds every place that could leak one.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket(***)")
    }
}

/// What a ticket is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketGrant {
    /// Whose chat it is.
    pub tenant: TenantId,
    /// The API key that made the ticket. What the ticket opened ends with it.
    pub key: Uuid,
    /// Which chat may be connected to.
    pub chat_id: Uuid,
    /// Who connects.
    pub user_id: UserId,
}

/// The outcome of presenting a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redemption {
    /// The ticket was valid, and is used now.
    Granted(TicketGrant),
    /// The ticket is for another chat than the one that was named, and was left unused.
    OtherChat,
    /// The ticket is unknown, used or expired, its chat is gone, or the key that made it is not valid any more.
    Refused,
}

impl Redemption {
    /// What the ticket was good for, if it was valid.
    pub fn granted(self) -> Option<TicketGrant> {
        match self {
            Self::Granted(grant) => Some(grant),
            Self::OtherChat | Self::Refused => None,
        }
    }
}

/// A new ticket: the only moment at which it can be shown.
#[derive(Debug)]
pub struct IssuedTicket {
    /// The ticket itself.
    pub ticket: Ticket,
    /// From when on it is refused.
    pub expires_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    fn ticket() -> Ticket {
        Ticket::generate(&mut StdRng::seed_from_u64(7))
    }

    #[test]
    fn what_looks_like_a_ticket_is_presented_and_nothing_else() {
        let ticket = ticket();
        let text = ticket.reveal();
        assert_eq!(text.len(), Ticket::CHARS);
        assert_eq!(Ticket::presented(text), Some(ticket.clone()));
        for wrong in ["", "plt_", &text[4..], &text[..35], &format!("{text}x"), &text.replace("plt_", "plr_")] {
            assert_eq!(Ticket::presented(wrong), None, "{wrong}");
        }
        assert_eq!(Ticket::presented(&format!("plt_{}", "é".repeat(16))), None);
        assert_eq!(Ticket::presented(&format!("plt_{}", "-".repeat(32))), None);
    }

    #[test]
    fn nothing_printable_shows_the_ticket() {
        let ticket = ticket();
        let issued = IssuedTicket { ticket: ticket.clone(), expires_at: DateTime::UNIX_EPOCH };
        let printed = format!("{ticket:?} {ticket:#?} {issued:?} {:?}", ticket.hash());
        assert!(!printed.contains(&ticket.reveal()[4..]), "{printed}");
    }
}

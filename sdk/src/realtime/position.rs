//! Where in the chat the stream is, and what comes next.

use crate::realtime::event::{Connected, Gap};

/// The last place that the stream has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// None before the first connection of a session that begins wherever the chat is.
    at: Option<u64>,
    /// After which place the server is asked a second time for what it left out.
    asked_again: Option<u64>,
}

/// What to do with something that has a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is the next one.
    Next,
    /// It has been shown: a repeated acknowledgement, which has the place of the first one.
    Repeated,
    /// Something is missing before it, which another connection may bring.
    Early,
    /// It is the next one that there is.
    After(Gap),
}

impl Position {
    pub(crate) fn new(after_seq: Option<u64>) -> Self {
        Self { at: after_seq, asked_again: None }
    }

    /// What to ask the server for.
    pub(crate) fn after_seq(self) -> Option<u64> {
        self.at
    }

    pub(crate) fn connected(&mut self, connected: &Connected) -> Option<Gap> {
        let asked = self.at;
        if connected.resumed && asked.is_some() {
            return None;
        }
        *self = Self::new(Some(connected.last_seq));
        // A place that was asked for and is not there is of a history that the server does not have any more.
        asked.map(|_| Gap { after_seq: 0, next_seq: connected.last_seq.saturating_add(1) })
    }

    /// `may_ask_again`: whether there can be another connection. Where one has not helped, the next would not either.
    pub(crate) fn admit(&mut self, seq: u64, may_ask_again: bool) -> Admission {
        let at = self.at.unwrap_or(0);
        if seq <= at {
            return Admission::Repeated;
        }
        if seq == at.saturating_add(1) {
            self.at = Some(seq);
            return Admission::Next;
        }
        if may_ask_again && self.asked_again != Some(at) {
            self.asked_again = Some(at);
            return Admission::Early;
        }
        self.at = Some(seq);
        Admission::After(Gap { after_seq: at, next_seq: seq })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected(last_seq: u64, resumed: bool) -> Connected {
        serde_json::from_value(serde_json::json!({
            "timestamp": "2024-01-15T10:31:00Z", "user_id": "u", "chat_id": uuid::Uuid::nil(), "tenant_id": "t",
            "last_seq": last_seq, "resumed": resumed
        }))
        .unwrap()
    }

    #[test]
    fn who_knows_nothing_begins_where_the_chat_is() {
        let mut position = Position::new(None);
        assert_eq!(position.after_seq(), None);
        assert_eq!(position.connected(&connected(7, false)), None);
        assert_eq!(position.after_seq(), Some(7));
        assert_eq!(position.admit(8, false), Admission::Next);
    }

    #[test]
    fn each_place_is_shown_once_and_in_order() {
        let mut position = Position::new(Some(0));
        assert_eq!(position.connected(&connected(0, true)), None);
        for (seq, expected) in [(1, Admission::Next), (1, Admission::Repeated), (2, Admission::Next)] {
            assert_eq!(position.admit(seq, true), expected);
        }
        assert_eq!(position.after_seq(), Some(2));
    }

    #[test]
    fn what_is_missing_is_asked_for_once_and_then_a_gap() {
        let mut position = Position::new(Some(2));
        assert_eq!(position.admit(5, true), Admission::Early);
        assert_eq!(position.after_seq(), Some(2));
        assert_eq!(position.connected(&connected(5, true)), None);
        assert_eq!(position.admit(5, true), Admission::After(Gap { after_seq: 2, next_seq: 5 }));
        assert_eq!(position.admit(4, true), Admission::Repeated);
        assert_eq!(position.admit(7, true), Admission::Early, "another place");
        assert_eq!(position.admit(6, true), Admission::Next);
        assert_eq!(position.admit(9, false), Admission::After(Gap { after_seq: 6, next_seq: 9 }));
    }

    #[test]
    fn a_server_that_has_less_is_read_anew() {
        let mut position = Position::new(Some(9));
        assert_eq!(position.connected(&connected(4, false)), Some(Gap { after_seq: 0, next_seq: 5 }));
        assert_eq!(position.admit(5, false), Admission::Next);
        let mut position = Position::new(Some(9));
        assert_eq!(position.connected(&connected(0, false)), Some(Gap { after_seq: 0, next_seq: 1 }));
    }
}

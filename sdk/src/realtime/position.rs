//! Where in the chat the stream is, and what comes next.

use crate::realtime::event::{Connected, Gap};

/// The last place that the stream has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// None before the first connection of a session that begins wherever the chat is.
    at: Option<u64>,
    /// Up to here, messages that were stored before the connection was opened are being read again.
    replayed_until: u64,
}

/// What to do with something that has a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is the next one.
    Next,
    /// It has been shown.
    Repeated,
    /// It will be shown when the replay comes to it.
    Early,
    /// It is the next one that there is.
    After(Gap),
}

impl Position {
    pub(crate) fn new(after_seq: Option<u64>) -> Self {
        Self { at: after_seq, replayed_until: 0 }
    }

    /// What to ask the server for.
    pub(crate) fn after_seq(self) -> Option<u64> {
        self.at
    }

    pub(crate) fn connected(&mut self, connected: &Connected) -> Option<Gap> {
        self.replayed_until = connected.last_seq;
        let asked = self.at;
        if connected.resumed && asked.is_some() {
            return None;
        }
        self.at = Some(connected.last_seq);
        // A place that was asked for and is not there is of a history that the server does not have any more.
        asked.map(|_| Gap { after_seq: 0, next_seq: connected.last_seq.saturating_add(1) })
    }

    /// `is_receipt`: an acknowledgement of what was sent before carries the place it got then, whatever the stream has
    /// come to.
    pub(crate) fn admit(&mut self, seq: u64, is_receipt: bool) -> Admission {
        let at = self.at.unwrap_or(0);
        if seq <= at {
            return Admission::Repeated;
        }
        let next = at.saturating_add(1);
        if seq > next && is_receipt && at < self.replayed_until {
            return Admission::Early;
        }
        self.at = Some(seq);
        if seq == next { Admission::Next } else { Admission::After(Gap { after_seq: at, next_seq: seq }) }
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
        assert_eq!(position.admit(1, false), Admission::Next);
        assert_eq!(position.admit(1, true), Admission::Repeated);
        assert_eq!(position.admit(2, true), Admission::Next);
        assert_eq!(position.admit(5, false), Admission::After(Gap { after_seq: 2, next_seq: 5 }));
        assert_eq!(position.admit(4, false), Admission::Repeated);
        assert_eq!(position.after_seq(), Some(5));
        assert_eq!(position.admit(7, true), Admission::After(Gap { after_seq: 5, next_seq: 7 }));
    }

    #[test]
    fn an_acknowledgement_does_not_run_ahead_of_the_replay() {
        let mut position = Position::new(Some(3));
        assert_eq!(position.connected(&connected(6, true)), None);
        assert_eq!(position.admit(6, true), Admission::Early);
        assert_eq!(position.admit(4, false), Admission::Next);
        assert_eq!(position.admit(5, true), Admission::Next);
        assert_eq!(position.admit(5, false), Admission::Repeated);
        assert_eq!(position.admit(6, false), Admission::Next);
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

//! The position of a session in the chat, and the order of its messages.

use crate::realtime::event::{Connected, Gap};

/// The last sequence number that the stream has yielded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamPosition {
    /// None before the first connection of a session without `after_seq`.
    at: Option<u64>,
    /// The position at which the server was already asked again for skipped messages.
    asked_again_at: Option<u64>,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Deliver it: it is the next one.
    Next,
    /// Drop it: it was delivered before, for example a repeated acknowledgement with the seq of the first one.
    Duplicate,
    /// Reconnect: messages before it are missing.
    OutOfOrder,
    /// Deliver it after the gap.
    AfterGap(Gap),
}

impl StreamPosition {
    pub(crate) fn new(after_seq: Option<u64>) -> Self {
        Self { at: after_seq, asked_again_at: None }
    }

    /// Returns the `after_seq` of the next connection.
    pub(crate) fn after_seq(self) -> Option<u64> {
        self.at
    }

    pub(crate) fn connected(&mut self, connected: &Connected) -> Option<Gap> {
        let asked = self.at;
        if connected.resumed && asked.is_some() {
            return None;
        }
        *self = Self::new(Some(connected.last_seq));
        // The server no longer has the message that the session asked to continue after.
        asked.map(|_| Gap { after_seq: 0, next_seq: connected.last_seq.saturating_add(1) })
    }

    /// `may_reconnect` is whether the session may reconnect. It reconnects once per position, because a second time
    /// would not help.
    pub(crate) fn admit(&mut self, seq: u64, may_reconnect: bool) -> Admission {
        let at = self.at.unwrap_or(0);
        if seq <= at {
            return Admission::Duplicate;
        }
        if seq == at.saturating_add(1) {
            self.at = Some(seq);
            return Admission::Next;
        }
        if may_reconnect && self.asked_again_at != Some(at) {
            self.asked_again_at = Some(at);
            return Admission::OutOfOrder;
        }
        self.at = Some(seq);
        Admission::AfterGap(Gap { after_seq: at, next_seq: seq })
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
    fn without_after_seq_the_position_is_the_last_seq() {
        let mut position = StreamPosition::new(None);
        assert_eq!(position.after_seq(), None);
        assert_eq!(position.connected(&connected(7, false)), None);
        assert_eq!(position.after_seq(), Some(7));
        assert_eq!(position.admit(8, false), Admission::Next);
    }

    #[test]
    fn each_seq_is_admitted_once_and_in_order() {
        let mut position = StreamPosition::new(Some(0));
        assert_eq!(position.connected(&connected(0, true)), None);
        for (seq, expected) in [(1, Admission::Next), (1, Admission::Duplicate), (2, Admission::Next)] {
            assert_eq!(position.admit(seq, true), expected);
        }
        assert_eq!(position.after_seq(), Some(2));
    }

    #[test]
    fn skipped_messages_are_requested_once_and_then_a_gap() {
        let mut position = StreamPosition::new(Some(2));
        assert_eq!(position.admit(5, true), Admission::OutOfOrder);
        assert_eq!(position.after_seq(), Some(2));
        assert_eq!(position.connected(&connected(5, true)), None);
        assert_eq!(position.admit(5, true), Admission::AfterGap(Gap { after_seq: 2, next_seq: 5 }));
        assert_eq!(position.admit(4, true), Admission::Duplicate);
        assert_eq!(position.admit(7, true), Admission::OutOfOrder, "at another position");
        assert_eq!(position.admit(6, true), Admission::Next);
        assert_eq!(position.admit(9, false), Admission::AfterGap(Gap { after_seq: 6, next_seq: 9 }));
    }

    #[test]
    fn a_server_with_fewer_messages_causes_a_gap() {
        let mut position = StreamPosition::new(Some(9));
        assert_eq!(position.connected(&connected(4, false)), Some(Gap { after_seq: 0, next_seq: 5 }));
        assert_eq!(position.admit(5, false), Admission::Next);
        let mut position = StreamPosition::new(Some(9));
        assert_eq!(position.connected(&connected(0, false)), Some(Gap { after_seq: 0, next_seq: 1 }));
    }
}

//! What a client sends: one text frame, a JSON object. Without a `type` it is a message, as the family has it.

use std::borrow::Cow;

use poem_openapi::Object;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    event::{MessageReceived, Pong},
    frame_spec::{Event as _, Frame, Kind},
};
use crate::{
    base::validation::Violation,
    domain::{ClientMessageId, Content, Metadata},
    http::{
        body::{FromMembers, Members, parse},
        field_error::FieldError,
        schema::{FromMember, text},
    },
};

/// A client's frame, checked.
#[derive(Debug)]
pub(crate) enum ClientFrame {
    Message(ClientMessage),
    Typing,
    Cancel,
    Ping,
}

/// Says something.
///
/// Answered by `message_received` once it is stored, or by `error`. Everybody else in the chat gets `message_created`.
#[derive(Debug, Object)]
#[expect(clippy::struct_field_names, reason = "members are named as REST names them")]
pub(crate) struct ClientMessage {
    /// What is said: 1–32,768 characters.
    pub(crate) content: Content,
    /// Any JSON, at most 16 KiB without white space and 32 levels deep.
    #[oai(nullable)]
    pub(crate) metadata: Option<Metadata>,
    /// The sender's own name for the message, unique in the chat among the messages of that sender: the same again gets the
    /// first one's acknowledgement.
    #[oai(nullable)]
    pub(crate) client_message_id: Option<ClientMessageId>,
}

/// What is wrong with a frame, and the message that it wanted to be, if it says.
#[derive(Debug)]
pub(crate) struct BadFrame {
    pub(crate) detail: String,
    pub(crate) client_message_id: Option<ClientMessageId>,
}

impl ClientFrame {
    /// The words of `type`.
    const TYPES: [&'static str; 4] = [ClientMessage::TYPE, TypingFrame::TYPE, CancelFrame::TYPE, PingFrame::TYPE];

    /// Reads a frame.
    pub(crate) fn read(frame: &str) -> Result<Self, BadFrame> {
        let hint: Hint<'_> = serde_json::from_str(frame).unwrap_or_default();
        let read = match hint.r#type.as_deref() {
            None | Some(ClientMessage::TYPE) => parse(frame.as_bytes()).map(Self::Message),
            Some(TypingFrame::TYPE) => parse::<TypingFrame>(frame.as_bytes()).map(|_| Self::Typing),
            Some(CancelFrame::TYPE) => parse::<CancelFrame>(frame.as_bytes()).map(|_| Self::Cancel),
            Some(PingFrame::TYPE) => parse::<PingFrame>(frame.as_bytes()).map(|_| Self::Ping),
            Some(_) => Err(vec![FieldError::new("/type", format!("must be one of {}", Self::TYPES.join(", ")))]),
        };
        read.map_err(|errors| BadFrame {
            detail: sentence(&errors),
            client_message_id: hint.client_message_id.and_then(|id| ClientMessageId::new(id.into_owned()).ok()),
        })
    }
}

/// What decides how the rest is read. A frame in which it cannot be found is read as a message, and refused as one.
#[derive(Default, Deserialize)]
struct Hint<'a> {
    #[serde(borrow, default)]
    r#type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    client_message_id: Option<Cow<'a, str>>,
}

/// `type`, of which [`ClientFrame::read`] has seen that it is right.
struct Word;

impl FromMember for Word {
    fn from_member(json: &RawValue) -> Result<Self, Violation> {
        text(json).map(|_| Self)
    }
}

impl FromMembers for ClientMessage {
    fn from_members(members: &mut Members<'_>) -> Option<Self> {
        let word = members.optional::<Word>("type");
        let content = members.required("content");
        let metadata = members.optional("metadata");
        let client_message_id = members.optional("client_message_id");
        word?;
        Some(Self { content: content?, metadata: metadata?, client_message_id: client_message_id? })
    }
}

impl Frame for ClientMessage {
    const TYPE: &'static str = "message";
    const ANSWER: Option<&'static str> = Some(MessageReceived::TYPE);
}

/// Frames of nothing but their type.
macro_rules! bare {
    ($($(#[$about:meta])* $name:literal $frame:ident, $answer:expr;)+) => {
        $(#[derive(Debug, Object)]
        $(#[$about])*
        pub(crate) struct $frame {}

        impl FromMembers for $frame {
            fn from_members(members: &mut Members<'_>) -> Option<Self> {
                members.optional::<Word>("type").map(|_| Self {})
            }
        }

        impl Frame for $frame {
            const TYPE: &'static str = $name;
            const ANSWER: Option<&'static str> = $answer;
        })+
    };
}

bare! {
    /// Says that the user is typing.
    ///
    /// Every connection of another user in the chat gets `user_typing`. To be sent every few seconds while it goes on.
    "typing" TypingFrame, None;

    /// Stops the answer that streams in the chat.
    ///
    /// What has come of it is stored: `message_stream_ended` with the `finish_reason` `cancelled` follows. Nothing happens
    /// when no answer streams.
    "cancel" CancelFrame, None;

    /// Asks for a `pong`.
    ///
    /// For clients that cannot send WebSocket pings, as in a browser. Whatever a client sends shows that it is there.
    "ping" PingFrame, Some(Pong::TYPE);
}

/// All kinds of frames, for the document.
pub(crate) const KINDS: &[Kind] = &[
    Kind::of_frame::<ClientMessage>(),
    Kind::of_frame::<TypingFrame>(),
    Kind::of_frame::<CancelFrame>(),
    Kind::of_frame::<PingFrame>(),
];

/// All that is wrong, in a sentence that fits a frame.
fn sentence(errors: &[FieldError]) -> String {
    const SHOWN: usize = 8;
    let mut parts: Vec<String> = errors
        .iter()
        .take(SHOWN)
        .map(|error| match error.pointer() {
            "" => format!("The frame {}", error.detail()),
            pointer => format!("{pointer} {}", error.detail()),
        })
        .collect();
    if errors.len() > SHOWN {
        parts.push(format!("and {} more", errors.len() - SHOWN));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(frame: &str) -> String {
        ClientFrame::read(frame).unwrap_err().detail
    }

    #[test]
    fn a_frame_without_a_type_is_a_message() {
        for frame in [r#"{"content":"hi"}"#, r#"{"type":"message","content":"hi","metadata":null}"#] {
            let ClientFrame::Message(message) = ClientFrame::read(frame).unwrap() else { panic!("{frame}") };
            assert_eq!(message.content.as_str(), "hi");
        }
        assert!(matches!(ClientFrame::read(r#"{"type":"typing"}"#), Ok(ClientFrame::Typing)));
        assert!(matches!(ClientFrame::read(r#"{"type":"cancel"}"#), Ok(ClientFrame::Cancel)));
        assert!(matches!(ClientFrame::read(r#"{"type":"ping"}"#), Ok(ClientFrame::Ping)));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(refused("hello"), "The frame is not valid JSON at line 1, column 1");
        assert_eq!(refused("[]"), "The frame must be an object");
        assert_eq!(refused(r#"{"type":"shout"}"#), "/type must be one of message, typing, cancel, ping");
        assert_eq!(refused(r#"{"type":7,"content":"x"}"#), "/type must be a string");
        assert_eq!(refused(r#"{"content":""}"#), "/content must not be empty");
        assert_eq!(refused(r#"{"contnt":"x"}"#), "/content is required; /contnt is not a known member");
        assert_eq!(refused(r#"{"type":"ping","content":"x"}"#), "/content is not a known member");
    }

    #[test]
    fn a_refusal_names_the_message_it_is_about() {
        let refused = ClientFrame::read(r#"{"content":"","client_message_id":"m1"}"#).unwrap_err();
        assert_eq!(refused.client_message_id.unwrap().as_str(), "m1");
    }
}

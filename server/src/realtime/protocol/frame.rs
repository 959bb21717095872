//! What a client sends: one text frame, a JSON object. Without a `type` it is a message, as the family has it.

use std::borrow::Cow;

use poem_openapi::Object;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    chat::{ClientMessageId, Content, Metadata, Violation},
    http::{
        body::{FromMember, FromMembers, Members, parse, text},
        field_error::FieldError,
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
#[derive(Debug, Object)]
pub(crate) struct ClientMessage {
    /// What is said: 1–32,768 characters.
    pub(crate) content: Content,
    /// Any JSON, at most 16 KiB without white space and 32 levels deep.
    #[oai(nullable)]
    pub(crate) metadata: Option<Metadata>,
    /// The sender's own name for the message, unique in the chat: the same again gets the first one's acknowledgement.
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
    pub(crate) const TYPES: [&'static str; 4] = ["message", "typing", "cancel", "ping"];

    /// Reads a frame.
    pub(crate) fn read(frame: &str) -> Result<Self, BadFrame> {
        let hint: Hint<'_> = serde_json::from_str(frame).unwrap_or_default();
        let read = match hint.r#type.as_deref() {
            None | Some("message") => parse(frame.as_bytes()).map(Self::Message),
            Some("typing") => parse::<Bare>(frame.as_bytes()).map(|_| Self::Typing),
            Some("cancel") => parse::<Bare>(frame.as_bytes()).map(|_| Self::Cancel),
            Some("ping") => parse::<Bare>(frame.as_bytes()).map(|_| Self::Ping),
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

/// A frame of nothing but its type.
#[derive(Debug, Object)]
struct Bare {}

impl FromMembers for Bare {
    fn from_members(members: &mut Members<'_>) -> Option<Self> {
        members.optional::<Word>("type").map(|_| Self {})
    }
}

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

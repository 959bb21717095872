//! What the document shows of every kind of frame: events as the server would encode them, frames that it takes.

use chrono::{DateTime, Utc};
use poem_openapi::types::Example as _;
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

use super::{
    ErrorCode,
    event::{
        ChatUpdated, ConnectionEstablished, Failed, MessageCreated, MessageReceived, MessageStreamEnded,
        MessageStreamStarted, MessageStreamToken, Pong, Spoken, UserCreated, UserTyping, encode,
    },
    frame::{CancelFrame, ClientMessage, PingFrame, TypingFrame},
    frame_spec::{Event, Examples},
};
use crate::{
    domain::{ClientMessageId, FinishReason, UserId},
    http::schema::Integer,
    wire::{
        chat::ChatDetails,
        message::Message,
        values::{Count, Nullable, Timestamp},
    },
};

const TENANT: Uuid = uuid!("018d0c8d-11f0-7d02-9a44-6c1f0b7e2d10");
const CHAT: Uuid = uuid!("018d0c8e-5a40-7b7c-8c9d-0e1f2a3b4c5d");
const MESSAGE: Uuid = uuid!("018d0c8f-1b20-7c3e-9f10-5a6b7c8d9e0f");
const ANSWER: Uuid = uuid!("018d0c8f-1f08-7a61-8d52-3b4c5d6e7f80");

fn user() -> UserId {
    UserId::stored("user123".to_owned())
}

fn name() -> Nullable<ClientMessageId> {
    Nullable(ClientMessageId::new("9f1c2d3e".to_owned()).ok())
}

/// A minute after the chat of the other document's examples was created.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_705_314_660, 0).expect("a moment within range")
}

/// The frames of `events`.
fn frames<E: Event>(events: impl IntoIterator<Item = E>) -> Vec<Value> {
    let frame = |event| serde_json::from_str(&encode(&event, now())).expect("an event is JSON");
    events.into_iter().map(frame).collect()
}

impl Examples for ConnectionEstablished {
    fn examples() -> Vec<Value> {
        let last_seq = Count::nearest(0);
        frames([Self { user_id: user(), chat_id: CHAT, tenant_id: TENANT, last_seq, resumed: false }])
    }
}

impl Examples for UserCreated {
    fn examples() -> Vec<Value> {
        frames([Self { user_id: user() }])
    }
}

impl Examples for MessageReceived {
    fn examples() -> Vec<Value> {
        frames([Self {
            message_id: MESSAGE,
            chat_id: CHAT,
            user_id: Nullable(Some(user())),
            seq: Integer::nearest(1),
            client_message_id: name(),
            created_at: Timestamp(now()),
        }])
    }
}

impl Examples for MessageCreated {
    fn examples() -> Vec<Value> {
        frames([Self { message: Message::example(), chat_id: CHAT }])
    }
}

impl Examples for MessageStreamStarted {
    fn examples() -> Vec<Value> {
        frames([Self { message_id: ANSWER, chat_id: CHAT }])
    }
}

impl Examples for MessageStreamToken {
    fn examples() -> Vec<Value> {
        frames([Self::new(CHAT, ANSWER, "Leave ", 0), Self::new(CHAT, ANSWER, "the building.", 1)])
    }
}

impl Examples for MessageStreamEnded {
    fn examples() -> Vec<Value> {
        let stored = Self {
            message_id: ANSWER,
            chat_id: CHAT,
            content: Spoken("Leave the building.".to_owned()),
            seq: Nullable(Some(Integer::nearest(2))),
            finish_reason: FinishReason::Stop,
        };
        frames([stored, Self::empty(CHAT, ANSWER, FinishReason::Cancelled)])
    }
}

impl Examples for ChatUpdated {
    fn examples() -> Vec<Value> {
        frames([Self { chat: ChatDetails::example() }])
    }
}

impl Examples for UserTyping {
    fn examples() -> Vec<Value> {
        frames([Self { user_id: user(), chat_id: CHAT }])
    }
}

impl Examples for Pong {
    fn examples() -> Vec<Value> {
        frames([Self {}])
    }
}

/// One for every code.
impl Examples for Failed {
    fn examples() -> Vec<Value> {
        frames(ErrorCode::ALL.iter().map(|code| match code {
            ErrorCode::InvalidRequest => Self::detailed(*code, "/content must not be empty", name().0),
            ErrorCode::AssistantFailed => Self::new(*code, None),
            ErrorCode::PayloadTooLarge | ErrorCode::ChatClosed | ErrorCode::Unavailable | ErrorCode::Internal => {
                Self::new(*code, name().0)
            }
        }))
    }
}

impl Examples for ClientMessage {
    fn examples() -> Vec<Value> {
        let whole = json!({
            "type": "message",
            "content": "My printer is on fire.",
            "metadata": { "screen": "printers" },
            "client_message_id": "9f1c2d3e",
        });
        vec![whole, json!({ "content": "My printer is on fire." })]
    }
}

impl Examples for TypingFrame {
    fn examples() -> Vec<Value> {
        vec![json!({ "type": "typing" })]
    }
}

impl Examples for CancelFrame {
    fn examples() -> Vec<Value> {
        vec![json!({ "type": "cancel" })]
    }
}

impl Examples for PingFrame {
    fn examples() -> Vec<Value> {
        vec![json!({ "type": "ping" })]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ClientFrame, frame::KINDS};

    #[test]
    fn frames_that_are_shown_are_taken() {
        let examples: Vec<_> = KINDS.iter().flat_map(|kind| (kind.examples)()).collect();
        assert!(examples.len() > KINDS.len());
        for example in examples {
            assert!(ClientFrame::read(&example.to_string()).is_ok(), "{example}");
        }
    }
}

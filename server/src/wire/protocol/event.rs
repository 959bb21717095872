//! What the server sends: one text frame an event, a flat JSON object of `event_type`, `timestamp` and the event's own
//! members.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use serde::Serialize;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use uuid::Uuid;

use super::{
    error_code::ErrorCode,
    frame_spec::{Event, Kind},
};
use crate::{
    domain::{self, ClientMessageId, Content, FinishReason, UserId},
    http::schema::{Integer, Text, describe, text, text_schema},
    wire::{
        chat::ChatDetails,
        message::Message,
        values::{Count, Nullable, Timestamp},
    },
};

/// A message's place in its chat.
type Seq = Integer<1>;

/// All that an answer says; nothing, if it ended before it began.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Spoken(pub(crate) String);

describe!(Spoken, text_schema(0, Content::MAX_CHARS), |json| text(&json).map(Self), |value| {
    Some(value.0.as_str().into())
});

/// Describes a failure of the assistant that asking again does not change.
const NOT_RETRYABLE: &str =
    "The assistant could not answer, and asking the same again will not help. The message is stored.";

/// The frame that tells of `event`, which happened at `at`.
pub(crate) fn encode<E: Event>(event: &E, at: DateTime<Utc>) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Frame<'a, E> {
        event_type: &'static str,
        timestamp: Timestamp,
        #[serde(flatten)]
        event: &'a E,
    }

    let frame = Frame { event_type: E::TYPE, timestamp: Timestamp(at), event };
    serde_json::to_string(&frame).expect("an event is JSON").into()
}

macro_rules! events {
    ($($(#[$about:meta])* $name:literal $event:ident { $($(#[$note:meta])* $member:ident: $type:ty,)* })+) => {
        $(#[derive(Debug, Serialize, Object)]
        $(#[$about])*
        pub(crate) struct $event {
            $($(#[$note])* pub(crate) $member: $type,)*
        }

        impl Event for $event {
            const TYPE: &'static str = $name;
        })+

        /// All kinds of events, for the document.
        pub(crate) const KINDS: &[Kind] = &[$(Kind::of_event::<$event>()),+];
    };
}

events! {
    /// The first event of every connection.
    ///
    /// Says who is connected to what, and where the messages that follow begin: after `after_seq` if `resumed`, else after
    /// `last_seq`.
    "connection_established" ConnectionEstablished {
        /// Who is connected.
        user_id: UserId,
        /// The chat.
        chat_id: Uuid,
        /// The tenant that the credentials belong to.
        tenant_id: Uuid,
        /// The `seq` of the chat's last message; 0 when it has none. Live messages go on from here.
        last_seq: Count,
        /// Whether everything after `after_seq` follows. False without `after_seq`, and when the server has fewer
        /// messages than it says: then read the chat anew.
        resumed: bool,
    }

    /// The connection made its user.
    ///
    /// Follows `connection_established` when the tenant had no such user before.
    "user_created" UserCreated {
        /// The new user.
        user_id: UserId,
    }

    /// This connection's own message is stored.
    ///
    /// Sent after the commit, in the order of `seq` with everything else. The same `client_message_id` again is answered
    /// by the first one's acknowledgement, whose `seq` is an old one.
    "message_received" MessageReceived {
        /// The message's id.
        message_id: Uuid,
        /// The chat.
        chat_id: Uuid,
        /// Who sent it.
        user_id: Nullable<UserId>,
        /// Its place in the chat: from 1, without gaps.
        seq: Seq,
        /// The sender's own name for it; null if it gave none.
        client_message_id: Nullable<ClientMessageId>,
        /// When it was stored.
        created_at: Timestamp,
    }

    /// A message that somebody else sent, or one of a replay.
    ///
    /// It is the message that `list_messages` shows. When its id is that of an answer that streams, the stream is over.
    "message_created" MessageCreated {
        /// The message.
        message: Message,
        /// The chat.
        chat_id: Uuid,
    }

    /// The assistant begins to answer.
    ///
    /// Who joins while an answer streams gets this, too, and then all that was said so far as one token.
    "message_stream_started" MessageStreamStarted {
        /// The id that the answer will be stored under.
        message_id: Uuid,
        /// The chat.
        chat_id: Uuid,
    }

    /// The next piece of an answer.
    ///
    /// To be shown at once. What is stored in the end is the `content` of `message_stream_ended`.
    "message_stream_token" MessageStreamToken {
        /// The answer's id.
        message_id: Uuid,
        /// The chat.
        chat_id: Uuid,
        /// The text, to be appended.
        token: Text<{ Content::MAX_CHARS }>,
        /// Its place in the answer, from 0; of a piece that holds several, that of the last.
        index: Count,
    }

    /// The answer is over, and stored unless it is empty.
    ///
    /// It takes its place in the order of `seq` like a `message_created`, and no such event follows for it.
    "message_stream_ended" MessageStreamEnded {
        /// The answer's id.
        message_id: Uuid,
        /// The chat.
        chat_id: Uuid,
        /// All of it.
        content: Spoken,
        /// Its place in the chat; null when nothing was said and so nothing stored.
        seq: Nullable<Seq>,
        /// Why it ended: `stop`, it is complete; `length`, it was cut by the model's limit of tokens or that of a message;
        /// `cancelled`, a user stopped it or the chat was closed; `interrupted`, the server stopped; `error`, the assistant
        /// failed.
        finish_reason: FinishReason,
    }

    /// The chat's title, metadata or status was changed.
    ///
    /// Sent to every open connection of the chat. Not stored: it has no place in the order of `seq`, and a connection that is
    /// opened later reads the chat by REST. Of several changes that come while a connection replays, it gets the last one.
    "chat_updated" ChatUpdated {
        /// The chat as it is now.
        chat: ChatDetails,
    }

    /// Another user is typing.
    ///
    /// Sent to the connections of all other users, not to further connections of the same user. Of the moment: not stored,
    /// not replayed. A client forgets it after a few seconds.
    "user_typing" UserTyping {
        /// Who.
        user_id: UserId,
        /// Where.
        chat_id: Uuid,
    }

    /// The answer to a `ping`.
    ///
    /// The answer to a WebSocket ping is a WebSocket pong, of which most clients see nothing.
    "pong" Pong {}

    /// Something that the client asked for did not happen.
    ///
    /// The connection stays open. Decide by `code`, and treat one that is not known by `retryable`. All connections of a
    /// chat get `assistant_failed`: when the assistant fails, when the server stops before it has answered, and once after
    /// going live in a chat whose last message is a question that an earlier process of the server has left unanswered.
    /// That question is stored and not answered any more; ask again under a new `client_message_id` if `retryable` is true.
    /// It is false where asking again does not help, such as when the provider refuses the server's settings.
    #[oai(rename = "ErrorEvent")]
    "error" Failed {
        /// What went wrong, as a stable word. New words may be added.
        code: Text<64>,
        /// What went wrong, in a sentence for people.
        message: Text<1024>,
        /// Whether the same again may succeed.
        retryable: bool,
        /// The message it is about; null if that had no name, or it is about none.
        client_message_id: Nullable<ClientMessageId>,
    }
}

impl MessageReceived {
    pub(crate) fn of(message: &domain::Message) -> Self {
        Self {
            message_id: message.id,
            chat_id: message.chat_id,
            user_id: Nullable(message.sender_id.clone()),
            seq: Seq::nearest(message.seq),
            client_message_id: Nullable(message.client_message_id.clone()),
            created_at: Timestamp(message.created_at),
        }
    }
}

impl MessageCreated {
    pub(crate) fn of(message: domain::Message) -> Self {
        Self { chat_id: message.chat_id, message: message.into() }
    }
}

impl MessageStreamToken {
    pub(crate) fn new(chat_id: Uuid, message_id: Uuid, token: &str, index: u32) -> Self {
        Self { message_id, chat_id, token: Text::cut(token.to_owned()), index: Count::nearest(index) }
    }
}

impl Failed {
    /// With the code's own sentence.
    pub(crate) fn new(code: ErrorCode, client_message_id: Option<ClientMessageId>) -> Self {
        Self::detailed(code, code.sentence(), client_message_id)
    }

    /// With a more exact sentence.
    pub(crate) fn detailed(
        code: ErrorCode,
        message: impl Into<Cow<'static, str>>,
        client_message_id: Option<ClientMessageId>,
    ) -> Self {
        Self {
            code: Text::cut(code.as_str()),
            message: Text::cut(message),
            retryable: code.is_retryable(),
            client_message_id: Nullable(client_message_id),
        }
    }
}

impl Failed {
    /// Reports that the assistant failed; `retryable` says whether asking again can help.
    pub(crate) fn assistant(retryable: bool) -> Self {
        let failed = Self::new(ErrorCode::AssistantFailed, None);
        if retryable { failed } else { Self { message: Text::cut(NOT_RETRYABLE), retryable, ..failed } }
    }
}

impl MessageStreamEnded {
    pub(crate) fn of(message: &domain::Message, finish_reason: FinishReason) -> Self {
        Self {
            message_id: message.id,
            chat_id: message.chat_id,
            content: Spoken(message.content.as_str().to_owned()),
            seq: Nullable(Some(Seq::nearest(message.seq))),
            finish_reason,
        }
    }

    /// Of an answer of which nothing came.
    pub(crate) fn empty(chat_id: Uuid, message_id: Uuid, finish_reason: FinishReason) -> Self {
        Self { message_id, chat_id, content: Spoken(String::new()), seq: Nullable(None), finish_reason }
    }
}

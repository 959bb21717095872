//! What happens in a live session.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::message::Message;
use crate::model::ChatDetails;
use crate::problem::Code;
use crate::words::words;

/// What a [`Session`](crate::Session) tells the application.
///
/// What the server sends keeps its name and its members. `Disconnected` and `Gap` are the session's own.
///
/// **The order.** Every message of the chat has its place, its [`seq`](Event::seq). The stream shows each place once and
/// in ascending order, in whatever form it comes: [`MessageCreated`] for the messages of others and for all that is
/// read again after a reconnect, [`MessageReceived`] for what this session has sent, [`MessageStreamEnded`] for the
/// answers of an assistant. Where places are missing, a [`Gap`] says so.
///
/// **Something new.** An event that this version does not know, or not in this form, is [`Event::Unknown`]; members that
/// it does not know are skipped, words are kept ([`FinishReason::Other`]).
///
/// An event for a test is read from JSON:
///
/// ```
/// use parlor_sdk::Event;
///
/// let event = Event::from_json(r#"{
///     "event_type": "message_stream_token",
///     "timestamp": "2024-01-15T10:31:00.25Z",
///     "message_id": "018d0c8f-1b20-7c3e-9f10-5a6b7c8d9e0f",
///     "chat_id": "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d",
///     "token": "Hel",
///     "index": 0
/// }"#);
/// let Event::MessageStreamToken(token) = event else { panic!("{event:?}") };
/// assert_eq!((token.token.as_str(), token.index), ("Hel", 0));
///
/// let event = Event::from_json(r#"{"event_type": "of_a_newer_server", "timestamp": "2024-01-15T10:31:00Z"}"#);
/// let Event::Unknown(unknown) = event else { panic!("{event:?}") };
/// assert_eq!(unknown.event_type, "of_a_newer_server");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A connection is open: the first event of a session, and again after every [`Event::Disconnected`].
    Connected(Connected),
    /// The connection is lost. The session opens another one by itself.
    Disconnected(Disconnected),
    /// Messages that the stream does not show.
    Gap(Gap),
    /// The user of this session did not exist before.
    UserCreated(UserCreated),
    /// A message that this session has sent is stored. [`Receipt`](crate::Receipt) is the same for who has sent it.
    MessageReceived(MessageReceived),
    /// A message is stored: somebody else's, or any when it is read again after a reconnect.
    MessageCreated(MessageCreated),
    /// An assistant begins to answer. When it is said again after a reconnect, the text begins anew.
    MessageStreamStarted(MessageStreamStarted),
    /// The next piece of the answer.
    MessageStreamToken(MessageStreamToken),
    /// The answer is complete, or cut short.
    MessageStreamEnded(MessageStreamEnded),
    /// The chat's title, metadata or status was changed.
    ChatUpdated(ChatUpdated),
    /// Another user is typing.
    UserTyping(UserTyping),
    /// Something went wrong at the server that concerns no message waiting in [`send`](crate::Sender::send).
    Error(ErrorEvent),
    /// What this version does not understand.
    Unknown(UnknownEvent),
}

/// Makes the struct of an event from the server, with the member that all have.
macro_rules! event {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
        #[non_exhaustive]
        pub struct $name {
            /// When the server sent it, by its clock.
            pub timestamp: DateTime<Utc>,
            $($(#[$field_doc])* pub $field: $type,)*
        }
    };
}

event! {
    /// A connection is open (`connection_established`).
    Connected {
        /// The session's user.
        user_id: String,
        /// The session's chat.
        chat_id: Uuid,
        /// The tenant of the API key.
        tenant_id: String,
        /// The `seq` of the chat's newest message; 0 when it has none.
        last_seq: u64,
        /// Whether the events go on where the session has been, or at
        /// [`after_seq`](crate::Connect::after_seq). False at the beginning of a session without one; otherwise false
        /// means that the server has fewer messages than were read from it, and a [`Gap`] follows.
        resumed: bool,
    }
}

event! {
    /// The user of this session did not exist before (`user_created`).
    UserCreated {
        /// The new user.
        user_id: String,
    }
}

event! {
    /// A message that this session has sent is stored (`message_received`).
    MessageReceived {
        /// The message's unique identifier.
        message_id: Uuid,
        /// The session's chat.
        chat_id: Uuid,
        /// Who has sent it; none for one without a name.
        user_id: Option<String>,
        /// Its place in the chat.
        seq: u64,
        /// The sender's own name for the message.
        client_message_id: Option<String>,
        /// When the message was stored.
        created_at: DateTime<Utc>,
    }
}

event! {
    /// A message is stored (`message_created`).
    MessageCreated {
        /// All of it. One's own is that of the session's user as [`sender_id`](Message::sender_id) whose
        /// [`client_message_id`](Message::client_message_id) this application has given.
        message: Message,
        /// The session's chat.
        chat_id: Uuid,
    }
}

event! {
    /// An assistant begins to answer (`message_stream_started`).
    MessageStreamStarted {
        /// Which message it will be.
        message_id: Uuid,
        /// The session's chat.
        chat_id: Uuid,
    }
}

event! {
    /// The next piece of an assistant's answer (`message_stream_token`).
    MessageStreamToken {
        /// Of which message.
        message_id: Uuid,
        /// The session's chat.
        chat_id: Uuid,
        /// The piece, to be put at the end of the text so far. The first one of a session that comes in the middle of an
        /// answer holds all of the text so far.
        token: String,
        /// The number of the piece, from 0; of one that holds several, the last one's.
        index: u64,
    }
}

event! {
    /// An assistant's answer is complete, or cut short (`message_stream_ended`).
    ///
    /// An answer that ended while there was no connection comes as a [`MessageCreated`] with the same id instead.
    MessageStreamEnded {
        /// Which message it is.
        message_id: Uuid,
        /// The session's chat.
        chat_id: Uuid,
        /// The whole text.
        content: String,
        /// Its place in the chat; none when nothing was stored.
        seq: Option<u64>,
        /// Why it ended.
        finish_reason: FinishReason,
    }
}

event! {
    /// The chat's title, metadata or status was changed (`chat_updated`).
    ///
    /// It has no place in the order of messages, and what was changed while there was no connection is not made up for:
    /// [`get_chat`](crate::Client::get_chat) tells after a reconnect.
    ChatUpdated {
        /// The chat as it is now.
        chat: ChatDetails,
    }
}

event! {
    /// Another user is typing (`user_typing`). Not told of the session's own user, on whatever connection.
    UserTyping {
        /// Who.
        user_id: String,
        /// The session's chat.
        chat_id: Uuid,
    }
}

event! {
    /// Something went wrong at the server (`error`).
    ErrorEvent {
        /// The stable word for it.
        code: Code,
        /// The same in a sentence.
        message: String,
        /// Whether it may pass by itself.
        retryable: bool,
        /// The message it is about; none when it is about none.
        client_message_id: Option<String>,
    }
}

words! {
    /// Why an assistant's answer ended.
    ///
    /// A server that is newer than this crate may use words that are not listed: they arrive as
    /// [`FinishReason::Other`].
    ///
    /// ```
    /// use parlor_sdk::FinishReason;
    ///
    /// assert_eq!(FinishReason::from("cancelled"), FinishReason::Cancelled);
    /// assert_eq!(FinishReason::from("expired").as_str(), "expired");
    /// ```
    pub enum FinishReason {
        /// It is complete.
        Stop = "stop",
        /// The model's limit of tokens, or the longest length of a message, cut it.
        Length = "length",
        /// A client [cancelled](crate::Sender::cancel) it, or the chat was closed.
        Cancelled = "cancelled",
        /// The server stopped before it was complete.
        Interrupted = "interrupted",
        /// The assistant failed.
        Error = "error",
        ..
        /// A word without a name in this version.
        Other,
    }
}

/// The connection is lost. The session opens another one by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disconnected {
    /// Why.
    pub reason: DisconnectReason,
    /// The same in words, for a log.
    pub detail: String,
    /// After what time the next connection is tried; zero with [`DisconnectReason::Overflow`], when it is the application
    /// that has to read on first.
    pub retry_in: Duration,
}

/// Why a connection was lost, or could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The server closed it, with this close code (RFC 6455, section 7.4); 1005 when it gave none.
    Closed(u16),
    /// It broke.
    Broken,
    /// Nothing was heard from the server for a minute, not even an answer to a ping.
    Silent,
    /// The application did not take events for five seconds while more of them were waiting than the session
    /// [keeps](crate::Connect::buffer_bytes).
    Overflow,
    /// The server left a message out. It is asked once more for everything after the last one; what it leaves out again is
    /// an [`Event::Gap`].
    Incomplete,
    /// A new one could not be opened: no network, no server, or none that takes connections at the moment.
    Unreachable,
}

/// Messages that the stream does not show: those with a `seq` above `after_seq` and below `next_seq`.
///
/// [`list_messages`](crate::Client::list_messages) with [`after_seq`](crate::List::after_seq) reads them:
///
/// ```no_run
/// # async fn backfill(client: parlor_sdk::Client, chat_id: parlor_sdk::uuid::Uuid, gap: parlor_sdk::Gap)
/// # -> Result<(), parlor_sdk::Error> {
/// let mut missed = client.list_messages(chat_id).after_seq(gap.after_seq).items();
/// while let Some(message) = missed.next().await.transpose()?.filter(|message| message.seq < gap.next_seq) {
///     println!("{}: {}", message.seq, message.content);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Gap {
    /// The last place before the gap. 0 when the server has fewer messages than were read from it, as after it was
    /// restored from a backup: what is known of the chat is to be read anew.
    pub after_seq: u64,
    /// The first place that the stream shows again.
    pub next_seq: u64,
}

/// What this version does not understand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownEvent {
    /// Its name; empty when it has none.
    pub event_type: String,
    /// The text as the server sent it.
    pub json: String,
}

#[derive(Deserialize)]
struct Head {
    event_type: String,
}

impl Event {
    /// Reads what the server sends. Never fails: what cannot be understood is [`Event::Unknown`].
    pub fn from_json(json: &str) -> Self {
        let event_type = serde_json::from_str(json).map_or_else(|_| String::new(), |head: Head| head.event_type);
        let known = match event_type.as_str() {
            "connection_established" => read(json, Self::Connected),
            "user_created" => read(json, Self::UserCreated),
            "message_received" => read(json, Self::MessageReceived),
            "message_created" => read(json, Self::MessageCreated),
            "message_stream_started" => read(json, Self::MessageStreamStarted),
            "message_stream_token" => read(json, Self::MessageStreamToken),
            "message_stream_ended" => read(json, Self::MessageStreamEnded),
            "chat_updated" => read(json, Self::ChatUpdated),
            "user_typing" => read(json, Self::UserTyping),
            "error" => read(json, Self::Error),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Unknown(UnknownEvent { event_type, json: json.to_owned() }))
    }

    /// The place in the chat of the message that this event is about; none when it is about no stored message.
    ///
    /// Whoever stores the last one goes on after it in another process: [`Connect::after_seq`](crate::Connect::after_seq).
    pub fn seq(&self) -> Option<u64> {
        match self {
            Self::MessageReceived(received) => Some(received.seq),
            Self::MessageCreated(created) => Some(created.message.seq),
            Self::MessageStreamEnded(ended) => ended.seq,
            _ => None,
        }
    }
}

/// `serde(tag = …)` and `serde(flatten)` could not hold raw JSON, see [`Metadata`](crate::Metadata).
fn read<T: DeserializeOwned>(json: &str, event: fn(T) -> Event) -> Option<Event> {
    serde_json::from_str(json).map(event).ok()
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(code) => write!(f, "the server closed the connection with code {code}"),
            Self::Broken => f.write_str("the connection broke"),
            Self::Silent => f.write_str("nothing was heard from the server"),
            Self::Overflow => f.write_str("the application takes events more slowly than they come"),
            Self::Incomplete => f.write_str("the server left a message out"),
            Self::Unreachable => f.write_str("no connection could be opened"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ID: &str = "018d0c8f-1b20-7c3e-9f10-5a6b7c8d9e0f";
    const CHAT: &str = "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d";
    const TIME: &str = "2024-01-15T10:31:00.123456Z";

    fn event(event_type: &str, members: &Value) -> Event {
        let mut object = json!({"event_type": event_type, "timestamp": TIME, "of_a_newer_server": [1]});
        object.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        Event::from_json(&object.to_string())
    }

    #[test]
    fn every_event_of_the_protocol_is_known() {
        let message = json!({
            "id": ID, "content": "c", "sender_role": "user", "media_type": null, "media_url": null, "created_at": TIME,
            "metadata": {"n": 1}, "seq": 7, "client_message_id": "m-1", "sender_id": "ada"
        });
        let chat = json!({
            "id": CHAT, "user_id": "ada", "tenant_id": "t", "title": "Support", "config": {"metadata": {"n": 1}},
            "created_at": TIME, "updated_at": TIME, "last_message_at": null, "message_count": 0, "status": "closed"
        });
        let stream = json!({"message_id": ID, "chat_id": CHAT});
        let with = |more: Value| {
            let mut all = stream.clone();
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        for (event_type, members, seq) in [
            (
                "connection_established",
                json!({"user_id": "ada", "chat_id": CHAT, "tenant_id": "t", "last_seq": 7, "resumed": true}),
                None,
            ),
            ("user_created", json!({"user_id": "ada"}), None),
            (
                "message_received",
                with(json!({"user_id": "ada", "seq": 7, "client_message_id": null, "created_at": TIME})),
                Some(7),
            ),
            ("message_created", json!({"message": message, "chat_id": CHAT}), Some(7)),
            ("message_stream_started", stream.clone(), None),
            ("message_stream_token", with(json!({"token": "t", "index": 0})), None),
            ("message_stream_ended", with(json!({"content": "c", "seq": 7, "finish_reason": "stop"})), Some(7)),
            ("message_stream_ended", with(json!({"content": "", "seq": null, "finish_reason": "moved"})), None),
            ("chat_updated", json!({"chat": chat}), None),
            ("user_typing", json!({"user_id": "ada", "chat_id": CHAT}), None),
            (
                "error",
                json!({"code": "of_a_newer_server", "message": "m", "retryable": false, "client_message_id": null}),
                None,
            ),
        ] {
            let event = event(event_type, &members);
            assert!(!matches!(event, Event::Unknown(_)), "{event:?}");
            assert_eq!(event.seq(), seq, "{event_type}");
        }
    }

    #[test]
    fn metadata_is_kept_to_the_digit() {
        let json = format!(
            r#"{{"event_type":"message_created","timestamp":"{TIME}","chat_id":"{CHAT}","message":{{"id":"{ID}",
                "content":"c","sender_role":"bot","media_type":null,"media_url":null,"created_at":"{TIME}",
                "metadata":{{"n":1.000000000000000000001}},"seq":1,"client_message_id":null,"sender_id":null}}}}"#
        );
        let Event::MessageCreated(created) = Event::from_json(&json) else { panic!("{json}") };
        assert_eq!(created.message.metadata.as_str(), r#"{"n":1.000000000000000000001}"#);
        assert_eq!(created.message.sender_role.as_str(), "bot");
    }

    #[test]
    fn what_is_not_understood_is_kept_as_it_is() {
        for (json, event_type) in [
            (r#"{"event_type":"teapot","timestamp":"now"}"#, "teapot"),
            (r#"{"event_type":"user_typing","timestamp":"2024-01-15T10:31:00Z"}"#, "user_typing"),
            (r#"{"event_type":7}"#, ""),
            ("[]", ""),
            ("no JSON", ""),
            ("", ""),
        ] {
            let expected = UnknownEvent { event_type: event_type.to_owned(), json: json.to_owned() };
            assert_eq!(Event::from_json(json), Event::Unknown(expected));
        }
    }
}

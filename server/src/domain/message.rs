use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Metadata, Origin, UserId, text::check_text};
use crate::base::validation::Violation;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A person.
    User,
    /// Whoever answers on the tenant's behalf.
    Assistant,
}

/// A message of a chat.
///
/// Serialisable, because it is kept beside an idempotency key as the first answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// UUID version 7.
    pub id: Uuid,
    /// The chat it belongs to.
    pub chat_id: Uuid,
    /// Its place in the chat: from 1, without gaps, never given twice.
    pub seq: i64,
    /// Who speaks.
    pub role: Role,
    /// Which user, or which assistant if it has a name.
    pub sender_id: Option<UserId>,
    /// What is said.
    pub content: Content,
    /// What kind of thing is at `media_url`.
    pub media_type: Option<MediaType>,
    /// Something to be seen or heard beside the content.
    pub media_url: Option<MediaUrl>,
    /// The application's own data.
    pub metadata: Metadata,
    /// The sender's name for it, if any.
    pub client_message_id: Option<ClientMessageId>,
    /// When it was stored, in whole microseconds; never before an earlier message of its chat.
    pub created_at: DateTime<Utc>,
}

/// What is needed to send a message.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Who speaks.
    pub role: Role,
    /// `None`: for a user, the chat's owner.
    pub sender_id: Option<UserId>,
    /// What is said.
    pub content: Content,
    /// What kind of thing is at `media_url`.
    pub media_type: Option<MediaType>,
    /// Something to be seen or heard beside the content.
    pub media_url: Option<MediaUrl>,
    /// The application's own data.
    pub metadata: Metadata,
    /// The sender's name for it: a second message of the same sender in the same chat under the same name is the first one
    /// repeated.
    pub client_message_id: Option<ClientMessageId>,
    /// Which way it came.
    pub origin: Origin,
}

/// What is said: 1–32,768 characters, of which only NUL is refused, since PostgreSQL cannot store it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Content(String);

impl Content {
    /// Characters at least.
    pub const MIN_CHARS: usize = 1;
    /// Characters at most.
    pub const MAX_CHARS: usize = 32_768;

    /// Takes `text` if it keeps the rules.
    pub fn new(text: String) -> Result<Self, Violation> {
        if text.is_empty() {
            return Err(Violation::new("must not be empty"));
        }
        if text.chars().count() > Self::MAX_CHARS {
            return Err(Violation::new(format!("must have at most {} characters", Self::MAX_CHARS)));
        }
        if text.contains('\0') {
            return Err(Violation::new("must not contain NUL"));
        }
        Ok(Self(text))
    }
}

/// The sender's name for a message, unique in its chat among the messages of that sender: 1–128 characters, no control
/// characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientMessageId(String);

impl ClientMessageId {
    /// Characters at least.
    pub const MIN_CHARS: usize = 1;
    /// Characters at most.
    pub const MAX_CHARS: usize = 128;

    /// Takes `text` if it keeps the rules.
    pub fn new(text: String) -> Result<Self, Violation> {
        check_text(&text, Self::MIN_CHARS, Self::MAX_CHARS)?;
        Ok(Self(text))
    }
}

/// A media type without parameters, as in `image/png` (RFC 6838): at most 255 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaType(String);

impl MediaType {
    /// Characters at least.
    pub const MIN_CHARS: usize = 3;
    /// Characters at most.
    pub const MAX_CHARS: usize = 255;
    /// The rule as a regular expression.
    pub const PATTERN: &str = r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$";

    /// Takes `text` if it keeps the rules.
    pub fn new(text: String) -> Result<Self, Violation> {
        let is_name = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_alphanumeric())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
        };
        let is_type = text.split_once('/').is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype));
        if is_type && text.len() <= Self::MAX_CHARS {
            Ok(Self(text))
        } else {
            Err(Violation::new("must be a media type such as image/png"))
        }
    }
}

/// Where something to be seen or heard is: an absolute `http` or `https` URL of visible ASCII, at most 2,048 characters.
/// Parlor does not fetch it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaUrl(String);

impl MediaUrl {
    /// Characters at least.
    pub const MIN_CHARS: usize = 8;
    /// Characters at most.
    pub const MAX_CHARS: usize = 2_048;
    /// The rule as a regular expression.
    pub const PATTERN: &str = r"^https?://[\x21-\x7e]+$";

    /// Takes `text` if it keeps the rules.
    pub fn new(text: String) -> Result<Self, Violation> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        if text.len() <= Self::MAX_CHARS
            && rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            Ok(Self(text))
        } else {
            Err(Violation::new(format!("must be an http or https URL of at most {} characters", Self::MAX_CHARS)))
        }
    }
}

checked_text!(Content, ClientMessageId, MediaType, MediaUrl);

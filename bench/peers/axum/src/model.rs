//! What is asked and what is answered, with the members that Parlor's interface gives them.

use chrono::{DateTime, SubsecRound as _, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Any JSON object.
pub(crate) type Metadata = Map<String, Value>;

/// What a chat is created from.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewChat {
    /// Whose chat it is.
    pub(crate) user_id: String,
    /// Generated if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
    /// Empty if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<Metadata>,
}

/// A chat, as it is answered to its creator.
#[derive(Serialize)]
pub(crate) struct Chat {
    /// Version 7: a later chat has a greater one.
    pub(crate) id: Uuid,
    /// Whose chat it is.
    pub(crate) user_id: String,
    /// Whose user that is.
    pub(crate) tenant_id: Uuid,
    /// What it is called.
    pub(crate) title: String,
    /// Its metadata.
    pub(crate) config: ChatConfig,
    /// When it was created.
    pub(crate) created_at: DateTime<Utc>,
    /// When anything of it last changed.
    pub(crate) updated_at: DateTime<Utc>,
    /// When its last message came.
    pub(crate) last_message_at: Option<DateTime<Utc>>,
}

/// What a chat is set up with.
#[derive(Serialize)]
pub(crate) struct ChatConfig {
    /// What was given with it.
    pub(crate) metadata: Metadata,
}

/// A chat with all that is known of it.
#[derive(Serialize)]
pub(crate) struct ChatDetails {
    /// The chat.
    #[serde(flatten)]
    pub(crate) chat: Chat,
    /// How many messages it has.
    pub(crate) message_count: i64,
    /// Whether it takes messages.
    pub(crate) status: &'static str,
}

/// Who speaks.
#[derive(Default, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// A user.
    #[default]
    User,
    /// An assistant.
    Assistant,
}

/// What a message is made from.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMessage {
    /// What is said.
    pub(crate) content: String,
    /// A user if not given.
    pub(crate) sender_role: Option<Role>,
    /// The chat's owner if not given.
    pub(crate) sender_id: Option<String>,
    /// What is at `media_url`.
    pub(crate) media_type: Option<String>,
    /// Something beside the content.
    pub(crate) media_url: Option<String>,
    /// Empty if not given.
    pub(crate) metadata: Option<Metadata>,
    /// The sender's own name for the message, unique in the chat.
    pub(crate) client_message_id: Option<String>,
}

/// A message of a chat.
#[derive(Serialize)]
pub(crate) struct Message {
    /// Version 7: ordered by creation.
    pub(crate) id: Uuid,
    /// What is said.
    pub(crate) content: String,
    /// Who speaks.
    pub(crate) sender_role: Role,
    /// What is at `media_url`.
    pub(crate) media_type: Option<String>,
    /// Something beside the content.
    pub(crate) media_url: Option<String>,
    /// When it was stored.
    pub(crate) created_at: DateTime<Utc>,
    /// What was given with it.
    pub(crate) metadata: Metadata,
    /// Its place in the chat: from 1, without gaps.
    pub(crate) seq: i64,
    /// The sender's own name for it.
    pub(crate) client_message_id: Option<String>,
    /// Which user, or which assistant.
    pub(crate) sender_id: Option<String>,
}

/// Now, as exactly as the tables keep it.
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

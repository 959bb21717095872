//! What is told of a message that was just stored.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    answers::{Prompt, question_abandoned},
    hub::Hub,
};
use crate::{
    base::clock::Moments,
    domain::{Listener, Message, Origin, Role, TenantId},
};

/// Tells a chat's connections, and whoever answers.
#[derive(Debug)]
pub(crate) struct Broadcast {
    hub: Arc<Hub>,
    moments: Moments,
    /// Without a bound: the writer must not wait, and each entry is a stored message's number.
    prompts: Option<mpsc::UnboundedSender<Prompt>>,
}

impl Broadcast {
    pub(crate) fn new(hub: Arc<Hub>, moments: Moments, prompts: Option<mpsc::UnboundedSender<Prompt>>) -> Self {
        Self { hub, moments, prompts }
    }
}

impl Listener for Broadcast {
    fn message_stored(&self, tenant: TenantId, message: &Message, origin: Origin) {
        self.hub.message_stored(message, origin, self.moments.now());
        if message.role == Role::User
            && let Some(prompts) = &self.prompts
        {
            let prompt = Prompt { tenant, chat: message.chat_id, seq: message.seq };
            if prompts.send(prompt).is_err() {
                // The server stops and answers no more.
                self.hub.question_abandoned(message.chat_id, &question_abandoned(self.moments.now()));
            }
        }
    }
}

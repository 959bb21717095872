//! Storing a batch of messages inside one transaction.
//!
//! A chat's row is locked while its messages get their numbers, so `seq` is gapless, whatever number of nodes write; and
//! the number, the message and the chat's counters become visible together.

use std::collections::{BTreeSet, HashMap};

use super::{
    claims::Answers,
    ledger::{Counters, Ledger, Named, Outcome},
    request::SendMessage,
    users::NewUsers,
};
use crate::{
    base::{
        clock::{Moments, next_time},
        error::{Error, Result},
    },
    domain::{Created, Message, NewMessage, Origin, Role, Status, UserId},
    store::chats::Place,
};

/// The chats of a batch, locked, and the messages that repeat stored ones.
pub(super) struct Sending<'a> {
    chats: HashMap<Place, Counters>,
    changed: BTreeSet<Place>,
    repeated: HashMap<Named, Message>,
    new: Vec<Message>,
    senders: NewUsers<'a>,
}

impl<'a> Sending<'a> {
    /// Locks the chats, in one order on every node. `senders` gets the users who send to other users' chats.
    pub(super) async fn lock(ledger: &mut Ledger, requests: &[&SendMessage], senders: NewUsers<'a>) -> Outcome<Self> {
        let places: BTreeSet<Place> = requests.iter().map(|request| (request.tenant, request.input.chat_id)).collect();
        let chats = if places.is_empty() { Vec::new() } else { ledger.lock_chats(&places).await? };
        let chats: HashMap<Place, Counters> = chats.into_iter().collect();
        let repeated = repeated(ledger, requests, &chats).await?;
        let (changed, new) = (BTreeSet::new(), Vec::new());
        Ok(Self { chats, changed, repeated, new, senders })
    }

    /// Gives each message its number, or the reason why it gets none.
    pub(super) fn number(
        &mut self,
        requests: &[&SendMessage],
        moments: &Moments,
        answers: &mut Answers,
    ) -> Outcome<Vec<Result<Created<Message>>>> {
        requests.iter().map(|request| self.number_one(request, moments, answers)).collect()
    }

    fn number_one(
        &mut self,
        request: &SendMessage,
        moments: &Moments,
        answers: &mut Answers,
    ) -> Outcome<Result<Created<Message>>> {
        let place = (request.tenant, request.input.chat_id);
        let Some(chat) = self.chats.get_mut(&place) else { return Ok(Err(Error::ChatNotFound)) };
        let new = &request.input.message;
        let chat_id = request.input.chat_id;
        let sender_id = sender_of(new, chat);
        let repetition = Named::of(chat_id, new.client_message_id.as_ref(), sender_id.as_ref());
        if let Some(stored) = repetition.as_ref().and_then(|repetition| self.repeated.get(repetition)) {
            answers.keep(request.tenant, request.idempotency.as_ref(), chat_id, stored)?;
            return Ok(Ok(Created { resource: stored.clone(), replayed: true }));
        }
        if chat.status == Status::Closed {
            return Ok(Err(Error::ChatClosed));
        }
        let (next_id, now) = moments.next();
        // A streamed answer is known by its id before it is stored.
        let id = match new.origin {
            Origin::Assistant { message_id, .. } => message_id,
            Origin::Api | Origin::Connection(_) => next_id,
        };
        // The clocks of nodes differ slightly; within a chat, recorded times do not run backwards by that difference.
        let created_at = chat.last_message_at.map_or(now, |last| next_time(last, now));
        chat.message_count += 1;
        chat.last_message_at = Some(created_at);
        chat.updated_at = next_time(chat.updated_at, now).max(created_at);
        let message = Message {
            id,
            chat_id,
            seq: chat.message_count,
            role: new.role,
            sender_id,
            content: new.content.clone(),
            media_type: new.media_type.clone(),
            media_url: new.media_url.clone(),
            metadata: new.metadata.clone(),
            client_message_id: new.client_message_id.clone(),
            created_at,
        };
        if let (Role::User, Some(sender)) = (message.role, &message.sender_id)
            && *sender != chat.user_id
        {
            self.senders.add(request.tenant, sender, created_at);
        }
        answers.keep(request.tenant, request.idempotency.as_ref(), chat_id, &message)?;
        self.changed.insert(place);
        self.repeated.extend(repetition.map(|repetition| (repetition, message.clone())));
        self.new.push(message.clone());
        Ok(Ok(Created { resource: message, replayed: false }))
    }

    /// The users to store, and the messages and what they change about their chats.
    pub(super) fn into_parts(mut self) -> (NewUsers<'a>, Vec<Message>, Vec<(Place, Counters)>) {
        let counters = self.changed.into_iter().filter_map(|place| self.chats.remove_entry(&place));
        let counters = counters.collect();
        (self.senders, self.new, counters)
    }
}

/// Returns the sender that `new` will be stored with: a user's message without one is that of the chat's owner.
fn sender_of(new: &NewMessage, chat: &Counters) -> Option<UserId> {
    match new.role {
        Role::User => Some(new.sender_id.clone().unwrap_or_else(|| chat.user_id.clone())),
        Role::Assistant => new.sender_id.clone(),
    }
}

/// Returns the stored messages that requests repeat: those of the same sender under the same `client_message_id`.
async fn repeated(
    ledger: &mut Ledger,
    requests: &[&SendMessage],
    chats: &HashMap<Place, Counters>,
) -> Outcome<HashMap<Named, Message>> {
    let named: BTreeSet<Named> = requests
        .iter()
        .filter_map(|request| {
            let (chat_id, new) = (request.input.chat_id, &request.input.message);
            // Of a chat that does not exist there is nothing to repeat.
            let chat = chats.get(&(request.tenant, chat_id))?;
            Named::of(chat_id, new.client_message_id.as_ref(), sender_of(new, chat).as_ref())
        })
        .collect();
    if named.is_empty() {
        return Ok(HashMap::new());
    }
    let stored = ledger.named_messages(&named).await?.into_iter().filter_map(|message| {
        let named = Named::of(message.chat_id, message.client_message_id.as_ref(), message.sender_id.as_ref())?;
        Some((named, message))
    });
    Ok(stored.collect())
}

//! The assistant's answers: one at a time in each chat, streamed to its connections, stored when they end.

use std::{
    collections::{HashMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::{json, value::to_raw_value};
use tokio::sync::{Semaphore, mpsc};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::hub::Hub;
use crate::{
    assistant::{Assistant, AssistantError, Conversation, PromptMessage, TokenStream},
    base::{
        clock::Moments,
        error::{Error, Result},
        lock::lock,
    },
    domain::{
        Chat, ClientMessageId, Content, Created, FinishReason, Message, MessagePlace, Metadata, NewMessage, Order,
        Origin, Role, Start, Status, TenantId, Window,
    },
    service::{Chats, Messages},
    wire::protocol::{
        ErrorCode,
        event::{Failed, encode},
    },
};

/// How often an answer is tried to be stored while the database does not answer.
const ATTEMPTS: u32 = 5;
/// The pause before the second attempt; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(250);

/// Says what became of a question that was waiting when the server stopped, and what its sender can do.
const STOPPED: &str = "The server stopped before the assistant answered. The question is stored and will not be \
                       answered; ask again in a new message, under a new client_message_id.";

/// The event for the connections of a chat whose last question is not answered because the server stopped; `at` is its
/// timestamp.
pub(super) fn question_abandoned(at: DateTime<Utc>) -> Utf8Bytes {
    encode(&Failed::detailed(ErrorCode::AssistantFailed, STOPPED, None), at)
}

/// A user's message to be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prompt {
    pub(crate) tenant: TenantId,
    pub(crate) chat: Uuid,
    pub(crate) seq: i64,
}

/// A handle to whoever answers. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Answers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    assistant: Assistant,
    chats: Arc<Chats>,
    messages: Arc<Messages>,
    hub: Arc<Hub>,
    moments: Moments,
    /// When this process started. Only questions that were stored earlier can have been lost by an earlier one.
    started: DateTime<Utc>,
    /// The chats in which an answer is on its way.
    waiting: Mutex<HashMap<Uuid, Waiting>>,
    slots: Semaphore,
    tasks: TaskTracker,
    closed: CancellationToken,
}

/// What one chat waits for.
#[derive(Debug)]
struct Waiting {
    /// Cancels the answer that streams.
    cancel: CancellationToken,
    /// Answered after it, in this order.
    next: VecDeque<Prompt>,
    /// Whether the chat's connections were told that the server stops before it has answered.
    abandoned: bool,
}

impl Answers {
    /// Answers `prompts` by `assistant`, at most `at_once` at one time.
    pub(crate) fn start(
        assistant: Assistant,
        chats: Arc<Chats>,
        messages: Arc<Messages>,
        hub: Arc<Hub>,
        moments: Moments,
        at_once: usize,
        mut prompts: mpsc::UnboundedReceiver<Prompt>,
    ) -> Self {
        let started = moments.now();
        let inner = Arc::new(Inner {
            assistant,
            chats,
            messages,
            hub,
            moments,
            started,
            waiting: Mutex::default(),
            slots: Semaphore::new(at_once),
            tasks: TaskTracker::new(),
            closed: CancellationToken::new(),
        });
        let answers = inner.clone();
        inner.tasks.spawn(async move {
            while let Some(Some(prompt)) = answers.closed.run_until_cancelled(prompts.recv()).await {
                answers.ask(prompt);
            }
            // From here on sending fails, and the sender tells the chat's connections.
            prompts.close();
            while let Some(prompt) = prompts.recv().await {
                answers.abandon(prompt.chat);
            }
        });
        Self(inner)
    }

    /// Whether the last message of `chat` is a question that an earlier process has left without an answer: it was
    /// stored before this one started, the chat takes messages, and no answer is on its way on this node.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub(crate) async fn is_missing_in(&self, chat: &Chat) -> Result<bool> {
        let answers = &self.0;
        if !answers.assistant.is_there()
            || chat.status == Status::Closed
            || chat.last_message_at.is_none_or(|at| at >= answers.started)
            || answers.waiting().contains_key(&chat.id)
        {
            return Ok(false);
        }
        Ok(answers.messages.last_role(chat).await? == Some(Role::User))
    }

    /// Ends the answer that streams in `chat`, if one does; what has come of it is kept.
    pub(crate) fn cancel(&self, chat: Uuid) {
        if let Some(waiting) = self.0.waiting().get(&chat) {
            waiting.cancel.cancel();
        }
    }

    /// Ends every answer; returns when what has come of them is stored. The connections of each chat in which a question
    /// waits are told that it is not answered.
    pub(crate) async fn close(&self) {
        self.0.closed.cancel();
        // At once: storing an answer may take longer than the connections stay open.
        self.0.abandon_waiting();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Inner {
    /// Answers at once, or after the answer that is on its way; not at all when the server stops.
    fn ask(self: &Arc<Self>, prompt: Prompt) {
        let mut chats = self.waiting();
        // Under the lock: what is added before it is cancelled is seen by `abandon_waiting`.
        if self.closed.is_cancelled() {
            drop(chats);
            return self.abandon(prompt.chat);
        }
        if let Some(waiting) = chats.get_mut(&prompt.chat) {
            waiting.next.push_back(prompt);
            return;
        }
        let cancel = self.closed.child_token();
        chats.insert(prompt.chat, Waiting { cancel: cancel.clone(), next: VecDeque::new(), abandoned: false });
        drop(chats);
        let answers = self.clone();
        self.tasks.spawn(async move {
            let mut turn = Some((prompt, cancel));
            while let Some((prompt, cancel)) = turn {
                // A provider's panic must not be the end of all answers in this chat.
                if AssertUnwindSafe(answers.answer(prompt, &cancel)).catch_unwind().await.is_err() {
                    tracing::error!(chat = %prompt.chat, "the assistant panicked");
                    answers.tell_of_failure(prompt.chat, true);
                    answers.hub.answer_abandoned(prompt.chat, answers.moments.now());
                }
                turn = answers.next(prompt.chat);
            }
        });
    }

    /// The chat's next prompt; without one, or when the server stops, nothing is on its way there any more.
    fn next(&self, chat: Uuid) -> Option<(Prompt, CancellationToken)> {
        let mut chats = self.waiting();
        let waiting = chats.get_mut(&chat)?;
        let next = waiting.next.pop_front();
        match next.filter(|_| !self.closed.is_cancelled()) {
            Some(prompt) => {
                waiting.cancel = self.closed.child_token();
                Some((prompt, waiting.cancel.clone()))
            }
            None => {
                let untold = next.is_some() && !waiting.abandoned;
                chats.remove(&chat);
                drop(chats);
                if untold {
                    self.tell_of_stop(chat);
                }
                None
            }
        }
    }

    /// Tells the connections of every chat in which a question waits behind another that it is not answered.
    fn abandon_waiting(&self) {
        let mut chats = self.waiting();
        let waiting = chats.iter_mut().filter(|(_, waiting)| !waiting.next.is_empty() && !waiting.abandoned);
        let untold: Vec<Uuid> = waiting
            .map(|(chat, waiting)| {
                waiting.abandoned = true;
                *chat
            })
            .collect();
        drop(chats);
        for chat in untold {
            self.tell_of_stop(chat);
        }
    }

    /// Tells the connections of `chat` that a question in it is not answered, unless they were told.
    fn abandon(&self, chat: Uuid) {
        let was_told = self.waiting().get_mut(&chat).is_some_and(|chat| std::mem::replace(&mut chat.abandoned, true));
        if !was_told {
            self.tell_of_stop(chat);
        }
    }

    async fn answer(&self, prompt: Prompt, cancel: &CancellationToken) {
        let Some(Ok(_slot)) = cancel.run_until_cancelled(self.slots.acquire()).await else {
            return self.abandon_if_stopped(prompt.chat);
        };
        let tokens = match self.conversation(prompt).await {
            Ok(_) if self.closed.is_cancelled() => return self.abandon(prompt.chat),
            Ok(conversation) => self.assistant.answer(conversation),
            // Meanwhile the chat was deleted or closed: nobody waits, or nothing could be stored.
            Err(Error::ChatNotFound | Error::ChatClosed) => return,
            Err(error) => {
                tracing::error!(%error, chat = %prompt.chat, "a conversation could not be read");
                return self.tell_of_failure(prompt.chat, true);
            }
        };
        let Some(tokens) = tokens else { return };
        let (message_id, now) = self.moments.next();
        self.hub.answer_started(prompt.chat, message_id, cancel.clone(), now);
        // A chat that was closed after it was read, and before the answer could be cancelled through the hub.
        match self.chats.get_chat(prompt.tenant, prompt.chat).await {
            Ok(chat) if chat.status == Status::Closed => cancel.cancel(),
            Err(Error::ChatNotFound) => cancel.cancel(),
            _ => {}
        }
        let (text, end) = self.stream(prompt.chat, message_id, tokens, cancel).await;
        let finish_reason = match &end {
            Ok(finish_reason) => *finish_reason,
            Err(error) => error.finish_reason(),
        };
        if let Err(error) = end
            && finish_reason == FinishReason::Error
        {
            self.tell_of_failure(prompt.chat, error.is_retryable());
        }
        if let Err(error) = self.store(prompt, message_id, text, finish_reason).await {
            if !matches!(error, Error::ChatNotFound | Error::ChatClosed | Error::Metadata(_)) {
                tracing::error!(%error, chat = %prompt.chat, "an answer could not be stored");
            }
            self.hub.answer_lost(prompt.chat, message_id, finish_reason, self.moments.now());
            // Of a failure they were told above.
            if finish_reason != FinishReason::Error {
                self.abandon_if_stopped(prompt.chat);
            }
        }
    }

    /// Tells the connections of `chat` of a question without an answer, if that is because the server stops.
    fn abandon_if_stopped(&self, chat: Uuid) {
        if self.closed.is_cancelled() {
            self.abandon(chat);
        }
    }

    /// The last messages up to the prompt, the answers since, and the prompt at the end: what was asked after it is
    /// answered later.
    async fn conversation(&self, prompt: Prompt) -> Result<Conversation> {
        let chat = self.chats.get_chat(prompt.tenant, prompt.chat).await?;
        if chat.status == Status::Closed {
            return Err(Error::ChatClosed);
        }
        let history = self.assistant.history().clamp(1, Window::<()>::MAX_LIMIT);
        let until = Window { start: Start::After(prompt.seq + 1), limit: history, order: Order::Desc };
        let mut turns = self.turns(prompt, None, until).await?.into_iter();
        let last = turns.next().ok_or(Error::ChatNotFound)?;
        let mut turns: Vec<PromptMessage> = turns.rev().collect();
        let since = Window { start: Start::Offset(0), limit: history, order: Order::Asc };
        let since = self.turns(prompt, Some(prompt.seq), since).await?.into_iter();
        turns.extend(since.filter(|turn| turn.role == Role::Assistant));
        turns.push(last);
        let beyond = turns.len().saturating_sub(history as usize);
        Ok(Conversation { turns: turns.split_off(beyond) })
    }

    async fn turns(
        &self,
        prompt: Prompt,
        after: Option<i64>,
        window: Window<MessagePlace>,
    ) -> Result<Vec<PromptMessage>> {
        let page = self.messages.list_messages(prompt.tenant, prompt.chat, after, window).await?;
        let turn =
            |message: Message| PromptMessage { role: message.role, content: message.content.as_str().to_owned() };
        Ok(page.items.into_iter().map(turn).collect())
    }

    /// Broadcasts the tokens as they come; returns the whole text, and why it ended.
    async fn stream(
        &self,
        chat: Uuid,
        message_id: Uuid,
        mut tokens: TokenStream,
        cancel: &CancellationToken,
    ) -> (String, std::result::Result<FinishReason, AssistantError>) {
        let mut text = String::new();
        loop {
            match cancel.run_until_cancelled(tokens.next()).await {
                Some(Some(Ok(token))) => {
                    self.hub.answer_token(chat, message_id, &token, self.moments.now());
                    text.push_str(&token);
                }
                Some(Some(Err(error))) => {
                    tracing::warn!(%error, %chat, "an answer is not complete");
                    return (text, Err(error));
                }
                Some(None) => return (text, Ok(FinishReason::Stop)),
                None if self.closed.is_cancelled() => return (text, Ok(FinishReason::Interrupted)),
                None => return (text, Ok(FinishReason::Cancelled)),
            }
        }
    }

    /// Stores what has come. The writer then tells everybody that the answer has ended.
    async fn store(&self, prompt: Prompt, message_id: Uuid, text: String, finish_reason: FinishReason) -> Result<()> {
        // Of an answer of which nothing came there is nothing to store.
        let content = Content::new(text).map_err(Error::Metadata)?;
        let metadata = to_raw_value(&json!({ "finish_reason": finish_reason })).expect("an object is JSON");
        let origin = Origin::Assistant { message_id, finish_reason };
        let new = NewMessage {
            role: Role::Assistant,
            sender_id: None,
            content,
            media_type: None,
            media_url: None,
            metadata: Metadata::new(&metadata).map_err(Error::Metadata)?,
            // An attempt whose outcome is unknown is repeated under the same name, which nobody else can know.
            client_message_id: ClientMessageId::new(Uuid::new_v4().to_string()).ok(),
            origin,
        };
        let mut pause = PAUSE;
        let mut attempts = 1;
        loop {
            let stored = self.messages.send_message(prompt.tenant, prompt.chat, new.clone(), None).await;
            match stored {
                Err(Error::Unavailable(cause)) if attempts < ATTEMPTS && !self.closed.is_cancelled() => {
                    tracing::warn!(%cause, chat = %prompt.chat, "an answer waits to be stored");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                    attempts += 1;
                }
                // By an earlier attempt, of which the writer has told nobody.
                Ok(Created { resource, replayed: true }) => {
                    self.hub.message_stored(&resource, origin, self.moments.now());
                    return Ok(());
                }
                outcome => return outcome.map(|_| ()),
            }
        }
    }

    /// Tells the connections of `chat` that the assistant failed; when the server stops, that the question is abandoned,
    /// unless they were told so of another question.
    fn tell_of_failure(&self, chat: Uuid, retryable: bool) {
        if self.closed.is_cancelled() {
            return self.abandon(chat);
        }
        let failed = Failed::assistant(retryable);
        self.hub.pass(chat, &encode(&failed, self.moments.now()));
    }

    fn tell_of_stop(&self, chat: Uuid) {
        self.hub.question_abandoned(chat, &question_abandoned(self.moments.now()));
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Uuid, Waiting>> {
        lock(&self.waiting)
    }
}

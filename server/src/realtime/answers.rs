//! The assistant's answers: one at a time in each chat, streamed to its connections, stored when they end.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::StreamExt as _;
use serde_json::{json, value::to_raw_value};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{
    hub::Hub,
    protocol::{
        ErrorCode,
        event::{Failed, encode},
    },
};
use crate::{
    assistant::{Assistant, Conversation, TokenStream, Turn},
    chat::{
        ClientMessageId, Content, FinishReason, Message, Messages, Metadata, NewMessage, Order, Origin, Role, Start,
        Window,
    },
    clock::Moments,
    error::{Error, Result},
    tenant::TenantId,
};

/// How often an answer is tried to be stored while the database does not answer.
const ATTEMPTS: u32 = 5;
/// The pause before the second attempt; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(250);

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
    messages: Arc<Messages>,
    hub: Arc<Hub>,
    moments: Moments,
    /// The chats in which an answer is on its way.
    chats: Mutex<HashMap<Uuid, Waiting>>,
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
}

impl Answers {
    /// Answers `prompts` by `assistant`, at most `at_once` at one time.
    pub(crate) fn start(
        assistant: Assistant,
        messages: Arc<Messages>,
        hub: Arc<Hub>,
        moments: Moments,
        at_once: usize,
        mut prompts: mpsc::UnboundedReceiver<Prompt>,
    ) -> Self {
        let inner = Arc::new(Inner {
            assistant,
            messages,
            hub,
            moments,
            chats: Mutex::default(),
            slots: Semaphore::new(at_once),
            tasks: TaskTracker::new(),
            closed: CancellationToken::new(),
        });
        let answers = inner.clone();
        inner.tasks.spawn(async move {
            while let Some(Some(prompt)) = answers.closed.run_until_cancelled(prompts.recv()).await {
                answers.ask(prompt);
            }
        });
        Self(inner)
    }

    /// Ends the answer that streams in `chat`, if one does; what has come of it is kept.
    pub(crate) fn cancel(&self, chat: Uuid) {
        if let Some(waiting) = self.0.chats().get(&chat) {
            waiting.cancel.cancel();
        }
    }

    /// Ends every answer; returns when what has come of them is stored.
    pub(crate) async fn close(&self) {
        self.0.closed.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Inner {
    /// Answers at once, or after the answer that is on its way.
    fn ask(self: &Arc<Self>, prompt: Prompt) {
        let mut chats = self.chats();
        if let Some(waiting) = chats.get_mut(&prompt.chat) {
            waiting.next.push_back(prompt);
            return;
        }
        let cancel = self.closed.child_token();
        chats.insert(prompt.chat, Waiting { cancel: cancel.clone(), next: VecDeque::new() });
        drop(chats);
        let answers = self.clone();
        self.tasks.spawn(async move {
            let mut turn = Some((prompt, cancel));
            while let Some((prompt, cancel)) = turn {
                answers.answer(prompt, &cancel).await;
                turn = answers.next(prompt.chat);
            }
        });
    }

    /// The chat's next prompt; without one, or when the server stops, nothing is on its way there any more.
    fn next(&self, chat: Uuid) -> Option<(Prompt, CancellationToken)> {
        let mut chats = self.chats();
        let waiting = chats.get_mut(&chat)?;
        match waiting.next.pop_front().filter(|_| !self.closed.is_cancelled()) {
            Some(prompt) => {
                waiting.cancel = self.closed.child_token();
                Some((prompt, waiting.cancel.clone()))
            }
            None => {
                chats.remove(&chat);
                None
            }
        }
    }

    async fn answer(&self, prompt: Prompt, cancel: &CancellationToken) {
        let Some(Ok(_slot)) = cancel.run_until_cancelled(self.slots.acquire()).await else { return };
        let tokens = match self.conversation(prompt).await {
            Ok(conversation) => self.assistant.answer(conversation),
            // The chat was deleted meanwhile.
            Err(Error::ChatNotFound) => return,
            Err(error) => {
                tracing::error!(%error, chat = %prompt.chat, "a conversation could not be read");
                return self.tell_of_failure(prompt.chat);
            }
        };
        let Some(tokens) = tokens else { return };
        let (message_id, now) = self.moments.next();
        self.hub.answer_started(prompt.chat, message_id, now);
        let (text, finish_reason) = self.stream(prompt.chat, tokens, cancel).await;
        if finish_reason == FinishReason::Error {
            self.tell_of_failure(prompt.chat);
        }
        if let Err(error) = self.store(prompt, message_id, text, finish_reason).await {
            if !matches!(error, Error::ChatNotFound | Error::ChatClosed | Error::Metadata(_)) {
                tracing::error!(%error, chat = %prompt.chat, "an answer could not be stored");
            }
            self.hub.answer_lost(prompt.chat, message_id, finish_reason, self.moments.now());
        }
    }

    /// The last messages up to the prompt, and the prompt at the end: what other users have asked since is answered later.
    async fn conversation(&self, prompt: Prompt) -> Result<Conversation> {
        let limit = self.assistant.history().clamp(1, Window::<()>::MAX_LIMIT);
        let window = Window { start: Start::Offset(0), limit, order: Order::Desc };
        let page = self.messages.list_messages(prompt.tenant, prompt.chat, None, window).await?;
        let turn = |message: &Message| Turn { role: message.role, content: message.content.as_str().to_owned() };
        let is_asked_later = |message: &Message| message.role == Role::User && message.seq > prompt.seq;
        let is_prompt = |message: &Message| message.seq == prompt.seq;
        let messages: Vec<&Message> = page.items.iter().rev().filter(|message| !is_asked_later(message)).collect();
        let before = messages.iter().copied().filter(|message| !is_prompt(message)).map(turn);
        let last = match messages.iter().copied().find(|message| is_prompt(message)) {
            Some(message) => turn(message),
            // So much was said since that it is not among the last ones.
            None => self.single(prompt).await?,
        };
        Ok(Conversation { turns: before.chain([last]).collect() })
    }

    async fn single(&self, prompt: Prompt) -> Result<Turn> {
        let window = Window { start: Start::Offset(0), limit: 1, order: Order::Asc };
        let page = self.messages.list_messages(prompt.tenant, prompt.chat, Some(prompt.seq - 1), window).await?;
        let message = page.items.into_iter().next().ok_or(Error::ChatNotFound)?;
        Ok(Turn { role: message.role, content: message.content.as_str().to_owned() })
    }

    /// Passes the tokens on as they come; returns all of them, and why there are no more.
    async fn stream(&self, chat: Uuid, mut tokens: TokenStream, cancel: &CancellationToken) -> (String, FinishReason) {
        let mut text = String::new();
        loop {
            match cancel.run_until_cancelled(tokens.next()).await {
                Some(Some(Ok(token))) => {
                    self.hub.answer_token(chat, &token, self.moments.now());
                    text.push_str(&token);
                }
                Some(Some(Err(error))) => {
                    tracing::warn!(%error, %chat, "the assistant failed");
                    return (text, FinishReason::Error);
                }
                Some(None) => return (text, FinishReason::Stop),
                None => return (text, FinishReason::Cancelled),
            }
        }
    }

    /// Stores what has come. The writer then tells everybody that the answer has ended.
    async fn store(&self, prompt: Prompt, message_id: Uuid, text: String, finish_reason: FinishReason) -> Result<()> {
        // Of an answer of which nothing came there is nothing to store.
        let content = Content::new(text).map_err(Error::Metadata)?;
        let metadata = to_raw_value(&json!({ "finish_reason": finish_reason })).expect("an object is JSON");
        let new = NewMessage {
            role: Role::Assistant,
            sender_id: None,
            content,
            media_type: None,
            media_url: None,
            metadata: Metadata::new(&metadata).map_err(Error::Metadata)?,
            // An attempt whose outcome is unknown is repeated under the same name.
            client_message_id: ClientMessageId::new(message_id.to_string()).ok(),
            origin: Origin::Assistant { message_id, finish_reason },
        };
        let mut pause = PAUSE;
        for _ in 1..ATTEMPTS {
            match self.messages.send_message(prompt.tenant, prompt.chat, new.clone(), None).await {
                Err(Error::Unavailable(cause)) => {
                    tracing::warn!(%cause, chat = %prompt.chat, "an answer waits to be stored");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                outcome => return outcome.map(|_| ()),
            }
        }
        self.messages.send_message(prompt.tenant, prompt.chat, new, None).await.map(|_| ())
    }

    fn tell_of_failure(&self, chat: Uuid) {
        let failed = Failed::new(ErrorCode::AssistantFailed, None);
        self.hub.pass(chat, &encode(&failed, self.moments.now()));
    }

    fn chats(&self) -> MutexGuard<'_, HashMap<Uuid, Waiting>> {
        // Nothing under this lock panics half-way, so what a poisoned one guards is whole.
        self.chats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

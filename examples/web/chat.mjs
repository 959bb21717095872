// A chat with Parlor in a browser, over one WebSocket that goes on where it was, whatever cut it.
//
//   connection.mjs   the protocol: tickets, reconnecting, what has yet to be acknowledged
//   transcript.mjs   what is shown: messages in the order of `seq`, answers as they stream
//   markdown.mjs     answers as a tree of blocks, with inline.mjs for what is in them; dom.mjs shows the tree
//   chats.mjs        the way back to earlier chats
//   guests.mjs       who is at the page
//   composer.mjs     what is typed and who types
//   chat.mjs         joins these with the buttons and the fragment of the address, which names the chat
//
// There is no API key in here: connections are opened with tickets, which the page's own backend makes. The demo's
// backend gives one to every visitor; in an application it would know from its session who asks.

import { chatStates, forgetChat, rememberChat, showChats } from './chats.mjs';
import { Composer } from './composer.mjs';
import { Connection, Refusal, post } from './connection.mjs';
import { button, copy } from './dom.mjs';
import { MAX_NAME, become, currentGuest, knownGuests } from './guests.mjs';
import { Transcript } from './transcript.mjs';

const NOTICE_MS = 8_000;
const COPIED_MS = 2_000;
// The time, in milliseconds, that the server has to continue an open answer once all stored messages have arrived.
const SETTLE_MS = 1_000;
const NEAR_THE_END_PX = 64;
// Set once this server has answered, in any chat.
const ASSISTED = 'parlor-assisted';
const STATES = {
  connecting: 'Connecting…',
  open: 'Connected',
  waiting: 'Reconnecting…',
  offline: 'Offline',
  ended: 'Disconnected',
};
const VERDICTS = {
  closed: ['This chat is closed.', 'It can be read, but takes no more messages.'],
  deleted: ['This chat was deleted.', 'Its messages are gone for good.'],
  unknown: ['There is no such chat.', 'It was deleted, or its address is incomplete.'],
};

const page = Object.fromEntries(Array.from(document.querySelectorAll('[id]'), found => [found.id, found]));
const composer = new Composer(page, { say, typing: () => connection?.signal('typing') });
let userId = await currentGuest();
let chatId = '';
let connection = null;
let transcript = null;
let verdict = null;
let followsEnd = true;
let scrolledTo = 0;
let noticeTimer;
let settleTimer;

// Shows the chat that the address names, or offers to create one.
function open() {
  connection?.close();
  connection = null;
  clearTimeout(settleTimer);
  chatId = location.hash.slice(1);
  for (const part of [page.chat, page.another, page.second, page.state]) part.hidden = !chatId;
  page.welcome.hidden = Boolean(chatId);
  page.notice.hidden = true;
  page.announcement.textContent = '';
  composer.reset(userId);
  if (!chatId) {
    showRecent();
    return;
  }

  page.second.href = location.href;
  page.user.textContent = userId;
  page.empty.hidden = true;
  page.cancel.hidden = true;
  judge(null);
  followsEnd = true;
  transcript = null;
  transcript = new Transcript(page.log, userId, { streamingChanged, askAgain: ask });
  connection = new Connection(chatId, userId, { stateChanged, caughtUp, reset, received });
  for (const [id, content] of connection.outbox) transcript.pending(id, content);
  connection.connect();
  page.content.focus();
}

function stateChanged(state, end) {
  const shown = !navigator.onLine && ['connecting', 'waiting'].includes(state) ? 'offline' : state;
  page.state.dataset.state = shown;
  // Skips texts that have not changed, so that a screen reader does not announce them again.
  if (page.state.textContent !== STATES[shown]) page.state.textContent = STATES[shown];
  clearTimeout(settleTimer);
  // Messages of the past are not announced as if they were new.
  if (state !== 'open') {
    page.scroll.ariaBusy = 'true';
    transcript?.stall();
  }
  if (state === 'open') {
    for (const [id] of connection.outbox) transcript.sendingAgain(id);
    learnStatus();
  }
  if (state === 'ended') ended(end);
}

function ended({ code, reason }) {
  transcript.discardStalled();
  page.empty.hidden = true;
  if (code === 'chat_not_found') {
    forgetChat(userId, chatId);
    judge('unknown');
  } else if (code === 4004) {
    forgetChat(userId, chatId);
    judge('deleted');
  } else {
    judge('ended', ['The connection has ended.', reason]);
  }
}

// The first event of a connection does not tell the status of the chat, so it is asked for by REST.
async function learnStatus() {
  const asked = chatId;
  const states = await chatStates([asked]).catch(() => null);
  const status = states?.get(asked)?.status;
  if (asked === chatId && status) statusChanged(status);
}

function statusChanged(status) {
  if (status === 'closed') judge('closed');
  else if (verdict === 'closed') judge(null);
}

// Says why nothing can be said here, or with null that something can.
function judge(kind, words = VERDICTS[kind]) {
  if (verdict === kind && kind !== 'ended') return;
  verdict = kind;
  page.verdict.hidden = !kind;
  [page['verdict-title'].textContent, page['verdict-text'].textContent] = words ?? ['', ''];
  composer.enable(!kind);
  if (kind) transcript?.freeze();
}

function caughtUp() {
  page.scroll.ariaBusy = null;
  page.empty.hidden = !transcript.isEmpty;
  rememberChat(userId, chatId, page.log.querySelector('.message .content')?.textContent);
  settleTimer = setTimeout(settle, SETTLE_MS);
}

function settle() {
  transcript.settle(localStorage.getItem(ASSISTED) !== null);
  if (verdict) transcript.freeze();
}

function reset() {
  transcript.clear();
  for (const [id, content] of connection.outbox) transcript.pending(id, content);
}

function received(event) {
  switch (event.event_type) {
    case 'message_received':
      transcript.received(event);
      rememberChat(userId, chatId, page.log.querySelector('.message .content').textContent);
      break;
    case 'message_created':
      composer.stoppedTyping(event.message.sender_id);
      transcript.created(event.message);
      break;
    case 'message_stream_started':
      transcript.streamStarted(event);
      break;
    case 'message_stream_token':
      transcript.streamToken(event);
      break;
    case 'message_stream_ended':
      transcript.streamEnded(event);
      break;
    case 'chat_updated':
      statusChanged(event.chat.status);
      break;
    case 'user_typing':
      composer.types(event.user_id);
      break;
    case 'error':
      showError(event);
      break;
    // Ignores events that a later version of the server may add.
    default:
  }
  if (!transcript.isEmpty) page.empty.hidden = true;
}

function showError(event) {
  if (event.code === 'chat_closed') judge('closed');
  const sayAgain = () => connection.sayAgain(event.client_message_id);
  if (transcript.failed(event, sayAgain)) return;
  if (event.code === 'assistant_failed') {
    localStorage.setItem(ASSISTED, '1');
    transcript.hasAssistant = true;
    const text = event.retryable ? 'The assistant could not answer.' : event.message;
    transcript.showFailure(text, event);
    if (verdict) transcript.freeze();
  } else if (event.code !== 'chat_closed') {
    notify(event.message);
  }
}

function streamingChanged() {
  page.cancel.hidden = !transcript?.isStreaming;
  if (transcript?.isStreaming) localStorage.setItem(ASSISTED, '1');
  const said = transcript?.isThinking ? 'The assistant is thinking.' : '';
  if (page.announcement.textContent !== said) page.announcement.textContent = said;
}

function notify(text) {
  clearTimeout(noticeTimer);
  page.notice.textContent = text;
  page.notice.hidden = false;
  noticeTimer = setTimeout(() => {
    page.notice.hidden = true;
  }, NOTICE_MS);
}

// Tells whether the message is on its way.
function say(content) {
  if (!connection || verdict) return false;
  try {
    transcript.pending(connection.say(content), content);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    notify(error.message);
    return false;
  }
  page.empty.hidden = true;
  followsEnd = true;
  followEnd();
  return true;
}

// Under a new name: under its old one the server would take the question for a repetition.
function ask(question) {
  say(question);
  page.content.focus();
}

function cancel() {
  if (transcript?.isStreaming) connection?.signal('cancel');
}

async function createChat() {
  const buttons = [page.start, page.another, page.fresh];
  for (const each of buttons) each.disabled = true;
  try {
    const { chat_id } = await post('chats', { user_id: userId });
    location.hash = chat_id;
  } catch (error) {
    notify(error instanceof Refusal ? error.message : 'The server cannot be reached; try again.');
  } finally {
    for (const each of buttons) each.disabled = false;
  }
}

// --- Earlier chats, and who is here ---------------------------------------------------------------------------------

async function showRecent() {
  page.recent.hidden = true;
  const count = await showChats(userId, '', page['recent-chats'], page['recent-status']);
  page.recent.hidden = count === 0;
}

function showDrawer() {
  page['drawer-user'].textContent = userId;
  page.drawer.showModal();
  showChats(userId, chatId, page['drawer-chats'], page['drawer-status']);
}

function showIdentity() {
  page.drawer.close();
  page.name.value = userId;
  const others = knownGuests().filter(name => name !== userId);
  page.known.replaceChildren(...others.map(name => {
    const item = document.createElement('li');
    item.append(button('', name, () => switchTo(name)));
    return item;
  }));
  page.identity.showModal();
  page.name.select();
}

function switchTo(name) {
  page.identity.close();
  if (name === userId) return;
  userId = become(name);
  open();
}

page.earlier.onclick = showDrawer;
page['drawer-close'].onclick = () => page.drawer.close();
page['drawer-chats'].onclick = event => {
  if (event.target.closest('a')) page.drawer.close();
};
for (const each of [page.change, page['drawer-change']]) each.onclick = showIdentity;
page['identity-close'].onclick = () => page.identity.close();
page['identity-form'].onsubmit = event => {
  event.preventDefault();
  const name = page.name.value.trim().slice(0, MAX_NAME);
  if (name) switchTo(name);
};

// --- The rest of the page -------------------------------------------------------------------------------------------

function followEnd() {
  if (followsEnd) page.scroll.scrollTop = page.scroll.scrollHeight;
  page.latest.hidden = followsEnd;
}

for (const each of [page.start, page.another, page.fresh]) each.onclick = createChat;
page.cancel.onclick = cancel;
page.latest.onclick = () => {
  followsEnd = true;
  followEnd();
};
page.log.onclick = async ({ target }) => {
  if (!target.matches('button.copy')) return;
  const code = target.closest('figure').querySelector('code');
  const isDone = await copy(code.textContent, code);
  target.focus();
  target.textContent = isDone ? 'Copied' : 'Not copied';
  page.announcement.textContent = isDone ? 'Copied.' : 'The browser does not let this page copy.';
  setTimeout(() => {
    target.textContent = 'Copy';
  }, COPIED_MS);
};
// Only scrolling up means to stay there: an answer may have grown since the page scrolled down by itself.
page.scroll.onscroll = () => {
  const { scrollHeight, scrollTop, clientHeight } = page.scroll;
  if (scrollHeight - scrollTop - clientHeight < NEAR_THE_END_PX) followsEnd = true;
  else if (scrollTop < scrolledTo) followsEnd = false;
  scrolledTo = scrollTop;
  page.latest.hidden = followsEnd;
};
addEventListener('keydown', event => {
  if (event.key === 'Escape' && !event.isComposing && !document.querySelector('dialog[open]')) cancel();
});
addEventListener('hashchange', open);
addEventListener('offline', () => connection?.distrust());
addEventListener('online', () => connection?.hurry());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) connection?.hurry();
});
// Whenever something grows, be it an answer or a keyboard on the screen.
const sizes = new ResizeObserver(followEnd);
sizes.observe(page.log);
sizes.observe(page.scroll);
open();

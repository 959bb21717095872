// A chat with Parlor in a browser, over one WebSocket that goes on where it was, whatever cut it.
//
//   connection.mjs   the protocol: tickets, reconnecting, what has yet to be acknowledged
//   transcript.mjs   what is shown: messages in the order of `seq`, answers as they stream
//   chat.mjs         joins the two with the buttons and the fragment of the address, which names the chat
//
// There is no API key in here: connections are opened with tickets, which the page's own backend makes. The demo's
// backend gives one to anybody; in an application it would know from its session who asks.

import { Connection, Refusal, post, randomHex } from './connection.mjs';
import { Transcript } from './transcript.mjs';

const TYPING_EVERY_MS = 3_000;
const TYPING_SHOWN_MS = 5_000;
const NOTICE_MS = 8_000;
const NEAR_THE_END_PX = 64;
const STATES = { connecting: 'Connecting…', open: 'Connected', waiting: 'Reconnecting…', ended: 'Disconnected' };

const page = Object.fromEntries(Array.from(document.querySelectorAll('[id]'), found => [found.id, found]));
const userId = visitor();
const typists = new Map();
let connection = null;
let transcript = null;
let followsEnd = true;
let scrolledTo = 0;
let typedAt = -Infinity;
let noticeTimer;

// The same person in every window of this browser.
function visitor() {
  const remembered = localStorage.getItem('parlor-user');
  if (remembered) return remembered;
  const made = `guest-${randomHex(3)}`;
  localStorage.setItem('parlor-user', made);
  return made;
}

// Shows the chat that the address names, or offers to create one.
function open() {
  connection?.close();
  connection = null;
  const chatId = location.hash.slice(1);
  for (const part of [page.chat, page.actions, page.state]) part.hidden = !chatId;
  page.welcome.hidden = Boolean(chatId);
  page.notice.hidden = true;
  typists.clear();
  showTypists();
  if (!chatId) return;

  page.second.href = location.href;
  page.user.textContent = userId;
  page.content.disabled = false;
  page.empty.hidden = true;
  page.cancel.hidden = true;
  page.content.focus();
  followsEnd = true;
  transcript = new Transcript(page.log, userId);
  transcript.onstreaming = () => {
    page.cancel.hidden = !transcript.isStreaming;
  };
  connection = new Connection(chatId, userId, { stateChanged, caughtUp, reset, received });
  for (const [id, content] of connection.outbox) transcript.pending(id, content);
  connection.connect();
}

function stateChanged(state, reason = '') {
  page.state.dataset.state = state;
  page.state.textContent = STATES[state];
  // What was said while nobody was here is not read out as if it came now.
  if (state !== 'open') page.scroll.ariaBusy = 'true';
  if (state === 'open') {
    transcript.forgetStreams();
    for (const [id] of connection.outbox) transcript.sendingAgain(id);
  }
  if (state === 'ended') {
    transcript.forgetStreams();
    page.content.disabled = true;
    page.empty.hidden = true;
    notify(reason, Infinity);
  }
  showSendable();
}

function caughtUp() {
  page.scroll.ariaBusy = null;
  page.empty.hidden = !transcript.isEmpty;
}

function reset() {
  transcript.clear();
  for (const [id, content] of connection.outbox) transcript.pending(id, content);
}

function received(event) {
  switch (event.event_type) {
    case 'message_received':
      transcript.received(event);
      break;
    case 'message_created':
      stoppedTyping(event.message.sender_id);
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
    case 'user_typing':
      types(event.user_id);
      break;
    case 'error':
      showError(event);
      break;
    // What a later version of the server may add is nothing that this page could show.
    default:
  }
  if (!transcript.isEmpty) page.empty.hidden = true;
}

function showError(event) {
  const sayAgain = () => connection.sayAgain(event.client_message_id);
  if (transcript.failed(event, sayAgain)) return;
  if (event.code === 'assistant_failed') transcript.tell(event.message);
  else notify(event.message);
}

function notify(text, forMs = NOTICE_MS) {
  clearTimeout(noticeTimer);
  page.notice.textContent = text;
  page.notice.hidden = false;
  if (forMs < Infinity) {
    noticeTimer = setTimeout(() => {
      page.notice.hidden = true;
    }, forMs);
  }
}

function types(user) {
  clearTimeout(typists.get(user));
  typists.set(user, setTimeout(stoppedTyping, TYPING_SHOWN_MS, user));
  showTypists();
}

function stoppedTyping(user) {
  clearTimeout(typists.get(user));
  if (typists.delete(user)) showTypists();
}

function showTypists() {
  const names = Array.from(typists.keys(), user => (user === userId ? `${user} (you)` : user));
  const verb = names.length === 1 ? 'is' : 'are';
  page.typing.textContent = names.length === 0 ? '' : `${names.join(', ')} ${verb} typing…`;
}

function showSendable() {
  page.send.disabled = page.content.disabled || page.content.value.trim() === '';
}

function say() {
  const content = page.content.value;
  if (content.trim() === '' || page.content.disabled) return;
  try {
    transcript.pending(connection.say(content), content);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    notify(error.message);
    return;
  }
  page.content.value = '';
  page.empty.hidden = true;
  typedAt = -Infinity;
  followsEnd = true;
  showSendable();
  followEnd();
}

function cancel() {
  if (transcript?.isStreaming) connection.signal('cancel');
}

async function createChat() {
  for (const button of [page.start, page.another]) button.disabled = true;
  try {
    const { chat_id } = await post('chats', { user_id: userId });
    location.hash = chat_id;
  } catch (error) {
    notify(error instanceof Refusal ? error.message : 'The server cannot be reached; try again.');
  } finally {
    for (const button of [page.start, page.another]) button.disabled = false;
  }
}

function followEnd() {
  if (followsEnd) page.scroll.scrollTop = page.scroll.scrollHeight;
  page.latest.hidden = followsEnd;
}

page.start.onclick = createChat;
page.another.onclick = createChat;
page.cancel.onclick = cancel;
page.latest.onclick = () => {
  followsEnd = true;
  followEnd();
};
page.composer.onsubmit = event => {
  event.preventDefault();
  say();
  page.content.focus();
};
page.content.oninput = () => {
  showSendable();
  if (page.content.value === '' || performance.now() - typedAt < TYPING_EVERY_MS) return;
  typedAt = performance.now();
  connection?.signal('typing');
};
page.content.onkeydown = event => {
  // While a word is being composed from several keys, Enter and Escape belong to that.
  if (event.isComposing) return;
  if (event.key === 'Enter' && !event.shiftKey) {
    event.preventDefault();
    say();
  }
};
// Only whoever scrolls up wants to stay there: an answer may have grown since the page scrolled down by itself.
page.scroll.onscroll = () => {
  const { scrollHeight, scrollTop, clientHeight } = page.scroll;
  if (scrollHeight - scrollTop - clientHeight < NEAR_THE_END_PX) followsEnd = true;
  else if (scrollTop < scrolledTo) followsEnd = false;
  scrolledTo = scrollTop;
  page.latest.hidden = followsEnd;
};
addEventListener('keydown', event => {
  if (event.key === 'Escape' && !event.isComposing) cancel();
});
addEventListener('hashchange', open);
addEventListener('online', () => connection?.hurry());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) connection?.hurry();
});
// Whenever something grows, be it an answer or a keyboard on the screen.
const sizes = new ResizeObserver(followEnd);
sizes.observe(page.log);
sizes.observe(page.scroll);
open();

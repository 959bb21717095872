// A chat with Parlor in a browser, over one WebSocket that goes on where it was, whatever cut it.
//
//   Connection   the protocol: tickets, reconnecting, what has yet to be acknowledged
//   Transcript   what is shown: messages in the order of `seq`, answers as they stream
//   the page     joins the two with the buttons and the fragment of the address, which names the chat
//
// There is no API key in here: connections are opened with tickets, which the page's own backend makes. The demo's
// backend gives one to anybody; in an application it would know from its session who asks.

// --- The protocol ---------------------------------------------------------------------------------------------------

const MAX_FRAME_BYTES = 64 * 1024;
const REQUEST_TIMEOUT_MS = 15_000;
const HEARTBEAT_MS = 25_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;
// A connection that lived so long was a success: the next pause is the first again.
const STABLE_MS = 10_000;

// Closed for good: connecting again would end the same way.
const isTerminal = code => [1002, 1003, 1007, 1009].includes(code) || (code >= 4000 && code <= 4007);

// What asking again will not change.
class Refusal extends Error {}

async function post(path, body) {
  const response = await fetch(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  });
  if (response.ok) return response.json();
  const { detail = `The server answered ${response.status}.` } = await response.json().catch(() => ({}));
  throw response.status < 500 ? new Refusal(detail) : new Error(detail);
}

// Messages that are not acknowledged. They outlive a reload: sent again under the same name they are stored once.
class Outbox {
  #key;
  #messages;

  constructor(chatId) {
    this.#key = `parlor-outbox-${chatId}`;
    this.#messages = new Map(JSON.parse(sessionStorage.getItem(this.#key) ?? '[]'));
  }

  [Symbol.iterator]() {
    return this.#messages.entries();
  }

  get(id) {
    return this.#messages.get(id);
  }

  add(id, content) {
    this.#messages.set(id, content);
    this.#save();
  }

  remove(id) {
    if (this.#messages.delete(id)) this.#save();
  }

  #save() {
    if (this.#messages.size > 0) sessionStorage.setItem(this.#key, JSON.stringify([...this.#messages]));
    else sessionStorage.removeItem(this.#key);
  }
}

// One chat, live. Tells `listener`:
//
//   stateChanged(state, reason)   `connecting`, `open`, `waiting` for the next attempt, or `ended` for good
//   caughtUp()                    everything that was stored has been told
//   reset()                       forget everything: the server knows less, as after restoring a backup
//   received(event)               an event of the protocol
class Connection {
  outbox;
  #chatId;
  #userId;
  #listener;
  #socket = null;
  #ended = false;
  #seq = 0;
  #lastSeq = null;
  #attempts = 0;
  #establishedAt = null;
  #heard = false;
  #heartbeat;
  #retry;

  constructor(chatId, userId, listener) {
    this.#chatId = chatId;
    this.#userId = userId;
    this.#listener = listener;
    this.outbox = new Outbox(chatId);
  }

  get #isOpen() {
    return this.#establishedAt !== null;
  }

  // Sends a message, now or once there is a connection; returns the name under which it will be acknowledged.
  say(content) {
    const id = randomId();
    if (new TextEncoder().encode(messageFrame(id, content)).length > MAX_FRAME_BYTES) {
      throw new Refusal('This message is too long.');
    }
    this.outbox.add(id, content);
    this.sayAgain(id);
    return id;
  }

  // Sends what was not acknowledged, under the same name.
  sayAgain(id) {
    const content = this.outbox.get(id);
    if (this.#isOpen && content !== undefined) this.#socket.send(messageFrame(id, content));
  }

  // Sends what is of the moment, or drops it.
  signal(type) {
    if (this.#isOpen) this.#socket.send(JSON.stringify({ type }));
  }

  async connect() {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#listener.stateChanged('connecting');
    try {
      const { ticket } = await post(`chats/${encodeURIComponent(this.#chatId)}/tickets`, { user_id: this.#userId });
      if (!this.#ended) this.#open(ticket);
    } catch (error) {
      if (this.#ended) return;
      if (error instanceof Refusal) this.#end(error.message);
      else this.#wait();
    }
  }

  // Does not wait any longer, because something has changed for the better.
  hurry() {
    if (this.#retry !== undefined) this.connect();
  }

  close() {
    this.#ended = true;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#detach()?.close();
  }

  #open(ticket) {
    const url = new URL('../ws/chat', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    url.search = new URLSearchParams({ ticket, after_seq: this.#seq });
    const socket = new WebSocket(url);
    this.#socket = socket;
    this.#heard = false;
    // The server's pings do not reach a page, so it asks itself whether anybody is still there.
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS);
    // What an abandoned socket has to say is of no interest.
    socket.onmessage = ({ data }) => this.#socket === socket && this.#received(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#socket === socket && this.#closed(code, reason);
  }

  #beat() {
    if (this.#heard) {
      this.#heard = false;
      this.signal('ping');
    } else {
      this.#detach().close();
      this.#wait();
    }
  }

  #received(event) {
    this.#heard = true;
    switch (event.event_type) {
      case 'connection_established':
        this.#established(event);
        break;
      case 'message_received':
        this.outbox.remove(event.client_message_id);
        this.#advance(event.seq);
        break;
      case 'message_created':
        this.outbox.remove(event.message.client_message_id);
        this.#advance(event.message.seq);
        break;
      case 'message_stream_ended':
        this.#advance(event.seq);
        break;
      case 'error':
        if (!event.retryable) this.outbox.remove(event.client_message_id);
        break;
      default:
    }
    this.#listener.received(event);
    this.#tellWhenCaughtUp();
  }

  #established({ resumed, last_seq }) {
    if (!resumed) {
      this.#seq = 0;
      this.#listener.reset();
      this.#detach().close();
      this.connect();
      return;
    }
    this.#establishedAt = performance.now();
    this.#lastSeq = last_seq;
    this.#listener.stateChanged('open');
    for (const [id] of this.outbox) this.sayAgain(id);
  }

  // Only ever to the next: the acknowledgement of a message that was sent twice may come before what precedes it.
  #advance(seq) {
    if (seq === this.#seq + 1) this.#seq = seq;
  }

  #tellWhenCaughtUp() {
    if (this.#lastSeq === null || this.#seq < this.#lastSeq) return;
    this.#lastSeq = null;
    this.#listener.caughtUp();
  }

  #closed(code, reason) {
    this.#detach();
    if (isTerminal(code)) this.#end(reason || `The connection was closed with code ${code}.`);
    else this.#wait();
  }

  #detach() {
    const socket = this.#socket;
    clearInterval(this.#heartbeat);
    if (this.#isOpen && performance.now() - this.#establishedAt > STABLE_MS) this.#attempts = 0;
    this.#socket = null;
    this.#establishedAt = null;
    this.#lastSeq = null;
    return socket;
  }

  // Anything from nothing to a bound that doubles, so that clients which were cut off together do not return together.
  #wait() {
    const bound = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#attempts);
    this.#attempts += 1;
    this.#retry = setTimeout(() => this.connect(), Math.random() * bound);
    this.#listener.stateChanged('waiting');
  }

  #end(reason) {
    this.close();
    this.#listener.stateChanged('ended', reason);
  }
}

const messageFrame = (id, content) => JSON.stringify({ type: 'message', content, client_message_id: id });

// `crypto.randomUUID` is there on https and on this machine only.
function randomId() {
  return crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), hex).join('');
}

const hex = byte => byte.toString(16).padStart(2, '0');

// --- What is shown --------------------------------------------------------------------------------------------------

// Below all that is stored: first what waits to be stored, then answers, which are stored after it.
const PENDING = Number.MAX_SAFE_INTEGER - 1;
const STREAMING = Number.MAX_SAFE_INTEGER;

const ENDINGS = { cancelled: 'stopped', error: 'cut off: the assistant failed' };

// The messages of one chat. Whatever people and models write becomes text, never markup.
class Transcript {
  onstreaming = () => {};
  #log;
  #userId;
  #ranks = new WeakMap();
  #messages = new Map();
  #pending = new Map();
  #streams = new Map();
  #lastSeq = 0;

  constructor(log, userId) {
    this.#log = log;
    this.#userId = userId;
    this.clear();
  }

  get isEmpty() {
    return this.#log.childElementCount === 0;
  }

  get isStreaming() {
    return this.#streams.size > 0;
  }

  clear() {
    this.#log.replaceChildren();
    for (const items of [this.#messages, this.#pending, this.#streams]) items.clear();
    this.#lastSeq = 0;
    this.onstreaming();
  }

  // An own message that the server has not acknowledged.
  pending(id, content) {
    const item = this.#item({ author: 'You', own: true, content });
    item.element.classList.add('pending');
    item.note.textContent = 'sending…';
    this.#pending.set(id, item);
    this.#place(item, PENDING);
  }

  received({ client_message_id, message_id, seq, created_at }) {
    const item = this.#pending.get(client_message_id);
    if (!item) return;
    this.#pending.delete(client_message_id);
    this.#keep(item, message_id, seq, created_at);
    item.note.textContent = '✓ sent';
  }

  created(message) {
    const { id, client_message_id, sender_role, sender_id, content, seq, created_at, metadata } = message;
    if (this.#messages.has(id)) return;
    if (this.#pending.has(client_message_id)) {
      this.received({ client_message_id, message_id: id, seq, created_at });
    } else if (sender_role === 'assistant') {
      this.streamEnded({ message_id: id, content, seq, finish_reason: metadata?.finish_reason, timestamp: created_at });
    } else {
      const own = sender_id === this.#userId;
      const item = this.#item({ author: own ? 'You' : (sender_id ?? 'User'), own, content });
      if (own) item.note.textContent = '✓ sent';
      this.#keep(item, id, seq, created_at);
    }
  }

  streamStarted({ message_id }) {
    let stream = this.#streams.get(message_id);
    if (!stream) {
      stream = this.#assistant();
      stream.element.classList.add('streaming');
      // A screen reader waits for the whole.
      stream.element.ariaBusy = 'true';
      this.#streams.set(message_id, stream);
      this.#place(stream, STREAMING);
    }
    stream.next = 0;
    this.onstreaming();
  }

  streamToken({ message_id, token, index }) {
    const stream = this.#streams.get(message_id);
    if (!stream || index < stream.next) return;
    // The first one since the start may hold many, and all that was shown before.
    if (stream.next === 0) stream.text.data = token;
    else stream.text.appendData(token);
    stream.next = index + 1;
  }

  streamEnded({ message_id, content, seq, finish_reason, timestamp }) {
    if (this.#messages.has(message_id)) return;
    const stream = this.#streams.get(message_id) ?? this.#assistant();
    this.#streams.delete(message_id);
    stream.element.classList.remove('streaming');
    stream.element.ariaBusy = null;
    if (seq === null) {
      stream.element.remove();
    } else {
      stream.text.data = content;
      stream.note.textContent = ENDINGS[finish_reason] ?? '';
      this.#keep(stream, message_id, seq, timestamp);
    }
    this.onstreaming();
  }

  // After a gap: those answers that still stream start anew.
  forgetStreams() {
    for (const { element } of this.#streams.values()) element.remove();
    this.#streams.clear();
    this.onstreaming();
  }

  // Tells whether the failure was one of a message in here.
  failed({ client_message_id, message, retryable }, sayAgain) {
    const item = this.#pending.get(client_message_id);
    if (!item) return false;
    item.element.classList.add('failed');
    item.note.textContent = `not sent: ${message} `;
    if (retryable) {
      const again = element('button', 'link', 'Try again');
      again.type = 'button';
      again.onclick = () => {
        this.sendingAgain(client_message_id);
        sayAgain();
      };
      item.note.append(again);
    }
    return true;
  }

  sendingAgain(id) {
    const item = this.#pending.get(id);
    if (!item) return;
    item.element.classList.remove('failed');
    item.note.textContent = 'sending…';
  }

  // Something that happened, behind the last message.
  tell(text) {
    this.#place({ element: element('p', 'event', text) }, this.#lastSeq + 0.5);
  }

  #assistant() {
    const item = this.#item({ author: 'Assistant', own: false, content: '' });
    item.element.classList.add('assistant');
    return item;
  }

  #item({ author, own, content }) {
    const article = element('article', own ? 'message own' : 'message');
    const about = element('p', 'about');
    const time = element('time');
    const note = element('span', 'note');
    about.append(element('span', 'author', author), time, note);
    const text = document.createTextNode(content);
    const body = element('div', 'content');
    body.dir = 'auto';
    body.append(text);
    article.append(about, body);
    return { element: article, time, note, text };
  }

  #keep(item, id, seq, timestamp) {
    item.element.classList.remove('pending', 'failed');
    item.time.dateTime = timestamp;
    item.time.textContent = clock.format(new Date(timestamp));
    this.#messages.set(id, item);
    this.#lastSeq = Math.max(this.#lastSeq, seq);
    this.#place(item, seq);
  }

  // Moves nothing that is in its place already: a screen reader would say it again.
  #place({ element }, rank) {
    this.#ranks.set(element, rank);
    let next = null;
    let node = this.#log.lastElementChild;
    while (node && (node === element || this.#ranks.get(node) > rank)) {
      if (node !== element) next = node;
      node = node.previousElementSibling;
    }
    if (element.parentNode !== this.#log || element.nextElementSibling !== next) this.#log.insertBefore(element, next);
  }
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

function element(tag, className = '', text = '') {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

// --- The page -------------------------------------------------------------------------------------------------------

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
  const made = `guest-${Array.from(crypto.getRandomValues(new Uint8Array(3)), hex).join('')}`;
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
  connection.signal('typing');
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

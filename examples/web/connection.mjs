// The protocol: tickets, reconnecting, what has yet to be acknowledged.

const MAX_CONTENT_CHARS = 32_768;
const REQUEST_TIMEOUT_MS = 15_000;
// The interval between pings, and the time that the server has to answer one, in milliseconds.
const HEARTBEAT_MS = 15_000;
const PONG_TIMEOUT_MS = 8_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;
const LONGEST_RETRY_AFTER_MS = 5 * 60_000;
// After a connection of at least this length, the next pause is the first again.
const STABLE_MS = 60_000;

// Closed for good: connecting again would end the same way.
const isTerminal = code => [1000, 1002, 1003, 1007, 1009].includes(code) || (code >= 4000 && code <= 4007);

// A failure that another attempt will not change.
export class Refusal extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

// A temporary failure. The next attempt waits for at least `notBeforeMs`.
class Failure extends Error {
  constructor(message, notBeforeMs) {
    super(message);
    this.notBeforeMs = notBeforeMs;
  }
}

export const get = path => request(path, {});

export const post = (path, body) =>
  request(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });

async function request(path, options) {
  const response = await fetch(path, { ...options, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  if (response.ok) return response.json();
  const { code, detail = `The server answered ${response.status}.` } = await response.json().catch(() => ({}));
  const passes = [408, 425, 429].includes(response.status) || response.status >= 500;
  throw passes ? new Failure(detail, retryAfterMs(response)) : new Refusal(detail, code);
}

// `Retry-After` is a number of seconds or, from a proxy perhaps, a date.
function retryAfterMs({ headers }) {
  const value = headers.get('Retry-After') ?? '';
  const ms = /^\d+$/.test(value) ? value * 1000 : Date.parse(value) - Date.now();
  return Math.min(Math.max(ms || 0, 0), LONGEST_RETRY_AFTER_MS);
}

// Messages that are not acknowledged. They outlive a reload: sent again under the same name they are stored once.
class Outbox {
  #key;
  #messages;

  constructor(chatId, userId) {
    this.#key = `parlor-outbox-${chatId}-${userId}`;
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
//   stateChanged(state, end)      `connecting`, `open`, `waiting` for the next attempt, or `ended` for good, with the
//                                 `code` and the `reason` of the end
//   caughtUp()                    everything that was stored has been told
//   reset()                       forget everything: the server knows less, as after restoring a backup
//   received(event)               an event of the protocol
export class Connection {
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
  #heartbeat;
  #deadline;
  #retry;
  #notBefore = 0;

  constructor(chatId, userId, listener) {
    this.#chatId = chatId;
    this.#userId = userId;
    this.#listener = listener;
    this.outbox = new Outbox(chatId, userId);
  }

  get #isOpen() {
    return this.#establishedAt !== null;
  }

  // Sends a message, now or once there is a connection; returns the name under which it will be acknowledged.
  say(content) {
    if ([...content].length > MAX_CONTENT_CHARS) throw new Refusal('This message is too long.');
    const id = randomId();
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
      if (error instanceof Refusal) this.#end(error.code, error.message);
      else this.#wait(error.notBeforeMs);
    }
  }

  // Does not rely on an open connection any longer, because the network has gone: a new one shows whether the server can
  // still be reached, as one on this machine can.
  distrust() {
    if (this.#socket) this.#reconnect();
  }

  // Does not wait any longer, because something has changed for the better; unless the server has asked to.
  hurry() {
    if (this.#retry !== undefined && performance.now() >= this.#notBefore) this.connect();
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
    // The ticket knows the chat; a proxy before several nodes does not.
    url.search = new URLSearchParams({ chat_id: this.#chatId, ticket, after_seq: this.#seq });
    const socket = new WebSocket(url);
    this.#socket = socket;
    // The server's pings do not reach a page, so it asks for an answer itself.
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS);
    // Ignores events of a socket that was abandoned.
    socket.onmessage = ({ data }) => this.#socket === socket && this.#received(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#socket === socket && this.#closed(code, reason);
  }

  #beat() {
    this.signal('ping');
    this.#deadline ??= setTimeout(() => this.#reconnect(), PONG_TIMEOUT_MS);
  }

  #received(event) {
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
    if (this.#isBeyondGap(event)) {
      this.#reconnect();
      return;
    }
    switch (event.event_type) {
      case 'connection_established':
        this.#established(event);
        break;
      case 'message_received':
        this.outbox.remove(event.client_message_id);
        this.#advance(event.seq);
        break;
      case 'message_created':
        if (event.message.sender_id === this.#userId) this.outbox.remove(event.message.client_message_id);
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

  // Detects a gap before this event. The event is dropped, and comes again when the missing ones are requested.
  // Only the acknowledgement of a message that was sent twice may precede what is still being read again.
  #isBeyondGap({ event_type, message, seq }) {
    switch (event_type) {
      case 'message_received':
        return this.#lastSeq === null && seq > this.#seq + 1;
      case 'message_created':
        return message.seq > this.#seq + 1;
      case 'message_stream_ended':
        return seq > this.#seq + 1;
      default:
        return false;
    }
  }

  // Only ever to the next; see above.
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
    if (isTerminal(code)) this.#end(code, reason || `The connection was closed with code ${code}.`);
    else this.#wait();
  }

  #reconnect() {
    this.#detach().close();
    this.#wait();
  }

  #detach() {
    const socket = this.#socket;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
    if (this.#isOpen && performance.now() - this.#establishedAt > STABLE_MS) this.#attempts = 0;
    this.#socket = null;
    this.#establishedAt = null;
    this.#lastSeq = null;
    return socket;
  }

  // Anything from nothing to a bound that doubles, so that clients which were cut off together do not return together.
  #wait(notBeforeMs = 0) {
    const bound = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#attempts);
    this.#attempts += 1;
    this.#notBefore = performance.now() + notBeforeMs;
    this.#retry = setTimeout(() => this.connect(), notBeforeMs + Math.random() * bound);
    this.#listener.stateChanged('waiting');
  }

  #end(code, reason) {
    this.close();
    this.#listener.stateChanged('ended', { code, reason });
  }
}

const messageFrame = (id, content) => JSON.stringify({ type: 'message', content, client_message_id: id });

// `crypto.randomUUID` is there on https and on this machine only.
function randomId() {
  return crypto.randomUUID?.() ?? randomHex(16);
}

export function randomHex(bytes) {
  const hex = byte => byte.toString(16).padStart(2, '0');
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), hex).join('');
}

// What is shown: messages in the order of `seq`, answers as they stream.

// Below all that is stored: first what waits to be stored, then answers, which are stored after it.
const PENDING = Number.MAX_SAFE_INTEGER - 1;
const STREAMING = Number.MAX_SAFE_INTEGER;

const ENDINGS = { cancelled: 'stopped', error: 'cut off: the assistant failed' };

// The messages of one chat. Whatever people and models write becomes text, never markup.
export class Transcript {
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

// The list of messages: stored ones in the order of `seq`, answers as they stream, and questions without an answer.

import { MarkdownView, button, element } from './dom.mjs';

// Below all that is stored: first what waits to be stored, then answers, which are stored after it.
const PENDING = Number.MAX_SAFE_INTEGER - 1;
const STREAMING = Number.MAX_SAFE_INTEGER;

// The notes under answers that the model did not end itself.
const ENDINGS = {
  cancelled: 'stopped',
  length: 'cut off: the answer reached its longest length',
  interrupted: 'cut off: the server was restarted',
  error: 'cut off: the assistant failed',
};
// The notes under questions of whose answer nothing was stored.
const NO_ANSWER = {
  cancelled: 'Stopped before the answer began.',
  interrupted: 'The server was restarted before it could answer.',
  error: 'The assistant could not answer.',
};
// Ends that asking again may mend.
const MENDABLE = new Set(['interrupted', 'error']);

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

// The messages of one chat. What people write is shown as it is, and what the assistant writes as Markdown, neither ever as
// markup. Tells `listener`:
//
//   streamingChanged()   an answer has begun or ended, see `isStreaming`
//   askAgain(content)    the user wants a question to be answered after all
export class Transcript {
  #log;
  #userId;
  #listener;
  #ranks = new WeakMap();
  #messages = new Map();
  #pending = new Map();
  #streams = new Map();
  // The last stored message, and the line below it that says why it has no answer.
  #last = null;
  #failure = null;
  #others = new Set();
  hasAssistant = false;

  constructor(log, userId, listener) {
    this.#log = log;
    this.#userId = userId;
    this.#listener = listener;
    this.clear();
  }

  get isEmpty() {
    return this.#log.childElementCount === 0;
  }

  get isStreaming() {
    return Array.from(this.#streams.values()).some(({ isStalled }) => !isStalled);
  }

  // Returns whether an answer has started but no token of it has arrived.
  get isThinking() {
    return Array.from(this.#streams.values()).some(({ isStalled, text }) => !isStalled && text === '');
  }

  clear() {
    this.#log.replaceChildren();
    for (const items of [this.#messages, this.#pending, this.#streams]) items.clear();
    this.#last = null;
    this.#failure = null;
    this.#listener.streamingChanged();
  }

  // An own message that the server has not acknowledged.
  pending(id, content) {
    const item = this.#item({ author: 'You', own: true, content });
    item.element.classList.add('pending');
    item.note.textContent = 'sending…';
    item.content = content;
    this.#pending.set(id, item);
    this.#place(item, PENDING);
    this.#clearFailure();
  }

  received({ client_message_id, message_id, seq, created_at }) {
    const item = this.#pending.get(client_message_id);
    if (!item) return;
    this.#pending.delete(client_message_id);
    item.note.textContent = '✓ sent';
    this.#keep(item, { id: message_id, seq, created_at, question: item.content });
  }

  created(message) {
    const { id, client_message_id, sender_role, sender_id, content, seq, created_at, metadata } = message;
    if (this.#messages.has(id)) return;
    // Another sender may have chosen the same name for a message.
    if (sender_id === this.#userId && this.#pending.has(client_message_id)) {
      this.received({ client_message_id, message_id: id, seq, created_at });
    } else if (sender_role === 'assistant') {
      this.streamEnded({ message_id: id, content, seq, finish_reason: metadata?.finish_reason, timestamp: created_at });
    } else {
      const own = sender_id === this.#userId;
      if (!own) this.#others.add(sender_id);
      const item = this.#item({ author: own ? 'You' : (sender_id ?? 'User'), own, content });
      if (own) item.note.textContent = '✓ sent';
      this.#keep(item, { id, seq, created_at, question: own ? content : null, isQuestion: true });
    }
  }

  streamStarted({ message_id }) {
    this.discardStalled(message_id);
    this.#clearFailure();
    const stream = this.#streams.get(message_id) ?? this.#stream(message_id);
    stream.element.classList.remove('stalled');
    stream.note.textContent = '';
    stream.isStalled = false;
    stream.next = 0;
    this.hasAssistant = true;
    this.#listener.streamingChanged();
  }

  streamToken({ message_id, token, index }) {
    const stream = this.#streams.get(message_id);
    if (!stream || index < stream.next) return;
    const wasEmpty = stream.text === '';
    // The first one since the start may hold many, and all that was shown before.
    stream.text = stream.next === 0 ? token : stream.text + token;
    stream.next = index + 1;
    stream.element.classList.toggle('thinking', stream.text === '');
    stream.view.grow(stream.text);
    if (wasEmpty) this.#listener.streamingChanged();
  }

  streamEnded({ message_id, content, seq, finish_reason = 'stop', timestamp }) {
    if (this.#messages.has(message_id)) return;
    const stream = this.#streams.get(message_id) ?? this.#answer();
    this.#streams.delete(message_id);
    this.hasAssistant = true;
    stream.element.classList.remove('streaming', 'thinking', 'stalled');
    stream.element.ariaBusy = null;
    if (seq === null) {
      stream.element.remove();
      if (this.#last?.isQuestion) this.showFailure(NO_ANSWER[finish_reason] ?? NO_ANSWER.error);
    } else {
      stream.view.show(content);
      const ending = finish_reason === 'stop' ? '' : (ENDINGS[finish_reason] ?? `ended early: ${finish_reason}`);
      stream.note.textContent = ending;
      if (ending) stream.element.dataset.ending = finish_reason;
      const question = this.#last?.question ?? null;
      this.#keep(stream, { id: message_id, seq, created_at: timestamp });
      if (MENDABLE.has(finish_reason) && question !== null) this.#offerAgain(stream, question);
    }
    this.#listener.streamingChanged();
  }

  // The connection is gone: what becomes of the answers that stream is not known until there is another.
  stall() {
    for (const stream of this.#streams.values()) {
      stream.isStalled = true;
      stream.element.classList.add('stalled');
      stream.note.textContent = 'waiting for the connection';
    }
    this.#listener.streamingChanged();
  }

  // The server does not go on with the answers that stalled, unless with this one.
  discardStalled(resumedId) {
    for (const [id, { isStalled, element }] of this.#streams) {
      if (!isStalled || id === resumedId) continue;
      element.remove();
      this.#streams.delete(id);
    }
    this.#listener.streamingChanged();
  }

  // Says so when the last message is a question that nothing answers. Where several people talk, that is known to be one
  // only if there is an assistant; `isAssisted` tells what is known from elsewhere.
  settle(isAssisted) {
    this.discardStalled();
    const expectsAnswer = isAssisted || this.hasAssistant || this.#others.size === 0;
    if (!this.#last?.isQuestion || !expectsAnswer || this.#failure) return;
    if (this.#streams.size > 0 || this.#pending.size > 0) return;
    this.showFailure('This question has no answer.');
  }

  // Says below the last message why it is not answered, with a way to ask again if that may help.
  showFailure(text, { retryable = true } = {}) {
    this.#clearFailure();
    const line = element('div', 'failure');
    line.append(element('p', '', text));
    const { question = null, seq = 0 } = this.#last ?? {};
    if (retryable && question !== null) {
      line.append(button('', 'Try again', () => this.#listener.askAgain(question)));
    }
    this.#failure = line;
    this.#place({ element: line }, seq + 0.5);
  }

  // Nothing more can be said here, so there is nothing to try again.
  freeze() {
    for (const again of this.#log.querySelectorAll('.failure button, .note button')) again.remove();
  }

  // Tells whether the failure was one of a message in here.
  failed({ client_message_id, message, retryable }, sayAgain) {
    const item = this.#pending.get(client_message_id);
    if (!item) return false;
    item.element.classList.add('failed');
    item.note.textContent = `not sent: ${message} `;
    if (retryable) {
      item.note.append(button('link', 'Try again', () => {
        this.sendingAgain(client_message_id);
        sayAgain();
      }));
    }
    return true;
  }

  sendingAgain(id) {
    const item = this.#pending.get(id);
    if (!item) return;
    item.element.classList.remove('failed');
    item.note.textContent = 'sending…';
  }

  #clearFailure() {
    this.#failure?.remove();
    this.#failure = null;
  }

  #offerAgain({ note, element }, question) {
    note.append(' ', button('link', 'Try again', () => {
      element.querySelector('.note button').remove();
      this.#listener.askAgain(question);
    }));
  }

  #stream(id) {
    const stream = this.#answer();
    stream.element.classList.add('streaming', 'thinking');
    // A screen reader waits for the whole.
    stream.element.ariaBusy = 'true';
    this.#streams.set(id, stream);
    this.#place(stream, STREAMING);
    return stream;
  }

  #answer() {
    const item = this.#item({ author: 'Assistant', own: false, content: '' });
    item.element.classList.add('assistant');
    const thinking = element('p', 'indicator', 'Thinking');
    thinking.append(element('span', 'dots'));
    item.body.before(thinking);
    return { ...item, view: new MarkdownView(item.body), text: '', next: 0, isStalled: false };
  }

  #item({ author, own, content }) {
    const article = element('article', own ? 'message own' : 'message');
    const about = element('p', 'about');
    const time = element('time');
    const note = element('span', 'note');
    const name = element('span', 'author', author);
    name.dir = 'auto';
    about.append(name, time, note);
    const body = element('div', 'content', content);
    body.dir = 'auto';
    article.append(about, body);
    return { element: article, time, note, body };
  }

  // `question` is the text that can be asked again, null if that is another person's.
  #keep(item, { id, seq, created_at, question = null, isQuestion = question !== null }) {
    item.element.classList.remove('pending', 'failed');
    item.time.dateTime = created_at;
    item.time.textContent = clock.format(new Date(created_at));
    this.#messages.set(id, item);
    if (seq > (this.#last?.seq ?? 0)) {
      this.#last = { seq, question, isQuestion };
      this.#clearFailure();
      for (const again of this.#log.querySelectorAll('.assistant .note button')) again.remove();
    }
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

// The field in which messages are written, and the line above it that says who else is writing.

const TYPING_EVERY_MS = 3_000;
const TYPING_SHOWN_MS = 5_000;

// Works on the elements of `page`. Tells `listener`:
//
//   say(content)   send this; answers whether that could be done
//   typing()       the user is writing
export class Composer {
  #page;
  #listener;
  #userId = '';
  #typists = new Map();
  #typedAt = -Infinity;

  constructor(page, listener) {
    this.#page = page;
    this.#listener = listener;
    page.composer.onsubmit = event => {
      event.preventDefault();
      this.#say();
      page.content.focus();
    };
    page.content.oninput = () => this.#typed();
    page.content.onkeydown = event => {
      // While a word is being composed from several keys, Enter belongs to that.
      if (event.isComposing || event.key !== 'Enter' || event.shiftKey) return;
      event.preventDefault();
      this.#say();
    };
  }

  // Forgets who is writing, for another chat or another user.
  reset(userId) {
    this.#userId = userId;
    for (const timer of this.#typists.values()) clearTimeout(timer);
    this.#typists.clear();
    this.#showTypists();
  }

  enable(isEnabled) {
    const { content } = this.#page;
    content.disabled = !isEnabled;
    content.placeholder = isEnabled ? 'Write a message' : 'Nothing can be sent here';
    this.#showSendable();
  }

  types(user) {
    clearTimeout(this.#typists.get(user));
    this.#typists.set(user, setTimeout(() => this.stoppedTyping(user), TYPING_SHOWN_MS));
    this.#showTypists();
  }

  stoppedTyping(user) {
    clearTimeout(this.#typists.get(user));
    if (this.#typists.delete(user)) this.#showTypists();
  }

  #showTypists() {
    const names = Array.from(this.#typists.keys(), user => (user === this.#userId ? `${user} (you)` : user));
    const verb = names.length === 1 ? 'is' : 'are';
    this.#page.typing.textContent = names.length === 0 ? '' : `${names.join(', ')} ${verb} typing…`;
  }

  #showSendable() {
    const { send, content } = this.#page;
    send.disabled = content.disabled || content.value.trim() === '';
  }

  #typed() {
    this.#showSendable();
    if (this.#page.content.value === '' || performance.now() - this.#typedAt < TYPING_EVERY_MS) return;
    this.#typedAt = performance.now();
    this.#listener.typing();
  }

  #say() {
    const { content } = this.#page;
    if (content.value.trim() === '' || content.disabled || !this.#listener.say(content.value)) return;
    content.value = '';
    this.#typedAt = -Infinity;
    this.#showSendable();
  }
}

// Markdown inside a line: emphasis, code, links and breaks, in time that grows with the length of the text alone.
//
// Pieces are gathered from left to right. A run of `*`, `_` or `~` notes which tags it closes and which it opens, as in
// CommonMark's algorithm, so that no list is taken apart; a last pass makes the tree.

const MAX_NESTING = 16;
const MAX_TARGET = 2_048;
const MAX_PARENTHESES = 8;
const PROTOCOLS = new Set(['http:', 'https:', 'mailto:']);
const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0' };

const ESCAPABLE = /[!-/:-@[-`{-~]/;
const ENTITY = /&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-z]{2,4}));/y;
const BRACKETED = /<((?:https?:\/\/|mailto:)[^\s<>]{1,2048}|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8})>/y;
const BARE = /https?:\/\/[^\s<>"`]{1,2048}/y;
const PLAIN = /[^\\`*_~[\]!<&\nh]+/y;
const SPACE = /^\s?$/u;
const PUNCTUATION = /[\p{P}\p{S}]/u;

// The nodes of `text`; while it is `open`, whatever is not closed at its end counts as closed there.
export function inline(text, { open = false } = {}) {
  return new Scanner(open ? text.replace(/(?:[*_~`]{1,3}|!?\[|\\)$/, '') : text, open).nodes();
}

// An address that may be followed, in its normal form, or null.
export function safeUrl(target) {
  try {
    const url = new URL(target);
    return PROTOCOLS.has(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

const link = href => ({ tag: 'a', attributes: { href, rel: 'noopener noreferrer nofollow', target: '_blank' } });

class Scanner {
  #text;
  #open;
  #at = 0;
  #pieces = [];
  #runs = [];
  #brackets = [];
  // No run of this many backticks starts after this position.
  #noTicks = new Map();

  constructor(text, open) {
    this.#text = text;
    this.#open = open;
  }

  nodes() {
    while (this.#at < this.#text.length) this.#step();
    this.#emphasize(0);
    if (this.#open) this.#closeAtEnd();
    return tree(this.#pieces);
  }

  #step() {
    const char = this.#text[this.#at];
    switch (char) {
      case '\\': return this.#escape();
      case '`': return this.#code();
      case '*': case '_': case '~': return this.#run(char);
      case '!': return this.#text[this.#at + 1] === '[' ? this.#bracket(2) : this.#say(char);
      case '[': return this.#bracket(1);
      case ']': return this.#endBracket();
      case '<': return this.#autolink(BRACKETED);
      case 'h': return this.#autolink(BARE);
      case '&': return this.#entity();
      case '\n': return this.#break();
      default: return this.#say(this.#match(PLAIN)[0]);
    }
  }

  #match(pattern) {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text);
  }

  // Takes `text` as it is; `length` of the source made it.
  #say(text, length = text.length) {
    if (this.#pieces.at(-1)?.text === undefined) this.#pieces.push({ text });
    else this.#pieces.at(-1).text += text;
    this.#at += length;
  }

  #put(node, length) {
    this.#pieces.push({ node });
    this.#at += length;
  }

  #escape() {
    const next = this.#text[this.#at + 1] ?? '';
    if (next === '\n') this.#put({ tag: 'br', attributes: {}, children: [] }, 2);
    else if (ESCAPABLE.test(next)) this.#say(next, 2);
    else this.#say('\\');
  }

  #break() {
    const last = this.#pieces.at(-1);
    if (last?.text !== undefined) last.text = last.text.replace(/ {1,64}$/, '');
    this.#put({ tag: 'br', attributes: {}, children: [] }, 1);
  }

  #entity() {
    const match = this.#match(ENTITY);
    if (!match) return this.#say('&');
    const [whole, decimal, hex, name] = match;
    if (name) return this.#say(ENTITIES[name] ?? whole, whole.length);
    const point = decimal ? Number(decimal) : parseInt(hex, 16);
    const isChar = point > 0 && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
    return this.#say(isChar ? String.fromCodePoint(point) : '\ufffd', whole.length);
  }

  #code() {
    const length = runLength(this.#text, this.#at);
    const from = this.#at + length;
    let end = this.#endOfCode(from, length);
    if (end < 0) {
      if (!this.#open || from === this.#text.length) return this.#say('`'.repeat(length));
      end = this.#text.length;
    }
    let text = this.#text.slice(from, end).replaceAll('\n', ' ');
    if (text.startsWith(' ') && text.endsWith(' ') && text.trim() !== '') text = text.slice(1, -1);
    this.#put({ tag: 'code', attributes: {}, children: [text] }, 0);
    this.#at = Math.min(end + length, this.#text.length);
  }

  #endOfCode(from, length) {
    if (from >= (this.#noTicks.get(length) ?? Infinity)) return -1;
    for (let at = this.#text.indexOf('`', from); at >= 0;) {
      const found = runLength(this.#text, at);
      if (found === length) return at;
      at = this.#text.indexOf('`', at + found);
    }
    this.#noTicks.set(length, from);
    return -1;
  }

  #autolink(pattern) {
    const match = this.#at > 0 && pattern === BARE && /[\p{L}\p{N}]/u.test(this.#text[this.#at - 1]) ? null : this.#match(pattern);
    if (!match) return this.#say(this.#text[this.#at]);
    const target = pattern === BARE ? withoutTrail(match[0]) : match[1];
    const href = safeUrl(/^[^:/]+@/.test(target) ? `mailto:${target}` : target);
    if (href === null) return this.#say(this.#text[this.#at]);
    return this.#put({ ...link(href), children: [target] }, pattern === BARE ? target.length : match[0].length);
  }

  // --- Links ---

  #bracket(length) {
    const piece = { text: '', opens: [] };
    this.#brackets.push({ piece, runs: this.#runs.length, isActive: true, pieces: this.#pieces.length });
    piece.literal = this.#text.slice(this.#at, this.#at + length);
    this.#pieces.push(piece, { text: '' });
    this.#at += length;
  }

  #endBracket() {
    const bracket = this.#brackets.pop();
    const target = bracket?.isActive && this.#text[this.#at + 1] === '(' ? this.#target(this.#at + 2) : null;
    const href = target && safeUrl(target.url);
    // Of an address that has yet to come to its end only the text is shown.
    const isPartial = this.#open && target?.end === this.#text.length && !target.isClosed;
    if (!href && !isPartial) return this.#say(']');
    if (!target.isClosed && !isPartial) return this.#say(']');
    this.#emphasize(bracket.runs);
    this.#runs.length = bracket.runs;
    bracket.piece.literal = '';
    if (target.isClosed) {
      const tag = link(href);
      bracket.piece.opens.push(tag);
      this.#pieces.push({ text: '', closes: [tag] });
      // No link is in another one.
      for (const other of this.#brackets) other.isActive = false;
      this.#brackets.length = 0;
    }
    this.#pieces.push({ text: '' });
    this.#at = target.end;
  }

  // Reads `url "title")`; the title is dropped. Null when this is not the rest of a link.
  #target(from) {
    const text = this.#text;
    const limit = Math.min(text.length, from + MAX_TARGET);
    const skip = at => {
      while (at < limit && /\s/.test(text[at])) at += 1;
      return at;
    };
    let at = skip(from);
    const isBracketed = text[at] === '<';
    const start = isBracketed ? at + 1 : at;
    at = start;
    for (let depth = 0; at < limit; at += 1) {
      const char = text[at];
      if (isBracketed ? char === '>' || char === '\n' || char === '<' : /\s/.test(char)) break;
      if (!isBracketed && char === '(' && (depth += 1) > MAX_PARENTHESES) return null;
      if (!isBracketed && char === ')' && (depth -= 1) < 0) break;
    }
    const url = text.slice(start, at);
    if (isBracketed && at < limit) at = text[at] === '>' ? at + 1 : limit + 1;
    at = skip(at);
    const quote = { '"': '"', "'": "'", '(': ')' }[text[at]];
    if (quote && at < limit) {
      const end = text.slice(0, limit).indexOf(quote, at + 1);
      at = end < 0 ? limit : skip(end + 1);
    }
    if (text[at] === ')' && at < limit) return { url, end: at + 1, isClosed: true };
    return at === text.length ? { url, end: at, isClosed: false } : null;
  }

  // --- Emphasis ---

  #run(char) {
    const length = runLength(this.#text, this.#at);
    const before = previousChar(this.#text, this.#at);
    const after = String.fromCodePoint(this.#text.codePointAt(this.#at + length) ?? 0x20);
    const opens = !SPACE.test(after) && (!PUNCTUATION.test(after) || SPACE.test(before) || PUNCTUATION.test(before));
    const closes = !SPACE.test(before) && (!PUNCTUATION.test(before) || SPACE.test(after) || PUNCTUATION.test(after));
    const isWord = char === '_';
    const run = {
      char,
      length,
      left: length,
      canOpen: opens && (!isWord || !closes || PUNCTUATION.test(before)),
      canClose: closes && (!isWord || !opens || PUNCTUATION.test(after)),
      piece: { text: '', run: null, opens: [], closes: [] },
    };
    if (char === '~' && length > 2) run.canOpen = run.canClose = false;
    run.piece.run = run;
    this.#runs.push(run);
    this.#pieces.push(run.piece, { text: '' });
    this.#at += length;
  }

  // Pairs the runs from `bottom` on.
  #emphasize(bottom) {
    const openers = [];
    // For each kind of closer, how many openers from the bottom on are known not to fit.
    const tried = new Map();
    for (const closer of this.#runs.slice(bottom)) {
      while (closer.canClose && closer.left > 0) {
        const kind = `${closer.char}${closer.canOpen}${closer.char === '~' ? closer.length : closer.length % 3}`;
        const least = tried.get(kind) ?? 0;
        let at = openers.length - 1;
        while (at >= least && !fit(openers[at], closer)) at -= 1;
        if (at < least) {
          tried.set(kind, openers.length);
          break;
        }
        const opener = openers[at];
        openers.length = at + 1;
        for (const [key, count] of tried) if (count > at) tried.set(key, at);
        const taken = closer.char === '~' ? closer.left : Math.min(opener.left, closer.left, 2);
        const tag = { tag: tagOf(closer.char, taken), attributes: {} };
        opener.piece.opens.unshift(tag);
        closer.piece.closes.push(tag);
        opener.left -= taken;
        closer.left -= taken;
        if (opener.left === 0) openers.pop();
      }
      if (closer.canOpen && closer.left > 0) openers.push(closer);
    }
    if (bottom === 0) this.#runs = openers;
  }

  // Closes emphasis that was opened before text. A delimiter inside a word is more likely a plain character.
  #closeAtEnd() {
    const end = { text: '', closes: [] };
    for (const run of this.#runs.filter(run => !run.canClose).slice(-MAX_NESTING).reverse()) {
      while (run.left > 0) {
        const taken = run.char === '~' ? run.left : Math.min(run.left, 2);
        const tag = { tag: tagOf(run.char, taken), attributes: {} };
        run.piece.opens.unshift(tag);
        end.closes.push(tag);
        run.left -= taken;
      }
    }
    this.#pieces.push(end);
  }
}

const tagOf = (char, taken) => (char === '~' ? 's' : taken === 2 ? 'strong' : 'em');

function fit(opener, closer) {
  if (opener.char !== closer.char) return false;
  if (closer.char === '~') return opener.left === closer.left;
  // CommonMark's rule of three: a run that both opens and closes.
  const both = opener.canClose || closer.canOpen;
  return !both || (opener.length + closer.length) % 3 !== 0 || (opener.length % 3 === 0 && closer.length % 3 === 0);
}

// The tree of pieces whose tags are nested in each other; deeper than MAX_NESTING only what is in them is kept.
function tree(pieces) {
  const root = { children: [] };
  const path = [{ tag: null, parent: root }];
  for (const { node, text, literal, run, opens = [], closes = [] } of pieces) {
    for (const tag of closes) {
      const at = path.findLastIndex(step => step.tag === tag);
      if (at > 0) path.length = at;
    }
    const { parent } = path.at(-1);
    if (node) append(parent, node);
    else append(parent, run ? run.char.repeat(run.left) : (literal ?? text));
    for (const tag of opens) {
      const { parent } = path.at(-1);
      const isLinkInLink = tag.tag === 'a' && path.some(step => step.tag?.tag === 'a');
      if (path.length > MAX_NESTING || isLinkInLink) {
        path.push({ tag, parent });
      } else {
        const made = { ...tag, children: [] };
        parent.children.push(made);
        path.push({ tag, parent: made });
      }
    }
  }
  return root.children;
}

function append({ children }, piece) {
  if (piece === '') return;
  if (typeof piece === 'string' && typeof children.at(-1) === 'string') children[children.length - 1] += piece;
  else children.push(piece);
}

function runLength(text, at) {
  let end = at + 1;
  while (text[end] === text[at]) end += 1;
  return end - at;
}

function previousChar(text, at) {
  if (at === 0) return ' ';
  const low = text.charCodeAt(at - 1);
  return low >= 0xdc00 && low <= 0xdfff && at > 1 ? text.slice(at - 2, at) : text[at - 1];
}

// The sentence's own signs behind a bare address, and a bracket that was opened before it.
function withoutTrail(url) {
  let end = url.length;
  const opened = url.split('(').length - 1;
  let closed = url.split(')').length - 1;
  for (; end > 0; end -= 1) {
    const last = url[end - 1];
    if (last === ')' && closed > opened) closed -= 1;
    else if (!'.,:;!?\'*_~]}'.includes(last)) break;
  }
  return url.slice(0, end);
}

// Shows a tree of `markdown.mjs` as elements, never by way of markup: whatever a text says, it can only become one of the
// few elements that the tree is made of.

import { Markdown } from './markdown.mjs';

// The longest time, in milliseconds, before new text is drawn. Browsers call no animation frames in a covered window.
const LONGEST_DELAY_MS = 50;

// One text, which may grow. What is already there as it should be stays the same node, so that nothing flickers, a
// selection stays, and a block of code stays scrolled to where it was.
export class MarkdownView {
  #element;
  #markdown = new Markdown();
  #nodes = [];
  #text = '';
  #frame = null;
  #timer = null;

  constructor(element) {
    this.#element = element;
  }

  // Shows a text that is complete.
  show(text) {
    this.#text = text;
    this.#render(false);
  }

  // Shows a text to which more will be added, with the next picture of the page.
  grow(text) {
    this.#text = text;
    if (this.#timer !== null) return;
    this.#frame = requestAnimationFrame(() => this.#render(true));
    this.#timer = setTimeout(() => this.#render(true), LONGEST_DELAY_MS);
  }

  #render(open) {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#timer = null;
    const nodes = this.#markdown.parse(this.#text, { open });
    patch(this.#element, this.#nodes, nodes);
    this.#nodes = nodes;
  }
}

// Turns the children of `parent`, which show `before`, into `after`.
function patch(parent, before, after) {
  after.forEach((node, at) => {
    const known = before[at];
    if (known === node) return;
    const child = parent.childNodes[at];
    if (known === undefined) parent.append(made(node));
    else if (typeof node === 'string' && typeof known === 'string') rewrite(child, known, node);
    else if (node.tag !== undefined && node.tag === known.tag) update(child, known, node);
    else child.replaceWith(made(node));
  });
  while (parent.childNodes.length > after.length) parent.lastChild.remove();
}

function rewrite(child, before, after) {
  if (after.startsWith(before)) child.appendData(after.slice(before.length));
  else child.data = after;
}

function update(element, before, after) {
  for (const name of Object.keys(before.attributes)) {
    if (!(name in after.attributes)) element.removeAttribute(name);
  }
  for (const [name, value] of Object.entries(after.attributes)) {
    if (before.attributes[name] !== value) element.setAttribute(name, value);
  }
  patch(element, before.children, after.children);
}

function made(node) {
  if (typeof node === 'string') return document.createTextNode(node);
  const element = document.createElement(node.tag);
  for (const [name, value] of Object.entries(node.attributes)) element.setAttribute(name, value);
  element.append(...node.children.map(made));
  return element;
}

export function element(tag, className = '', text = '') {
  const created = document.createElement(tag);
  created.className = className;
  created.textContent = text;
  return created;
}

export function button(className, text, onclick) {
  const created = element('button', className, text);
  created.type = 'button';
  created.onclick = onclick;
  return created;
}

// Puts `text` on the clipboard; tells whether that worked. Pages on plain http have no `navigator.clipboard`.
export async function copy(text, source) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const selection = getSelection();
    selection.selectAllChildren(source);
    const isDone = document.execCommand('copy');
    selection.removeAllRanges();
    return isDone;
  }
}

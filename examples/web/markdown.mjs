// Markdown as a tree: the blocks. `inline.mjs` has what is inside a line; `dom.mjs` shows a tree.
//
// CommonMark with tables, task lists, strikethrough and bare links of GitHub's dialect, without indented code, reference
// links and raw HTML, which stays text. A node is a string or `{ tag, attributes, children }`. A line break in a paragraph
// stays one, as chats show it.
//
// Every bound here keeps hostile input cheap: a line is looked at a fixed number of times on each of MAX_DEPTH levels.

import { inline } from './inline.mjs';

const MAX_DEPTH = 12;
const MAX_COLUMNS = 40;

const FENCE = /^( {0,3})(`{3,}|~{3,})(.*)$/;
const HEADING = /^ {0,3}(#{1,6})(?=\s|$)/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const UNDERLINE = /^ {0,3}(=+|-{2,})[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?=[ \t]|$)/;
const TASK = /^\[([ xX])\](?=\s)/;
const DELIMITERS = /^[-|: \t]*-[-|: \t]*$/;
// The beginning of a line that may yet become a marker of any kind.
const PARTIAL_MARKER = /^[ \t]*(?:[-+*=_#>~`|]{1,3}|\d{1,9}[.)]?)$/;

export const node = (tag, attributes = {}, children = []) => ({ tag, attributes, children });

// Reads one text anew each time it has grown, and keeps the nodes of the blocks that are as they were.
export class Markdown {
  #known = new Map();

  // `open`: more may follow, so what is not finished at the end is shown as if it were.
  parse(text, { open = false } = {}) {
    const reader = new Reader(this.#known);
    const nodes = reader.blocks(lines(text, open), 0, open);
    this.#known = reader.read;
    return nodes;
  }
}

export const parse = (text, options) => new Markdown().parse(text, options);

function lines(text, open) {
  const found = text.replaceAll('\0', '\ufffd').split(/\r\n?|\n/).map(expandIndent);
  if (open && PARTIAL_MARKER.test(found.at(-1))) found.pop();
  return found;
}

// A tab in front is as wide as to the next multiple of four.
function expandIndent(line) {
  if (!/^ *\t/.test(line)) return line;
  let width = 0;
  let at = 0;
  for (; line[at] === ' ' || line[at] === '\t'; at += 1) width += line[at] === ' ' ? 1 : 4 - (width % 4);
  return ' '.repeat(width) + line.slice(at);
}

class Reader {
  read = new Map();
  #known;
  // The levels of the headings that are open around the next one.
  #levels = [];

  constructor(known) {
    this.#known = known;
  }

  // The blocks that `lines` make; `open` when the last of them may go on.
  blocks(lines, depth, open) {
    if (depth >= MAX_DEPTH) return lines.some(isText) ? [this.#paragraph(lines.filter(isText), open)] : [];
    const nodes = [];
    for (let at = 0; at < lines.length;) {
      if (!isText(lines[at])) {
        at += 1;
        continue;
      }
      const from = at;
      const end = this.#end(lines, from);
      const isOpen = open && end === lines.length;
      at = end;
      const part = lines.slice(from, end);
      nodes.push(depth === 0 ? this.#remembered(part, isOpen) : this.#block(part, depth, isOpen));
    }
    return nodes;
  }

  // The same node as before for the same lines, which tells `dom.mjs` that there is nothing to do.
  #remembered(part, open) {
    const key = `${open ? 'open' : 'done'} ${this.#levels} ${part.join('\n')}`;
    const kept = this.#known.get(key) ?? { node: this.#block(part, 0, open), levels: [...this.#levels] };
    this.#levels = [...kept.levels];
    this.read.set(key, kept);
    return kept.node;
  }

  // The line behind the block that begins with `from`.
  #end(lines, from) {
    const fence = fenceOf(lines[from]);
    if (fence) {
      let at = from + 1;
      while (at < lines.length && !isEndOf(fence, lines[at])) at += 1;
      return Math.min(at + 1, lines.length);
    }
    if (HEADING.test(lines[from]) || RULE.test(lines[from])) return from + 1;
    if (QUOTE.test(lines[from])) return endOfText(lines, from + 1, line => QUOTE.test(line));
    if (ITEM.test(lines[from])) return endOfList(lines, from);
    if (isTable(lines, from)) return endOfText(lines, from + 2, () => false);
    let at = from + 1;
    for (; at < lines.length && isText(lines[at]) && !UNDERLINE.test(lines[at]) && !interrupts(lines, at); at += 1);
    return at < lines.length && UNDERLINE.test(lines[at]) ? at + 1 : at;
  }

  #block(lines, depth, open) {
    const [first] = lines;
    const fence = fenceOf(first);
    if (fence) return code(fence, lines);
    if (HEADING.test(first)) return this.#heading(HEADING.exec(first)[1].length, withoutHashes(first), open);
    if (RULE.test(first)) return node('hr');
    if (QUOTE.test(first)) {
      const inner = lines.map(line => line.replace(QUOTE, ''));
      return node('blockquote', { dir: 'auto' }, this.blocks(inner, depth + 1, open));
    }
    if (ITEM.test(first)) return this.#list(lines, depth, open);
    if (isTable(lines, 0)) return table(lines, open);
    if (open && isBeginningOfTable(lines)) return table([first, ''], open);
    const underline = lines.length > 1 && UNDERLINE.exec(lines.at(-1));
    if (underline) return this.#heading(underline[1][0] === '=' ? 1 : 2, lines.slice(0, -1).join('\n'), false);
    return this.#paragraph(lines, open);
  }

  #paragraph(lines, open) {
    return node('p', { dir: 'auto' }, inline(joined(lines), { open }));
  }

  // The page has the levels 1 and 2. A text that begins with its third still begins with level 3 here, and skips none.
  #heading(level, text, open) {
    while (this.#levels.length > 0 && this.#levels.at(-1) >= level) this.#levels.pop();
    this.#levels.push(level);
    const shown = Math.min(2 + this.#levels.length, 6);
    return node(`h${shown}`, { class: `level-${level}`, dir: 'auto' }, inline(text.trim(), { open }));
  }

  #list(lines, depth, open) {
    const items = [];
    for (let at = 0; at < lines.length;) {
      const end = endOfItem(lines, at);
      items.push({ lines: itemLines(lines.slice(at, end)), isOpen: open && end === lines.length });
      at = end;
    }
    const hasGap = lines => lines.slice(1, lines.findLastIndex(isText)).some(line => !isText(line));
    const endsBlank = ({ lines }) => lines.length > 1 && !isText(lines.at(-1));
    // Blank lines between items or in them make paragraphs of what is in the items.
    const isLoose = items.slice(0, -1).some(endsBlank) || items.some(({ lines }) => hasGap(lines));
    const [, , marker] = ITEM.exec(lines[0]);
    const children = items.map(({ lines, isOpen }) => this.#item(lines, depth, isOpen, isLoose));
    if (!/\d/.test(marker)) return node('ul', { dir: 'auto' }, children);
    const start = parseInt(marker, 10);
    return node('ol', start === 1 ? { dir: 'auto' } : { dir: 'auto', start: String(start) }, children);
  }

  #item(lines, depth, open, isLoose) {
    const task = TASK.exec(lines[0]);
    const content = task ? [lines[0].slice(task[0].length).trimStart(), ...lines.slice(1)] : lines;
    let children = this.blocks(content, depth + 1, open);
    if (!isLoose) children = children.flatMap(child => (child.tag === 'p' ? child.children : [child]));
    if (!task) return node('li', {}, children);
    const isDone = task[1] !== ' ';
    const box = { type: 'checkbox', disabled: '', 'aria-label': isDone ? 'Done' : 'To do' };
    if (isDone) box.checked = '';
    return node('li', { class: 'task' }, [node('input', box), ...children]);
  }
}

const isText = line => line.trim() !== '';
const indentOf = line => line.length - line.trimStart().length;
const joined = lines => lines.map(line => line.trimStart()).join('\n').trimEnd();

function fenceOf(line) {
  const match = FENCE.exec(line);
  // A backtick behind the fence: it is a code span.
  if (!match || (match[2][0] === '`' && match[3].includes('`'))) return null;
  return { indent: match[1].length, mark: match[2], language: match[3].trim().split(/\s/, 1)[0] };
}

function isEndOf({ mark }, line) {
  const close = line.trim();
  return close.length >= mark.length && indentOf(line) < 4 && close === mark[0].repeat(close.length);
}

function code(fence, lines) {
  const last = lines.length > 1 && isEndOf(fence, lines.at(-1)) ? -1 : undefined;
  const text = lines.slice(1, last).map(line => line.slice(Math.min(indentOf(line), fence.indent))).join('\n');
  const language = fence.language.slice(0, 40);
  return node('figure', { class: 'code' }, [
    node('figcaption', {}, [
      node('span', { class: 'language' }, [language || 'text']),
      node('button', { type: 'button', class: 'copy' }, ['Copy']),
    ]),
    node('pre', { tabindex: '0', role: 'group', 'aria-label': language ? `Code, ${language}` : 'Code', dir: 'ltr' }, [
      node('code', {}, [text]),
    ]),
  ]);
}

function withoutHashes(line) {
  const text = line.trim().replace(/^#+/, '').trim();
  let end = text.length;
  while (text[end - 1] === '#') end -= 1;
  return end === 0 || /\s/.test(text[end - 1]) ? text.slice(0, end) : text;
}

// Returns whether a line ends the paragraph before it. A number other than one is more likely part of a sentence.
function interrupts(lines, at) {
  const line = lines[at];
  const item = ITEM.exec(line);
  if (item && item[1].length < 4) {
    return isText(line.slice(item[0].length)) && (!/\d/.test(item[2]) || parseInt(item[2], 10) === 1);
  }
  return HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || fenceOf(line) !== null || isTable(lines, at);
}

// The end of lines that go together until a blank one or another block; those that `goesOn` names are never another.
function endOfText(lines, from, goesOn) {
  let at = from;
  for (; at < lines.length && isText(lines[at]) && (goesOn(lines[at]) || !interrupts(lines, at)); at += 1);
  return at;
}

// --- Lists ----------------------------------------------------------------------------------------------------------

function endOfList(lines, from) {
  const kind = kindOf(lines[from]);
  let at = from;
  while (at < lines.length && ITEM.test(lines[at]) && !RULE.test(lines[at]) && kindOf(lines[at]) === kind) {
    at = endOfItem(lines, at);
  }
  // Blank lines behind the last item are not part of it.
  while (!isText(lines[at - 1])) at -= 1;
  return at;
}

// A list goes on with the same bullet, or with the same sign behind its numbers.
const kindOf = line => ITEM.exec(line)[2].replace(/^\d+/, '1');

// The indentation of the item's content. Two columns are enough, since many people indent so under a number, too.
function offsetOf(line) {
  const [marker, before] = ITEM.exec(line);
  const spaces = indentOf(line.slice(marker.length));
  const isBlank = !isText(line.slice(marker.length));
  return { content: marker.length + (isBlank || spaces > 4 ? 1 : spaces), least: before.length + 2 };
}

function endOfItem(lines, from) {
  const { least } = offsetOf(lines[from]);
  let fence = fenceOf(lines[from].replace(ITEM, '').trimStart());
  let at = from + 1;
  for (let afterBlank = false; at < lines.length; at += 1) {
    const line = lines[at];
    if (isText(line)) {
      const isInside = indentOf(line) >= least;
      if (!isInside && (afterBlank || fence || ITEM.test(line) || interrupts(lines, at))) break;
      if (fence) fence = isEndOf(fence, line.trimStart()) ? null : fence;
      else fence = fenceOf(line.trimStart());
      afterBlank = false;
    } else {
      afterBlank = true;
    }
  }
  return at;
}

function itemLines(lines) {
  const { content } = offsetOf(lines[0]);
  const first = lines[0].replace(ITEM, '').trimStart();
  return [first, ...lines.slice(1).map(line => line.slice(Math.min(indentOf(line), content)))];
}

// --- Tables ---------------------------------------------------------------------------------------------------------

function isTable(lines, at) {
  const delimiters = lines[at + 1];
  if (delimiters === undefined || !lines[at].includes('|') || !DELIMITERS.test(delimiters)) return false;
  const columns = cells(lines[at]).length;
  const isDelimiter = cell => /^:?-+:?$/.test(cell);
  return columns <= MAX_COLUMNS && columns === cells(delimiters).length && cells(delimiters).every(isDelimiter);
}

// Returns whether the last lines of an open text may become a table once the second one is complete.
function isBeginningOfTable([header, delimiters, ...rest]) {
  return /^ {0,3}\|/.test(header) && rest.length === 0 && /^[-|: \t]*$/.test(delimiters ?? '');
}

function cells(line) {
  const row = line.trim().replace(/^\|/, '');
  const found = row.split(/(?<!\\)\|/).map(cell => cell.trim().replaceAll('\\|', '|'));
  if (found.length > 1 && found.at(-1) === '') found.pop();
  return found;
}

// Rows that are too short stay so: to fill them up, few characters could ask for very many cells.
function table([header, delimiters, ...rows], open) {
  const alignments = cells(delimiters).map(cell => {
    if (cell.endsWith(':')) return cell.startsWith(':') && cell.length > 1 ? 'center' : 'end';
    return '';
  });
  const names = cells(header);
  const row = (line, tag, isOpen) => node('tr', {}, cells(line).slice(0, names.length).map((cell, column, all) => {
    const attributes = { dir: 'auto' };
    if (alignments[column]) attributes.class = `align-${alignments[column]}`;
    if (tag === 'th') attributes.scope = 'col';
    return node(tag, attributes, inline(cell, { open: isOpen && column === all.length - 1 }));
  }));
  const body = rows.map((line, at) => row(line, 'td', open && at === rows.length - 1));
  return node('div', { class: 'table', tabindex: '0', role: 'group', 'aria-label': 'Table' }, [
    node('table', {}, [
      node('thead', {}, [row(header, 'th', open && rows.length === 0)]),
      ...(body.length > 0 ? [node('tbody', {}, body)] : []),
    ]),
  ]);
}

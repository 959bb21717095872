// Tests the demo page's Markdown by a table, and that no input makes it slow, deeply nested or dangerous.
//
//     node --test scripts/browser/markdown.test.mjs

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { safeUrl } from '../../examples/web/inline.mjs';
import { Markdown, parse } from '../../examples/web/markdown.mjs';

const LINK = 'rel="noopener noreferrer nofollow" target="_blank"';
const MAX_CHARS = 32_768;
// A guard against inputs that take minutes; these take a few milliseconds.
const SLOW_MS = 10_000;

const CASES = [
  // Paragraphs and breaks
  ['', ''],
  ['  \n\n\t\n', ''],
  ['one', '<p>one</p>'],
  ['one\ntwo', '<p>one<br>two</p>'],
  ['one  \ntwo\\\nthree', '<p>one<br>two<br>three</p>'],
  ['one\r\n\r\ntwo\rthree', '<p>one</p><p>two<br>three</p>'],
  ['    not indented code', '<p>not indented code</p>'],
  ['a\0b', '<p>a\ufffdb</p>'],
  // Headings: levels of the text are kept for the eye; those of the page begin with 3 and skip none
  ['# One #', '<h3 class="level-1">One</h3>'],
  ['### Three\n# One\n## Two\n###### Six', '<h3 class="level-3">Three</h3><h3 class="level-1">One</h3><h4 class="level-2">Two</h4><h5 class="level-6">Six</h5>'],
  ['#tag', '<p>#tag</p>'],
  ['####### seven', '<p>####### seven</p>'],
  ['Title\n===', '<h3 class="level-1">Title</h3>'],
  ['Title\n---\ntext', '<h3 class="level-2">Title</h3><p>text</p>'],
  ['# C# and C\\#', '<h3 class="level-1">C# and C#</h3>'],
  // Rules
  ['---', '<hr>'],
  ['a\n\n* * *\nb', '<p>a</p><hr><p>b</p>'],
  ['__', '<p>__</p>'],
  // Emphasis
  ['*a* _b_ **c** __d__ ***e***', '<p><em>a</em> <em>b</em> <strong>c</strong> <strong>d</strong> <em><strong>e</strong></em></p>'],
  ['**a *b* c**', '<p><strong>a <em>b</em> c</strong></p>'],
  ['*a **b***', '<p><em>a <strong>b</strong></em></p>'],
  ['~~gone~~ ~one~ a~b', '<p><s>gone</s> <s>one</s> a~b</p>'],
  ['snake_case_name and 2 * 3 * 4', '<p>snake_case_name and 2 * 3 * 4</p>'],
  ['un*frigging*believable', '<p>un<em>frigging</em>believable</p>'],
  ['**not closed', '<p>**not closed</p>'],
  ['\\*not\\* \\`this\\`', '<p>*not* `this`</p>'],
  ['**日本語**です', '<p><strong>日本語</strong>です</p>'],
  ['*a `*` b*', '<p><em>a <code>*</code> b</em></p>'],
  ['**a [b** c](https://a.example/)', `<p>**a <a href="https://a.example/" ${LINK}>b** c</a></p>`],
  // Code spans
  ['`a` ``b`c`` ` d `', '<p><code>a</code> <code>b`c</code> <code>d</code></p>'],
  ['`a', '<p>`a</p>'],
  ['`<b>&amp;`', '<p><code>&lt;b&gt;&amp;amp;</code></p>'],
  // Entities and markup, which stays text
  ['&amp; &lt; &#65; &#x1F600; &nbsp;&bogus; &', '<p>&amp; &lt; A 😀 \u00a0&amp;bogus; &amp;</p>'],
  ['&#xD800; &#0; &#99999999;', '<p>\ufffd \ufffd &amp;#99999999;</p>'],
  ['<script>alert(1)</script>', '<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>'],
  ['<img src=x onerror=alert(1)>', '<p>&lt;img src=x onerror=alert(1)&gt;</p>'],
  // Links
  ['[a](https://a.example/b)', `<p><a href="https://a.example/b" ${LINK}>a</a></p>`],
  ['[**a**](<https://a.example/b c> "title")', `<p><a href="https://a.example/b%20c" ${LINK}><strong>a</strong></a></p>`],
  ['[a](https://en.wikipedia.org/wiki/A_(b))', `<p><a href="https://en.wikipedia.org/wiki/A_(b)" ${LINK}>a</a></p>`],
  ['[mail](mailto:a@b.example)', `<p><a href="mailto:a@b.example" ${LINK}>mail</a></p>`],
  ['![picture](https://a.example/b.png)', `<p><a href="https://a.example/b.png" ${LINK}>picture</a></p>`],
  ['[a [b](https://b.example/)](https://a.example/)', `<p>[a <a href="https://b.example/" ${LINK}>b</a>](<a href="https://a.example/" ${LINK}>https://a.example/</a>)</p>`],
  ['<https://a.example/?a=1&b=2>', `<p><a href="https://a.example/?a=1&amp;b=2" ${LINK}>https://a.example/?a=1&amp;b=2</a></p>`],
  ['<a.b@c.example>', `<p><a href="mailto:a.b@c.example" ${LINK}>a.b@c.example</a></p>`],
  ['see https://a.example/b_c. (http://d.example/e)', `<p>see <a href="https://a.example/b_c" ${LINK}>https://a.example/b_c</a>. (<a href="http://d.example/e" ${LINK}>http://d.example/e</a>)</p>`],
  ['https://a.example/x_(y)', `<p><a href="https://a.example/x_(y)" ${LINK}>https://a.example/x_(y)</a></p>`],
  ['xhttps://a.example', '<p>xhttps://a.example</p>'],
  ['[a] (b) []', '<p>[a] (b) []</p>'],
  // Links that must not be
  ['[a](javascript:alert(1))', '<p>[a](javascript:alert(1))</p>'],
  ['[a](JaVaScRiPt:alert`1`)', '<p>[a](JaVaScRiPt:alert<code>1</code>)</p>'],
  ['[a](<java\tscript:alert(1)>)', '<p>[a](&lt;java\tscript:alert(1)&gt;)</p>'],
  ['[a](data:text/html,x)', '<p>[a](data:text/html,x)</p>'],
  ['[a](/relative) [b](//c.example/)', '<p>[a](/relative) [b](//c.example/)</p>'],
  ['<javascript:alert(1)>', '<p>&lt;javascript:alert(1)&gt;</p>'],
  ['[a](https://a.example/" onclick="x)', '<p>[a](<a href="https://a.example/" ' + LINK + '>https://a.example/</a>&quot; onclick=&quot;x)</p>'],
  // Code blocks
  ['```rust\nfn a() {}\n\n  b\n```', codeBlock('rust', 'fn a() {}\n\n  b')],
  ['~~~\n```\n~~~', codeBlock('', '```')],
  ['```\nnot closed', codeBlock('', 'not closed')],
  ['```html" onload="x\n<b>\n```', codeBlock('html"', '<b>')],
  ['a\n```\nb\n```\nc', `<p>a</p>${codeBlock('', 'b')}<p>c</p>`],
  ['```inline``` code', '<p><code>inline</code> code</p>'],
  ['````\n```\n````', codeBlock('', '```')],
  // Quotes
  ['> a\n> b\nlazy', '<blockquote><p>a<br>b<br>lazy</p></blockquote>'],
  ['> # a\n>\n> - b\n\nc', '<blockquote><h3 class="level-1">a</h3><ul><li>b</li></ul></blockquote><p>c</p>'],
  ['> > a', '<blockquote><blockquote><p>a</p></blockquote></blockquote>'],
  // Lists
  ['- a\n- b\n* c', '<ul><li>a</li><li>b</li></ul><ul><li>c</li></ul>'],
  ['3. a\n4. b', '<ol start="3"><li>a</li><li>b</li></ol>'],
  ['1) a\n2) b', '<ol><li>a</li><li>b</li></ol>'],
  ['- a\n  - b\n    - c\n- d', '<ul><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li><li>d</li></ul>'],
  ['1. a\n  - b\n2. c', '<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>'],
  ['1. a\n\n   b\n\n2. c', '<ol><li><p>a</p><p>b</p></li><li><p>c</p></li></ol>'],
  ['- a\n\n  ```js\n  b\n  ```\n- c', `<ul><li><p>a</p>${codeBlock('js', 'b')}</li><li><p>c</p></li></ul>`],
  ['text:\n- a\n- b', '<p>text:</p><ul><li>a</li><li>b</li></ul>'],
  ['born in\n1984. Then', '<p>born in<br>1984. Then</p>'],
  ['- [ ] a\n- [x] b\n- [y] c', '<ul><li class="task"><input type="checkbox" disabled="" aria-label="To do">a</li><li class="task"><input type="checkbox" disabled="" aria-label="Done" checked="">b</li><li>[y] c</li></ul>'],
  ['-not', '<p>-not</p>'],
  ['-\n- a', '<ul><li></li><li>a</li></ul>'],
  ['- a\nlazy\n\nb', '<ul><li>a<br>lazy</li></ul><p>b</p>'],
  ['1. a\n\ttab', '<ol><li>a<br>tab</li></ol>'],
  // Tables
  ['a | b\n--|:-:\n1 | 2', table('<th scope="col">a</th><th class="align-center" scope="col">b</th>', '<tr><td>1</td><td class="align-center">2</td></tr>')],
  ['| a | b |\n|---|--:|\n| `x\\|y` | **2** |\n| only |\n| 1 | 2 | 3 |\n\nend', `${table('<th scope="col">a</th><th class="align-end" scope="col">b</th>', '<tr><td><code>x|y</code></td><td class="align-end"><strong>2</strong></td></tr><tr><td>only</td></tr><tr><td>1</td><td class="align-end">2</td></tr>')}<p>end</p>`],
  ['a | b\nc | d', '<p>a | b<br>c | d</p>'],
  ['a | b\n---', '<h3 class="level-2">a | b</h3>'],
];

// Rendering of text that is still streaming.
const OPEN_CASES = [
  ['**bo', '<p><strong>bo</strong></p>'],
  ['**bold*', '<p><strong>bold</strong></p>'],
  ['a **', '<p>a </p>'],
  ['a `co', '<p>a <code>co</code></p>'],
  ['***a', '<p><em><strong>a</strong></em></p>'],
  ['*a **b', '<p><em>a <strong>b</strong></em></p>'],
  ['~~a', '<p><s>a</s></p>'],
  ['2*3', '<p>2*3</p>'],
  ['2 * 3', '<p>2 * 3</p>'],
  ['[a](https://a.exam', '<p>a</p>'],
  ['[a](javascript:x', '<p>a</p>'],
  ['[a', '<p>[a</p>'],
  ['one\n-', '<p>one</p>'],
  ['one\n\n``', '<p>one</p>'],
  ['1', ''],
  ['**a\n\nb', '<p>**a</p><p>b</p>'],
  ['```py\nprint(', codeBlock('py', 'print(')],
  ['- a\n- **b', '<ul><li>a</li><li><strong>b</strong></li></ul>'],
  ['| a | b', table('<th scope="col">a</th><th scope="col">b</th>')],
  ['| a | b |\n|--', table('<th scope="col">a</th><th scope="col">b</th>')],
  ['| a | b |\n|---|---|\n| 1 | *2', table('<th scope="col">a</th><th scope="col">b</th>', '<tr><td>1</td><td><em>2</em></td></tr>')],
];

test('Markdown becomes these elements', () => {
  for (const [text, expected] of CASES) assert.equal(html(parse(text)), expected, JSON.stringify(text));
});

test('what is not finished is shown as if it were', () => {
  for (const [text, expected] of OPEN_CASES) assert.equal(html(parse(text, { open: true })), expected, JSON.stringify(text));
});

test('a text that grows ends as the whole does, and what is complete stays the same', () => {
  const text = CASES.map(([text]) => text).join('\n\n');
  const growing = new Markdown();
  let before = [];
  let kept = 0;
  for (let end = 0; end <= text.length; end += 7) {
    const nodes = growing.parse(text.slice(0, end), { open: true });
    kept += nodes.filter((node, at) => node === before[at]).length;
    before = nodes;
  }
  assert.equal(html(growing.parse(text)), html(parse(text)));
  assert(kept > text.length, `${kept} blocks were kept`);
});

test('only addresses of the web and of mail are links', () => {
  for (const url of ['http://a/', 'https://a.example/?b#c', 'mailto:a@b.example', ' https://a.example/ ', 'HTTPS://a.example']) {
    assert(/^(https?|mailto):/.test(safeUrl(url)), url);
  }
  const refused = ['javascript:x', ' javascript:x', 'java\nscript:x', 'vbscript:x', 'data:text/html,x', 'file:///etc/passwd',
    'blob:https://a/b', 'ws://a/', 'about:blank', 'view-source:https://a', '//a.example', '/a', '#a', '', 'https://', 'x'];
  for (const url of refused) assert.equal(safeUrl(url), null, url);
});

test('only known elements and attributes come out of anything', () => {
  const tags = new Set(('p br h3 h4 h5 h6 hr em strong s code a figure figcaption span button pre blockquote ul ol li input '
    + 'div table thead tbody tr th td').split(' '));
  const attributes = new Set(('dir class href rel target type tabindex role aria-label start disabled checked scope').split(' '));
  const pieces = ['<', '>', '"', "'", '`', '```', '\n', '\n\n', '- ', '1. ', '> ', '# ', '|', '|-|\n', '*', '**', '_', '~~', '[',
    '](', ')', '!', 'javascript:', 'https://a.example/', '&#106;', '\\', ' ', '\t', 'a', 'on', 'style=', '日', '\u202e', '\ud83d'];
  let seed = 1;
  const next = bound => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % bound;
  };
  for (let round = 0; round < 3_000; round += 1) {
    const text = Array.from({ length: 1 + next(40) }, () => pieces[next(pieces.length)]).join('');
    for (const open of [false, true]) {
      walk(parse(text, { open }), node => {
        assert(tags.has(node.tag), `${node.tag} of ${JSON.stringify(text)}`);
        for (const name of Object.keys(node.attributes)) assert(attributes.has(name), name);
        const { href } = node.attributes;
        assert(href === undefined || /^(https?:\/\/|mailto:)/.test(href), `${href} of ${JSON.stringify(text)}`);
      });
    }
  }
});

test('no input is slow or makes a deep tree', () => {
  const units = ['*a ', '**a ', '*a**b_c~~', 'a*', '_', '*_', '`', '``a`', '`a``', '[', '[a](', '![', '[](a', '[a](b(', '[a](<b',
    '[a](b "', '[a]((', '](', '<', '<a@', '<https://', 'https://', 'h', 'http://[', '&', '&#', '\\', '> ', '>', '- ', '-\n', '- a\n',
    '-\n\n', '1. ', '1. a\n', '  - a\n', '#', '# ', '#\n', '```\n', '~~~\n', '``` ', '|', '|a', 'a|b\n-|-\n', '|\n|-\n', '-|', '- | ', '=\n', 'a\n=\n',
    'a\n-\n', ' ', '\t', '\n', '\\\n', '(', ')', 'a\n', '- [ ] ', '日', '\ud83d', '~', '~~a', '*_a_*'];
  const inputs = units.flatMap(unit => {
    const many = unit.repeat(Math.ceil(MAX_CHARS / unit.length)).slice(0, MAX_CHARS);
    return [many, `a | b\n-${many}x`.slice(0, MAX_CHARS), `a${many}`.slice(0, MAX_CHARS), `- ${many}`.slice(0, MAX_CHARS)];
  });
  // Each item deeper than the one before.
  inputs.push(Array.from({ length: 250 }, (_, depth) => `${' '.repeat(depth * 2).slice(0, 130)}- a`).join('\n'));
  for (const text of inputs) {
    for (const open of [false, true]) {
      const started = performance.now();
      const nodes = parse(text, { open });
      const took = performance.now() - started;
      assert(took < SLOW_MS, `${took} ms for ${JSON.stringify(text.slice(0, 20))}…`);
      let size = 0;
      const depth = walk(nodes, () => {
        size += 1;
      });
      assert(depth <= 64, `${depth} levels of ${JSON.stringify(text.slice(0, 20))}…`);
      assert(size <= 4 * MAX_CHARS, `${size} nodes of ${JSON.stringify(text.slice(0, 20))}…`);
    }
  }
});

// Calls `visit` with every element; returns how deep the tree is.
function walk(nodes, visit) {
  let depth = 0;
  for (const node of nodes) {
    if (typeof node === 'string') continue;
    visit(node);
    depth = Math.max(depth, 1 + walk(node.children, visit));
  }
  return depth;
}

// A tree as markup, without `dir`, which every block has. Only for comparing: the page never makes markup.
function html(nodes) {
  const escaped = text => text.replace(/[&<>"]/g, char => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[char]);
  return nodes.map(node => {
    if (typeof node === 'string') return escaped(node);
    const names = Object.keys(node.attributes).filter(name => name !== 'dir');
    const attributes = names.map(name => ` ${name}="${escaped(node.attributes[name])}"`).join('');
    const isVoid = ['br', 'hr', 'input'].includes(node.tag);
    return `<${node.tag}${attributes}>${isVoid ? '' : `${html(node.children)}</${node.tag}>`}`;
  }).join('');
}

function codeBlock(language, text) {
  const escaped = text => text.replace(/[<>"]/g, char => ({ '<': '&lt;', '>': '&gt;', '"': '&quot;' })[char]);
  const label = language ? `Code, ${escaped(language)}` : 'Code';
  return `<figure class="code"><figcaption><span class="language">${escaped(language) || 'text'}</span>`
    + '<button type="button" class="copy">Copy</button></figcaption>'
    + `<pre tabindex="0" role="group" aria-label="${label}"><code>${escaped(text)}</code></pre></figure>`;
}

function table(head, body) {
  return '<div class="table" tabindex="0" role="group" aria-label="Table"><table><thead><tr>'
    + `${head}</tr></thead>${body ? `<tbody>${body}</tbody>` : ''}</table></div>`;
}

// Checks that the regular expression engines of PHP (PCRE), Ruby and Python read each pattern of the documents as ECMAScript
// does, whose dialect the documents are written in (OpenAPI 3.0, Schema Object): with every code point, at each place of a
// text where the pattern decides about it.
//
//     node scripts/check_patterns.mjs openapi.json asyncapi.json

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

// Texts for each pattern; `{}` is where the code point goes.
const TEXTS = {
  '^[\\x21-\\x7e]+$': ['{}', 'a{}', '{}b', 'a{}b'],
  '^([^:\\\\]|\\\\[\\s\\S])*:': ['{}:b', 'a{}:b', '\\{}:b', 'a:{}'],
  '^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$': ['{}/b', 'a{}/b', 'a/{}', 'a/b{}'],
  '^https?://[\\x21-\\x7e]+$': ['https://{}', 'http://a{}b', 'http{}://a'],
  '^plt_[0-9A-Za-z]{32}$': [`plt_{}${'a'.repeat(31)}`, `plt_${'a'.repeat(31)}{}`],
};

// Each reads a JSON array of patterns with their texts, and prints for each text the code points with which it matches, as
// ranges: `33-126,160`.
const RANGES_IN_PHP = `
  foreach (json_decode(stream_get_contents(STDIN), true) as [$pattern, $text]) {
    [$before, $after] = explode('{}', $text);
    $regex = '~' . str_replace('~', '\\\\~', $pattern) . '~u';
    $ranges = []; $first = null;
    for ($code = 0; $code <= 0x110000; $code++) {
      $matches = $code < 0x110000 && ($code < 0xd800 || $code > 0xdfff) && preg_match($regex, $before . mb_chr($code) . $after) === 1;
      if ($matches && $first === null) $first = $code;
      if (!$matches && $first !== null) { $ranges[] = $first === $code - 1 ? "$first" : $first . '-' . ($code - 1); $first = null; }
    }
    echo implode(',', $ranges), "\\n";
  }`;
const RANGES_IN_RUBY = `
  require 'json'
  JSON.parse(STDIN.read).each do |pattern, text|
    before, after = text.split('{}', -1)
    regex = Regexp.new(pattern)
    ranges = []
    first = nil
    (0..0x110000).each do |code|
      matches = code < 0x110000 && !(0xd800..0xdfff).cover?(code) && regex.match?(before + [code].pack('U') + after)
      first ||= code if matches
      next if matches || first.nil?
      ranges << (first == code - 1 ? first.to_s : "#{first}-#{code - 1}")
      first = nil
    end
    puts ranges.join(',')
  end`;
const RANGES_IN_PYTHON = `
import json, re, sys
for pattern, text in json.load(sys.stdin):
    before, after = text.split('{}')
    regex, ranges, first = re.compile(pattern), [], None
    for code in range(0x110001):
        matches = code < 0x110000 and not 0xd800 <= code <= 0xdfff and regex.search(before + chr(code) + after) is not None
        if matches and first is None:
            first = code
        if not matches and first is not None:
            ranges.append(str(first) if first == code - 1 else f'{first}-{code - 1}')
            first = None
    print(','.join(ranges))
`;
const ENGINES = {
  PHP: ['php', '-d', 'pcre.jit=1', '-r', RANGES_IN_PHP],
  Ruby: ['ruby', '-e', RANGES_IN_RUBY],
  Python: ['python3', '-c', RANGES_IN_PYTHON],
};

const patterns = new Set();
const collect = (value) => {
  if (value === null || typeof value !== 'object') return;
  if (typeof value.pattern === 'string') patterns.add(value.pattern);
  Object.values(value).forEach(collect);
};
for (const file of process.argv.slice(2)) collect(JSON.parse(readFileSync(file, 'utf8')));

const unknown = [...patterns].filter((pattern) => !(pattern in TEXTS));
if (unknown.length > 0) throw new Error(`a pattern has no texts in TEXTS: ${unknown.join('   ')}`);
const cases = [...patterns].flatMap((pattern) => TEXTS[pattern].map((text) => [pattern, text]));

// The code points with which `text` matches, as ranges.
function ranges([pattern, text]) {
  const [before, after] = text.split('{}');
  const regex = new RegExp(pattern, 'u');
  const found = [];
  let first = null;
  for (let code = 0; code <= 0x110000; code++) {
    const isCharacter = code < 0x110000 && (code < 0xd800 || code > 0xdfff);
    const matches = isCharacter && regex.test(before + String.fromCodePoint(code) + after);
    if (matches && first === null) first = code;
    if (!matches && first !== null) {
      found.push(first === code - 1 ? `${first}` : `${first}-${code - 1}`);
      first = null;
    }
  }
  return found;
}

// The ranges without the line feed. In other engines `$` also matches before one at the end of a text, and in Ruby `^` and
// `$` at each line: such a client sends what the server then refuses.
const withoutLineFeed = (found) => found.filter((range) => range !== '10');

const failures = [];
const expected = cases.map(ranges);
for (const [engine, [command, ...options]] of Object.entries(ENGINES)) {
  const output = execFileSync(command, options, { input: JSON.stringify(cases), encoding: 'utf8', timeout: 120_000 });
  const lines = output.split('\n').slice(0, cases.length);
  cases.forEach(([pattern, text], at) => {
    const found = lines[at] === '' ? [] : lines[at].split(',');
    const isSame = withoutLineFeed(found).join() === withoutLineFeed(expected[at]).join();
    if (!isSame) failures.push(`${engine}: ${pattern} in ${text}: ${found.join()} instead of ${expected[at].join()}`);
  });
  console.log(`${engine}: ${patterns.size} patterns, ${cases.length} places, every code point`);
}
if (failures.length > 0) throw new Error(failures.join('\n'));

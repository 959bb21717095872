// Tests answers while they stream and answers that fail, with a scripted model server, since the echo never fails.

import assert from 'node:assert/strict';

import { answered, connected, created, established, eventually, played, say } from './demo_support.mjs';

const ANSWER = [
  '## Steps\n\nRead the **[guide](https://docs.example/)** and ~~guess~~ `run` it; see https://a.example/b.\n\n',
  '1. First\n   - [x] inner\n2. Second\n\n> quoted\n\n| name | count |\n|---|--:|\n| `a` | 1 |\n\n---\n\n',
  '```rust\nfn main() {\n', '    println!("<b>");\n', '}\n```\n\n', 'العربية أولا\n\nLast *words*.',
];

// The page with one question of its own, on a played connection; `reload` begins a further one.
async function asks(page, chat, url, question) {
  const { sockets, connection } = await played(page, chat);
  await page.goto(`${url}/demo/#${chat}`);
  const first = await connection(1);
  first.tell(...established(true, 0));
  await connected(page);
  await say(page, question);
  const { client_message_id } = await eventually(() => first.frames.find(frame => frame.content === question), 'question');
  first.tell('message_received', { message_id: 'm1', user_id: 'ann', seq: 1, client_message_id, created_at: '2024-01-15T10:30:00Z' });
  await page.getByText('✓ sent').waitFor();
  return { sockets, connection, first, client_message_id };
}

const started = id => ['message_stream_started', { message_id: id }];
const token = (id, index, text) => ['message_stream_token', { message_id: id, token: text, index }];
const ended = (id, seq, content, finish_reason) => ['message_stream_ended', { message_id: id, seq, content, finish_reason }];

export async function showsMarkdownAsItComes(page, chat, url) {
  const { first } = await asks(page, chat, url, 'How do **I** begin?');
  assert.equal(await page.locator('.message.own .content').textContent(), 'How do **I** begin?', 'what people write is text');
  assert.equal(await page.locator('.message.own .content > *').count(), 0);

  first.tell(...started('a1'));
  await page.locator('.streaming .indicator').getByText('Thinking').waitFor();
  await page.locator('[role=status]').getByText('The assistant is thinking.').waitFor();
  first.tell(...token('a1', 0, ANSWER[0].slice(0, 20)));
  await page.locator('.streaming .content h3').getByText('Steps').waitFor();
  assert(await page.locator('.indicator').isHidden());
  assert.equal(await page.getByText('The assistant is thinking.').count(), 0);

  // Nothing that is there is taken away again, nor is a mark of the markup ever seen.
  await page.evaluate(() => {
    window.removed = [];
    document.querySelector('.streaming h3').id = 'kept';
    new MutationObserver(records => {
      for (const { removedNodes } of records) window.removed.push(...Array.from(removedNodes, node => node.textContent));
    }).observe(document.querySelector('.streaming .content'), { childList: true, subtree: true });
  });
  let index = 1;
  for (const char of ANSWER.join('').slice(20).match(/.{1,3}/gs)) {
    first.tell(...token('a1', index, char));
    index += 1;
    if (index % 6 === 0) await page.evaluate(() => new Promise(requestAnimationFrame));
  }
  await page.locator('.streaming .content').getByText('words').waitFor();
  assert.deepEqual((await page.evaluate(() => window.removed)).filter(text => text.trim().length > 12), [], 'flickers');
  first.tell(...ended('a1', 2, ANSWER.join(''), 'stop'));
  await answered(page, 2);
  assert.equal(await page.locator('#kept').count(), 1, 'the heading is the same element');

  const answer = page.locator('.message.assistant .content');
  const html = await answer.evaluate(element => element.innerHTML);
  for (const part of [
    '<a href="https://docs.example/" rel="noopener noreferrer nofollow" target="_blank">guide</a>', '<s>guess</s>',
    '<code>run</code>', '<li class="task"><input type="checkbox"', '<blockquote', '<td dir="auto" class="align-end">1</td>',
    '<hr>', '<em>words</em>', '>https://a.example/b</a>.',
  ]) assert(html.includes(part), `${part} in ${html}`);
  assert.equal(await answer.locator('pre code').textContent(), 'fn main() {\n    println!("<b>");\n}');
  assert.equal(await answer.locator('p').nth(-2).evaluate(element => getComputedStyle(element).direction), 'rtl');
  const origin = new URL(url).origin;
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'], { origin });
  await answer.getByRole('button', { name: 'Copy' }).focus();
  await page.keyboard.press('Enter');
  await answer.getByRole('button', { name: 'Copied' }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'fn main() {\n    println!("<b>");\n}');
  console.log(`rendered an answer of ${ANSWER.join('').length} characters from ${index} tokens, without taking anything back`);
}

export async function tellsEndsApart(page, chat, url) {
  const { first } = await asks(page, chat, url, 'Go on?');
  const looks = new Map();
  let seq = 2;
  for (const [reason, note] of [
    ['stop', ''],
    ['cancelled', 'stopped'],
    ['length', 'cut off: the answer reached its longest length'],
    ['interrupted', 'cut off: the server was restarted'],
    ['error', 'cut off: the assistant failed'],
    ['of_a_later_version', 'ended early: of_a_later_version'],
  ]) {
    first.tell(...started(`e${seq}`));
    first.tell(...ended(`e${seq}`, seq, `an answer ${seq}`, reason));
    await answered(page, seq);
    const said = await page.locator('.message').last().locator('.note').evaluate(element => element.firstChild?.data ?? '');
    assert.equal(said.trim(), note, reason);
    const look = await page.locator('.message').last().locator('.note').evaluate(element =>
      `${getComputedStyle(element).color} ${getComputedStyle(element, '::before').content}`);
    looks.set(reason, look);
    seq += 1;
  }
  assert.notEqual(looks.get('cancelled'), looks.get('interrupted'), 'a stop does not look like a fault');
  assert.notEqual(looks.get('cancelled'), looks.get('stop'));
  console.log('told an own stop from every other end');
}

export async function keepsWhatFailed(page, chat, url) {
  const question = 'Will this be answered?';
  const { sockets, connection, first, client_message_id } = await asks(page, chat, url, question);
  const retry = page.locator('.failure').getByRole('button', { name: 'Try again' });
  first.tell(...started('f1'));
  first.tell('error', { code: 'assistant_failed', message: 'No.', retryable: true, client_message_id: null });
  first.tell(...ended('f1', null, '', 'error'));
  await page.locator('.failure').getByText('The assistant could not answer.').waitFor();
  await retry.waitFor();

  // A failed answer is still shown after a reload: the question is stored and has no answer.
  const again = () => created(1, { id: 'm1', content: question, sender_id: 'guest-ann', client_message_id });
  await page.reload();
  const second = await connection(2);
  for (const event of [established(true, 1), again()]) second.tell(...event);
  await page.locator('.failure').getByText('This question has no answer.').waitFor();
  await retry.click();
  const asked = await eventually(() => second.frames.find(frame => frame.content === question), 'question asked again');
  assert.notEqual(asked.client_message_id, client_message_id, 'it is a new message');
  assert.equal(await page.locator('.failure').count(), 0);
  second.tell('message_received', { message_id: 'm2', user_id: 'guest-ann', seq: 2, client_message_id: asked.client_message_id,
    created_at: '2024-01-15T10:31:00Z' });

  // A restart in the middle of the answer: what becomes of it is open until the server goes on with it, or does not.
  second.tell(...started('f2'));
  second.tell(...token('f2', 0, 'Half of'));
  await page.locator('.streaming .content').getByText('Half of').waitFor();
  await second.socket.close({ code: 1001, reason: 'the server is shutting down; reconnect' });
  await page.locator('.stalled .note').getByText('waiting for the connection').waitFor();
  assert(await page.getByRole('button', { name: 'Stop' }).isHidden(), 'nothing can be stopped');
  const third = await connection(3);
  assert.equal(third.afterSeq, 2);
  for (const event of [established(true, 2), started('f2'), token('f2', 3, 'Half of it')]) third.tell(...event);
  await page.locator('.streaming:not(.stalled) .content').getByText('Half of it').waitFor();
  await third.socket.close({ code: 1001, reason: 'the server is shutting down; reconnect' });
  const fourth = await connection(4);
  fourth.tell(...established(true, 2));
  await page.locator('.failure').getByText('This question has no answer.').waitFor();
  assert.equal(await page.locator('.streaming').count(), 0, 'what is not resumed is discarded');

  // An answer after all takes the failure back; one that was cut is kept, and can be asked for again.
  fourth.tell(...started('f3'));
  await eventually(async () => await page.locator('.failure').count() === 0, 'end of the failure');
  fourth.tell(...ended('f3', 3, 'Half an answer', 'interrupted'));
  await page.locator('.assistant .note').getByRole('button', { name: 'Try again' }).click();
  await eventually(() => fourth.frames.find(frame => frame.content === question), 'question asked a third time');
  assert.equal(sockets.length, 4);
  console.log('kept a failed answer over a reload and asked again');
}

export async function saysWhenTheNetworkGoes(page, chat, url) {
  await page.goto(`${url}/demo/#${chat}`);
  await connected(page);
  await page.context().setOffline(true);
  await page.locator('#state').getByText('Offline').waitFor({ timeout: 5_000 });
  await page.context().setOffline(false);
  await connected(page);
  console.log('said at once that the network was gone');
}

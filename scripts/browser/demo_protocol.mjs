// Tests rare server behaviour: the page resumes, reloads or stops as the close code says.

import assert from 'node:assert/strict';

import { answered, created, established, eventually, played, say, texts } from './demo_support.mjs';

// Runs the page against a scripted WebSocket server. Tickets and the chat are real.
export async function keepsTheProtocol(page, chat, url) {
  const { sockets, connection } = await played(page, chat);
  await page.goto(`${url}/demo/#${chat}`);
  const first = await connection(1);
  assert.equal(first.afterSeq, 0);
  assert.equal(new URL(first.socket.url()).searchParams.get('chat_id'), chat, 'a proxy can tell which chat it is for');
  for (const event of [established(true, 2), created(1), created(2)]) first.tell(...event);
  await answered(page, 2);

  await say(page, 'one more');
  await page.waitForFunction(() => document.querySelector('.message.pending'));
  const sent = () => first.frames.filter(frame => frame.content === 'one more');
  const { client_message_id } = await eventually(() => sent()[0], 'message');
  first.tell('error', { code: 'unavailable', message: 'Try again later.', retryable: true, client_message_id });
  await page.getByText('not sent: Try again later.').waitFor();
  await page.getByRole('button', { name: 'Try again' }).click();
  const again = await eventually(() => sent()[1], 'second attempt');
  assert.equal(again.client_message_id, client_message_id, 'under the same name');
  const received = { message_id: 'm3', user_id: 'ann', seq: 3, client_message_id, created_at: '2024-01-15T10:30:00Z' };
  first.tell('message_received', received);
  await page.getByText('✓ sent').waitFor();

  await first.socket.close({ code: 4008, reason: 'the connection does not keep up; reconnect' });
  const second = await connection(2);
  assert.equal(second.afterSeq, 3, 'goes on where it was');
  second.tell(...established(false, 1));
  const third = await connection(3);
  assert.equal(third.afterSeq, 0, 'a server that knows less is read anew');
  for (const event of [established(true, 3), created(1)]) third.tell(...event);
  await answered(page, 1);
  assert.deepEqual(await texts(page), ['message 1']);
  // The acknowledgement of a message sent twice, ahead of what precedes it.
  third.tell('message_received', { ...received, client_message_id: 'of another life' });
  await third.socket.close({ code: 1011, reason: 'the server cannot go on; reconnect' });
  const fourth = await connection(4);
  assert.equal(fourth.afterSeq, 1, 'nothing is skipped');

  for (const event of [established(true, 3), created(2), created(3)]) fourth.tell(...event);
  await answered(page, 3);
  fourth.tell('of_a_later_version', {});
  // One is lost on the way; and who comes back is asked to wait.
  let refusals = 0;
  await page.route('**/tickets', route => {
    if (refusals === 1) return route.fallback();
    refusals += 1;
    return route.fulfill({ status: 429, headers: { 'Retry-After': '2' }, json: { detail: 'Not so fast.' } });
  });
  const lostAt = performance.now();
  fourth.tell(...created(5));
  const fifth = await connection(5);
  assert(performance.now() - lostAt >= 2_000, 'the page waits as long as it is asked to');
  assert.equal(refusals, 1);
  assert.equal(fifth.afterSeq, 3, 'what was lost is asked for again');
  assert.deepEqual(await texts(page), ['message 1', 'message 2', 'message 3'], 'nothing is shown beyond a gap');
  for (const event of [established(true, 5), created(4), created(5)]) fifth.tell(...event);
  await answered(page, 5);

  await isEndedBy(page, fifth, 4001, 'the API key is no longer valid');
  assert.equal(sockets.length, 5, 'what is closed for good stays closed');
  await page.reload();
  const sixth = await connection(6);
  sixth.tell(...established(true, 0));
  await isEndedBy(page, sixth, 1000, 'done');
  assert.equal(sockets.length, 6, 'what is done is not begun again');
  console.log('went on, began anew and ended as the server said');
}

async function isEndedBy(page, { socket }, code, reason) {
  await socket.close({ code, reason });
  await page.getByText(reason, { exact: true }).waitFor();
  await page.getByText('Disconnected').waitFor();
  await page.waitForTimeout(1_000);
}

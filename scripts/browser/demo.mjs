// Chats in the demo's page as people would, on a server that is killed in between, and fails when anything is not as it
// should be.
//
//     node scripts/browser/demo.mjs --chromium /usr/bin/chromium --parlor target/debug/parlor [--screenshot PATH]
//
// The server gets an empty database in a temporary folder. The picture is made only if it is asked for.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { complaintsOf, withBrowser } from './browser.mjs';

const { values: options } = parseArgs({
  options: { chromium: { type: 'string' }, parlor: { type: 'string' }, screenshot: { type: 'string' } },
});
assert(options.chromium && options.parlor, 'Say with --chromium and --parlor where the two are.');

// The echo says a word every 30 ms: long enough to be reloaded, cancelled and watched.
const LONG = Array.from({ length: 140 }, (_, index) => `word${index + 1}`).join(' ');
const key = randomBytes(20).toString('hex');
const folder = await mkdtemp(join(tmpdir(), 'parlor-demo-'));
let server;
// However this ends, the server does not outlive it.
process.on('exit', () => server?.kill('SIGKILL'));
for (const [signal, status] of [['SIGINT', 130], ['SIGTERM', 143]]) process.on(signal, () => process.exit(status));

try {
  const url = await startServer('127.0.0.1:0');
  await withBrowser(options.chromium, { width: 900, height: 700 }, async browser => {
    const [page] = browser.pages();
    const other = await browser.newPage();
    const watched = [await watch(page, 'guest-ann', url), await watch(other, 'guest-bob', url)];
    const noComplaints = () => assert.deepEqual(watched.flatMap(each => each.complaints), [], 'the browser complained');

    const chat = await talks(page, url);
    await isText(page);
    await goesOnAfterReload(page);
    await bothFollow(page, other, `${url}/demo/#${chat}`);
    await keepsWhatWasCancelled(page, other);
    noComplaints();

    // From here on the browser has reason to complain of a server that is not there; nothing else is excused.
    await outlivesTheServer(page, other, chat, url);
    await keepsTheProtocol(await browser.newPage(), chat, url);
    await saysThatThereIsNoChat(other, url);
    const excused = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|WebSocket connection to|\b404\b/;
    for (const { complaints } of watched) complaints.splice(0, Infinity, ...complaints.filter(each => !excused.test(each)));
    noComplaints();
    for (const page of browser.pages()) await knowsNoKey(page);
    for (const { traffic } of watched) isWithoutKey(traffic);
    if (options.screenshot) await takeScreenshot(browser, page, other, url);
  });
} finally {
  server?.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
}

// --- The steps ------------------------------------------------------------------------------------------------------

async function talks(page, url) {
  await page.goto(`${url}/demo`);
  assert.equal(page.url(), `${url}/demo/`);
  await page.getByRole('button', { name: 'Start a chat' }).click();
  await page.getByText('Connected').waitFor();
  await page.getByText('Nothing has been said yet.').waitFor();
  await say(page, LONG);
  const question = page.locator('.message.own');
  await question.getByText('✓ sent').waitFor();
  await page.locator('.message.streaming').waitFor();
  const lengths = new Set();
  while (await page.locator('.message.streaming').count() > 0) lengths.add((await texts(page)).at(-1).length);
  assert(lengths.size > 3, `the answer came piece by piece: ${[...lengths]}`);
  assert.deepEqual(await texts(page), [LONG, LONG]);
  console.log(`created a chat and saw an answer grow through ${lengths.size} lengths`);
  return new URL(page.url()).hash.slice(1);
}

async function isText(page) {
  const markup = '<img src=x onerror="document.title = \'taken over\'"><script>document.title = 1</script>';
  await say(page, markup);
  await answered(page, 4);
  assert.deepEqual((await texts(page)).slice(2), [markup, markup]);
  assert.equal(await page.locator('#log :is(img, script)').count(), 0);
  assert.equal(await page.title(), 'Parlor');
  console.log('markup is shown as text');
}

async function goesOnAfterReload(page) {
  await say(page, LONG);
  await streams(page);
  await page.reload();
  await streams(page);
  assert(LONG.startsWith((await texts(page)).at(-1).trimEnd()), 'what was missed is there');
  await answered(page, 6);
  assert.deepEqual((await texts(page)).slice(4), [LONG, LONG]);
  console.log('reloaded in the middle of an answer, which went on');
}

async function bothFollow(page, other, address) {
  await other.goto(address);
  await answered(other, 6);
  assert.deepEqual(await texts(other), await texts(page));
  await other.getByLabel('Your message').pressSequentially('hello');
  await page.getByText('guest-bob is typing…').waitFor();
  await other.getByLabel('Your message').press('Enter');
  await answered(page, 8);
  assert.equal(await page.locator('.message .author').nth(6).textContent(), 'guest-bob');
  assert.equal(await page.getByText('is typing').count(), 0);
  await say(page, LONG);
  await Promise.all([streams(page), streams(other)]);
  await Promise.all([answered(page, 10), answered(other, 10)]);
  assert.deepEqual((await texts(page)).slice(6), ['hello', 'hello', LONG, LONG]);
  assert.deepEqual(await texts(other), await texts(page));
  console.log('two windows followed');
}

async function keepsWhatWasCancelled(page, other) {
  await say(page, LONG);
  await streams(page);
  await other.getByRole('button', { name: 'Stop' }).click();
  for (const one of [page, other]) {
    await answered(one, 12);
    await one.locator('.message').last().getByText('stopped').waitFor();
    assert.equal(await one.getByRole('button', { name: 'Stop' }).count(), 0);
  }
  const partial = (await texts(page)).at(-1);
  assert(partial.length > 0 && partial.length < LONG.length && LONG.startsWith(partial), partial);
  await page.reload();
  await answered(page, 12);
  assert.equal((await texts(page)).at(-1), partial);
  await page.locator('.message').last().getByText('stopped').waitFor();
  assert.equal((await texts(other)).at(-1), partial);
  console.log(`stopped an answer after ${partial.length} of ${LONG.length} characters, which were kept`);
}

async function outlivesTheServer(page, other, chat, url) {
  const before = (await texts(page)).length;
  server.kill('SIGKILL');
  await once(server, 'exit');
  for (const one of [page, other]) await one.getByText('Reconnecting…').waitFor();
  await say(page, 'said to nobody');
  await page.locator('.message.pending').getByText('sending…').waitFor();
  assert.equal(await startServer(new URL(url).host), url);
  for (const one of [page, other]) await answered(one, before + 2);
  await page.locator('.message.own').last().getByText('✓ sent').waitFor();
  for (const one of [page, other]) {
    assert.deepEqual((await texts(one)).slice(before), ['said to nobody', 'said to nobody']);
  }
  const stored = await fetch(`${url}/api/v1/chats/${chat}/messages?limit=100`, { headers: { 'X-API-Key': key } });
  const contents = (await stored.json()).messages.map(({ content }) => content);
  assert.deepEqual(contents, await texts(page), 'the page shows what is stored');
  console.log('killed the server and started it again: what was said meanwhile arrived once');
}

// What a real server rarely does, played by a scripted one: the page gets real tickets and a chat that is there.
async function keepsTheProtocol(page, chat, url) {
  const sockets = [];
  let opened = () => {};
  await page.routeWebSocket(/\/ws\/chat/, socket => {
    const frames = [];
    socket.onMessage(text => frames.push(JSON.parse(text)));
    const tell = (event_type, members) =>
      socket.send(JSON.stringify({ event_type, timestamp: new Date().toISOString(), chat_id: chat, ...members }));
    const afterSeq = Number(new URL(socket.url()).searchParams.get('after_seq'));
    sockets.push({ socket, frames, tell, afterSeq });
    opened();
  });
  const connection = async number => {
    while (sockets.length < number) await new Promise(resolve => (opened = resolve));
    return sockets[number - 1];
  };
  const established = (resumed, last_seq) => ['connection_established', { user_id: 'ann', resumed, last_seq }];
  const created = seq => ['message_created', {
    message: { id: `m${seq}`, content: `message ${seq}`, sender_role: 'user', sender_id: 'bob', seq,
      created_at: '2024-01-15T10:30:00Z', metadata: {}, client_message_id: null },
  }];

  await page.goto(`${url}/demo/#${chat}`);
  const first = await connection(1);
  assert.equal(first.afterSeq, 0);
  assert.equal(new URL(first.socket.url()).searchParams.get('chat_id'), chat, 'a proxy can tell which chat it is for');
  for (const event of [established(true, 2), created(1), created(2)]) first.tell(...event);
  await answered(page, 2);

  await say(page, 'one more');
  await page.waitForFunction(() => document.querySelector('.message.pending'));
  while (!first.frames.some(frame => frame.content === 'one more')) await page.waitForTimeout(10);
  const { client_message_id } = first.frames.find(frame => frame.content === 'one more');
  first.tell('error', { code: 'unavailable', message: 'Try again later.', retryable: true, client_message_id });
  await page.getByText('not sent: Try again later.').waitFor();
  await page.getByRole('button', { name: 'Try again' }).click();
  while (first.frames.filter(frame => frame.client_message_id === client_message_id).length < 2) {
    await page.waitForTimeout(10);
  }
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

async function saysThatThereIsNoChat(page, url) {
  await page.goto(`${url}/demo/#018d0c8e-5a40-7b7c-8c9d-0e1f2a3b4c5d`);
  await page.getByText('There is no such chat.').waitFor();
  await page.getByText('Disconnected').waitFor();
  assert(await page.getByLabel('Your message').isDisabled());
  await page.getByRole('button', { name: 'New chat' }).click();
  await page.getByText('Connected').waitFor();
  console.log('a chat that is not there is told from a server that is not there');
}

// --- What a person does and sees ------------------------------------------------------------------------------------

async function say(page, text) {
  await page.getByLabel('Your message').fill(text);
  await page.getByLabel('Your message').press('Enter');
}

// Waits until part of an answer is there.
async function streams(page) {
  await page.waitForFunction(() => document.querySelector('.message.streaming .content')?.textContent.length > 20);
}

// Waits until there are so many messages, all of them stored.
async function answered(page, count) {
  await page.waitForFunction(
    count =>
      document.querySelectorAll('.message').length === count &&
      !document.querySelector('.message:is(.streaming, .pending)'),
    count,
  );
}

function texts(page) {
  return page.locator('.message .content').allTextContents();
}

// --- The browser ----------------------------------------------------------------------------------------------------

// Names the person at `page`, and gathers what the page asks, is answered and complains of.
async function watch(page, user, url) {
  await page.addInitScript(user => {
    localStorage.setItem('parlor-user', user);
    addEventListener('securitypolicyviolation', event => console.error(`violates ${event.effectiveDirective}`));
  }, user);
  const complaints = complaintsOf(page, url);
  const traffic = [];
  page.on('request', async request => {
    traffic.push(request.url(), request.postData() ?? '', JSON.stringify(await request.allHeaders().catch(() => ({}))));
  });
  page.on('response', async response => {
    traffic.push(JSON.stringify(await response.allHeaders().catch(() => ({}))), await response.text().catch(() => ''));
  });
  page.on('websocket', socket => {
    traffic.push(socket.url());
    socket.on('framesent', ({ payload }) => traffic.push(String(payload)));
    socket.on('framereceived', ({ payload }) => traffic.push(String(payload)));
  });
  return { complaints, traffic };
}

async function knowsNoKey(page) {
  const known = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
  assert(!known.includes(key) && !known.includes('plr_'), known);
}

function isWithoutKey(traffic) {
  assert(traffic.some(text => text.includes('message_stream_token')), 'the traffic was heard');
  assert(traffic.some(text => /ticket=plt_/.test(text)), 'the connections were seen');
  for (const text of traffic) {
    assert(!text.includes(key) && !/x-api-key|api_key|plr_/i.test(text), `this holds a key: ${text.slice(0, 200)}`);
  }
}

// A wide window and a phone, in the middle of the same answer.
async function takeScreenshot(browser, page, other, url) {
  const WIDE = { width: 860, height: 660 };
  const NARROW = { width: 360, height: 660 };
  await page.setViewportSize(WIDE);
  await other.setViewportSize(NARROW);
  await other.emulateMedia({ colorScheme: 'dark' });
  await page.goto(`${url}/demo/`);
  await page.getByRole('button', { name: 'Start a chat' }).click();
  await page.getByText('Connected').waitFor();
  await other.goto(page.url());
  await other.getByText('Connected').waitFor();
  await say(page, 'Hello! Is what I write here on disk before you say ✓ sent?');
  await answered(page, 2);
  await answered(other, 2);
  await say(other, 'I follow on my phone. Let me reload in the middle of an answer.');
  await answered(page, 4);
  await answered(other, 4);
  await say(page, 'This streams into both windows at once, word by word. Whoever joins late gets all of it so far; whoever '
    + 'loses the network comes back, asks for what is missing, and sends again what nobody has acknowledged.');
  await page.waitForFunction(
    () => document.querySelector('.streaming .content')?.textContent.split(' ').length > 16,
    undefined,
    { polling: 20 },
  );
  const pictures = await Promise.all([page, other].map(one => one.screenshot({ animations: 'disabled' })));
  await answered(page, 6);
  await answered(other, 6);

  const frame = await browser.newPage();
  await frame.setViewportSize({ width: 1340, height: 740 });
  const images = pictures.map(png => `<img src="data:image/png;base64,${png.toString('base64')}">`).join('');
  await frame.setContent(`<style>
    body { display: flex; gap: 40px; justify-content: center; align-items: center; height: 100vh; margin: 0; background: #dcdae8 }
    img { border-radius: 12px; box-shadow: 0 12px 40px rgb(30 20 80 / 25%) }
  </style>${images}`);
  await frame.screenshot({ path: options.screenshot });
  await frame.close();
  console.log(`wrote ${options.screenshot}`);
}

// --- The server -----------------------------------------------------------------------------------------------------

// Starts it on the folder's database; returns its URL once it listens.
async function startServer(listen) {
  const database = `sqlite://${join(folder, 'parlor.db')}`;
  server = spawn(options.parlor, ['--demo', '--assistant', 'echo', '--listen', listen, '--database-url', database], {
    env: { PARLOR_BOOTSTRAP_API_KEY: key, PARLOR_LOG: 'error' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: server.stdout })) {
    const listens = /^Parlor listens on (.*)$/.exec(line);
    if (listens) {
      // What else it says is read and dropped, lest it wait for room.
      server.stdout.resume();
      return listens[1];
    }
  }
  throw new Error('The server ended before it was ready.');
}

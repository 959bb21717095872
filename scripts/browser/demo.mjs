// Chats in the demo's page as people would, on a server that is killed in between, and fails when anything is not as it
// should be.
//
//     node scripts/browser/demo.mjs --chromium /usr/bin/chromium --parlor target/debug/parlor [--screenshot PATH]
//
// The server gets an empty database in a temporary folder. The picture is made only if it is asked for.

import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';

import { withBrowser } from './browser.mjs';
import { keepsWhatFailed, saysWhenTheNetworkGoes, showsMarkdownAsItComes, tellsEndsApart } from './demo_answers.mjs';
import { areTwoPeopleInTwoWindows, findsTheWayBack, followsTheStatus, isAccessible } from './demo_people.mjs';
import { keepsTheProtocol } from './demo_protocol.mjs';
import { Server, answered, connected, say, streams, texts, watch } from './demo_support.mjs';
import { usesAModel } from './demo_with_model.mjs';

const { values: options } = parseArgs({
  options: { chromium: { type: 'string' }, parlor: { type: 'string' }, screenshot: { type: 'string' } },
});
assert(options.chromium && options.parlor, 'Say with --chromium and --parlor where the two are.');

// The echo says a word every 30 ms: long enough to be reloaded, cancelled and watched.
const LONG = Array.from({ length: 140 }, (_, index) => `word${index + 1}`).join(' ');
const server = new Server(options.parlor);
for (const [signal, status] of [['SIGINT', 130], ['SIGTERM', 143]]) process.on(signal, () => process.exit(status));

try {
  await server.start();
  const { url } = server;
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

    // Each on a page of its own, whose connections are played; nothing in them may make the browser complain either.
    for (const step of [showsMarkdownAsItComes, tellsEndsApart, keepsWhatFailed, followsTheStatus]) {
      await withPage(browser, watched, async page => step(page, chat, url));
      noComplaints();
    }
    await areTwoPeopleInTwoWindows(browser, url);

    // These steps stop the server and ask for chats that do not exist, which the browser logs. Nothing else is excused.
    const older = await findsTheWayBack(page, url, server);
    await page.goto(`${url}/demo/#${chat}`);
    await answered(page, 12);
    await outlivesTheServer(page, other, chat);
    await withPage(browser, watched, async page => keepsTheProtocol(page, chat, url));
    await withPage(browser, watched, async page => saysWhenTheNetworkGoes(page, chat, url));
    const excused = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_INTERNET_DISCONNECTED|WebSocket connection to|\b(?:404|429)\b/;
    for (const { complaints } of watched) complaints.splice(0, Infinity, ...complaints.filter(each => !excused.test(each)));
    noComplaints();
    for (const page of browser.pages()) await knowsNoKey(page);
    isWithoutKey(watched.flatMap(({ traffic }) => traffic));
    // The policy does not let axe in, so this comes when what the browser says is no longer read.
    await isAccessible(await watchedPage(browser, url), url, older);
    await usesAModel(browser, options.parlor, options.screenshot);
  });
} finally {
  await server.remove();
}

// Gives `use` a new page of the person `guest-ann`, and keeps what the browser says of it with the rest.
async function withPage(browser, watched, use) {
  const page = await browser.newPage();
  watched.push(await watch(page, 'guest-ann', server.url));
  await use(page);
  await page.close();
}

async function watchedPage(browser, url) {
  const page = await browser.newPage();
  await watch(page, 'guest-ann', url);
  return page;
}

// --- The steps ------------------------------------------------------------------------------------------------------

async function talks(page, url) {
  await page.goto(`${url}/demo`);
  assert.equal(page.url(), `${url}/demo/`);
  await page.getByRole('button', { name: 'Start a chat' }).click();
  await connected(page);
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

async function outlivesTheServer(page, other, chat) {
  const before = (await texts(page)).length;
  await server.killed();
  for (const one of [page, other]) await one.getByText('Reconnecting…').waitFor();
  await say(page, 'said to nobody');
  await page.locator('.message.pending').getByText('sending…').waitFor();
  await server.start();
  for (const one of [page, other]) await answered(one, before + 2);
  await page.locator('.message.own').last().getByText('✓ sent').waitFor();
  for (const one of [page, other]) {
    assert.deepEqual((await texts(one)).slice(before), ['said to nobody', 'said to nobody']);
  }
  const { messages } = await server.api('GET', `chats/${chat}/messages?limit=100`);
  const contents = messages.map(({ content }) => content.trimEnd());
  assert.deepEqual(contents, await texts(page), 'the page shows what is stored');
  console.log('killed the server and started it again: what was said meanwhile arrived once');
}

async function knowsNoKey(page) {
  const known = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
  assert(!known.includes(server.key) && !known.includes('plr_'), known);
}

function isWithoutKey(traffic) {
  assert(traffic.some(text => text.includes('message_stream_token')), 'the traffic was heard');
  assert(traffic.some(text => /ticket=plt_/.test(text)), 'the connections were seen');
  for (const text of traffic) {
    assert(!text.includes(server.key) && !/x-api-key|api_key|plr_/i.test(text), `this holds a key: ${text.slice(0, 200)}`);
  }
}

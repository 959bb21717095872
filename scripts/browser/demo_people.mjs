// Tests guests, the list of earlier chats, chats that take no messages, and accessibility.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

import { answered, connected, created, established, eventually, played, say, texts } from './demo_support.mjs';

const require = createRequire(new URL('../../.tools/npm/package.json', import.meta.url));
const { source: AXE } = require('axe-core');

const UNKNOWN = '018d0c8e-5a40-7b7c-8c9d-0e1f2a3b4c5d';

export async function areTwoPeopleInTwoWindows(browser, url) {
  const page = await browser.newPage();
  const chat = await starts(page, url);
  const name = await guest(page);
  assert.match(name, /^guest-[0-9a-f]{6}$/);
  await say(page, 'first');
  await answered(page, 2);
  const opens = page.waitForEvent('popup');
  await page.getByRole('link', { name: 'Second window' }).click();
  const second = await opens;
  await answered(second, 2);
  const other = await guest(second);
  assert.notEqual(other, name, 'two windows are two guests');
  assert.equal(await second.locator('.author').first().textContent(), name);
  await say(second, 'second');
  await answered(page, 4);
  assert.equal(await page.locator('.author').nth(2).textContent(), other);
  await Promise.all([page, second].map(one => one.reload()));
  await Promise.all([page, second].map(one => answered(one, 4)));
  assert.deepEqual([await guest(page), await guest(second)], [name, other], 'a reload keeps the guest');

  // By the keyboard alone: another name, and back to a known one.
  await second.getByRole('button', { name: 'Change your name' }).focus();
  await second.keyboard.press('Enter');
  await second.getByLabel('Name', { exact: true }).fill('Ada Ω');
  await second.keyboard.press('Enter');
  await eventually(async () => await guest(second) === 'Ada Ω', 'change of the name');
  await answered(second, 4);
  await say(second, 'third');
  await answered(page, 6);
  assert.equal(await page.locator('.author').nth(4).textContent(), 'Ada Ω');
  await second.getByRole('button', { name: 'Change your name' }).click();
  await second.getByRole('button', { name: other }).click();
  await eventually(async () => await guest(second) === other, 'change back');
  await answered(second, 6);

  // Coming back after the window was closed is the same guest again, who finds the chat.
  await second.close();
  await page.close();
  const back = await browser.newPage();
  await back.goto(`${url}/demo/`);
  const recent = back.locator('#recent-chats a');
  await recent.getByText('first').click();
  await answered(back, 6);
  assert.equal(await guest(back), other);
  assert.equal(new URL(back.url()).hash, `#${chat}`);
  await back.close();
  console.log('two windows were two guests, who kept their names and could change them');
}

export async function findsTheWayBack(page, url, server) {
  const chats = [];
  for (const text of ['the older one', '**the newer** one']) {
    chats.push(await starts(page, url));
    await say(page, text);
    await answered(page, 2);
  }
  const third = await starts(page, url);
  await server.api('PATCH', `chats/${chats[0]}`, { status: 'closed' });
  await server.api('DELETE', `chats/${third}?force=true`);
  await page.getByText('This chat was deleted.').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Send' }).isDisabled(), true);

  await page.getByRole('button', { name: 'Chats', exact: true }).focus();
  await page.keyboard.press('Enter');
  const links = page.locator('#drawer-chats a');
  await links.first().waitFor();
  const names = await links.locator('.name').allTextContents();
  assert.deepEqual(names.slice(0, 2), ['**the newer** one', 'the older one'], 'those that are there, the latest first');
  assert(await links.nth(1).getByText('closed').isVisible());
  await page.keyboard.press('Escape');
  await page.locator('#drawer').waitFor({ state: 'hidden' });
  await page.keyboard.press('Enter');
  await links.nth(1).focus();
  await page.keyboard.press('Enter');
  await answered(page, 2);
  assert.equal(new URL(page.url()).hash, `#${chats[0]}`);
  assert(await page.locator('#drawer').isHidden());

  // It is closed already when it is opened; and learns of being opened again where the server tells.
  await page.getByText('This chat is closed.').waitFor();
  assert(await page.getByLabel('Your message').isDisabled());
  assert.deepEqual(await texts(page), ['the older one', 'the older one'], 'it can be read');
  await page.goto(`${url}/demo/#${UNKNOWN}`);
  await page.getByText('There is no such chat.').waitFor();
  await page.getByText('Disconnected').waitFor();
  assert(await page.getByLabel('Your message').isDisabled());
  await page.getByRole('button', { name: 'Start a new chat' }).click();
  await connected(page);
  assert(await page.getByLabel('Your message').isEnabled());
  assert(await page.locator('#verdict').isHidden());
  console.log('found earlier chats; closed, deleted and unknown ones said so');
  return chats[1];
}

export async function followsTheStatus(page, chat, url) {
  const { connection } = await played(page, chat);
  await page.goto(`${url}/demo/#${chat}`);
  const { socket, tell, frames } = await connection(1);
  for (const event of [established(true, 1), created(1)]) tell(...event);
  await answered(page, 1);
  const updated = status => ['chat_updated', { chat: { id: chat, status } }];
  tell(...updated('closed'));
  await page.getByText('This chat is closed.').waitFor();
  assert(await page.getByLabel('Your message').isDisabled());
  tell(...updated('active'));
  await eventually(() => page.getByLabel('Your message').isEnabled(), 'composer');
  assert(await page.getByText('This chat is closed.').isHidden());
  await say(page, 'too late');
  const { client_message_id } = await eventually(() => frames.find(frame => frame.content === 'too late'), 'message');
  tell('error', { code: 'chat_closed', message: 'The chat is closed.', retryable: false, client_message_id });
  await page.getByText('not sent: The chat is closed.').waitFor();
  await page.getByText('This chat is closed.').waitFor();
  await socket.close({ code: 4004, reason: 'the chat was deleted' });
  await page.getByText('This chat was deleted.').waitFor();
  console.log('followed a chat that was closed, opened and deleted');
}

const EVERYTHING = '# One\n\n### Three\n\n- [ ] task\n- [x] done\n\n1. a\n   - b\n\n> quote [link](https://a.example/) `code`\n\n'
  + `| ${'column | '.repeat(12)}\n|${'---|'.repeat(12)}\n| ${'wide value | '.repeat(12)}\n\n`
  + `\`\`\`text\n${'a long line of code '.repeat(20)}\n\`\`\`\n\n${'unbroken'.repeat(40)}\n\nمرحبا بالعالم`;

// Light and dark, wide and as narrow as a phone: axe finds nothing, and the page itself never scrolls sideways.
export async function isAccessible(page, url, chat) {
  await page.goto(`${url}/demo/`);
  await page.locator('#recent-chats a').first().waitFor();
  const check = async what => {
    for (const colorScheme of ['light', 'dark']) {
      for (const width of [390, 900]) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        await page.setViewportSize({ width, height: 780 });
        const { violations } = await page.evaluate(async source => {
          if (!window.axe) (0, eval)(source);
          return window.axe.run(document, { resultTypes: ['violations'] });
        }, AXE);
        const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(node => node.html).join(' ')}`);
        assert.deepEqual(found, [], `${what}, ${colorScheme}, ${width} px`);
        const beyond = await page.evaluate(() => document.scrollingElement.scrollWidth - window.innerWidth);
        assert(beyond <= 0, `${what}: ${beyond} px wider than ${width} px`);
      }
    }
  };
  await check('the first page');
  const { connection } = await played(page, chat);
  await page.locator(`#recent-chats a[href="#${chat}"]`).click();
  const { tell } = await connection(1);
  const answer = { id: 'a', content: EVERYTHING, sender_role: 'assistant', sender_id: null };
  for (const event of [
    established(true, 5),
    created(1, { sender_id: await guest(page) }),
    created(2, answer),
    created(3, { ...answer, id: 'b', content: 'cut', metadata: { finish_reason: 'interrupted' } }),
    created(4, { ...answer, id: 'c', content: 'stop', metadata: { finish_reason: 'cancelled' } }),
    created(5, { sender_id: await guest(page) }),
  ]) tell(...event);
  await page.locator('.failure').waitFor();
  await check('a chat');
  tell('message_stream_started', { message_id: 'd' });
  await page.locator('.indicator').last().waitFor();
  tell('chat_updated', { chat: { id: chat, status: 'closed' } });
  await page.locator('#verdict').waitFor();
  await check('a closed chat in which the assistant thinks');
  await page.getByRole('button', { name: 'Chats', exact: true }).click();
  await page.locator('#drawer-chats a').first().waitFor();
  await check('the list of chats');
  await page.getByRole('button', { name: 'Be another guest' }).click();
  await page.locator('#identity').waitFor();
  await check('the choice of a name');
  console.log('axe found nothing in five states, light and dark, wide and narrow');
}

async function starts(page, url) {
  await page.goto(`${url}/demo/`);
  await page.getByRole('button', { name: 'Start a chat' }).click();
  await connected(page);
  return new URL(page.url()).hash.slice(1);
}

const guest = page => page.locator('#user').textContent();

// Goes through Swagger UI as a person would and fails when anything is not as it should be.
//
//     PARLOR_URL=http://localhost:8000 PARLOR_API_KEY=... \
//         node scripts/browser/swagger-ui.mjs --chromium /usr/bin/chromium [--screenshot PATH]
//
// Without --screenshot the picture goes to a temporary folder.

import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { complaintsOf, withBrowser } from './browser.mjs';

const { PARLOR_URL: url, PARLOR_API_KEY: key } = process.env;
assert(url && key, 'Set PARLOR_URL and PARLOR_API_KEY.');
const { values: options } = parseArgs({ options: { chromium: { type: 'string' }, screenshot: { type: 'string' } } });
assert(options.chromium, 'Say with --chromium where the browser is.');

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const WIDTH = 1200;

await withBrowser(options.chromium, { width: WIDTH, height: 1000 }, async browser => {
  const [page] = browser.pages();
  const complaints = complaintsOf(page, url);

  await page.goto(`${url}/docs/`);
  await page.getByRole('heading', { name: /^Parlor/ }).waitFor();
  console.log('opened Swagger UI');

  await authorize(page, key);
  console.log('authorized');
  const operation = page.locator('#operations-Chats-create_chat');
  await operation.locator('.opblock-summary-control').first().click();
  const first = await execute(page, operation);
  assert.equal(first.status, 201);
  assert.match(first.body.id, UUID);
  assert.deepEqual([first.body.user_id, first.body.title], ['user123', 'Support Session']);
  console.log(`201: created the chat ${first.body.id}`);
  await takeScreenshot(page, operation);

  await page.reload();
  await page.getByRole('heading', { name: /^Parlor/ }).waitFor();
  // Swagger UI keeps the open operation in the address, so it is open again.
  await operation.locator('.opblock-body').waitFor();
  const second = await execute(page, operation);
  assert.equal(second.status, 201, 'the key is remembered after a reload');
  assert.match(second.body.id, UUID);
  assert.notEqual(second.body.id, first.body.id, 'the same form sent again is a second chat, not the first again');
  console.log(`201 after a reload: created the chat ${second.body.id}`);

  await goThroughExamples(page, second.body.id);
  assert.deepEqual(complaints, [], 'the browser complained');

  await authorize(page, 'a-key-that-nobody-issued');
  const refused = await execute(page, operation);
  assert.equal(refused.status, 401);
  assert.equal(refused.body.code, 'unauthorized');
  console.log(`401 with a wrong key: ${refused.body.detail}`);
  // Chromium writes every error status to its console. This one is wanted, others are not.
  const unwanted = complaints.filter(complaint => !/status of 401|^401 /.test(complaint));
  assert.deepEqual(unwanted, [], 'the browser complained');
});

// Enters a key, in place of the one that is there.
async function authorize(page, key) {
  await page.locator('.auth-wrapper .btn.authorize').click();
  const dialog = page.locator('.dialog-ux');
  const logout = dialog.getByRole('button', { name: 'Remove authorization' });
  if (await logout.isVisible()) await logout.click();
  await dialog.locator('input').fill(key);
  await dialog.getByRole('button', { name: 'Apply credentials' }).click();
  await logout.waitFor();
  await dialog.locator('.btn-done').click();
  await dialog.waitFor({ state: 'detached' });
}

// Executes what can be done with a chat, each operation with its own examples. The form knows the chat that was created
// last, and an update leaves it open for messages.
async function goThroughExamples(page, chat) {
  const examples = [
    ['Chats-get_chat', 200],
    ['Chats-update_chat', 200],
    ['Messages-send_message', 201],
    ['Messages-list_messages', 200],
    ['Tickets-create_ticket', 201],
    ['Chats-list_user_chats', 200],
    ['Chats-delete_chat', 200],
  ];
  for (const [name, status] of examples) {
    const operation = page.locator(`#operations-${name}`);
    await operation.locator('.opblock-summary-control').first().click();
    const parameter = name === 'Chats-list_user_chats' ? ['user_id', 'user123'] : ['chat_id', chat];
    const field = operation.locator(`tr[data-param-name="${parameter[0]}"] input`);
    assert.equal(await field.inputValue(), parameter[1], `${name}: ${parameter[0]}`);
    const answer = await execute(page, operation);
    assert.equal(answer.status, status, `${name}: ${JSON.stringify(answer.body)}`);
  }
  console.log(`went through the examples of ${examples.length} operations with the new chat`);
}

// Presses Execute and reads the answer from the page, as a person would. The form is open and filled in already.
async function execute(page, operation) {
  const answered = page.waitForResponse(response => response.url().includes('/api/v1/'));
  await operation.locator('.btn.execute').click();
  await answered;
  const answer = operation.locator('.live-responses-table .response');
  const status = answer.locator('.response-col_status');
  const body = answer.locator('.response-col_description .highlight-code code').first();
  await body.waitFor();
  return { status: parseInt(await status.innerText(), 10), body: JSON.parse(await body.innerText()) };
}

// The page from its title to the end of the answer. Swagger UI repeats the key in the curl command that it shows: it is
// made unreadable.
async function takeScreenshot(page, operation) {
  await page.evaluate(key => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const text = texts.currentNode;
      text.data = text.data.replaceAll(key, '•'.repeat(12));
    }
  }, key);
  const { y, height } = await operation.locator('.live-responses-table').boundingBox();
  const top = await page.evaluate(() => window.scrollY);
  const path = options.screenshot ?? join(await mkdtemp(join(tmpdir(), 'parlor-screenshot-')), 'swagger-ui.png');
  await page.screenshot({
    path,
    fullPage: true,
    animations: 'disabled',
    clip: { x: 0, y: 0, width: WIDTH, height: Math.ceil(top + y + height) },
  });
  console.log(`wrote ${path}`);
}

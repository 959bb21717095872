// Runs the reference's JavaScript example in a page of another origin, as a web developer would, and opens a live connection
// from there.
//
//     PARLOR_URL=http://localhost:8000 PARLOR_API_KEY=... \
//         node scripts/browser/cross-origin.mjs --chromium /usr/bin/chromium

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

import { withBrowser } from './browser.mjs';

const { PARLOR_URL: url, PARLOR_API_KEY: key } = process.env;
assert(url && key, 'Set PARLOR_URL and PARLOR_API_KEY.');
const { values: options } = parseArgs({ options: { chromium: { type: 'string' }, screenshot: { type: 'string' } } });
assert(options.chromium, 'Say with --chromium where the browser is.');

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

// The example, letter by letter but for the server and the key.
const EXAMPLE = `
fetch('http://localhost:8000/api/v1/chats/', {
  method: 'POST',
  headers: {
    'X-API-Key': 'your-tenant-api-key',
    'Content-Type': 'application/json'
  },
  body: JSON.stringify({
    user_id: 'user123',
    title: 'Support Session',
    metadata: {
      department: 'technical',
      priority: 'high'
    }
  })
})
.then(response => response.json())
.then(data => {
  console.log('Chat created:', data);
  const chatId = data.id;
  // Use chatId for WebSocket connection
})
.catch(error => console.error('Error:', error));
`.replace('http://localhost:8000', url).replace('your-tenant-api-key', key);

// A site of its own: another port is another origin.
const site = createServer((_, response) => {
  response.setHeader('Content-Type', 'text/html; charset=utf-8');
  response.end(`<!doctype html><title>A page of another origin</title><link rel="icon" href="data:,"><script>${EXAMPLE}</script>`);
});
site.listen(0, '127.0.0.1');
await once(site, 'listening');

try {
  await withBrowser(options.chromium, { width: 800, height: 600 }, async browser => {
    const [page] = browser.pages();
    const failures = [];
    page.on('pageerror', error => failures.push(String(error)));
    page.on('console', message => message.type() === 'error' && failures.push(message.text()));
    const said = page.waitForEvent('console', message => /^(Chat created|Error):/.test(message.text()));
    await page.goto(`http://127.0.0.1:${site.address().port}/`);
    const message = await said;
    assert.match(message.text(), /^Chat created:/);
    const chat = await message.args()[1].jsonValue();
    assert.match(chat.id, UUID);
    assert.deepEqual([chat.user_id, chat.title], ['user123', 'Support Session']);
    assert.deepEqual(chat.config.metadata, { department: 'technical', priority: 'high' });
    assert.deepEqual(failures, [], 'the browser complained');
    console.log(`created the chat ${chat.id} from ${await page.evaluate(() => location.origin)}`);

    // Checks the headers and bodies that the page can read, of a success and of a failure.
    const answers = await page.evaluate(async ({ url, key, id }) => {
      const ask = async (path, key, init = {}) => {
        const response = await fetch(url + path, { ...init, headers: { 'X-API-Key': key, ...init.headers } });
        const names = ['X-Request-Id', 'Location', 'Idempotency-Replayed'];
        const headers = Object.fromEntries(names.map(name => [name, response.headers.get(name)]));
        return { status: response.status, headers, body: await response.json() };
      };
      const create = {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'Idempotency-Key': 'a-page', 'X-Request-Id': 'asked-by-a-page' },
        body: JSON.stringify({ user_id: 'user123' }),
      };
      await ask('/api/v1/chats/', key, create);
      return {
        again: await ask('/api/v1/chats/', key, create),
        renamed: await ask(`/api/v1/chats/${id}`, key, {
          method: 'PATCH', headers: { 'Content-Type': 'application/json' }, body: '{"title": "Renamed"}',
        }),
        wrong: await ask('/api/v1/chats/', 'a-key-that-nobody-issued'),
        nowhere: await ask('/nope', key),
        ticket: await ask(`/api/v1/chats/${id}/tickets`, key, {
          method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"user_id": "user123"}',
        }),
      };
    }, { url, key, id: chat.id });
    const { again, renamed, wrong, nowhere, ticket } = answers;
    assert.equal(again.status, 201);
    const { Location: location, ...others } = again.headers;
    assert.deepEqual(others, { 'X-Request-Id': 'asked-by-a-page', 'Idempotency-Replayed': 'true' });
    assert.equal(location, `/api/v1/chats/${again.body.id}`);
    assert.deepEqual([renamed.status, renamed.body.title], [200, 'Renamed']);
    for (const [failure, status, code] of [[wrong, 401, 'unauthorized'], [nowhere, 404, 'not_found']]) {
      assert.deepEqual([failure.status, failure.body.code], [status, code]);
      assert.equal(failure.headers['X-Request-Id'], failure.body.request_id);
    }
    console.log('read answers, failures and their headers');

    // A browser ends a connection whose offer of a subprotocol is not taken up.
    const live = await page.evaluate(async ({ url, ticket }) => {
      const socket = new WebSocket(`${url.replace('http', 'ws')}/ws/chat?ticket=${ticket}`, ['parlor.v1', 'another']);
      const event = await new Promise((resolve, reject) => {
        socket.onmessage = ({ data }) => resolve(JSON.parse(data));
        socket.onerror = () => reject(new Error('the connection failed'));
      });
      const { protocol } = socket;
      socket.close();
      return { protocol, event };
    }, { url, ticket: ticket.body.ticket });
    assert.deepEqual([live.protocol, live.event.event_type], ['parlor.v1', 'connection_established']);
    console.log(`connected with the subprotocol ${live.protocol}`);
  });
} finally {
  site.close();
}

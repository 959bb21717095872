// The demo's page with a model that answers, fails and answers after all; and the picture of it that the README shows.

import assert from 'node:assert/strict';

import { Model } from './demo_model.mjs';
import { Server, answered, connected, say, watch } from './demo_support.mjs';

const FIRST = `Yes. A message is written to the database **and synced** before it is acknowledged:

| step | what a page sees |
|---|---|
| sent | *sending…* |
| committed | \`message_received\`, shown as ✓ sent |`;
const SECOND = `Ask for a ticket where the key is, and connect with it:

\`\`\`js
const { ticket } = await post('chats/' + id + '/tickets');
new WebSocket(\`/ws/chat?ticket=\${ticket}&after_seq=\${seq}\`);
\`\`\`

1. The page holds **no API key**.
2. \`after_seq\` brings what was missed, *nothing twice*:
   - after a reload,
   - after a lost network, and after a restart of the server.`;

export async function usesAModel(browser, parlor, picture) {
  const model = new Model();
  const openai = ['--assistant', 'openai', '--openai-base-url', await model.start(), '--openai-model', 'played'];
  const server = new Server(parlor, openai);
  try {
    await server.start();
    const page = await browser.newPage();
    const other = await browser.newPage();
    const watched = [await watch(page, 'Ann', server.url), await watch(other, 'Bob', server.url)];
    await failsAndAnswers(page, model, server.url);
    if (picture) await takePicture(browser, page, other, model, server.url, picture);
    assert.deepEqual(watched.flatMap(({ complaints }) => complaints), [], 'the browser complained');
  } finally {
    model.stop();
    await server.remove();
  }
}

// The whole way: the server asks a model that fails; the page is loaded anew; the question is asked again.
async function failsAndAnswers(page, model, url) {
  await start(page, url);
  model.isBroken = true;
  model.thinksMs = 300;
  await say(page, 'Are you there?');
  await page.locator('.indicator').getByText('Thinking').waitFor();
  await page.locator('.failure').getByText('The assistant could not answer.').waitFor();
  await page.reload();
  await page.locator('.failure').getByText('This question has no answer.').waitFor();
  model.isBroken = false;
  model.answers = ['*Now* I am.'];
  await page.locator('.failure').getByRole('button', { name: 'Try again' }).click();
  await answered(page, 3);
  await page.locator('.assistant .content em').getByText('Now').waitFor();
  assert.equal(await page.locator('.failure').count(), 0);
  console.log('asked a failing model again, after a reload');
}

// A wide window and a phone, in the middle of the same answer.
async function takePicture(browser, page, other, model, url, path) {
  await page.setViewportSize({ width: 860, height: 760 });
  await other.setViewportSize({ width: 390, height: 760 });
  await other.emulateMedia({ colorScheme: 'dark' });
  model.answers = [FIRST, SECOND];
  await start(page, url);
  await other.goto(page.url());
  await connected(other);
  await say(page, 'Is what I write on disk before you say ✓ sent?');
  await answered(page, 2);
  await answered(other, 2);
  model.pauseMs = 60;
  await say(other, 'And how does a page connect?');
  const isFarOn = () => document.querySelector('.streaming ol ul li')?.nextElementSibling?.textContent.length > 14;
  await page.waitForFunction(isFarOn, undefined, { polling: 20 });
  const pictures = await Promise.all([page, other].map(one => one.screenshot({ animations: 'disabled' })));
  await answered(page, 4);
  await answered(other, 4);

  const frame = await browser.newPage();
  await frame.setViewportSize({ width: 1370, height: 840 });
  const images = pictures.map(png => `<img src="data:image/png;base64,${png.toString('base64')}">`).join('');
  await frame.setContent(`<style>
    body { display: flex; gap: 40px; justify-content: center; align-items: center; height: 100vh; margin: 0; background: #dcdae8 }
    img { border-radius: 12px; box-shadow: 0 12px 40px rgb(30 20 80 / 25%) }
  </style>${images}`);
  await frame.screenshot({ path });
  await frame.close();
  console.log(`wrote ${path}`);
}

async function start(page, url) {
  await page.goto(`${url}/demo/`);
  await page.getByRole('button', { name: 'Start a chat' }).click();
  await connected(page);
}

// The picture of the demo's page that the README shows.

import { answered, say } from './demo_support.mjs';

// A wide window and a phone, in the middle of the same answer.
export async function takeScreenshot(browser, page, other, url, path) {
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
  await frame.screenshot({ path });
  await frame.close();
  console.log(`wrote ${path}`);
}

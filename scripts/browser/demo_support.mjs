// Shared parts of the demo page's tests: a server, a user of the page, and a scripted WebSocket server.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { complaintsOf } from './browser.mjs';

// --- What a person does and sees ------------------------------------------------------------------------------------

export async function say(page, text) {
  await page.getByLabel('Your message').fill(text);
  await page.getByLabel('Your message').press('Enter');
}

export function connected(page) {
  return page.locator('#state[data-state=open]').getByText('Connected', { exact: true }).waitFor();
}

// Waits until part of an answer is there.
export async function streams(page) {
  await page.waitForFunction(() => document.querySelector('.message.streaming .content')?.textContent.length > 20);
}

// Waits until there are so many messages, all of them stored.
export async function answered(page, count) {
  await page.waitForFunction(
    count =>
      document.querySelectorAll('.message').length === count &&
      !document.querySelector('.message:is(.streaming, .pending)'),
    count,
  );
}

export function texts(page) {
  return page.locator('.message .content').allTextContents();
}

// --- The browser ----------------------------------------------------------------------------------------------------

// Names the person at `page`, and gathers what the page asks, is answered and complains of.
export async function watch(page, user, url) {
  await page.addInitScript(user => {
    sessionStorage.setItem('parlor-guest', sessionStorage.getItem('parlor-guest') ?? user);
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

// --- The server -----------------------------------------------------------------------------------------------------

// A server with an empty database in a temporary folder, which can be killed and started again.
export class Server {
  key = randomBytes(20).toString('hex');
  url = '';
  #parlor;
  #assistant;
  #folder;
  #process = null;

  constructor(parlor, assistant = ['--assistant', 'echo']) {
    this.#parlor = parlor;
    this.#assistant = assistant;
    // Ends the server when the tests end, whatever their result.
    process.on('exit', () => this.kill());
  }

  // Starts it, at the same address as before if it ran before; returns once it listens.
  async start() {
    this.#folder ??= await mkdtemp(join(tmpdir(), 'parlor-demo-'));
    const listen = this.url ? new URL(this.url).host : '127.0.0.1:0';
    const database = `sqlite://${join(this.#folder, 'parlor.db')}`;
    const options = ['--demo', ...this.#assistant, '--listen', listen, '--database-url', database];
    this.#process = spawn(this.#parlor, options, {
      env: { PARLOR_BOOTSTRAP_API_KEY: this.key, PARLOR_LOG: 'error' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    for await (const line of createInterface({ input: this.#process.stdout })) {
      const listens = /^Parlor listens on (.*)$/.exec(line);
      if (listens) {
        // Further output is read and dropped, so that a full pipe never blocks the server.
        this.#process.stdout.resume();
        this.url = listens[1];
        return;
      }
    }
    throw new Error('The server ended before it was ready.');
  }

  kill() {
    this.#process?.kill('SIGKILL');
  }

  async killed() {
    const ended = new Promise(resolve => this.#process.once('exit', resolve));
    this.kill();
    await ended;
  }

  async remove() {
    this.kill();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }

  // Calls the API with the key, as an application's server would.
  async api(method, path, body) {
    const response = await fetch(`${this.url}/api/v1/${path}`, {
      method,
      headers: { 'X-API-Key': this.key, 'Content-Type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }
}

// --- A server of WebSockets that is played --------------------------------------------------------------------------

const PATIENCE_MS = 15_000;

// Plays the server's part in the connections of `page` to `chat`, which is there, as are its tickets.
export async function played(page, chat) {
  const sockets = [];
  await page.routeWebSocket(/\/ws\/chat/, socket => {
    const frames = [];
    socket.onMessage(text => frames.push(JSON.parse(text)));
    const tell = (event_type, members) =>
      socket.send(JSON.stringify({ event_type, timestamp: new Date().toISOString(), chat_id: chat, ...members }));
    const afterSeq = Number(new URL(socket.url()).searchParams.get('after_seq'));
    sockets.push({ socket, frames, tell, afterSeq });
  });
  return {
    sockets,
    connection: number => eventually(() => sockets[number - 1], `connection ${number}`),
  };
}

// Asks `find` until it finds something, which is returned.
export async function eventually(find, what) {
  for (const deadline = performance.now() + PATIENCE_MS; performance.now() < deadline;) {
    const found = await find();
    if (found) return found;
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  throw new Error(`There was no ${what} within ${PATIENCE_MS} ms.`);
}

export const established = (resumed, last_seq) => ['connection_established', { user_id: 'ann', resumed, last_seq }];

export const created = (seq, members = {}) => ['message_created', {
  message: { id: `m${seq}`, content: `message ${seq}`, sender_role: 'user', sender_id: 'bob', seq,
    created_at: '2024-01-15T10:30:00Z', metadata: {}, client_message_id: null, ...members },
}];

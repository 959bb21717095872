// A chat's life, by openapi-fetch with the types that openapi-typescript makes.
//
//     ./generate.sh
//     PARLOR_API_KEY=your-tenant-api-key npx tsx scenario.ts
//
// The server is expected at http://localhost:8000, or where PARLOR_URL says.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import createClient from 'openapi-fetch';

import type { components, paths } from './client/schema';

type Problem = components['schemas']['Problem'];

// A slash and a letter beyond ASCII: the client has to encode the path.
const user_id = `zoë/${randomUUID()}`;
const metadata = {
  department: 'technical',
  tags: ['Grüße', '世界', '🦊'],
  order: { items: [{ sku: null, count: Number.MAX_SAFE_INTEGER }] },
  nothing: null,
};

const url = process.env.PARLOR_URL ?? 'http://localhost:8000';
const key = process.env.PARLOR_API_KEY;
if (!key) {
  console.error("Set PARLOR_API_KEY to your tenant's API key.");
  process.exit(1);
}
const client = createClient<paths>({ baseUrl: url, headers: { 'X-API-Key': key } });

async function main(): Promise<void> {
  const created = await create();
  await read(created);
  await listByOffset(created);
  await listByCursor(created);
  await listByMetadata(created);
  await talk(created[0]);
  await invite(created[0]);
  await update(created[0]);
  await beRefused(created[0]);
  await remove(created);
  console.log('done');
}

async function create(): Promise<string[]> {
  const request = {
    params: { header: { 'Idempotency-Key': randomUUID() } },
    body: { user_id, title: 'Grüße, 世界 🦊', metadata },
  };
  const chat = given(await client.POST('/api/v1/chats/', request));
  assert.equal(chat.user_id, user_id);
  assert.equal(chat.title, 'Grüße, 世界 🦊');
  assert.deepEqual(chat.config.metadata, metadata);
  assert(!Number.isNaN(Date.parse(chat.created_at)));
  assert.equal(chat.updated_at, chat.created_at);
  assert.equal(chat.last_message_at, null);
  // The same intent again creates no second chat, and another intent needs another key.
  assert.equal(given(await client.POST('/api/v1/chats/', request)).id, chat.id);
  const reused = await client.POST('/api/v1/chats/', { ...request, body: { user_id } });
  assert.equal(problemOf(422, reused).code, 'idempotency_key_reused');

  const second = given(await client.POST('/api/v1/chats/', { body: { user_id } }));
  const third = given(await client.POST('/api/v1/chats/', { body: { user_id } }));
  console.log('created', chat.id);
  return [chat.id, second.id, third.id];
}

async function read(created: string[]): Promise<void> {
  const chat = given(await client.GET('/api/v1/chats/{chat_id}', { params: { path: { chat_id: created[0] } } }));
  assert.deepEqual(chat.config.metadata, metadata);
  assert.equal(chat.status, 'active');
  assert.equal(chat.message_count, 0);
  console.log('read', chat.title);
}

type UserPage = NonNullable<paths['/api/v1/chats/user/{user_id}']['get']['parameters']['query']>;

async function listUserChats(query: UserPage) {
  return client.GET('/api/v1/chats/user/{user_id}', { params: { path: { user_id }, query } });
}

async function listByOffset(created: string[]): Promise<void> {
  const first = given(await listUserChats({ limit: 2 }));
  assert.equal(first.total, 3);
  assert(first.has_more);
  const second = given(await listUserChats({ limit: 2, offset: 2 }));
  assert.equal(second.offset, 2);
  assert(!second.has_more);
  assert.deepEqual([...first.chats, ...second.chats].map(chat => chat.id), [...created].reverse());
  console.log('listed by offset:', first.total);
}

async function listByCursor(created: string[]): Promise<void> {
  let page = given(await listUserChats({ limit: 2, order: 'asc' }));
  const found = page.chats.map(chat => chat.id);
  while (page.next_cursor !== null) {
    page = given(await listUserChats({ limit: 2, order: 'asc', cursor: page.next_cursor }));
    assert.equal(page.total, null);
    assert.equal(page.offset, null);
    found.push(...page.chats.map(chat => chat.id));
  }
  assert.deepEqual(found, created);
  console.log('listed by cursor:', found.length);
}

async function listByMetadata(created: string[]): Promise<void> {
  const members = ['department:technical', 'nothing:null'];
  const day = 24 * 60 * 60 * 1000;
  const [yesterday, tomorrow] = [-day, day].map(away => new Date(Date.now() + away).toISOString()) as [string, string];
  const list = async (query: { created_after?: string; created_before?: string; metadata?: string[] }) =>
    given(await client.GET('/api/v1/chats/', { params: { query: { user_id, status: 'active', ...query } } })).chats;
  const found = await list({ created_after: yesterday, metadata: members });
  assert.deepEqual(found.map(chat => chat.id), [created[0]]);
  assert.equal((await list({ created_before: tomorrow })).length, created.length);
  assert.deepEqual(await list({ created_after: tomorrow }), []);
  console.log('listed by metadata:', found.length);
}

async function talk(chat_id: string): Promise<void> {
  const params = { path: { chat_id } };
  const sent = given(
    await client.POST('/api/v1/chats/{chat_id}/messages', {
      params,
      body: { content: 'Hallo 👋\nzweite Zeile', metadata: { seen: null }, client_message_id: '1' },
    }),
  );
  assert.equal(sent.seq, 1);
  assert.equal(sent.sender_role, 'user');
  assert.equal(sent.sender_id, user_id);
  assert.deepEqual(sent.metadata, { seen: null });
  assert.equal(sent.media_url, null);
  const reply = { content: 'Hello!', sender_role: 'assistant' } as const;
  given(await client.POST('/api/v1/chats/{chat_id}/messages', { params, body: reply }));
  const page = given(await client.GET('/api/v1/chats/{chat_id}/messages', { params }));
  assert.deepEqual(page.messages.map(message => message.content), ['Hallo 👋\nzweite Zeile', 'Hello!']);
  const after = { ...params, query: { after_seq: 1 } };
  const later = given(await client.GET('/api/v1/chats/{chat_id}/messages', { params: after }));
  assert.deepEqual(later.messages.map(message => message.sender_role), ['assistant']);
  console.log('sent and listed messages:', page.total);
}

async function invite(chat_id: string): Promise<void> {
  const request = { params: { path: { chat_id } }, body: { user_id: 'guest' } };
  const issued = given(await client.POST('/api/v1/chats/{chat_id}/tickets', request));
  assert(issued.ticket.startsWith('plt_'));
  assert(!Number.isNaN(Date.parse(issued.expires_at)));
  console.log('invited a guest until', issued.expires_at);
}

async function update(chat_id: string): Promise<void> {
  // A merge patch: null removes a member, what is not named stays.
  const body = { metadata: { department: null, resolution: 'answered' }, status: 'closed' } as const;
  const updated = given(await client.PATCH('/api/v1/chats/{chat_id}', { params: { path: { chat_id } }, body }));
  const { department, ...others } = metadata;
  assert.deepEqual(updated.config.metadata, { ...others, resolution: 'answered' });
  assert.equal(updated.status, 'closed');
  assert.equal(updated.title, 'Grüße, 世界 🦊');
  assert.equal(updated.message_count, 2);
  console.log('updated', updated.status);
}

async function beRefused(chat_id: string): Promise<void> {
  const params = { path: { chat_id } };

  const invalid = problemOf(400, await listUserChats({ cursor: 'nonsense' }));
  assert.equal(invalid.code, 'invalid_request');
  assert.equal(invalid.errors?.[0].pointer, '/query/cursor');

  const path = { user_id: randomUUID() };
  const unknownUser = await client.GET('/api/v1/chats/user/{user_id}', { params: { path } });
  assert.equal(problemOf(404, unknownUser).code, 'user_not_found');

  const late = await client.POST('/api/v1/chats/{chat_id}/messages', { params, body: { content: 'Late' } });
  assert.equal(problemOf(409, late).code, 'chat_closed');

  const large = { user_id, metadata: { note: 'x'.repeat(300_000) } };
  const tooLarge = await client.POST('/api/v1/chats/', { body: large });
  assert.equal(problemOf(413, tooLarge).code, 'payload_too_large');

  const stranger = createClient<paths>({ baseUrl: url, headers: { 'X-API-Key': 'wrong' } });
  const unknownKey = await stranger.GET('/api/v1/chats/{chat_id}', { params });
  assert.equal(problemOf(401, unknownKey).code, 'unauthorized');
}

async function remove(created: string[]): Promise<void> {
  for (const chat_id of created) {
    const deleted = given(await client.DELETE('/api/v1/chats/{chat_id}', { params: { path: { chat_id } } }));
    assert(deleted.success);
    assert(!Number.isNaN(Date.parse(deleted.deleted_at)));
  }
  const gone = await client.GET('/api/v1/chats/{chat_id}', { params: { path: { chat_id: created[0] } } });
  assert.equal(problemOf(404, gone).code, 'chat_not_found');
  console.log('deleted', created.length);
}

/** What a call was answered with, or its problem thrown. */
function given<T>(answer: { data?: T; error?: Problem }): T {
  if (answer.data === undefined) throw new Error(`${answer.error?.code}: ${answer.error?.detail}`);
  return answer.data;
}

/** Why the call was refused. The error of every answer is a problem document. */
function problemOf(status: number, answer: { error?: Problem; response: Response }): Problem {
  const problem = answer.error ?? assert.fail('was not refused');
  assert.equal(answer.response.status, status);
  assert.equal(problem.status, status);
  assert(problem.request_id);
  console.log('refused:', problem.status, problem.code);
  return problem;
}

main().catch(error => {
  console.error(error);
  process.exitCode = 1;
});

// A chat's life, by the functions that orval makes; zod checks what the server answers.
//
//     ./generate.sh
//     PARLOR_API_KEY=your-tenant-api-key npx tsx scenario.ts
//
// The server is expected at http://localhost:8000, or where PARLOR_URL says.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { getChatResponse, listChatsResponse, listMessagesResponse, listUserChatsResponse } from './client/checks';
import type { ListUserChatsParams, Problem } from './client/model';
import {
  createChat,
  createTicket,
  deleteChat,
  getChat,
  listChats,
  listMessages,
  listUserChats,
  sendMessage,
  updateChat,
} from './client/parlor';

// A slash and a letter beyond ASCII: the client has to encode the path.
const user_id = `zoë/${randomUUID()}`;
const metadata = {
  department: 'technical',
  tags: ['Grüße', '世界', '🦊'],
  order: { items: [{ sku: null, count: Number.MAX_SAFE_INTEGER }] },
  nothing: null,
};

if (!process.env.PARLOR_API_KEY) {
  console.error("Set PARLOR_API_KEY to your tenant's API key.");
  process.exit(1);
}

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
  const request = { user_id, title: 'Grüße, 世界 🦊', metadata };
  const once = { headers: { 'Idempotency-Key': randomUUID() } };
  const chat = given(await createChat(request, once));
  assert.equal(chat.user_id, user_id);
  assert.equal(chat.title, 'Grüße, 世界 🦊');
  assert.deepEqual(chat.config.metadata, metadata);
  assert(!Number.isNaN(Date.parse(chat.created_at)));
  assert.equal(chat.updated_at, chat.created_at);
  assert.equal(chat.last_message_at, null);
  // The same intent again creates no second chat, and another intent needs another key.
  assert.equal(given(await createChat(request, once)).id, chat.id);
  const reused = await createChat({ user_id }, once);
  assert.equal(problemOf(422, reused).code, 'idempotency_key_reused');

  const second = given(await createChat({ user_id }));
  const third = given(await createChat({ user_id }));
  console.log('created', chat.id);
  return [chat.id, second.id, third.id];
}

async function read(created: string[]): Promise<void> {
  const chat = getChatResponse.parse(given(await getChat(created[0])));
  assert.deepEqual(chat.config.metadata, metadata);
  assert.equal(chat.status, 'active');
  assert.equal(chat.message_count, 0);
  console.log('read', chat.title);
}

async function userChats(query: ListUserChatsParams) {
  // The generated functions do not percent-encode path parameters.
  return listUserChats(encodeURIComponent(user_id), query);
}

async function listByOffset(created: string[]): Promise<void> {
  const first = listUserChatsResponse.parse(given(await userChats({ limit: 2 })));
  assert.equal(first.total, 3);
  assert(first.has_more);
  const second = given(await userChats({ limit: 2, offset: 2 }));
  assert.equal(second.offset, 2);
  assert(!second.has_more);
  assert.deepEqual([...first.chats, ...second.chats].map(chat => chat.id), [...created].reverse());
  console.log('listed by offset:', first.total);
}

async function listByCursor(created: string[]): Promise<void> {
  let page = given(await userChats({ limit: 2, order: 'asc' }));
  const found = page.chats.map(chat => chat.id);
  while (page.next_cursor !== null) {
    page = given(await userChats({ limit: 2, order: 'asc', cursor: page.next_cursor }));
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
  const query = { user_id, status: 'active' as const, created_after: yesterday, metadata: members };
  const page = listChatsResponse.parse(given(await listChats(query)));
  assert.deepEqual(page.chats.map(chat => chat.id), [created[0]]);
  const earlier = listChatsResponse.parse(given(await listChats({ user_id, created_before: tomorrow })));
  assert.equal(earlier.chats.length, created.length);
  assert.deepEqual(given(await listChats({ user_id, created_after: tomorrow })).chats, []);
  console.log('listed by metadata:', page.chats.length);
}

async function talk(chat_id: string): Promise<void> {
  const message = { content: 'Hallo 👋\nzweite Zeile', metadata: { seen: null }, client_message_id: '1' };
  const sent = given(await sendMessage(chat_id, message));
  assert.equal(sent.seq, 1);
  assert.equal(sent.sender_role, 'user');
  assert.equal(sent.sender_id, user_id);
  assert.deepEqual(sent.metadata, { seen: null });
  assert.equal(sent.media_url, null);
  const reply = { content: 'Hello!', sender_role: 'assistant' } as const;
  given(await sendMessage(chat_id, reply));
  const page = listMessagesResponse.parse(given(await listMessages(chat_id)));
  assert.deepEqual(page.messages.map(message => message.content), ['Hallo 👋\nzweite Zeile', 'Hello!']);
  const later = given(await listMessages(chat_id, { after_seq: 1 }));
  assert.deepEqual(later.messages.map(message => message.sender_role), ['assistant']);
  console.log('sent and listed messages:', page.total);
}

async function invite(chat_id: string): Promise<void> {
  const issued = given(await createTicket(chat_id, { user_id: 'guest' }));
  assert(issued.ticket.startsWith('plt_'));
  assert(!Number.isNaN(Date.parse(issued.expires_at)));
  console.log('invited a guest until', issued.expires_at);
}

async function update(chat_id: string): Promise<void> {
  // A merge patch: null removes a member, what is not named stays.
  const body = { metadata: { department: null, resolution: 'answered' }, status: 'closed' } as const;
  const updated = given(await updateChat(chat_id, body));
  const { department, ...others } = metadata;
  assert.deepEqual(updated.config.metadata, { ...others, resolution: 'answered' });
  assert.equal(updated.status, 'closed');
  assert.equal(updated.title, 'Grüße, 世界 🦊');
  assert.equal(updated.message_count, 2);
  console.log('updated', updated.status);
}

async function beRefused(chat_id: string): Promise<void> {
  const invalid = problemOf(400, await userChats({ cursor: 'nonsense' }));
  assert.equal(invalid.code, 'invalid_request');
  assert.equal(invalid.errors?.[0].pointer, '/query/cursor');

  const unknownUser = await listUserChats(randomUUID());
  assert.equal(problemOf(404, unknownUser).code, 'user_not_found');

  const late = await sendMessage(chat_id, { content: 'Late' });
  assert.equal(problemOf(409, late).code, 'chat_closed');

  const tooLarge = await createChat({ user_id, metadata: { note: 'x'.repeat(300_000) } });
  assert.equal(problemOf(413, tooLarge).code, 'payload_too_large');

  const unknownKey = await getChat(chat_id, { headers: { 'X-API-Key': 'wrong' } });
  assert.equal(problemOf(401, unknownKey).code, 'unauthorized');
}

async function remove(created: string[]): Promise<void> {
  for (const chat_id of created) {
    const deleted = given(await deleteChat(chat_id));
    assert(deleted.success);
    assert(!Number.isNaN(Date.parse(deleted.deleted_at)));
  }
  const gone = await getChat(created[0]);
  assert.equal(problemOf(404, gone).code, 'chat_not_found');
  console.log('deleted', created.length);
}

type Answer = { status: number; data: unknown };
type Given<A extends Answer> = Extract<A, { status: 200 | 201 }>['data'];

/** What a call was answered with, or its problem thrown. */
function given<A extends Answer>(answer: A): Given<A> {
  if (answer.status >= 400) throw new Error(JSON.stringify(answer.data));
  return answer.data as Given<A>;
}

/** Why the call was refused. The data of every other status is a problem document. */
function problemOf<A extends Answer>(status: number, answer: A): Problem {
  assert.equal(answer.status, status);
  const problem = answer.data as Problem;
  assert.equal(problem.status, status);
  assert(problem.request_id);
  console.log('refused:', problem.status, problem.code);
  return problem;
}

main().catch(error => {
  console.error(error);
  process.exitCode = 1;
});

// A chat's life, by the client that openapi-generator makes for TypeScript and fetch.
//
//     ./generate.sh
//     PARLOR_API_KEY=your-tenant-api-key npx tsx scenario.ts
//
// The server is expected at http://localhost:8000, or where PARLOR_URL says.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import {
  ChatsApi,
  Configuration,
  MessagesApi,
  ProblemFromJSON,
  ResponseError,
  TicketsApi,
  type Problem,
} from './client';

// A slash and a letter beyond ASCII: the client has to encode the path.
const userId = `zoë/${randomUUID()}`;
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
const configuration = new Configuration({ basePath: url, apiKey: key });
const chats = new ChatsApi(configuration);
const messages = new MessagesApi(configuration);
const tickets = new TicketsApi(configuration);

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
    createChatRequest: { userId, title: 'Grüße, 世界 🦊', metadata },
    idempotencyKey: randomUUID(),
  };
  const chat = await chats.createChat(request);
  assert.equal(chat.userId, userId);
  assert.equal(chat.title, 'Grüße, 世界 🦊');
  assert.deepEqual(chat.config.metadata, metadata);
  assert(chat.createdAt instanceof Date);
  assert.deepEqual(chat.updatedAt, chat.createdAt);
  assert.equal(chat.lastMessageAt, null);
  // The same intent again creates no second chat, and another intent needs another key.
  assert.equal((await chats.createChat(request)).id, chat.id);
  const reused = chats.createChat({ createChatRequest: { userId }, idempotencyKey: request.idempotencyKey });
  assert.equal((await problemOf(422, reused)).code, 'idempotency_key_reused');

  const second = await chats.createChat({ createChatRequest: { userId } });
  const third = await chats.createChat({ createChatRequest: { userId } });
  console.log('created', chat.id);
  return [chat.id, second.id, third.id];
}

async function read(created: string[]): Promise<void> {
  const chat = await chats.getChat({ chatId: created[0] });
  assert.deepEqual(chat.config.metadata, metadata);
  assert.equal(chat.status, 'active');
  assert.equal(chat.messageCount, 0);
  console.log('read', chat.title);
}

async function listByOffset(created: string[]): Promise<void> {
  const first = await chats.listUserChats({ userId, limit: 2 });
  assert.equal(first.total, 3);
  assert(first.hasMore);
  const second = await chats.listUserChats({ userId, limit: 2, offset: 2 });
  assert.equal(second.offset, 2);
  assert(!second.hasMore);
  assert.deepEqual([...first.chats, ...second.chats].map(chat => chat.id), [...created].reverse());
  console.log('listed by offset:', first.total);
}

async function listByCursor(created: string[]): Promise<void> {
  let page = await chats.listUserChats({ userId, limit: 2, order: 'asc' });
  const found = page.chats.map(chat => chat.id);
  while (page.nextCursor !== null) {
    page = await chats.listUserChats({ userId, limit: 2, order: 'asc', cursor: page.nextCursor });
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
  const [yesterday, tomorrow] = [-day, day].map(away => new Date(Date.now() + away)) as [Date, Date];
  const page = await chats.listChats({ userId, status: 'active', createdAfter: yesterday, metadata: members });
  assert.deepEqual(page.chats.map(chat => chat.id), [created[0]]);
  assert.equal((await chats.listChats({ userId, createdBefore: tomorrow })).chats.length, created.length);
  assert.deepEqual((await chats.listChats({ userId, createdAfter: tomorrow })).chats, []);
  console.log('listed by metadata:', page.chats.length);
}

async function talk(chatId: string): Promise<void> {
  const sent = await messages.sendMessage({
    chatId,
    sendMessageRequest: { content: 'Hallo 👋\nzweite Zeile', metadata: { seen: null }, clientMessageId: '1' },
  });
  assert.equal(sent.seq, 1);
  assert.equal(sent.senderRole, 'user');
  assert.equal(sent.senderId, userId);
  assert.deepEqual(sent.metadata, { seen: null });
  assert.equal(sent.mediaUrl, null);
  await messages.sendMessage({ chatId, sendMessageRequest: { content: 'Hello!', senderRole: 'assistant' } });
  const page = await messages.listMessages({ chatId });
  assert.deepEqual(page.messages.map(message => message.content), ['Hallo 👋\nzweite Zeile', 'Hello!']);
  const later = await messages.listMessages({ chatId, afterSeq: 1 });
  assert.deepEqual(later.messages.map(message => message.senderRole), ['assistant']);
  console.log('sent and listed messages:', page.total);
}

async function invite(chatId: string): Promise<void> {
  const issued = await tickets.createTicket({ chatId, createTicketRequest: { userId: 'guest' } });
  assert(issued.ticket.startsWith('plt_'));
  assert(issued.expiresAt instanceof Date);
  console.log('invited a guest until', issued.expiresAt.toISOString());
}

async function update(chatId: string): Promise<void> {
  // A merge patch: null removes a member, what is not named stays.
  const patch = { metadata: { department: null, resolution: 'answered' }, status: 'closed' } as const;
  const updated = await chats.updateChat({ chatId, updateChatRequest: patch });
  const { department, ...others } = metadata;
  assert.deepEqual(updated.config.metadata, { ...others, resolution: 'answered' });
  assert.equal(updated.status, 'closed');
  assert.equal(updated.title, 'Grüße, 世界 🦊');
  assert.equal(updated.messageCount, 2);
  console.log('updated', updated.status);
}

async function beRefused(chatId: string): Promise<void> {
  const invalid = await problemOf(400, chats.listUserChats({ userId, cursor: 'nonsense' }));
  assert.equal(invalid.code, 'invalid_request');
  assert.equal(invalid.errors?.[0].pointer, '/query/cursor');

  const unknownUser = await problemOf(404, chats.listUserChats({ userId: randomUUID() }));
  assert.equal(unknownUser.code, 'user_not_found');

  const closed = await problemOf(409, messages.sendMessage({ chatId, sendMessageRequest: { content: 'Late' } }));
  assert.equal(closed.code, 'chat_closed');

  const createChatRequest = { userId, metadata: { note: 'x'.repeat(300_000) } };
  const large = await problemOf(413, chats.createChat({ createChatRequest }));
  assert.equal(large.code, 'payload_too_large');

  const stranger = new ChatsApi(new Configuration({ basePath: url, apiKey: 'wrong' }));
  assert.equal((await problemOf(401, stranger.getChat({ chatId }))).code, 'unauthorized');
}

async function remove(created: string[]): Promise<void> {
  for (const chatId of created) {
    const deleted = await chats.deleteChat({ chatId });
    assert(deleted.success);
    assert(deleted.deletedAt instanceof Date);
  }
  assert.equal((await problemOf(404, chats.getChat({ chatId: created[0] }))).code, 'chat_not_found');
  console.log('deleted', created.length);
}

/** Why the call is refused. Every failure carries a problem document, which the client reads when asked. */
async function problemOf(status: number, call: Promise<unknown>): Promise<Problem> {
  const refused: unknown = await call.then(() => assert.fail('was not refused'), error => error);
  assert(refused instanceof ResponseError);
  const problem = ProblemFromJSON(await refused.response.json());
  assert.equal(problem.status, status);
  assert(problem.requestId);
  console.log('refused:', problem.status, problem.code);
  return problem;
}

main().catch(error => {
  console.error(error);
  process.exitCode = 1;
});

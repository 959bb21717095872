// The chats that a guest has been in: this browser knows their ids, which are what lets the page into them, and the server
// says what has become of them.

import { get } from './connection.mjs';
import { element } from './dom.mjs';

const KEY = 'parlor-chats';
const MAX_CHATS = 50;
const MAX_EXCERPT = 80;

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

function all() {
  return JSON.parse(localStorage.getItem(KEY) ?? '{}');
}

function change(guest, update) {
  const chats = all();
  chats[guest] = update(chats[guest] ?? []).slice(0, MAX_CHATS);
  localStorage.setItem(KEY, JSON.stringify(chats));
}

// Notes that `guest` has been in a chat that exists, and what was said there first, once that is known.
export function rememberChat(guest, id, firstMessage = '') {
  const said = Array.from(firstMessage.trim().replace(/\s+/g, ' '));
  const excerpt = said.length > MAX_EXCERPT ? `${said.slice(0, MAX_EXCERPT - 1).join('')}…` : said.join('');
  change(guest, chats => {
    const known = chats.find(chat => chat.id === id);
    return [{ id, excerpt: known?.excerpt || excerpt }, ...chats.filter(chat => chat !== known)];
  });
}

export function forgetChat(guest, id) {
  change(guest, chats => chats.filter(chat => chat.id !== id));
}

// Returns what the server knows of these chats; deleted ones are left out.
export async function chatStates(ids) {
  const query = new URLSearchParams(ids.map(id => ['chat_id', id]));
  const { chats } = await get(`chats/states?${query}`);
  return new Map(chats.map(chat => [chat.id, chat]));
}

// Fills `list` with links to the chats of `guest`, those with the latest message first; `status` says what there is to say
// instead. Tells how many there are.
export async function showChats(guest, currentId, list, status) {
  const known = all()[guest] ?? [];
  status.textContent = known.length > 0 ? 'Loading…' : 'No chats yet.';
  list.replaceChildren();
  if (known.length === 0) return 0;
  let states;
  try {
    states = await chatStates(known.map(({ id }) => id));
  } catch {
    status.textContent = 'The server cannot be reached; try again.';
    return 0;
  }
  const found = known.filter(({ id }) => states.has(id));
  for (const { id } of known) if (!states.has(id)) forgetChat(guest, id);
  const activity = ({ id }) => states.get(id).last_message_at ?? states.get(id).created_at;
  found.sort((one, other) => activity(other).localeCompare(activity(one)));
  list.replaceChildren(...found.map(chat => entry(chat, states.get(chat.id), activity(chat), chat.id === currentId)));
  status.textContent = found.length > 0 ? '' : 'No chats yet.';
  return found.length;
}

function entry({ id, excerpt }, { title, status, message_count }, active, isCurrent) {
  const link = element('a', 'chat-link');
  link.href = `#${id}`;
  if (isCurrent) link.ariaCurrent = 'page';
  const name = element('span', 'name', excerpt || title);
  name.dir = 'auto';
  const count = `${message_count} ${message_count === 1 ? 'message' : 'messages'}`;
  const about = element('span', 'about', [moment.format(new Date(active)), count].join(' · '));
  if (excerpt) link.title = title;
  link.append(name, about);
  if (status === 'closed') about.append(' · ', element('span', 'closed', 'closed'));
  const item = document.createElement('li');
  item.append(link);
  return item;
}

// The guest who uses the page. Each window is a guest of its own, so that two windows are two people.
//
// A window stays the same guest when it is reloaded. A new one takes the guest who was here last if no other window is
// that guest now, so that a person who comes back finds the earlier chats, and otherwise makes a new guest.

import { randomHex } from './connection.mjs';

const CURRENT = 'parlor-guest';
const KNOWN = 'parlor-guests';
const MAX_KNOWN = 12;
export const MAX_NAME = 64;

let release = () => {};

// The names that were used in this browser, the last one first.
export function knownGuests() {
  return JSON.parse(localStorage.getItem(KNOWN) ?? '[]');
}

// The guest of this window.
export async function currentGuest() {
  const current = sessionStorage.getItem(CURRENT);
  if (current) return become(current);
  const [last] = knownGuests();
  if (last && (await hold(last))) return remember(last);
  return become(`guest-${randomHex(3)}`);
}

// Makes this window the guest `name`, though another window may be that guest, too.
export function become(name) {
  hold(name, { ifAvailable: false });
  return remember(name);
}

function remember(name) {
  sessionStorage.setItem(CURRENT, name);
  const others = knownGuests().filter(known => known !== name);
  localStorage.setItem(KNOWN, JSON.stringify([name, ...others].slice(0, MAX_KNOWN)));
  return name;
}

// Takes the name's lock for as long as this window is the guest; tells whether it was free. Browsers have locks on https
// and on this machine only; elsewhere every new window is a new guest.
function hold(name, { ifAvailable = true } = {}) {
  release();
  return new Promise(resolve => {
    if (!navigator.locks) {
      resolve(false);
      return;
    }
    const held = new Promise(done => {
      release = done;
    });
    navigator.locks
      .request(`parlor-guest ${name}`, { ifAvailable }, lock => {
        resolve(lock !== null);
        return lock && held;
      })
      .catch(() => resolve(false));
  });
}

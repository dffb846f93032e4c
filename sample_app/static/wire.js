/**
 * Reads the data of the server, parts of which other users have written. One value of a wrong type,
 * or an impossible time, would stop the drawing of a whole list. So each function here returns
 * an object with known fields of known types, or null.
 */

const USERNAME = /^[a-z0-9._-]{1,30}$/;
const MAX_TEXT = 4000; // characters; the server accepts 2000
const MAX_DISPLAY_NAME = 40;
const MAX_SHORT_TEXT = 300; // notes, reasons and the like
const MAX_TIME = 8.64e12; // seconds; a Date has none beyond it

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const isTime = (value) => typeof value === "number" && Math.abs(value) <= MAX_TIME;

export const isName = (value) => typeof value === "string" && USERNAME.test(value);
export const isId = (value) => isCount(value) && value > 0;

/** A text of a length that a page can show; "" for another type. */
export function shortText(value, max = MAX_SHORT_TEXT) {
  if (typeof value !== "string") return "";
  return value.length > max ? `${value.slice(0, max)}…` : value;
}

/** The readable ones of a list. */
export function readList(values, read) {
  return Array.isArray(values) ? values.map((value) => read(value)).filter(Boolean) : [];
}

/** A stored message of a conversation of `me`: see conversations.js. */
export function readMessage(value, me) {
  if (!isObject(value)) return null;
  const { id, uuid, sender, recipient, text, sent_at, delivered_at } = value;
  const isOfMe = isName(sender) && isName(recipient) && [sender, recipient].includes(me);
  const isText = typeof uuid === "string" && uuid.length <= 64 && typeof text === "string";
  if (!isId(id) || !isOfMe || !isText || !isTime(sent_at)) return null;
  const call = readCall(value.call);
  if (call === null && (value.call ?? null) !== null) return null;
  return {
    id,
    uuid,
    sender,
    recipient,
    text: shortText(text, MAX_TEXT),
    sent_at,
    delivered_at: isTime(delivered_at) ? delivered_at : null,
    call,
  };
}

function readCall(value) {
  if (!isObject(value)) return null;
  const { outcome, video, duration, missed } = value;
  return {
    outcome: shortText(outcome),
    video: video === true,
    duration: isTime(duration) ? duration : 0,
    missed: missed === true,
  };
}

/** A page of the history: {messages, more}. */
export function readPage(value, me) {
  const messages = readList(value?.messages, (message) => readMessage(message, me));
  return { messages, more: value?.more === true };
}

/** A name to display, or null: the server has checked its characters. */
export function readDisplayName(value) {
  return shortText(value, MAX_DISPLAY_NAME).trim() || null;
}

/** An entry of the list of contacts; `name` and `last_seen` may be missing. */
export function readContact(value, me) {
  if (!isName(value?.username)) return null;
  const { username, name, last_seen, unread, last } = value;
  const contact = { username, unread: isCount(unread) ? unread : 0, last: readMessage(last, me) };
  if (name !== undefined) contact.name = readDisplayName(name);
  if (last_seen !== undefined) contact.last_seen = isTime(last_seen) ? last_seen : null;
  return contact;
}

/** A state of presence; fields that are missing stay missing. */
export function readPresence(value) {
  if (!isName(value?.username)) return null;
  const { username, online, devices, status, note, since } = value;
  const state = { username };
  if (online !== undefined) state.online = online === true;
  if (devices !== undefined) state.devices = isCount(devices) ? devices : 0;
  if (status !== undefined) state.status = shortText(status) || null;
  if (note !== undefined) state.note = shortText(note) || null;
  if (since !== undefined) state.since = isTime(since) ? since : null;
  return state;
}

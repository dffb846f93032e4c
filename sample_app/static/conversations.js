/**
 * The state of the page: contacts with their presence, conversations, and unsent messages. This
 * module uses neither the network nor the document. The caller draws the page after a change.
 *
 * A message has the fields that the server stores: {id, uuid, sender, recipient, text, sent_at,
 * delivered_at}. A message about a call also has `call`, {outcome, video, duration, missed}.
 * A message that the server does not have yet has no id. `error` says why the server refused it.
 *
 * Everything that grows has a bound. The data of the server are read by wire.js.
 */

import {
  isId, isName, readContact, readDisplayName, readPage, readPresence, shortText,
} from "./wire.js";

const MAX_MESSAGES = 1000; // of one conversation; older ones can be loaded again
const MAX_REPORTS = 1000; // delivery reports of this page

export function markOf(message) {
  if (message.error) return "failed";
  if (!message.id) return "sending";
  return message.delivered_at ? "delivered" : "sent";
}

const keyOf = (message) => `${message.sender}/${message.uuid}`;

/** The order of the server; messages that it does not have yet come last. */
function byPlace(a, b) {
  return (a.id ?? Infinity) - (b.id ?? Infinity) || a.sent_at - b.sent_at;
}

export class Conversations {
  #storage;
  #outbox = new Map(); // key -> message without id, in the order in which they were written
  #threads = new Map(); // username -> {messages: Map key -> message, loaded, more, until}
  #reports = new Map(); // key -> {delivered, devices}: numbers of devices
  // A Map, like all tables of names: {}["constructor"] is a function, and {}["__proto__"] an object.
  #drafts; // username -> text

  /** `storage` is a Storage. It keeps unsent messages and drafts over a reload. */
  constructor(me, storage) {
    this.me = me;
    this.contacts = new Map(); // username -> {username, name, unread, last, presence state}
    this.own = { username: me }; // and `name` and the presence state
    this.#storage = storage;
    this.#drafts = new Map(Object.entries(this.#read("drafts") ?? {}));
    for (const message of this.#read("outbox") ?? []) this.#outbox.set(keyOf(message), message);
  }

  #read(name) {
    return JSON.parse(this.#storage.getItem(`${name} of ${this.me}`));
  }

  #write(name, value) {
    try {
      this.#storage.setItem(`${name} of ${this.me}`, JSON.stringify(value));
    } catch (error) {
      console.warn(error); // the storage is full: a reload would lose this, and nothing else does
    }
  }

  draft(username) {
    return this.#drafts.get(username) ?? "";
  }

  setDraft(username, text) {
    if (text) this.#drafts.set(username, text);
    else this.#drafts.delete(username);
    this.#write("drafts", Object.fromEntries(this.#drafts));
  }

  // Contacts

  /** Take the server's list. A user missing from it was introduced while the list was sent. */
  setContacts(contacts) {
    for (const value of Array.isArray(contacts) ? contacts : []) {
      const contact = readContact(value, this.me);
      if (contact) Object.assign(this.contact(contact.username), contact);
    }
  }

  contact(username) {
    if (!this.contacts.has(username)) {
      this.contacts.set(username, { username, unread: 0, last: null });
    }
    return this.contacts.get(username);
  }

  /** Take the name that a user wants to be called by; without one, it is the username. */
  setName({ username, name }) {
    const user = username === this.me ? this.own : this.contact(username);
    user.name = readDisplayName(name);
  }

  nameOf(username) {
    const user = username === this.me ? this.own : this.contacts.get(username);
    return user?.name ?? username;
  }

  setPresence(value) {
    const state = readPresence(value);
    if (!state) return;
    Object.assign(state.username === this.me ? this.own : this.contact(state.username), state);
  }

  setUnread({ username, unread }) {
    if (isName(username) && (unread === 0 || isId(unread))) this.contact(username).unread = unread;
  }

  get unread() {
    return [...this.contacts.values()].reduce((sum, contact) => sum + contact.unread, 0);
  }

  /** The contacts with the most recent conversation first, then by name. */
  sortedContacts() {
    const when = (contact) => contact.last?.sent_at ?? 0;
    return [...this.contacts.values()].sort(
      (a, b) => when(b) - when(a) || this.nameOf(a.username).localeCompare(this.nameOf(b.username)),
    );
  }

  // Messages

  thread(username) {
    if (!this.#threads.has(username)) {
      const thread = { messages: new Map(), loaded: false, more: false, until: 0 };
      this.#threads.set(username, thread);
    }
    return this.#threads.get(username);
  }

  /** All messages of a conversation, sent and unsent, in order. */
  messages(username) {
    const unsent = [...this.#outbox.values()].filter((message) => message.recipient === username);
    return [...this.thread(username).messages.values(), ...unsent].sort(byPlace);
  }

  other(message) {
    return message.sender === this.me ? message.recipient : message.sender;
  }

  /**
   * Take a message from the server, or update it if it is known. A late copy does not reset the
   * delivery time of a message that was delivered in the meantime.
   */
  add(message) {
    const { messages } = this.thread(this.other(message));
    const known = messages.get(keyOf(message));
    const delivered_at = message.delivered_at ?? known?.delivered_at ?? null;
    messages.set(keyOf(message), { ...message, delivered_at });
    if (this.#outbox.delete(keyOf(message))) this.#saveOutbox();
  }

  /** Forget the oldest messages of a conversation. Loading earlier messages brings them back. */
  #limit(username) {
    const thread = this.thread(username);
    const surplus = thread.messages.size - MAX_MESSAGES;
    if (surplus <= 0) return;
    const oldest = [...thread.messages].sort(([, a], [, b]) => byPlace(a, b)).slice(0, surplus);
    for (const [key] of oldest) thread.messages.delete(key);
    thread.more = true;
  }

  /** Take a new message. Returns whether it counts as unread. */
  receive(message) {
    this.add(message);
    this.#limit(this.other(message));
    const contact = this.contact(this.other(message));
    // The list of contacts may already count this message, if both were sent at the same time.
    if (message.id <= (contact.last?.id ?? 0)) return false;
    contact.last = message;
    if (message.sender === this.me || message.call?.missed === false) return false;
    contact.unread += 1;
    return true;
  }

  /**
   * Take a message that was sent while no device was online. A message older than the loaded part
   * of the conversation would leave a gap, so it is skipped; loading earlier messages brings it.
   */
  addWaiting(message) {
    const username = this.other(message);
    const { loaded, more } = this.thread(username);
    if (!loaded || !more || message.id > this.oldestId(username)) this.add(message);
  }

  /** Mark all conversations as outdated: messages after the newest known one may be missing. */
  outdate() {
    for (const [username, thread] of this.#threads) {
      if (thread.loaded) thread.until = this.newestId(username);
      thread.loaded = false;
    }
  }

  /**
   * Take the last messages of a conversation. If there is a gap before them, the older known
   * messages are dropped and can be loaded again. Newer known messages stay.
   */
  setHistory(username, page) {
    const { messages, more } = readPage(page, this.me);
    const thread = this.thread(username);
    if (messages.length > 0 && messages[0].id > thread.until) {
      const newest = messages.at(-1).id;
      for (const [key, { id }] of thread.messages) if (id <= newest) thread.messages.delete(key);
      thread.more = more;
    }
    for (const message of messages) this.add(message);
    thread.loaded = true;
  }

  addEarlier(username, page) {
    const { messages, more } = readPage(page, this.me);
    for (const message of messages) this.add(message);
    this.thread(username).more = more;
  }

  #ids(username) {
    return Array.from(this.thread(username).messages.values(), (message) => message.id);
  }

  oldestId(username) {
    return Math.min(...this.#ids(username));
  }

  newestId(username) {
    return Math.max(0, ...this.#ids(username));
  }

  setDelivered({ username, ids }) {
    if (!isName(username) || !Array.isArray(ids)) return;
    for (const message of this.thread(username).messages.values()) {
      if (ids.includes(message.id)) message.delivered_at ??= Date.now() / 1000;
    }
  }

  /** Take the delivery report of a message; `delivered` and `failed` are uuids of devices. */
  setReport(message, data) {
    // With one device the report is the answer of that device.
    const [delivered, failed] = [data.delivered, data.failed].map((uuids) =>
      Array.isArray(uuids) ? uuids.length : 0,
    );
    if (delivered === 0) return;
    this.#reports.set(keyOf(message), { delivered, devices: delivered + failed });
    if (this.#reports.size > MAX_REPORTS) this.#reports.delete(this.#reports.keys().next().value);
    const known = this.thread(message.recipient).messages.get(keyOf(message));
    if (known) known.delivered_at ??= Date.now() / 1000;
  }

  /** Return {delivered, devices}, or undefined if this page has not sent the message. */
  report(message) {
    return this.#reports.get(keyOf(message));
  }

  // Unsent messages

  compose(recipient, text, uuid) {
    const message = { uuid, sender: this.me, recipient, text, sent_at: Date.now() / 1000 };
    this.#outbox.set(keyOf(message), message);
    this.#saveOutbox();
  }

  /** Store why the server refused a message; null lets it be sent again. */
  setError(message, error) {
    message.error = error && shortText(error);
    this.#saveOutbox();
  }

  unsent() {
    return [...this.#outbox.values()].filter((message) => !message.error);
  }

  isUnsent(message) {
    return this.#outbox.has(keyOf(message));
  }

  #saveOutbox() {
    this.#write("outbox", [...this.#outbox.values()]);
  }
}

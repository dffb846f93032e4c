/**
 * What this page knows: contacts, conversations, and what is still to be sent. No network and no
 * document here; whoever changes something draws the page afterwards.
 *
 * A message is what the server stores, {id, uuid, sender, recipient, text, sent_at, delivered_at}.
 * One that the server does not have yet has no id. `error` says why the server refused it.
 */

export function markOf(message) {
  if (message.error) return "failed";
  if (!message.id) return "sending";
  return message.delivered_at ? "delivered" : "sent";
}

const keyOf = (message) => `${message.sender}/${message.uuid}`;

/** By the server's order; what it does not have yet comes last. */
function byPlace(a, b) {
  return (a.id ?? Infinity) - (b.id ?? Infinity) || a.sent_at - b.sent_at;
}

export class Conversations {
  #storage;
  #outbox = new Map(); // key -> message without id, in the order of writing
  #threads = new Map(); // username -> {messages: Map key -> message, loaded, more}
  #drafts; // {username: text}

  /** `storage` is a Storage; unsent messages and drafts survive a reload in it. */
  constructor(me, storage) {
    this.me = me;
    this.contacts = new Map(); // username -> {username, online, devices, unread, last}
    this.#storage = storage;
    this.#drafts = this.#read("drafts") ?? {};
    for (const message of this.#read("outbox") ?? []) this.#outbox.set(keyOf(message), message);
  }

  #read(name) {
    return JSON.parse(this.#storage.getItem(`${name} of ${this.me}`));
  }

  #write(name, value) {
    this.#storage.setItem(`${name} of ${this.me}`, JSON.stringify(value));
  }

  draft(username) {
    return this.#drafts[username] ?? "";
  }

  setDraft(username, text) {
    if (text) this.#drafts[username] = text;
    else delete this.#drafts[username];
    this.#write("drafts", this.#drafts);
  }

  // Contacts

  /** Take the server's list. What was read of conversations may have gaps now: to be read anew. */
  setContacts(contacts) {
    this.contacts = new Map(contacts.map((contact) => [contact.username, contact]));
    for (const thread of this.#threads.values()) thread.loaded = false;
  }

  contact(username) {
    if (!this.contacts.has(username)) {
      const contact = { username, online: false, devices: 0, unread: 0, last: null };
      this.contacts.set(username, contact);
    }
    return this.contacts.get(username);
  }

  setPresence({ username, online, devices }) {
    if (username !== this.me) Object.assign(this.contact(username), { online, devices });
  }

  setUnread({ username, unread }) {
    this.contact(username).unread = unread;
  }

  get unread() {
    return [...this.contacts.values()].reduce((sum, contact) => sum + contact.unread, 0);
  }

  /** The most recent conversation first, then by name. */
  sortedContacts() {
    const when = (contact) => contact.last?.sent_at ?? 0;
    return [...this.contacts.values()].sort(
      (a, b) => when(b) - when(a) || a.username.localeCompare(b.username),
    );
  }

  // Messages

  thread(username) {
    if (!this.#threads.has(username)) {
      this.#threads.set(username, { messages: new Map(), loaded: false, more: false });
    }
    return this.#threads.get(username);
  }

  /** What there is to show, in order. */
  messages(username) {
    const unsent = [...this.#outbox.values()].filter((message) => message.recipient === username);
    return [...this.thread(username).messages.values(), ...unsent].sort(byPlace);
  }

  other(message) {
    return message.sender === this.me ? message.recipient : message.sender;
  }

  /** Take a message from the server; one that is known already is brought up to date. */
  add(message) {
    this.thread(this.other(message)).messages.set(keyOf(message), message);
    if (this.#outbox.delete(keyOf(message))) this.#saveOutbox();
  }

  /** Take a message that is new in the world. Says whether it adds to what is unread. */
  receive(message) {
    this.add(message);
    const contact = this.contact(this.other(message));
    // The list of contacts may have counted it already when the two crossed on the way.
    if (message.id <= (contact.last?.id ?? 0)) return false;
    contact.last = message;
    if (message.sender === this.me) return false;
    contact.unread += 1;
    return true;
  }

  /**
   * Take a message that was sent while no device was there. One from before the part of the
   * conversation that is loaded would leave a gap; loading what is earlier brings it.
   */
  addWaiting(message) {
    const username = this.other(message);
    const { loaded, more } = this.thread(username);
    if (!loaded || !more || message.id > this.oldestId(username)) this.add(message);
  }

  /** Take the end of a conversation; of what is known keep only what is newer. */
  setHistory(username, { messages, more }) {
    const newest = messages.at(-1)?.id ?? 0;
    const known = this.thread(username).messages;
    for (const [key, message] of known) if (message.id <= newest) known.delete(key);
    this.addEarlier(username, { messages, more });
    this.thread(username).loaded = true;
  }

  addEarlier(username, { messages, more }) {
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
    for (const message of this.thread(username).messages.values()) {
      if (ids.includes(message.id)) message.delivered_at ??= Date.now() / 1000;
    }
  }

  // What is still to be sent

  compose(recipient, text, uuid) {
    const message = { uuid, sender: this.me, recipient, text, sent_at: Date.now() / 1000 };
    this.#outbox.set(keyOf(message), message);
    this.#saveOutbox();
  }

  /** Remember why the server refused a message, or with null that it is worth another attempt. */
  setError(message, error) {
    message.error = error;
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

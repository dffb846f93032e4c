/** Draws what `Conversations` knows. Text of users goes in by textContent only. */

import { clockTime, dayLabel, dayOf, hue, initials, shortWhen } from "./format.js";
import { markOf } from "./conversations.js";

const GROUP_SECONDS = 300;
const MARKS = {
  sending: "Not sent yet",
  sent: "Sent",
  delivered: "Delivered",
  failed: "Refused",
};

const byId = (id) => document.getElementById(id);

function element(tag, className, attributes = {}) {
  const node = Object.assign(document.createElement(tag), { className });
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

/**
 * Make the children of `parent` show `items`, in order. Nodes of items that stay are kept, so that
 * focus, selection and scrolling survive.
 */
function showList(parent, items, keyOf, create, update) {
  const old = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let node = old.get(key);
    old.delete(key);
    if (!node) {
      node = create(item);
      node.dataset.key = key;
    }
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const node of old.values()) node.remove();
}

export function showAvatar(node, username) {
  node.textContent = initials(username);
  node.style.setProperty("--hue", hue(username));
}

function devicesLabel({ online, devices }) {
  if (!online) return "offline";
  return devices > 1 ? `online on ${devices} devices` : "online";
}

// Contacts

function createContact({ username }) {
  const row = element("li", "");
  const link = element("a", "contact", { "data-testid": "contact" });
  link.href = "#" + username;
  link.dataset.username = username;
  const avatar = element("span", "avatar", { "aria-hidden": "true" });
  showAvatar(avatar, username);
  const name = element("span", "contact-name");
  name.textContent = username;
  link.append(
    avatar,
    element("span", "contact-presence visually-hidden"),
    name,
    element("span", "contact-devices", { "aria-hidden": "true" }),
    element("time", "contact-when"),
    element("span", "contact-preview", { dir: "auto" }),
    element("span", "contact-unread", { "data-testid": "unread" }),
  );
  row.append(link);
  return row;
}

function updateContact(row, contact, { open, me, typing }) {
  const link = row.firstElementChild;
  const part = (name) => link.querySelector(`.contact-${name}`);
  link.dataset.online = contact.online;
  link.dataset.devices = contact.devices;
  link.dataset.unread = contact.unread;
  if (contact.username === open) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");

  part("presence").textContent = devicesLabel(contact);
  part("devices").textContent = contact.devices > 1 ? `×${contact.devices}` : "";
  part("devices").title = devicesLabel(contact);
  part("when").textContent = contact.last ? shortWhen(contact.last.sent_at) : "";
  part("preview").classList.toggle("typing", typing.has(contact.username));
  part("preview").textContent = previewOf(contact, me, typing);
  part("unread").textContent = contact.unread > 99 ? "99+" : contact.unread || "";
  part("unread").setAttribute("aria-label", contact.unread ? `${contact.unread} unread` : "");
}

function previewOf(contact, me, typing) {
  if (typing.has(contact.username)) return "typing…";
  if (!contact.last) return contact.online ? "online" : "offline";
  return (contact.last.sender === me ? "You: " : "") + contact.last.text;
}

// Messages

/** The messages with a separator before the first of each day. */
function withSeparators(messages) {
  const items = [];
  let previous = null;
  for (const message of messages) {
    const newDay = !previous || dayOf(previous.sent_at) !== dayOf(message.sent_at);
    if (newDay) items.push({ day: message.sent_at });
    const follows =
      !newDay &&
      previous.sender === message.sender &&
      message.sent_at - previous.sent_at < GROUP_SECONDS;
    items.push({ message, follows });
    previous = message;
  }
  return items;
}

function itemKey({ day, message }) {
  return message ? `${message.sender}/${message.uuid}` : dayOf(day);
}

function markIcon() {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("class", "mark");
  svg.setAttribute("role", "img");
  svg.append(document.createElementNS(namespace, "use"));
  return svg;
}

function createItem({ message }, me, onRetry) {
  if (!message) return element("li", "day", { "data-testid": "day" });
  const own = message.sender === me;
  const row = element("li", own ? "message own" : "message", { "data-testid": "message" });
  const bubble = element("div", "bubble");
  const text = element("p", "text", { dir: "auto" });
  text.textContent = message.text;
  const foot = element("span", "foot");
  foot.append(element("time", "when"));
  if (own) foot.append(markIcon());
  bubble.append(text, foot);
  row.append(bubble);
  if (own) row.append(createFailure(message, onRetry));
  return row;
}

function createFailure(message, onRetry) {
  const failure = element("p", "failure");
  const retry = element("button", "link-button", { "data-testid": "retry" });
  retry.textContent = "Try again";
  retry.addEventListener("click", () => onRetry(message));
  failure.append(element("span", "reason"), " ", retry);
  return failure;
}

function updateItem(row, { day, message, follows }, me) {
  if (!message) {
    row.textContent = dayLabel(day);
    return;
  }
  row.classList.toggle("follows", follows);
  row.dataset.uuid = message.uuid;
  const time = row.querySelector(".when");
  time.textContent = clockTime(message.sent_at);
  time.dateTime = new Date(message.sent_at * 1000).toISOString();
  time.title = new Date(message.sent_at * 1000).toLocaleString();
  if (message.sender !== me) return;

  const mark = markOf(message);
  row.dataset.mark = mark;
  row.querySelector(".mark").setAttribute("aria-label", MARKS[mark]);
  row.querySelector("use").setAttribute("href", `#mark-${mark}`);
  row.querySelector(".failure").hidden = !message.error;
  row.querySelector(".reason").textContent = message.error ? `Not sent: ${message.error}.` : "";
}

// The page

export class View {
  /** `onRetry(message)` is called when the user wants to send a refused message again. */
  constructor(me, { onRetry }) {
    this.me = me;
    this.onRetry = onRetry;
    this.shown = null; // the username whose conversation is on the screen
    this.scroller = byId("scroller");
    showAvatar(byId("own-avatar"), me);

    // A notice above or the keyboard of a phone must not hide the last message.
    let wasAtBottom = true;
    this.scroller.addEventListener("scroll", () => (wasAtBottom = this.#isAtBottom()));
    new ResizeObserver(() => wasAtBottom && this.scrollToBottom()).observe(this.scroller);
  }

  /** `state` is {conversations, open, typing: Set of usernames, synchronized} */
  draw(state) {
    this.#drawContacts(state);
    this.#drawThread(state);
    const { unread } = state.conversations;
    document.title = (unread ? `(${unread}) ` : "") + (state.open ?? "Chat");
  }

  #drawContacts(state) {
    const contacts = state.conversations.sortedContacts();
    const context = { open: state.open, me: this.me, typing: state.typing };
    showList(
      byId("contacts"),
      contacts,
      (contact) => contact.username,
      createContact,
      (row, contact) => updateContact(row, contact, context),
    );
    byId("no-contacts").hidden = contacts.length > 0 || !state.synchronized;
  }

  #drawThread({ conversations, open, typing, synchronized }) {
    document.body.dataset.screen = open ? "chat" : "list";
    byId("thread").hidden = !open;
    byId("nothing-open").hidden = Boolean(open);
    if (!open) {
      this.shown = null;
      return;
    }
    this.#drawHead(open, conversations.contacts.get(open), typing, synchronized);

    const { loaded, more } = conversations.thread(open);
    const messages = conversations.messages(open);
    const follow = open !== this.shown || this.#isAtBottom();
    const first = byId("messages").querySelector(".message");
    const firstTop = first?.offsetTop;
    showList(
      byId("messages"),
      withSeparators(messages),
      itemKey,
      (item) => createItem(item, this.me, this.onRetry),
      (row, item) => updateItem(row, item, this.me),
    );
    byId("earlier").hidden = !more;
    byId("no-messages").hidden = messages.length > 0 || !loaded;
    if (follow) this.scrollToBottom();
    // Earlier messages came in above: what the user was reading stays where it was.
    else if (first?.isConnected) this.scroller.scrollTop += first.offsetTop - firstTop;
    this.shown = open;
  }

  #drawHead(username, contact, typing, synchronized) {
    showAvatar(byId("thread-avatar"), username);
    byId("thread-name").textContent = username;
    const presence = byId("thread-presence");
    presence.classList.toggle("typing", typing.has(username));
    presence.dataset.online = Boolean(contact?.online);
    if (typing.has(username)) presence.textContent = "typing…";
    else if (contact) presence.textContent = devicesLabel(contact);
    else presence.textContent = synchronized ? "has never been here" : "";
  }

  #isAtBottom() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight < 60;
  }

  /** Move the keyboard to where it is wanted after the screen has changed. */
  focusThread() {
    const wide = matchMedia("(min-width: 721px)").matches;
    // On a phone the composer's focus would open the keyboard over the messages.
    byId(wide ? "text" : "thread-name").focus();
  }

  focusContact(username) {
    document.querySelector(`.contact[data-username="${username}"]`)?.focus();
  }

  scrollToBottom() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  /** Have a screen reader say a message that came in. */
  announce(message) {
    byId("announcer").textContent = `${message.sender}: ${message.text}`;
  }

  /** `action` is {label, run} or absent. */
  drawConnection(state, text, action) {
    const bar = byId("connection");
    const button = byId("connection-button");
    bar.dataset.state = state;
    bar.hidden = !text;
    // Without the attribute: not connected so far. Once false, what is shown may be out of date.
    if (state === "open") document.body.dataset.connected = true;
    else if (document.body.dataset.connected) document.body.dataset.connected = false;
    byId("connection-text").textContent = text;
    button.hidden = !action;
    button.textContent = action?.label ?? "";
    button.onclick = action?.run ?? null;
  }
}

/** Draws the state of `Conversations`. Text of users is set by textContent only. */

import { callTitle, createCallLine } from "./call-line.js";
import { element, showAvatar, showList, svgIcon } from "./elements.js";
import { clockTime, dayLabel, dayOf, pastTime, shortWhen } from "./format.js";
import { markOf } from "./conversations.js";
import { showText } from "./links.js";
import { describe, presenceOf } from "./presence.js";
import { shortText } from "./wire.js";

const GROUP_SECONDS = 300;
const TOAST_MS = 8000;
const MARKS = {
  sending: "Not sent yet",
  sent: "Sent",
  delivered: "Delivered",
  failed: "Refused",
};
const NOBODY = "There is nobody to talk to yet.";
let details = 0; // a counter for the ids that aria-controls refers to

const byId = (id) => document.getElementById(id);

// Contacts

function createContact({ username }) {
  const row = element("li", "");
  const link = element("a", "contact", { "data-testid": "contact" });
  link.href = "#" + username;
  link.dataset.username = username;
  link.append(
    element("span", "avatar", { "aria-hidden": "true" }),
    element("span", "contact-presence visually-hidden"),
    element("span", "contact-name", { dir: "auto" }),
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
  const { username, name } = contact;
  if (part("name").textContent !== (name ?? username)) {
    showAvatar(link.querySelector(".avatar"), username, name ?? username);
    part("name").textContent = name ?? username;
    link.title = name ? `@${username}` : "";
  }
  link.dataset.presence = presenceOf(contact);
  link.dataset.devices = contact.devices ?? 0;
  link.dataset.unread = contact.unread;
  if (contact.username === open) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");

  link.querySelector(".avatar").dataset.presence = presenceOf(contact);
  part("presence").textContent = describe(contact);
  part("devices").textContent = contact.devices > 1 ? `×${contact.devices}` : "";
  part("when").textContent = contact.last ? shortWhen(contact.last.sent_at) : "";
  part("preview").classList.toggle("typing", typing.has(contact.username));
  part("preview").textContent = previewOf(contact, me, typing);
  part("unread").textContent = contact.unread > 99 ? "99+" : contact.unread || "";
  part("unread").setAttribute("aria-label", contact.unread ? `${contact.unread} unread` : "");
}

/** What a message says, in one line. */
export function textOf(message, me) {
  return message.call ? callTitle(message, me) : message.text;
}

function previewOf(contact, me, typing) {
  if (typing.has(contact.username)) return "typing…";
  if (!contact.last) return describe(contact);
  const isOwn = contact.last.sender === me && !contact.last.call;
  return (isOwn ? "You: " : "") + textOf(contact.last, me);
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
      !previous.call &&
      !message.call &&
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
  const svg = svgIcon("mark");
  svg.setAttribute("role", "img");
  return svg;
}

function createItem({ message }, me, { onRetry, onCall }) {
  if (!message) return element("li", "day", { "data-testid": "day" });
  if (message.call) return createCallLine(message, me, onCall);
  const own = message.sender === me;
  const row = element("li", own ? "message own" : "message", { "data-testid": "message" });
  const bubble = element("div", "bubble");
  const text = element("p", "text", { dir: "auto" });
  showText(text, message.text);
  const foot = element(own ? "button" : "span", "foot");
  foot.append(element("time", "when"));
  bubble.append(text, foot);
  row.append(bubble);
  if (own) {
    foot.append(markIcon());
    row.append(createDetail(foot), createFailure(message, onRetry));
  }
  return row;
}

/** Make the line about the delivery; `button` shows and hides it. */
function createDetail(button) {
  const id = `detail-${++details}`;
  const detail = element("p", "detail", { id, "data-testid": "detail" });
  detail.hidden = true;
  button.type = "button";
  button.dataset.testid = "mark";
  button.setAttribute("aria-controls", id);
  button.setAttribute("aria-expanded", false);
  button.addEventListener("click", () => {
    detail.hidden = !detail.hidden;
    button.setAttribute("aria-expanded", !detail.hidden);
    if (!detail.hidden) detail.scrollIntoView({ block: "nearest" });
  });
  return detail;
}

function detailOf(message, report) {
  const mark = markOf(message);
  if (mark === "sent") return "Sent, not delivered yet";
  if (mark !== "delivered") return MARKS[mark];
  if (!report) return `Delivered ${pastTime(message.delivered_at)}`;
  const { delivered, devices } = report;
  return devices > 1 ? `Delivered to ${delivered} of ${devices} devices` : "Delivered to 1 device";
}

function createFailure(message, onRetry) {
  const failure = element("p", "failure");
  const retry = element("button", "link-button", { "data-testid": "retry" });
  retry.textContent = "Try again";
  retry.addEventListener("click", () => onRetry(message));
  failure.append(element("span", "reason"), " ", retry);
  return failure;
}

function updateItem(row, { day, message, follows }, me, report) {
  if (!message) {
    row.textContent = dayLabel(day);
    return;
  }
  row.classList.toggle("follows", follows);
  row.dataset.uuid = message.uuid;
  const time = row.querySelector(".when");
  time.textContent = clockTime(message.sent_at);
  time.dateTime = new Date(message.sent_at * 1000).toISOString();
  if (message.sender !== me || message.call) {
    time.title = new Date(message.sent_at * 1000).toLocaleString();
    return;
  }

  const mark = markOf(message);
  row.dataset.mark = mark;
  row.querySelector(".mark").setAttribute("aria-label", MARKS[mark]);
  row.querySelector("use").setAttribute("href", `#mark-${mark}`);
  row.querySelector(".foot").title = detailOf(message, report);
  row.querySelector(".detail").textContent = detailOf(message, report);
  row.querySelector(".failure").hidden = !message.error;
  row.querySelector(".reason").textContent = message.error ? `Not sent. ${message.error}` : "";
}

// The page

export class View {
  /**
   * `actions.onRetry(message)` is called when the user sends a refused message again.
   * `actions.onCall(username, withVideo)` is called when the user returns a missed call.
   */
  constructor(me, actions) {
    this.me = me;
    this.actions = actions;
    this.shown = null; // the username whose conversation is on the screen
    this.scroller = byId("scroller");
    byId("toast-close").addEventListener("click", () => (byId("toast").hidden = true));

    // A notice above the messages, or the keyboard of a phone, must not hide the last message.
    let wasAtBottom = true;
    this.scroller.addEventListener("scroll", () => (wasAtBottom = this.#isAtBottom()));
    new ResizeObserver(() => wasAtBottom && this.scrollToBottom()).observe(this.scroller);
    byId("messages").addEventListener("keydown", (event) => this.#moveToMark(event));
  }

  /** The marks are one tab stop. The arrow keys move from one to the other. */
  #moveToMark(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const marks = [...byId("messages").querySelectorAll("button.foot")];
    const place = marks.indexOf(event.target);
    if (!step || place < 0) return;
    event.preventDefault();
    marks[place + step]?.focus();
    this.#chooseTabStop();
  }

  #chooseTabStop() {
    const marks = [...byId("messages").querySelectorAll("button.foot")];
    const chosen = marks.find((mark) => mark === document.activeElement) ?? marks.at(-1);
    for (const mark of marks) mark.tabIndex = mark === chosen ? 0 : -1;
  }

  /**
   * `state`: {conversations, open, meetingsOpen, typing: Map by username, synchronized, caller,
   * isConnected}. Without a connection, nobody is shown as online: that may be over.
   */
  draw(state) {
    this.#drawOwn(state);
    this.#drawContacts(state);
    this.#drawThread(state);
    const { conversations, caller, open } = state;
    const { unread } = conversations;
    if (caller) document.title = `${conversations.nameOf(caller)} is calling`;
    else document.title = (unread ? `(${unread}) ` : "") + (open ? conversations.nameOf(open) : "Chat");
  }

  #drawOwn({ conversations: { own }, isConnected }) {
    const name = own.name ?? this.me;
    showAvatar(byId("own-avatar"), this.me, name);
    byId("own-name").textContent = name;
    byId("own-avatar").dataset.presence = isConnected ? presenceOf(own) : "offline";
    // The number of the user's own devices is not shown.
    byId("own-presence").textContent = isConnected ? describe({ ...own, devices: 1 }) : "not connected";
  }

  #drawContacts(state) {
    const contacts = state.conversations.sortedContacts().map((it) => this.#known(it, state));
    const context = { open: state.open, me: this.me, typing: state.typing };
    showList(
      byId("contacts"),
      contacts,
      (contact) => contact.username,
      createContact,
      (row, contact) => updateContact(row, contact, context),
    );
    const isAlone = contacts.length === 0;
    byId("no-contacts").hidden = !isAlone || !state.synchronized;
    byId("nothing-open").textContent = isAlone ? NOBODY : "Choose somebody to talk to.";
    if (isAlone && !state.synchronized) byId("nothing-open").textContent = "";
  }

  /** A contact with the presence that is still true. */
  #known(contact, { isConnected }) {
    return isConnected ? contact : { ...contact, online: undefined, devices: 0 };
  }

  #drawThread(state) {
    const { conversations, open, meetingsOpen } = state;
    document.body.dataset.screen = open || meetingsOpen ? "chat" : "list";
    byId("thread").hidden = !open;
    byId("nothing-open").hidden = Boolean(open) || meetingsOpen;
    if (!open) {
      this.shown = null;
      return;
    }
    this.#drawHead(state);

    const { loaded, more } = conversations.thread(open);
    const messages = conversations.messages(open);
    const follow = open !== this.shown || this.#isAtBottom();
    const first = byId("messages").querySelector(".message");
    const firstTop = first?.offsetTop;
    showList(
      byId("messages"),
      withSeparators(messages),
      itemKey,
      (item) => createItem(item, this.me, this.actions),
      (row, item) =>
        updateItem(row, item, this.me, item.message && conversations.report(item.message)),
    );
    this.#chooseTabStop();
    byId("earlier").hidden = !more;
    byId("no-messages").hidden = messages.length > 0 || !loaded;
    if (follow) this.scrollToBottom();
    // Earlier messages were added above. The visible messages keep their place on the screen.
    else if (first?.isConnected) this.scroller.scrollTop += first.offsetTop - firstTop;
    this.shown = open;
  }

  #drawHead(state) {
    const { open: username, conversations, typing, synchronized, isConnected } = state;
    const name = conversations.nameOf(username);
    const known = conversations.contacts.get(username);
    const contact = known && this.#known(known, state);
    showAvatar(byId("thread-avatar"), username, name);
    byId("thread-name").textContent = name;
    // Everybody may take any name, so the username tells who it is.
    byId("thread-username").textContent = name === username ? "" : `@${username}`;
    const presence = byId("thread-presence");
    presence.classList.toggle("typing", typing.has(username));
    presence.dataset.presence = contact ? presenceOf(contact) : "unknown";
    byId("thread-avatar").dataset.presence = presence.dataset.presence;
    if (typing.has(username)) presence.textContent = "typing…";
    else if (contact) presence.textContent = describe(contact);
    else presence.textContent = synchronized && isConnected ? "has never logged in" : "";
  }

  #isAtBottom() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight < 60;
  }

  /** Set the focus after the screen has changed. */
  focusThread() {
    const wide = matchMedia("(min-width: 721px)").matches;
    // On a phone, focus in the composer would open the keyboard over the messages.
    byId(wide ? "text" : "thread-name").focus();
  }

  focusContact(username) {
    const name = CSS.escape(username ?? "");
    document.querySelector(`.contact[data-username="${name}"]`)?.focus();
  }

  scrollToBottom() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  /** Whether a call or a meeting covers the messages. */
  get isCovered() {
    return byId("columns").inert;
  }

  /** Let a screen reader read a new message, and show it above a call or a meeting. */
  announce(message, name) {
    const sentence = `${name}: ${textOf(message, this.me)}`;
    byId("announcer").textContent = sentence;
    if (this.isCovered) this.notify(sentence);
  }

  /** Show a sentence for a while; "" shows none. */
  notify(text) {
    byId("toast").hidden = !text;
    byId("toast-text").textContent = shortText(text);
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => (byId("toast").hidden = true), TOAST_MS);
  }

  /** `notice` is {text, action}, or null for none. `action` is {label, run}, or absent. */
  drawConnection(state, notice) {
    const bar = byId("connection");
    const button = byId("connection-button");
    bar.dataset.state = state;
    bar.hidden = !notice;
    // Without the attribute, the page was never connected. With "false", it may be outdated.
    if (state === "open") document.body.dataset.connected = true;
    else if (notice && document.body.dataset.connected) document.body.dataset.connected = false;
    byId("connection-text").textContent = notice?.text ?? "";
    button.hidden = !notice?.action;
    button.textContent = notice?.action?.label ?? "";
    button.onclick = notice?.action?.run ?? null;
  }
}

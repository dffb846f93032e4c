/**
 * The chat of a meeting: a panel beside the tiles. The server passes a message on to the members
 * and keeps nothing, so a page has what was written while it was in.
 */

import { element } from "./elements.js";
import { clockTime } from "./format.js";
import { showText } from "./links.js";
import { setPressed } from "./call-view.js";

const MAX_MESSAGES = 200;
const byId = (id) => document.getElementById(id);

export class MeetingChat {
  #actions;
  #unread = 0;

  /** `actions` are functions: send(text), which returns a promise; nameOf(username); notify(text). */
  constructor(actions) {
    this.#actions = actions;
    byId("meeting-chat-toggle").addEventListener("click", () => this.#open(!this.#isOpen));
    byId("meeting-chat-close").addEventListener("click", () => this.#open(false));
    byId("meeting-chat").addEventListener("keydown", ({ key }) => key === "Escape" && this.#open(false));
    byId("meeting-composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.clear();
  }

  get #isOpen() {
    return !byId("meeting-chat").hidden;
  }

  #open(isOpen) {
    byId("meeting-chat").hidden = !isOpen;
    if (isOpen) this.#unread = 0;
    this.#drawToggle();
    byId(isOpen ? "meeting-text" : "meeting-chat-toggle").focus();
    this.#scrollToEnd();
  }

  async #send() {
    const text = byId("meeting-text").value.trim();
    if (!text) return;
    byId("meeting-text").value = "";
    const row = this.#add({ name: "You", text, isOwn: true });
    try {
      await this.#actions.send(text);
    } catch (error) {
      row.dataset.mark = "failed";
      row.querySelector(".meeting-failure").textContent = `Not sent. ${error.message}`;
    }
  }

  /** Show a message of another member. */
  take({ username, text }) {
    const name = this.#actions.nameOf(username);
    this.#add({ name, text, isOwn: false });
    if (this.#isOpen) return;
    this.#unread += 1;
    this.#drawToggle();
    this.#actions.notify(`${name}: ${text}`);
  }

  #add({ name, text, isOwn }) {
    const list = byId("meeting-messages");
    const row = element("li", isOwn ? "meeting-message own" : "meeting-message", {
      "data-testid": "meeting-message",
    });
    const head = element("p", "meeting-sender");
    head.textContent = `${name} · ${clockTime(Date.now() / 1000)}`;
    const body = element("p", "text", { dir: "auto" });
    showText(body, text);
    row.append(head, body, element("p", "meeting-failure", { role: "alert" }));
    list.append(row);
    if (list.children.length > MAX_MESSAGES) list.firstElementChild.remove();
    byId("meeting-empty").hidden = true;
    this.#scrollToEnd();
    return row;
  }

  /** Forget everything, after a meeting. */
  clear() {
    this.#unread = 0;
    byId("meeting-chat").hidden = true;
    byId("meeting-messages").replaceChildren();
    byId("meeting-empty").hidden = false;
    byId("meeting-text").value = "";
    this.#drawToggle();
  }

  #drawToggle() {
    const unread = this.#unread > 99 ? "99+" : this.#unread || "";
    byId("meeting-unread").textContent = unread;
    const label = this.#isOpen ? "Close the chat" : unread ? `Chat, ${unread} unread` : "Chat";
    setPressed(byId("meeting-chat-toggle"), this.#isOpen, label);
  }

  #scrollToEnd() {
    byId("meeting-scroller").scrollTop = byId("meeting-scroller").scrollHeight;
  }
}

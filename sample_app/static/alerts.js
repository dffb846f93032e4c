/**
 * Tells a user who looks elsewhere about a message: with a sound, and with a notification of the
 * browser. Both are off until the user turns them on; this browser keeps the choice. The permission
 * for notifications is asked for at that moment, and not when the page is opened.
 */

import { chime } from "./ringer.js";

const MAX_BODY = 200; // characters
const MAX_TOLD = 20; // messages; more than arrive before all pages of a browser have seen one
const byId = (id) => document.getElementById(id);

export class Alerts {
  #key;
  #toldKey;
  #storage;
  #isSilent;
  #onOpen;

  /**
   * `isSilent()` tells whether the user does not want to be disturbed. `onOpen(username)` is called
   * when the user clicks on a notification.
   */
  constructor(me, storage, { isSilent, onOpen }) {
    this.#key = `alerts of ${me}`;
    this.#toldKey = `latest alerts of ${me}`;
    this.#storage = storage;
    this.#isSilent = isSilent;
    this.#onOpen = onOpen;
    byId("alert-sound").addEventListener("change", ({ target }) => {
      this.#choose("sound", target.checked);
      if (target.checked) chime(); // so the user knows the sound
    });
    byId("alert-notification").addEventListener("click", ({ target }) => this.#ask(target));
    this.#draw();
  }

  #read(key) {
    return JSON.parse(this.#storage.getItem(key));
  }

  #choose(kind, isOn) {
    const chosen = { ...this.#read(this.#key), [kind]: isOn };
    this.#storage.setItem(this.#key, JSON.stringify(chosen));
    this.#draw();
  }

  isOn(kind) {
    return this.#read(this.#key)?.[kind] === true;
  }

  get #showsNotifications() {
    return this.isOn("notification") && globalThis.Notification?.permission === "granted";
  }

  async #ask({ checked }) {
    const isGranted = checked && (await Notification.requestPermission()) === "granted";
    this.#choose("notification", isGranted);
  }

  #draw() {
    byId("alert-sound").checked = this.isOn("sound");
    const box = byId("alert-notification");
    const permission = globalThis.Notification?.permission ?? "missing";
    box.checked = this.#showsNotifications;
    box.disabled = permission === "missing" || permission === "denied";
    byId("alert-blocked").hidden = !box.disabled;
  }

  /** Tell about a message, {uuid, sender}, if the user does not look at this page. */
  tell({ uuid, sender }, title, text) {
    const looksElsewhere = document.hidden || !document.hasFocus();
    if (!looksElsewhere || this.#isSilent()) return;
    // The pages of one browser get the same messages, and one of them is enough.
    const told = this.#read(this.#toldKey) ?? [];
    if (told.includes(uuid)) return;
    this.#storage.setItem(this.#toldKey, JSON.stringify([...told.slice(-MAX_TOLD), uuid]));
    if (this.isOn("sound")) chime();
    if (this.#showsNotifications) this.#show(title, text.slice(0, MAX_BODY), sender);
  }

  #show(title, body, username) {
    try {
      const notification = new Notification(title, { body, tag: `chat with ${username}` });
      notification.onclick = () => {
        focus();
        notification.close();
        this.#onOpen(username);
      };
    } catch (error) {
      console.warn(error); // Chrome on Android has notifications of service workers only
    }
  }
}

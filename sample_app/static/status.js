/**
 * The user's own status and name: the dialog to choose them, and the last choice, stored in this browser. The
 * server keeps a status only while the user is online.
 */

import { STATUSES, presenceOf } from "./presence.js";

const byId = (id) => document.getElementById(id);

export class OwnStatus {
  #key;
  #storage;
  #state = {};

  /**
   * `storage` is a Storage. `onChoose({status, note})` and `onRename(name)` are called when the user
   * has chosen.
   */
  constructor(me, storage, { onChoose, onRename }) {
    this.#key = `status of ${me}`;
    this.#storage = storage;
    const [dialog, form] = [byId("status"), byId("status-form")];

    byId("own").addEventListener("click", () => {
      form.elements.status.value = presenceOf({ ...this.#state, online: true });
      form.elements.note.value = this.#state.note ?? "";
      form.elements.name.value = this.#state.name ?? "";
      dialog.showModal(); // Escape closes it, and the focus returns to the button
      form.querySelector(":checked").focus();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const note = form.elements.note.value.trim() || null;
      dialog.close();
      const name = form.elements.name.value.trim();
      if (name !== (this.#state.name ?? "")) onRename(name);
      onChoose({ status: form.elements.status.value, note });
    });
    byId("status-cancel").addEventListener("click", () => dialog.close());
    dialog.addEventListener("pointerdown", (event) => {
      if (event.target === dialog) dialog.close(); // a click beside the form
    });
  }

  /** Take the server's state. This browser also remembers a status that was chosen elsewhere. */
  set(state) {
    this.#state = state;
    if (!STATUSES.includes(state.status)) return;
    const { status, note } = state;
    this.#storage.setItem(this.#key, JSON.stringify({ status, note }));
  }

  /** The last choice, {status, note}; null if there is none. */
  get remembered() {
    return JSON.parse(this.#storage.getItem(this.#key));
  }
}

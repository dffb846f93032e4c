/** A meeting: a room on the server, and the Mesh of protoo-mesh.mjs that connects its members. */

import { explain } from "./reasons.js";
import { isName, shortText } from "./wire.js";

const { CallError, Mesh } = await import(document.body.dataset.protooMeshModule);

const SAVED = "meeting"; // key in sessionStorage; the page joins again after a reload
const PICTURE = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { max: 24 } };
// Nothing is required: without a camera or microphone, a member can see, hear and write.
const MEDIA = { audio: true, video: PICTURE, required: false };
const MAX_TEXT = 2000;
const MAX_NAME = 30;
const LEAVE_MS = 4000; // a page has many modules to load before it is back after a reload
const KINDS = ["audio", "video"];

/** The name for what a user has typed, "Daily Stand-up" -> "daily-stand-up"; null for no name. */
export function readMeetingName(text) {
  const name = text.trim().toLowerCase().replace(/\s+/g, "-");
  return /^[a-z0-9._-]+$/.test(name) && name.length <= MAX_NAME ? name : null;
}

/** The reason why the user could not join; `message` is a sentence for users. */
export class MeetingError extends Error {}

export class Meeting {
  name = null; // the name of the meeting, also while joining
  #client;
  #mesh;
  #onChange;
  #onMessage;
  #onNotice;

  /**
   * `iceServers()` returns a promise of a list. `onChange()` is called to draw the changes,
   * `onMessage({username, text})` when a member has written.
   */
  constructor(client, { iceServers, onChange, onMessage, onNotice }) {
    this.#client = client;
    this.#onMessage = onMessage;
    const mesh = new Mesh(client, {
      iceServers: () => iceServers().catch(() => []),
      leaveTimeout: LEAVE_MS,
    });
    this.#mesh = mesh;
    this.#onChange = onChange;
    this.#onNotice = onNotice;
    for (const event of ["state", "join", "leave", "change", "local"]) mesh.on(event, onChange);
    mesh.on("error", ({ message }) => onNotice(message));
    mesh.on("close", (how) => this.#leave(how));
    client.once("open", () => this.#comeBack());
  }

  get isIn() {
    return this.#mesh.state === "in";
  }

  /** The local microphone and camera. */
  get stream() {
    return this.#mesh.localStream;
  }

  /** {audio, video, screen}: whether this page sends them. */
  get status() {
    const { muted, screen } = this.#mesh.local;
    return { audio: this.#has("audio"), video: this.#has("video") || screen, screen, muted };
  }

  #has(kind) {
    const tracks = this.stream.getTracks().filter((track) => track.kind === kind);
    return tracks.length > 0 && !this.#mesh.local.muted[kind];
  }

  /** The other members: {peer, stream, status, isConnected}. */
  get members() {
    const seen = this.#mesh.members.filter(({ peer }) => isName(peer.username));
    return seen.map(({ peer, stream, remote, connectionState }) => ({
      peer,
      stream,
      status: {
        audio: remote.audio && !remote.muted.audio,
        video: remote.video && (remote.screen || !remote.muted.video),
        screen: remote.screen,
      },
      isConnected: connectionState === "connected",
    }));
  }


  /** Throws a MeetingError. */
  async join(name) {
    if (this.name) throw new MeetingError("You are in a meeting.");
    this.name = name;
    this.#onChange();
    try {
      await this.#mesh.join(`/rooms/${name}`, MEDIA);
      this.#save();
    } catch (error) {
      this.name = null;
      throw new MeetingError(whyNot(error));
    } finally {
      this.#onChange();
    }
  }

  leave() {
    this.#mesh.leave();
  }

  /** Turn a kind, "audio" or "video", on or off, and tell the other members. */
  async toggle(kind) {
    const { muted } = this.#mesh.local;
    const isOn = this.#has(kind);
    // The light of the camera goes off with it.
    if (isOn || muted[kind]) this.#mesh.setMuted(kind, isOn, { release: kind === "video" });
    // There was no device when the page joined. By now there may be one.
    else await this.#mesh.useDevice(kind).catch(({ message }) => this.#onNotice(message));
    this.#save();
  }

  /** Show the screen to the other members instead of the camera's picture, or stop that. */
  async toggleSharing() {
    if (this.#mesh.local.screen) return this.#mesh.stopSharing();
    // If the user cancels the browser's dialog, no message is needed.
    await this.#mesh.shareScreen().catch(({ cause, message }) => {
      if (cause?.name !== "NotAllowedError") this.#onNotice(message);
    });
  }

  /** Write to the other members. Rejects with an error whose message is a sentence for users. */
  async write(text) {
    try {
      await this.#client.request("message", this.#mesh.path, { text });
    } catch (error) {
      throw new MeetingError(explain(error));
    }
  }

  /** Handle and answer a request if it is from the room. Returns whether it is. */
  handle(req) {
    return this.#mesh.handle(req);
  }

  /** Handle a notification if it is from the room. Returns whether it is. */
  takeNotification(notification) {
    return this.#mesh.takeNotification(notification) || this.#takeMessage(notification);
  }

  #takeMessage({ method, data, sender }) {
    const isOfRoom = this.isIn && data.sessionPath === this.#mesh.path;
    // The server has written the sender; the data are the other member's.
    if (method !== "message" || !isOfRoom || !isName(sender?.username)) return false;
    const text = shortText(data.text, MAX_TEXT).trim();
    if (text) this.#onMessage({ username: sender.username, text });
    return true;
  }

  async #comeBack() {
    const saved = JSON.parse(sessionStorage.getItem(SAVED));
    if (!saved) return;
    for (const kind of KINDS) if (saved.muted?.[kind]) this.#mesh.setMuted(kind, true);
    await this.join(saved.name).catch((error) => this.#onNotice(error.message));
  }

  #save() {
    sessionStorage.setItem(SAVED, JSON.stringify({ name: this.name, muted: this.status.muted }));
  }

  #leave({ cause, reason }) {
    const name = this.name;
    this.name = null;
    sessionStorage.removeItem(SAVED);
    const why = shortText(reason);
    if (name && cause !== "left") this.#onNotice(`You are no longer in the meeting: ${why}.`);
    this.#onChange();
  }
}

function whyNot(error) {
  const { status, reason, message } = error;
  if (error instanceof CallError) return message;
  if (reason === "room is full") return "The meeting is full: it already has six members.";
  return status ? explain(error) : message;
}

/** A meeting: a room on the server, and the Mesh of protoo-mesh.mjs that connects its members. */

import { isName, shortText } from "./wire.js";

const { CallError, Mesh } = await import(document.body.dataset.protooMeshModule);

const SAVED = "meeting"; // key in sessionStorage; the page joins again after a reload
const PICTURE = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { max: 24 } };
const MEDIA = { audio: true, video: PICTURE, required: ["audio"] };
const LEAVE_MS = 4000; // a page has many modules to load before it is back after a reload
const KINDS = ["audio", "video"];

/** The reason why the user could not join; `message` is a sentence for users. */
export class MeetingError extends Error {}

export class Meeting {
  name = null; // the name of the meeting, also while joining
  #mesh;
  #onChange;
  #onNotice;

  /** `iceServers()` returns a promise of a list. `onChange()` is called to draw the changes. */
  constructor(client, { iceServers, onChange, onNotice }) {
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

  /** {audio, video}: whether this page sends them. */
  get status() {
    const { muted } = this.#mesh.local;
    return { audio: !muted.audio, video: !muted.video };
  }

  /** The other members: {peer, stream, status, isConnected}. */
  get members() {
    const seen = this.#mesh.members.filter(({ peer }) => isName(peer.username));
    return seen.map(({ peer, stream, remote, connectionState }) => ({
      peer,
      stream,
      status: { audio: !remote.muted.audio, video: remote.video && !remote.muted.video },
      isConnected: connectionState === "connected",
    }));
  }

  /** Whether there is a camera that can be turned on and off. */
  get hasCamera() {
    return this.stream.getVideoTracks().length > 0 || this.#mesh.local.muted.video;
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
  toggle(kind) {
    // The light of the camera goes off with it.
    this.#mesh.setMuted(kind, this.status[kind], { release: kind === "video" });
    this.#save();
  }

  /** Handle and answer a request if it is from the room. Returns whether it is. */
  handle(req) {
    return this.#mesh.handle(req);
  }

  /** Handle a notification if it is about the members. Returns whether it is. */
  takeNotification(notification) {
    return this.#mesh.takeNotification(notification);
  }

  async #comeBack() {
    const saved = JSON.parse(sessionStorage.getItem(SAVED));
    if (!saved) return;
    for (const kind of KINDS) if (saved.status[kind] === false) this.#mesh.setMuted(kind, true);
    await this.join(saved.name).catch((error) => this.#onNotice(error.message));
  }

  #save() {
    sessionStorage.setItem(SAVED, JSON.stringify({ name: this.name, status: this.status }));
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
  return status ? `The server refused: ${shortText(reason)}.` : message;
}

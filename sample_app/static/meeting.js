/**
 * A meeting: a room on the server, and an RTCPeerConnection to each other member (member.js).
 * A new member sends an offer to each present member, so each pair has exactly one offer. The offer
 * is a `private` request, and its response has the answer.
 *
 * During a reload the page is still a member, so others may send offers to it. It refuses offers
 * until it has joined again. Then it sends offers to all members itself. So a pair has one offer
 * even if both pages reload at the same time.
 */

import { Member } from "./member.js";
import { readList, readMember, shortText } from "./wire.js";

const SAVED = "meeting"; // key in sessionStorage; the page joins again after a reload
const PICTURE = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { max: 24 } };
const SENTENCES = new Map([
  ["NotAllowedError", "You have not allowed this page to use the microphone or camera."],
  ["NotFoundError", "No microphone was found."],
  ["NotReadableError", "Microphone or camera do not work, or another program is using them."],
]);
const keyOf = ({ username, uuid }) => JSON.stringify([username, uuid]);

/** The reason why the user could not join; `message` is a sentence for users. */
export class MeetingError extends Error {}

async function openDevices() {
  const { mediaDevices } = navigator;
  try {
    return await mediaDevices.getUserMedia({ audio: true, video: PICTURE }).catch((error) => {
      if (error.name !== "NotFoundError") throw error;
      return mediaDevices.getUserMedia({ audio: true }); // a computer without a camera
    });
  } catch (error) {
    throw new MeetingError(SENTENCES.get(error.name) ?? `No microphone: ${error.message}.`);
  }
}

export class Meeting {
  name = null; // the name of the meeting, also while joining
  stream = null; // the local microphone and camera
  status = { audio: true, video: true }; // the kinds of media that this page sends
  isIn = false;
  #members = new Map();
  #client;
  #me;
  #link;
  #onChange;
  #onNotice;

  /** `iceServers()` returns a promise of a list. `onChange()` is called to draw the changes. */
  constructor(client, username, { iceServers, onChange, onNotice }) {
    this.#client = client;
    this.#me = keyOf({ username, uuid: client.uuid });
    this.#onChange = onChange;
    this.#onNotice = onNotice;
    const meeting = this;
    this.#link = {
      iceServers: () => iceServers().catch(() => []),
      get stream() {
        return meeting.stream;
      },
      get status() {
        return meeting.status;
      },
      request: async (peer, data) => client.request("private", this.path, { peer, ...data }),
      notify: (peer, data) => client.notify("private", this.path, { peer, ...data }),
      onChange,
    };
    client.once("open", () => this.#comeBack());
    client.on("open", () => this.isIn && this.#enter().catch(console.warn));
  }

  get path() {
    return `/rooms/${this.name}`;
  }

  get members() {
    return [...this.#members.values()];
  }

  /** Throws a MeetingError. */
  async join(name) {
    if (this.name) throw new MeetingError("You are in a meeting.");
    this.name = name;
    this.#onChange();
    try {
      const stream = await openDevices();
      this.stream = stream;
      this.#apply();
      await this.#enter();
      this.isIn = true;
      this.#save();
      this.#onChange();
    } catch (error) {
      this.#reset();
      throw error instanceof MeetingError ? error : new MeetingError(whyNot(error));
    }
  }

  leave() {
    if (this.isIn) this.#client.request("end", this.path, {}, { repeat: true }).catch(() => {});
    this.#reset();
  }

  /** Turn a kind, "audio" or "video", on or off, and tell the other members. */
  toggle(kind) {
    this.status = { ...this.status, [kind]: !this.status[kind] };
    this.#apply();
    this.#save();
    this.#client.notify("message", this.path, { status: this.status });
    this.#onChange();
  }

  /** Handle and answer a request if it is from the room. Returns whether it is. */
  handle(req) {
    if (!this.name || req.data.sessionPath !== this.path) return false;
    if (req.method === "end" && !req.sender) {
      req.reply(200, "OK");
      this.#onNotice(`You were removed from the meeting: ${req.data.reason}.`);
      this.#reset();
    } else if (req.method === "private" && req.sender && req.data.description) {
      // The refusal arrives before our own offer, so the two offers do not collide.
      if (this.isIn) this.#answer(req);
      else req.reply(480, "not joined yet: this side will send an offer");
    } else {
      req.reply(405, "method not allowed");
    }
    return true;
  }

  /** Handle a notification if it is from the room. Returns whether it is. */
  takeNotification({ method, data, sender }) {
    if (!this.name || data.sessionPath !== this.path) return false;
    // Members write the notifications that have a sender, and the server those that have none.
    const peer = sender ? null : readMember(data.peer);
    if (peer && method === "join") this.#member(peer);
    if (peer && method === "leave") this.#remove(keyOf(peer));
    const known = sender && this.#members.get(keyOf(sender));
    if (known && method === "private") known.addCandidate(data).catch(console.warn);
    if (known && method === "message") known.setStatus(data.status);
    this.#onChange();
    return true;
  }

  async #comeBack() {
    const saved = JSON.parse(sessionStorage.getItem(SAVED));
    if (!saved) return;
    this.status = saved.status;
    await this.join(saved.name).catch((error) => this.#onNotice(error.message));
  }

  /** Join, or get the list of members after an absence. */
  async #enter() {
    const { name } = this;
    const { data } = await this.#client.request("session", this.path, {}, { repeat: false });
    if (this.name !== name) return;
    const peers = readList(data.peers, readMember);
    const present = new Set(peers.map(keyOf));
    for (const key of this.#members.keys()) if (!present.has(key)) this.#remove(key);
    for (const peer of peers) {
      const member = this.#member(peer);
      // After an absence a negotiation may be in progress: the other side's offer has arrived
      // first, or the client has repeated ours.
      if (!member.isConnected && !member.isNegotiating) member.offer().catch(console.warn);
    }
    this.#onChange();
  }

  #member(peer) {
    const key = keyOf(peer);
    if (!this.#members.has(key)) {
      this.#members.set(key, new Member(peer, this.#me < key, this.#link));
    }
    return this.#members.get(key);
  }

  #remove(key) {
    this.#members.get(key)?.close();
    this.#members.delete(key);
  }

  async #answer(req) {
    try {
      const data = await this.#member(req.sender).answer(req.data);
      if (data) req.reply(200, "OK", data);
      else req.reply(491, "another offer is under way");
    } catch (error) {
      req.reply(400, shortText(error.message)); // the description is invalid
    }
  }

  #apply() {
    for (const track of this.stream.getTracks()) track.enabled = this.status[track.kind];
  }

  #save() {
    sessionStorage.setItem(SAVED, JSON.stringify({ name: this.name, status: this.status }));
  }

  #reset() {
    for (const key of [...this.#members.keys()]) this.#remove(key);
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    Object.assign(this, { name: null, stream: null, isIn: false });
    this.status = { audio: true, video: true };
    sessionStorage.removeItem(SAVED);
    this.#onChange();
  }
}

function whyNot({ status, reason, message }) {
  if (reason === "room is full") return "The meeting is full: it already has six members.";
  return status ? `The server refused: ${shortText(reason)}.` : message;
}

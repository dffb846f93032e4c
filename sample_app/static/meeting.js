/**
 * A meeting: a room on the server, and an RTCPeerConnection to each of its other members, in
 * member.js. The one who comes offers to those who are there, so there is one offer for each pair. It goes as
 * `private` to a member, and the response is the answer.
 *
 * A page that is reloaded stays a member meanwhile, and is offered what others offer. But it comes
 * too: it offers to all of them as soon as it is in. Until then it refuses, so that there is one
 * offer also between two pages that are reloaded at once.
 */

import { Member } from "./member.js";

const SAVED = "meeting"; // in sessionStorage, for after a reload
const PICTURE = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { max: 24 } };
const SENTENCES = {
  NotAllowedError: "You have not allowed this page to use the microphone or camera.",
  NotFoundError: "No microphone was found.",
  NotReadableError: "Microphone or camera do not work, or another program is using them.",
};
const keyOf = ({ username, uuid }) => JSON.stringify([username, uuid]);

/** What kept somebody out; `message` is a sentence for people. */
export class MeetingError extends Error {}

async function openDevices() {
  const { mediaDevices } = navigator;
  try {
    return await mediaDevices.getUserMedia({ audio: true, video: PICTURE }).catch((error) => {
      if (error.name !== "NotFoundError") throw error;
      return mediaDevices.getUserMedia({ audio: true }); // a computer without a camera
    });
  } catch (error) {
    throw new MeetingError(SENTENCES[error.name] ?? `No microphone: ${error.message}.`);
  }
}

export class Meeting {
  name = null; // while in a meeting, or on the way into one
  stream = null; // of this side; once it is there and the server has let us in, we are in
  status = { audio: true, video: true }; // what we send
  isIn = false;
  #members = new Map();
  #client;
  #me;
  #link;
  #onChange;
  #onNotice;

  /** `iceServers()` promises a list, `onChange()` is called when something is to be drawn. */
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

  /** `kind` is "audio" or "video". The others are told. */
  toggle(kind) {
    this.status = { ...this.status, [kind]: !this.status[kind] };
    this.#apply();
    this.#save();
    this.#client.notify("message", this.path, { status: this.status });
    this.#onChange();
  }

  /** Take a request from the room, and answer it. Returns whether it did. */
  handle(req) {
    if (!this.name || req.data.sessionPath !== this.path) return false;
    if (req.method === "end" && !req.sender) {
      req.reply(200, "OK");
      this.#onNotice(`You have been put out of the meeting: ${req.data.reason}.`);
      this.#reset();
    } else if (req.method === "private" && req.sender && req.data.description) {
      // The refusal gets there before our offer, so it does not meet the one that is refused.
      if (this.isIn) this.#answer(req);
      else req.reply(480, "not in yet: an offer will come from here");
    } else {
      req.reply(405, "method not allowed");
    }
    return true;
  }

  /** Take a notification from the room. Returns whether it is one. */
  takeNotification({ method, data, sender }) {
    if (!this.name || data.sessionPath !== this.path) return false;
    if (method === "join") this.#member(data.peer);
    if (method === "leave") this.#remove(keyOf(data.peer));
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

  /** Join, or after an absence learn who is there. */
  async #enter() {
    const { name } = this;
    const { data } = await this.#client.request("session", this.path, {}, { repeat: false });
    if (this.name !== name) return;
    const present = new Set(data.peers.map(keyOf));
    for (const key of this.#members.keys()) if (!present.has(key)) this.#remove(key);
    for (const peer of data.peers) {
      const member = this.#member(peer);
      // After an absence an offer may be under way: theirs has come first, or ours was repeated.
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
      req.reply(400, error.message); // a description that is none
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
  if (reason === "room is full") return "The meeting is full: there are six in it already.";
  return status ? `The server refused: ${reason}.` : message;
}

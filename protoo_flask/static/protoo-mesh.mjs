/*
 * Meetings for the browser client of protoo_flask, over the server's room_handler: each member has
 * a connection to each other member (a mesh). An ES module without dependencies; protoo-mesh.d.ts
 * has the types, docs/rooms.md the documentation.
 *
 * States of a Mesh. Only #enter() changes the state.
 *
 *   state    event                                                      next state
 *   -------  ---------------------------------------------------------  ----------
 *   out      join()                                                     joining
 *   joining  the room has let this page in                              in
 *            refused; no devices; leave(); the client is closed         out
 *   in       leave(); removed; the room ends; the client is closed      out
 *
 * A page that joins makes an offer to each member, so there is one offer for each pair of members.
 * After a reconnection, and when both pages are reloaded, two members may want to do that at
 * a time. So nobody makes a new pair because of a reconnection: each side asks the other one
 * whether it has the same pair (#compare), and only if it has not, there is a new one. When both
 * then make an offer, the one of the member that sorts first remains (Link.takeOffer).
 */
import { isPassing, readConfiguration, refusal, retryDelay } from "./protoo-connection.mjs";
import { CallError, Devices, expectMedia, KINDS, pickMedia } from "./protoo-devices.mjs";
import { Emitter } from "./protoo-emitter.mjs";
import { isPeer, keyOf, Member, NO_SUCH_PAIR } from "./protoo-member.mjs";
import {
  canonicalPath, expect, expectOptions, isObject, isPath, isTime, readReason, returnTime,
} from "./protoo-values.mjs";

export { CallError, Member };

const NEXT_STATES = { out: ["joining"], joining: ["in", "out"], in: ["out"] };
const OPTIONS = [
  "iceServers", "rtcConfiguration", "setupTimeout", "leaveTimeout", "RTCPeerConnection",
  "MediaStream", "mediaDevices",
];
const JOIN_OPTIONS = ["audio", "video", "required", "data"];
const SETUP_TIMEOUT = 30000;
const LEAVE_TIMEOUT = 2000; // a reloaded page is back after that time
const MAX_MEMBERS = 1000; // the server's rooms have 50, if the site does not say otherwise
const GONE = [403, 404]; // a re-join with one of these: not a member any more
const LOST = "server lost"; // the reason of an `end` after which the room may be joined again

const readPeers = (values) =>
  (Array.isArray(values) ? values : []).filter(isPeer).slice(0, MAX_MEMBERS);

/** A meeting of the pages in a room of the server. */
export class Mesh extends Emitter {
  #client;
  #world;
  #setupTimeout;
  #leaveTimeout;
  #state = "out";
  #asked = null; // the path, as the page has written it
  #path = null; // the path, as the server writes it
  #data = {}; // of the request that joins
  #devices;
  #members = new Map(); // key -> Member
  #internals = new Map(); // Member -> methods that only this class may use
  #room;
  #timers = { setup: null, enter: null };
  #unlisten;

  constructor(client, options = {}) {
    super(["state", "join", "leave", "change", "local", "error", "close"]);
    expectOptions(options, OPTIONS, "the options of Mesh");
    const { mediaDevices = globalThis.navigator?.mediaDevices } = options;
    const { setupTimeout = SETUP_TIMEOUT, leaveTimeout = LEAVE_TIMEOUT } = options;
    expect(isTime(setupTimeout), "setupTimeout must be milliseconds > 0", setupTimeout);
    expect(isTime(leaveTimeout), "leaveTimeout must be milliseconds > 0", leaveTimeout);
    const RTCPeerConnection = options.RTCPeerConnection ?? globalThis.RTCPeerConnection;
    this.#client = client;
    this.#setupTimeout = setupTimeout;
    this.#leaveTimeout = leaveTimeout;
    this.#world = {
      ...readConfiguration(options, RTCPeerConnection),
      RTCPeerConnection,
      MediaStream: options.MediaStream ?? globalThis.MediaStream,
      mediaDevices,
      permissions: globalThis.navigator?.permissions,
    };
    this.#devices = new Devices(this.#world, {
      onTrack: (kind, track) => {
        for (const { carry } of this.#internals.values()) carry(kind, track);
        this.emit("local", this.local);
      },
      onError: this.#report,
    });
    this.localStream = this.#devices.stream;
    this.#room = {
      world: this.#world,
      localStream: this.localStream,
      members: this.#members,
      internals: this.#internals,
      status: () => this.local,
      // An offer must not arrive after another one has replaced it, so nothing is repeated by the
      // client. The members repeat the messages that are still of use.
      request: (peer, data) =>
        client.request("private", this.#path, { peer, ...data }, { repeat: false }),
      onError: this.#report,
      onChange: (member) => this.#internals.has(member) && this.emit("change", member),
    };
    this.#unlisten = [
      client.on("open", () => this.#state === "in" && this.#enterRoom().catch(() => {})),
      client.on("close", ({ code, reason, willReconnect }) => {
        if (willReconnect || this.#state === "out") return;
        this.#close("failed", 410, `${code} ${reason}`.trim());
      }),
      // The page is closed or reloaded: the members need not look at its last picture for long.
      client.on("leave", ({ isReload }) => {
        for (const it of this.#internals.values()) it.leavePage(isReload).catch(() => {});
      }),
    ];
  }

  /** "out", "joining" or "in". */
  get state() {
    return this.#state;
  }

  /** The path of the room, as the server writes it; null outside of a room. */
  get path() {
    return this.#path;
  }

  /** The other members. */
  get members() {
    return [...this.#members.values()];
  }

  /** {muted: {audio, video}, screen} of this page. */
  get local() {
    return { muted: this.#devices.muted, screen: this.#devices.isSharing };
  }

  /**
   * Join the room at `path`, and connect to its members. `data` goes to the room's listeners.
   * Rejects with a CallError (devices) or a ProtooError (the room, the server).
   */
  async join(path, options = {}) {
    expect(isPath(path), 'path must start with "/"', path);
    expectOptions(options, JOIN_OPTIONS, "the options of join()");
    const { data = {} } = options;
    expect(isObject(data), "data must be an object", data);
    const media = pickMedia(options);
    expectMedia(media);
    if (this.#state !== "out") throw new CallError("This page is in a meeting already.");
    this.#asked = path;
    this.#data = data;
    this.#enter("joining");
    try {
      await this.#limit(this.#devices.open(media));
      await this.#enterRoom();
    } catch (error) {
      if (this.#state === "joining") this.#reset();
      throw error;
    }
  }

  /** Leave the room, or stop joining it. */
  leave(reason = "") {
    if (this.#state === "out") return;
    const path = this.#path ?? this.#asked;
    this.#client.request("end", path, {}, { repeat: true }).catch(() => {});
    this.#close("left", null, readReason(reason));
  }

  /** Handle and answer a request if it is about this meeting. Returns whether it is. */
  handle(req) {
    const { method, data, sender } = req;
    if (!this.#isOfRoom(data.sessionPath)) return false;
    if (method === "end" && !sender) {
      req.reply(200, "OK");
      this.#end(readReason(data.reason));
      return true;
    }
    if (method !== "private" || !sender || typeof data.connection !== "string") return false;
    this.#answer(req);
    return true;
  }

  /** Handle a notification if it is about the members. Returns whether it is. */
  takeNotification({ method, data, sender }) {
    const isAboutMembers = (method === "join" || method === "leave") && !sender;
    if (!isAboutMembers || !this.#isOfRoom(data.sessionPath)) return false;
    // Before the list of members there is nothing to add to; the list will have it.
    if (this.#state !== "in" || !isPeer(data.peer)) return true;
    if (method === "join") this.#add(data.peer);
    else this.#remove(this.#members.get(keyOf(data.peer)));
    return true;
  }

  /** Stop or continue sending sound ("audio") or the camera's picture ("video"). */
  setMuted(kind, isMuted, { release = false } = {}) {
    const opening = this.#devices.setMuted(kind, isMuted, release);
    if (!opening) return this.#tellAll();
    opening.then(
      () => this.#tellAll(),
      (error) => this.#state === "out" || this.#report(error),
    );
  }

  /** Use another microphone ("audio") or camera ("video"), or add one. */
  async useDevice(kind, deviceId) {
    this.#expectIn();
    await this.#devices.use(kind, deviceId);
  }

  /** Let the user choose a screen or window, and send it instead of the camera's picture. */
  async shareScreen(options = { video: true }) {
    this.#expectIn();
    await this.#devices.share(options, () => this.stopSharing());
    this.#tellAll();
  }

  /** Send the camera's picture again, if there is one. */
  stopSharing() {
    if (!this.#devices.isSharing) return;
    this.#devices.unshare();
    this.#tellAll();
  }

  /** Leave the room, and stop listening to the client. */
  close() {
    this.leave();
    for (const unlisten of this.#unlisten) unlisten();
  }

  // -- state --

  #enter(state) {
    const previous = this.#state;
    if (!NEXT_STATES[previous].includes(state)) throw new Error(`${previous} to ${state}`);
    this.#state = state;
    this.emit("state", { state, previous });
  }

  #expectIn() {
    if (this.#state === "out") throw new CallError("This page is in no meeting.");
  }

  #close(cause, status, reason) {
    this.#reset();
    this.emit("close", { cause, status, reason });
  }

  #reset() {
    for (const member of this.members) this.#remove(member);
    for (const name of Object.keys(this.#timers)) this.#setTimer(name);
    this.#asked = this.#path = null;
    this.#enter("out");
    this.#devices.stop();
    for (const kind of KINDS) this.#devices.setMuted(kind, false, false);
  }

  #report = (error) => {
    const isKnown = error instanceof CallError;
    const told = isKnown ? error : new CallError(`The meeting has a problem: ${error}`, error);
    this.emit("error", told, () => console.error("protoo:", told));
  };

  #setTimer(name, delay, fn) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = fn ? setTimeout(fn, delay) : null;
  }

  async #limit(opening) {
    const seconds = this.#setupTimeout / 1000;
    const error = new CallError(`The microphone or camera has not opened within ${seconds} s.`);
    const late = new Promise((_, reject) => {
      this.#setTimer("setup", this.#setupTimeout, () => reject(error));
    });
    try {
      await Promise.race([opening, late]);
    } finally {
      this.#setTimer("setup");
    }
  }

  // -- members --

  #isOfRoom(path) {
    if (this.#state === "out" || typeof path !== "string") return false;
    // A page that was reloaded is in the room before it has asked for the path.
    return this.#path ? path === this.#path : canonicalPath(path) === canonicalPath(this.#asked);
  }

  /** Join, or get the list of members after an absence. */
  async #enterRoom() {
    this.#setTimer("enter");
    const [asked, wasIn] = [this.#asked, this.#state === "in"];
    const isCurrent = () => this.#asked === asked && this.#state !== "out";
    let data;
    try {
      const options = wasIn ? { repeat: false } : {};
      ({ data } = await this.#client.request("session", asked, this.#data, options));
    } catch (error) {
      if (!wasIn || !isCurrent()) throw error;
      // The next "open" asks again, if the connection was lost.
      if (isPassing(error)) this.#setTimer("enter", retryDelay(), () => this.#enterAgain());
      else if (GONE.includes(error.status)) this.#close("rejected", error.status, error.reason);
      else this.#report(error);
      return;
    }
    if (!isCurrent()) {
      // leave() may have overtaken the request that joins.
      if (this.#state === "out") this.#client.request("end", asked).catch(() => {});
      throw new CallError("The meeting was left.");
    }
    this.#path = isPath(data.sessionPath) ? data.sessionPath : asked;
    if (this.#state === "joining") this.#enter("in");
    this.#reconcile(readPeers(data.peers));
  }

  #enterAgain() {
    if (this.#client.state === "open") this.#enterRoom().catch(() => {});
  }

  #reconcile(peers) {
    const present = new Set(peers.map(keyOf));
    for (const [key, member] of this.#members) {
      if (present.has(key)) continue;
      const { expectBack } = this.#internals.get(member);
      if (member.connectionState === "connected") expectBack(() => this.#remove(member));
      else this.#remove(member);
    }
    for (const peer of peers) {
      const isKnown = this.#members.has(keyOf(peer));
      const { offer, compare } = this.#internals.get(this.#add(peer));
      if (isKnown) compare();
      else offer();
    }
  }

  #add(peer) {
    const known = this.#members.get(keyOf(peer));
    if (known) this.#internals.get(known).isBack();
    if (known) return known;
    const { username, uuid } = peer;
    const member = new Member({ username, uuid }, this.#room);
    this.emit("join", member);
    return member;
  }

  #remove(member) {
    if (!member) return;
    this.#internals.get(member)?.close();
    this.#internals.delete(member);
    this.#members.delete(keyOf(member.peer));
    this.emit("leave", member);
  }

  #end(reason) {
    if (this.#state === "in" && reason === LOST) {
      this.#enterRoom().catch(() => {}); // the media flow between the pages, and go on
    } else {
      this.#close("end", null, reason);
    }
  }

  async #answer(req) {
    const { data, sender } = req;
    try {
      if (this.#state !== "in") throw refusal(480, "not joined yet: this side will send an offer");
      const isNew = data.isNew === true && isObject(data.description);
      if (!this.#members.has(keyOf(sender)) && !isNew) throw refusal(NO_SUCH_PAIR, "not connected");
      const member = this.#add(sender);
      const { receive, expectBack } = this.#internals.get(member);
      if (data.leaving === true) {
        expectBack(() => this.#remove(member), returnTime(this.#leaveTimeout, data));
      }
      // The server has found this page by `data.peer`, so both sides compare the same names.
      const isPolite = isPeer(data.peer) && keyOf(data.peer) > keyOf(sender);
      const answer = await receive(data, isPolite);
      req.reply(200, "OK", { connection: data.connection, status: this.local, ...answer });
    } catch (error) {
      req.reply(error.status ?? 400, readReason(error.message));
    }
  }

  #tellAll() {
    this.emit("local", this.local);
    for (const { compare } of this.#internals.values()) compare();
  }
}

/*
 * Audio and video calls for the browser client of protoo_flask, over the server's
 * session_handler. An ES module without dependencies; protoo-call.d.ts has the types,
 * docs/calls-browser.md the documentation.
 *
 * States of a Call. Only #enter() changes the state.
 *
 *   state       event                                                    next state
 *   ----------  -------------------------------------------------------  ----------
 *   connecting  a device rings (180)                                     progress
 *               a device has answered (2xx)                              open
 *               rejected; no microphone; network                         closed
 *   progress    a device has answered (2xx)                              open
 *               rejected; network                                        closed
 *   ringing     accept()                                                 answering
 *               reject()                                                 closed
 *   answering   the answer is made and sent                              open
 *               no microphone, an unusable offer                         ringing
 *               reject()                                                 closed
 *   open        the server or the other page does not know the call      closed
 *   closed      -
 *   (each)      hangUp(); `end`; the client is closed for good           closed
 *
 * A reloaded page has a new RTCPeerConnection with other keys. The old RTCPeerConnection of the
 * other side cannot connect to it. So each pair of RTCPeerConnections has an id. All descriptions
 * and candidates carry this id as `connection`. An offer with `isNew` begins another pair.
 * Messages of an earlier pair are dropped.
 */
import { MAX_EARLY, MediaConnection, readCandidates, refusal } from "./protoo-connection.mjs";
import { CallError, Devices, KINDS } from "./protoo-devices.mjs";

export { CallError };

const NEXT_STATES = {
  connecting: ["progress", "open", "closed"],
  progress: ["open", "closed"],
  ringing: ["answering", "closed"],
  answering: ["ringing", "open", "closed"],
  open: ["closed"],
  closed: [],
};
const METHODS = ["icecandidate", "update", "hold", "unhold", "end"];
const RING_TIMEOUT = 130000; // longer than the server's PROTOO_SESSION_TIMEOUT, 120 s
const MAX_ID = 64; // characters of the id of a pair; other clients make up ids as well
// New pairs that the other side may begin in 10 s. It begins one for each reload. A browser allows
// a few hundred RTCPeerConnections, and closed ones count until the garbage collection.
const MAX_PAIRS = 20;
const PAIRS_PERIOD = 10000;
const MAX_RINGING = 50; // the server lets 8 calls ring at a device
const MAX_REASON = 200; // characters
const MAX_WAITING = 1000; // requests that wait while the page resumes its calls

const isSame = (one, other) => one.username === other.username && one.uuid === other.uuid;
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether an untrusted value is the id of a pair, short enough to be kept. */
const isPairId = (value) => typeof value === "string" && value.length <= MAX_ID;

/** The untrusted reason of an `end` as a text. An object has no String() that can be relied on. */
function readReason(value) {
  if (typeof value === "number") return String(value);
  return typeof value === "string" ? value.slice(0, MAX_REASON) : "";
}

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Listeners like those of Client: called in a microtask, in order; errors do not stop others. */
class Emitter {
  #listeners;

  constructor(events) {
    this.#listeners = new Map(events.map((event) => [event, new Set()]));
  }

  /** Call `fn` at every `event`. Returns a function that removes the listener. */
  on(event, fn) {
    if (!this.#listeners.has(event)) {
      const events = [...this.#listeners.keys()].join(", ");
      throw new TypeError(`event must be one of ${events}, got "${event}"`);
    }
    if (typeof fn !== "function") throw new TypeError(`listener must be a function, got ${fn}`);
    this.#listeners.get(event).add(fn);
    return () => this.off(event, fn);
  }

  /** Remove the listener `fn` of `event`. */
  off(event, fn) {
    this.#listeners.get(event)?.delete(fn);
  }

  emit(event, payload, ifUnheard = () => {}) {
    queueMicrotask(() => {
      const listeners = this.#listeners.get(event);
      if (listeners.size === 0) ifUnheard();
      for (const fn of [...listeners]) {
        if (!listeners.has(fn)) continue; // an earlier listener of this event has removed it
        new Promise((resolve) => resolve(fn(payload))).catch((error) => {
          console.error(`protoo: "${event}" listener failed:`, error);
        });
      }
    });
  }
}

/** A call. Only Calls creates it. */
export class Call extends Emitter {
  #world;
  #state;
  #path = null;
  #peer = null;
  #caller = null; // {username, uuid}; null if this page started the call
  #req = null; // the `session` request, of an incoming call
  #dialing = new AbortController();
  #connection = null;
  #devices;
  #early = []; // {connection, candidate} for a connection that does not exist yet
  #pairs = []; // times at which the other side has begun the last new pairs
  #isHeld = false;
  #remote = { held: false, muted: { audio: false, video: false }, screen: false };

  constructor(world, state) {
    super(["state", "track", "connection", "local", "remote", "error", "close"]);
    this.#world = world;
    this.#state = state;
    this.#devices = new Devices(world, {
      onTrack: (kind, track) => this.#send(kind, track),
      onError: this.#report,
    });
    this.localStream = this.#devices.stream;
    this.remoteStream = new world.MediaStream();
    world.calls.set(this, {
      receive: (req) => this.#receive(req),
      ringAgain: (req) => this.#ringAgain(req),
      wake: () => this.#connection?.wake(),
      lose: (cause, status, reason) => this.#close(cause, status, reason),
    });
  }

  static start(world, path, options) {
    const call = new Call(world, "connecting");
    call.#dial(path, options);
    return call;
  }

  static incoming(world, req) {
    const call = new Call(world, "ringing");
    call.#req = req;
    call.#path = req.data.sessionPath;
    call.#peer = call.#caller = req.sender;
    return call;
  }

  static resume(world, { path, caller, callee }, media) {
    const call = new Call(world, "open");
    call.#path = path;
    call.#caller = caller;
    // A client does not know the name of its user, so it compares uuids. On a site where all
    // devices have the same uuid, the sender of the first request is the peer.
    const other = caller.uuid === world.client.uuid ? callee : caller;
    call.#peer = caller.uuid === callee.uuid ? null : other;
    call.#rejoin(media);
    return call;
  }

  /** "connecting", "progress", "ringing", "answering", "open" or "closed". */
  get state() {
    return this.#state;
  }

  /** The path of the call on the server; null until the server has assigned one. */
  get path() {
    return this.#path;
  }

  /** {username, uuid} of the other side; null before a device has answered. */
  get peer() {
    return this.#peer;
  }

  /** The `info` that the caller of an incoming call has sent. Untrusted. */
  get info() {
    const info = this.#req?.data.info;
    return isObject(info) ? info : {};
  }

  /** {audio, video}: the media that the caller of an incoming call wants to send. */
  get offered() {
    const kinds = [this.#req?.data.media].flat();
    return { audio: kinds.includes("audio"), video: kinds.includes("video") };
  }

  /** {held, muted: {audio, video}, screen} of this side. */
  get local() {
    return { held: this.#isHeld, muted: this.#devices.muted, screen: this.#devices.isSharing };
  }

  /** {held, muted: {audio, video}, screen} of the other side, as it reports it. */
  get remote() {
    return { ...this.#remote, muted: { ...this.#remote.muted } };
  }

  /** The RTCPeerConnection, or null. A reload of either page replaces it. */
  get peerConnection() {
    return this.#connection && this.#connection.pc;
  }

  /** Accept an incoming call. Rejects with a CallError; the call then continues to ring. */
  async accept(media = {}) {
    this.#expectAlive();
    if (this.#state !== "ringing") throw new CallError("The call is not ringing.");
    this.#enter("answering");
    try {
      await this.#devices.open(media);
      const { connection, description } = this.#req.data;
      const answer = await this.#connect(connection).answer(description, true);
      this.#expectAlive();
      this.#req.reply(200, "OK", this.#sign({ description: answer }));
    } catch (error) {
      this.#expectAlive();
      this.#release();
      this.#enter("ringing");
      throw error instanceof CallError ? error : new CallError("The call is unusable.", error);
    }
    this.#enter("open");
  }

  /** Refuse an incoming call. A status of 600 or more also stops the user's other devices. */
  reject(status = 603, reason = "declined") {
    if (!["ringing", "answering"].includes(this.#state)) return;
    this.#req.reply(status, reason);
    this.#close("hangup", status, reason);
  }

  /** End the call in any state. */
  hangUp(reason = "") {
    this.reject();
    if (this.#state === "closed") return;
    if (this.#path) this.#end(reason);
    else if (this.#world.client.state !== "open") this.#dialing.abort(); // still in the queue
    this.#close("hangup", null, reason); // else #dial() ends it as soon as the path is known
  }

  /** Stop all media in both directions, and tell the other side. */
  hold() {
    this.#setHeld(true);
  }

  unhold() {
    this.#setHeld(false);
  }

  /** Stop or continue sending sound ("audio") or the camera's picture ("video"). */
  setMuted(kind, isMuted) {
    this.#devices.setMuted(kind, isMuted);
    this.#changed("update");
  }

  /** Use another microphone ("audio") or camera ("video"), or add one to the call. */
  async useDevice(kind, deviceId) {
    this.#expectAlive();
    await this.#devices.use(kind, deviceId);
  }

  /** Let the user choose a screen or window, and send it instead of the camera's picture. */
  async shareScreen(options = { video: true }) {
    this.#expectAlive();
    await this.#devices.share(options, () => this.stopSharing());
    this.#changed("update");
  }

  /** Send the camera's picture again, if there is one. */
  stopSharing() {
    if (!this.#devices.isSharing) return;
    this.#devices.unshare();
    this.#changed("update");
  }

  // -- state --

  #enter(state) {
    const previous = this.#state;
    if (!NEXT_STATES[previous].includes(state)) throw new Error(`${previous} to ${state}`);
    this.#state = state;
    this.emit("state", { state, previous });
  }

  #expectAlive() {
    if (this.#state === "closed") throw new CallError("The call is over.");
  }

  #close(cause, status, reason) {
    if (this.#state === "closed") return;
    this.#enter("closed");
    this.#world.calls.delete(this);
    // The server has withdrawn the request. The client keeps it in progress until a final reply.
    if (this.#req && !this.#req.ended) this.#req.reply(487, "canceled");
    this.#release();
    this.emit("close", { cause, status, reason });
  }

  #release() {
    this.#connection?.close();
    this.#connection = null;
    this.#devices.stop();
    for (const track of this.remoteStream.getTracks()) this.remoteStream.removeTrack(track);
  }

  #report = (error) => {
    const isKnown = error instanceof CallError;
    const told = isKnown ? error : new CallError(`The call has a problem: ${error}`, error);
    this.emit("error", told, () => console.error("protoo:", told));
  };

  // -- beginning --

  async #dial(path, { info, timeout = RING_TIMEOUT, ...media }) {
    const onProvisional = ({ status, data: { sessionPath } }) => {
      // The first provisional response is from the server and has the path. Later ones are written
      // by ringing devices, so their path does not count.
      this.#path ??= sessionPath ?? null;
      if (this.#state === "closed" && sessionPath) this.#end();
      else if (status >= 180 && this.#state === "connecting") this.#enter("progress");
      if (sessionPath) this.#connection?.flush();
    };
    try {
      await this.#devices.open(media);
      const connection = this.#connect(randomId());
      const { description } = await connection.offer();
      const { kinds } = this.#devices;
      const told = this.#sign({ media: kinds, info, description });
      const options = { onProvisional, timeout, signal: this.#dialing.signal };
      const response = await this.#world.client.request("session", path, told, options);
      if (this.#state === "closed") return; // onProvisional has ended it
      this.#enter("open");
      await connection.takeAnswer(response.data.description);
      // The device that answered may have started to ring after the first candidates were sent.
      connection.flush(true);
      if (JSON.stringify(told.status) !== JSON.stringify(this.local)) this.#changed("update");
    } catch (error) {
      if (this.#state === "closed") return;
      if (this.#path && (this.#state === "open" || error.isLocal)) this.#end();
      const { status = null, isLocal = true, reason = error.message } = error;
      if (isLocal) this.#report(error);
      this.#close(isLocal ? "failed" : "rejected", status, reason);
    }
  }

  async #rejoin(media) {
    try {
      await this.#devices.open(media);
    } catch (error) {
      if (this.#state === "closed") return;
      this.#report(error); // go on: the other side can still be heard
    }
    // If the other page was reloaded too and was faster, its offer has already made a connection.
    if (!this.#connection) this.#connect(randomId()).negotiate();
  }

  // -- media --

  #send(kind, track) {
    if (track) this.emit("track", { track, stream: this.localStream });
    this.#connection?.carry(kind, track, this.localStream).catch(this.#report);
  }

  #setHeld(isHeld) {
    if (this.#isHeld === isHeld) return;
    this.#isHeld = isHeld;
    this.#devices.hold(isHeld);
    this.#connection?.hold(isHeld);
    this.#changed(isHeld ? "hold" : "unhold");
  }

  #changed(method) {
    this.emit("local", this.local);
    // If this request is not sent or is lost, the next description carries the status.
    if (this.#state === "open") this.#request(method, {}).catch(() => {});
  }

  // -- negotiation --

  #sign(data) {
    return { connection: this.#connection?.id, status: this.local, ...data };
  }

  /** Replace the current RTCPeerConnection, if any, by a new one with our tracks. */
  #connect(id) {
    this.#connection?.close();
    for (const track of this.remoteStream.getTracks()) this.remoteStream.removeTrack(track);
    const { RTCPeerConnection, configuration } = this.#world;
    const connection = new MediaConnection(id, {
      RTCPeerConnection,
      configuration,
      isHeld: this.#isHeld,
      isReachable: () => this.#path !== null,
      request: (method, data) => this.#request(method, { connection: id, ...data }),
      onError: this.#report,
      onState: (state) => this.emit("connection", { state }),
      onTrack: (track) => {
        this.remoteStream.addTrack(track);
        this.emit("track", { track, stream: this.remoteStream });
      },
    });
    this.#connection = connection;
    for (const track of this.localStream.getTracks()) {
      connection.carry(track.kind, track, this.localStream).catch(this.#report);
    }
    const early = this.#early.filter((it) => it.connection === id);
    connection.addCandidates(early.map(({ candidate }) => candidate)).catch(() => {});
    return connection;
  }

  async #request(method, data) {
    const { client } = this.#world;
    try {
      return await client.request(method, this.#path, this.#sign(data));
    } catch (error) {
      // Before the answer, a 404 may come from one of several ringing devices.
      if (this.#state === "open" && error.status === 404 && !error.isLocal) {
        this.#end(); // if the 404 is from the other page, the server still has the call
        this.#close("end", 404, error.reason);
      }
      throw error;
    }
  }

  #end(reason = "") {
    const { client } = this.#world;
    client.request("end", this.#path, { reason }, { repeat: true }).catch(() => {});
  }

  /** Ring again: the server had forgotten this device in the meantime. */
  #ringAgain(req) {
    if (!["ringing", "answering"].includes(this.#state)) return req.reply(482, "loop detected");
    this.#req = req;
    req.provisional(180, "ringing");
  }

  async #receive(req) {
    const { method, sender } = req;
    try {
      const isStranger = sender && this.#peer && !isSame(sender, this.#peer);
      if (isStranger) throw refusal(403, "not in the call");
      if (this.#state === "open") this.#peer ??= sender;
      const data = await this.#perform(req);
      if (!req.ended) req.reply(200, "OK", data);
      if (method === "end") this.#close("end", null, readReason(req.data.reason));
    } catch (error) {
      if (!req.ended) req.reply(error.status ?? 400, error.message);
    }
  }

  async #perform({ method, data, sender }) {
    const isAboutHold = method === "hold" || method === "unhold";
    if (isAboutHold) this.#take({ ...data.status, held: method === "hold" });
    else if (data.status !== undefined) this.#take(data.status);
    if (method === "icecandidate") this.#takeCandidates(data);
    if (method !== "update" || data.description === undefined) return {};
    return this.#sign({ description: await this.#takeOffer(data, sender) });
  }

  #take(status) {
    if (!isObject(status)) throw refusal(400, "status must be an object");
    const { held, muted, screen } = { ...this.#remote, ...status };
    const kinds = Object.fromEntries(KINDS.map((kind) => [kind, muted?.[kind] === true]));
    const remote = { held: held === true, muted: kinds, screen: screen === true };
    if (JSON.stringify(remote) === JSON.stringify(this.#remote)) return;
    this.#remote = remote;
    this.emit("remote", this.remote);
  }

  #takeCandidates(data) {
    const { connection, candidates } = data;
    if (!Array.isArray(candidates)) throw refusal(400, "candidates must be a list");
    if (!this.#connection && isPairId(connection)) {
      const taken = readCandidates(candidates).slice(0, MAX_EARLY - this.#early.length);
      this.#early.push(...taken.map((candidate) => ({ connection, candidate })));
    }
    if (this.#connection?.id !== connection) return;
    this.#connection.addCandidates(candidates).catch(() => {});
  }

  #takeOffer({ connection: id, isNew, description }, sender) {
    if (this.#state !== "open") throw refusal(491, "the call is not open");
    const isPolite = this.#caller !== null && isSame(this.#caller, sender);
    let connection = this.#connection;
    if (connection?.id !== id) {
      // If both pages were reloaded, their new pairs collide. The pair of the caller remains.
      const isOver = !connection || connection.isPaired || isPolite;
      if (!isNew || !isOver) throw refusal(491, "another connection has begun");
      this.#countPair();
      connection = this.#connect(id);
    }
    return connection.answer(description, isPolite);
  }

  #countPair() {
    const now = Date.now();
    const isFlood = this.#pairs.length >= MAX_PAIRS && now - this.#pairs[0] < PAIRS_PERIOD;
    if (isFlood) throw refusal(491, "too many new connections");
    this.#pairs = [...this.#pairs.slice(1 - MAX_PAIRS), now];
  }
}

/** The calls of a client. */
export class Calls extends Emitter {
  #world;
  #mount;
  #resuming = null;
  #waiting = 0; // requests that wait for the end of resume()
  #unlisten;

  constructor(client, options = {}) {
    super(["call"]);
    const { mount = "/users", iceServers = [], rtcConfiguration = {} } = options;
    const configuration = async () => {
      const servers = typeof iceServers === "function" ? await iceServers() : iceServers;
      return { ...rtcConfiguration, iceServers: servers };
    };
    const lent = ["RTCPeerConnection", "MediaStream"].map((name) => [
      name,
      options[name] ?? globalThis[name],
    ]);
    const { mediaDevices = globalThis.navigator?.mediaDevices } = options;
    const calls = new Map(); // Call -> methods that only this class may use
    this.#world = { client, calls, configuration, mediaDevices, ...Object.fromEntries(lent) };
    this.#mount = `${mount.replace(/\/$/, "")}/sessions`;
    this.#unlisten = [
      client.on("open", () => this.#check()),
      client.on("close", ({ code, reason, willReconnect }) => {
        if (!willReconnect) this.#lose(this.list, "failed", 410, `${code} ${reason}`.trim());
      }),
    ];
  }

  /** The calls that have not ended. */
  get list() {
    return [...this.#world.calls.keys()];
  }

  /** Call the user or device at `path`. */
  start(path, options = {}) {
    return Call.start(this.#world, path, options);
  }

  /** Handle and answer a request if it belongs to a call. Returns whether it does. */
  handle(req) {
    const { method, data, sender } = req;
    const { sessionPath: path } = data;
    if (typeof path !== "string" || !path.startsWith(`${this.#mount}/`)) return false;
    const known = this.list.find((call) => call.path === path);
    if (method === "session") {
      if (!sender || !isObject(data.description)) return false;
      if (known) this.#world.calls.get(known).ringAgain(req);
      else this.#ring(req);
      return true;
    }
    if (!METHODS.includes(method)) return false;
    if (known) this.#world.calls.get(known).receive(req);
    else if (this.#resuming && this.#waiting < MAX_WAITING) this.#wait(req);
    else req.reply(404, "no such call");
    return true;
  }

  /** Continue the calls that this page had before it was reloaded. */
  async resume(media = {}) {
    const listing = this.#listOnServer();
    const resuming = listing.then((listed) => this.#take(listed, media));
    const isOver = resuming.catch(() => {}).then(() => {
      if (this.#resuming === isOver) this.#resuming = null;
    });
    this.#resuming = isOver;
    return resuming;
  }

  /** Hang up all calls, and stop listening to the client. */
  close() {
    for (const call of this.list) call.hangUp();
    for (const unlisten of this.#unlisten) unlisten();
  }

  async #wait(req) {
    this.#waiting += 1;
    await this.#resuming;
    this.#waiting -= 1;
    this.handle(req);
  }

  #ring(req) {
    const ringing = this.list.filter(({ state }) => state === "ringing");
    if (ringing.length >= MAX_RINGING) return req.reply(486, "too many calls");
    const call = Call.incoming(this.#world, req);
    this.emit("call", call, () => call.reject(480, "no listener for calls"));
    // The "call" listeners run first, and may reject the call: a busy user's device does not ring.
    queueMicrotask(() => call.state === "ringing" && req.provisional(180, "ringing"));
  }

  async #listOnServer() {
    const { data } = await this.#world.client.request("get", this.#mount);
    return data.sessions;
  }

  #take(listed, media) {
    const { client } = this.#world;
    const unknown = listed.filter(({ path }) => !this.list.some((call) => call.path === path));
    for (const { path, state, caller } of unknown) {
      // An incoming call that was not answered rings again by itself. An outgoing call that was not
      // answered cannot continue: its offer belongs to the page before the reload.
      const isAbandoned = state !== "open" && caller.uuid === client.uuid;
      if (isAbandoned) client.request("end", path, {}, { repeat: true }).catch(() => {});
    }
    const open = unknown.filter(({ state }) => state === "open");
    return open.map((session) => Call.resume(this.#world, session, media));
  }

  /** After a reconnection, close the calls that the server has ended in the meantime. */
  async #check() {
    const calls = this.list.filter(({ path }) => path !== null);
    if (calls.length === 0) return;
    const listed = await this.#listOnServer().catch(() => null);
    const paths = listed && listed.map(({ path }) => path);
    const lost = calls.filter(({ path }) => paths && !paths.includes(path));
    this.#lose(lost, "end", null, "offline");
    for (const call of calls) this.#world.calls.get(call)?.wake();
  }

  #lose(calls, ...how) {
    for (const call of calls) this.#world.calls.get(call)?.lose(...how);
  }
}

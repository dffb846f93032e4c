/*
 * Audio and video calls for the browser client of protoo_flask, over the server's
 * session_handler. An ES module without dependencies; protoo-call.d.ts has the types,
 * docs/calls-browser.md the documentation.
 *
 * States of a Call. #enter() alone changes the state.
 *
 *   state       event                                                    next state
 *   ----------  -------------------------------------------------------  ----------
 *   connecting  a device rings (180)                                     progress
 *               a device has answered (2xx)                              open
 *               rejected; no microphone; network; hangUp()               closed
 *   progress    a device has answered (2xx)                              open
 *               rejected; network; hangUp()                              closed
 *   ringing     accept()                                                 answering
 *               reject(); hangUp(); `end`                                closed
 *   answering   the answer is made and sent                              open
 *               no microphone, an unusable offer                         ringing
 *               reject(); hangUp(); `end`                                closed
 *   open        hangUp(); `end`; the call is unknown to the others       closed
 *   closed      -
 *   (each)      the client is closed for good                            closed
 *
 * A page that was reloaded has a new RTCPeerConnection, with other keys, which cannot take the
 * place of the old one at the other side. So each pair of RTCPeerConnections has an id, which
 * all descriptions and candidates carry as `connection`. An offer that is `isNew` begins another
 * pair; what belongs to a pair that is over is dropped.
 */
import { Connection, refusal } from "./protoo-connection.mjs";

const NEXT_STATES = {
  connecting: ["progress", "open", "closed"],
  progress: ["open", "closed"],
  ringing: ["answering", "closed"],
  answering: ["ringing", "open", "closed"],
  open: ["closed"],
  closed: [],
};
const KINDS = ["audio", "video"];
const METHODS = ["icecandidate", "update", "hold", "unhold", "end"];
const RING_TIMEOUT = 130000; // longer than the server's PROTOO_SESSION_TIMEOUT, 120 s
const MAX_EARLY = 1000; // batches of candidates that wait in a ringing device

/** What went wrong, in a sentence for people. `cause` is what was thrown, if anything was. */
export class CallError extends Error {
  constructor(message, cause) {
    super(message);
    this.name = "CallError";
    if (cause !== undefined) this.cause = cause;
  }
}

const isSame = (one, other) => one.username === other.username && one.uuid === other.uuid;
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
function expectKind(kind) {
  if (!KINDS.includes(kind)) throw new TypeError(`kind must be "audio" or "video", got "${kind}"`);
}

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The CallError for what getUserMedia() or getDisplayMedia() threw. */
function mediaError(devices, cause) {
  const sentences = {
    NotAllowedError: `You have not allowed this page to use the ${devices}.`,
    SecurityError: `You have not allowed this page to use the ${devices}.`,
    NotFoundError: `No ${devices} was found.`,
    OverconstrainedError: `The ${devices} that was chosen is not there.`,
    NotReadableError: `The ${devices} does not work, or another program is using it.`,
    AbortError: `The ${devices} does not work, or another program is using it.`,
  };
  return new CallError(sentences[cause.name] || `The ${devices} cannot be used: ${cause}`, cause);
}

/** Listeners as those of Client: called in a microtask, in order; one that throws harms nobody. */
class Emitter {
  #listeners;

  constructor(events) {
    this.#listeners = new Map(events.map((event) => [event, new Set()]));
  }

  /** Call `fn` at every `event`. Returns a function that ends this. */
  on(event, fn) {
    if (!this.#listeners.has(event)) {
      const events = [...this.#listeners.keys()].join(", ");
      throw new TypeError(`event must be one of ${events}, got "${event}"`);
    }
    if (typeof fn !== "function") throw new TypeError(`listener must be a function, got ${fn}`);
    this.#listeners.get(event).add(fn);
    return () => this.off(event, fn);
  }

  /** Call `fn` at `event` no more. */
  off(event, fn) {
    this.#listeners.get(event)?.delete(fn);
  }

  emitTo(event, payload, ifUnheard = () => {}) {
    queueMicrotask(() => {
      const listeners = this.#listeners.get(event);
      if (listeners.size === 0) ifUnheard();
      for (const fn of [...listeners]) {
        if (!listeners.has(fn)) continue; // a listener before it called off()
        new Promise((resolve) => resolve(fn(payload))).catch((error) => {
          console.error(`protoo: "${event}" listener failed:`, error);
        });
      }
    });
  }
}

/** A call, made by Calls. */
export class Call extends Emitter {
  #world;
  #state;
  #path = null;
  #peer = null;
  #caller = null; // {username, uuid}, unless we certainly are the caller
  #req = null; // the `session` request, of an incoming call
  #dialing = new AbortController();
  #connection = null;
  #early = []; // data of `icecandidate` requests for a connection that is not there yet
  #devices = { audio: null, video: null }; // tracks
  #screen = null; // a track
  #muted = { audio: false, video: false };
  #isHeld = false;
  #remote = { held: false, muted: { audio: false, video: false }, screen: false };

  constructor(world, state) {
    super(["state", "track", "connection", "local", "remote", "error", "close"]);
    this.#world = world;
    this.#state = state;
    this.localStream = new world.MediaStream();
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
    call.#peer = caller.uuid === world.client.uuid ? callee : caller;
    call.#rejoin(media);
    return call;
  }

  /** "connecting", "progress", "ringing", "answering", "open" or "closed". */
  get state() {
    return this.#state;
  }

  /** The path of the call on the server; null before the server has given it one. */
  get path() {
    return this.#path;
  }

  /** {username, uuid} of the other side; null before a device has answered. */
  get peer() {
    return this.#peer;
  }

  /** The `info` that the caller has started an incoming call with, untrusted. */
  get info() {
    return this.#req?.data.info ?? {};
  }

  /** {audio, video} of an incoming call: what the caller wants to send. */
  get offered() {
    const kinds = this.#req?.data.media ?? [];
    return { audio: kinds.includes("audio"), video: kinds.includes("video") };
  }

  /** {held, muted: {audio, video}, screen} of this side. */
  get local() {
    return { held: this.#isHeld, muted: { ...this.#muted }, screen: this.#screen !== null };
  }

  /** {held, muted: {audio, video}, screen} as the other side says. */
  get remote() {
    return { ...this.#remote, muted: { ...this.#remote.muted } };
  }

  /** The RTCPeerConnection, if there is one; another one after a page was reloaded. */
  get peerConnection() {
    return this.#connection && this.#connection.pc;
  }

  /** Take an incoming call. Rejects with a CallError, and the call goes on ringing. */
  async accept(media = {}) {
    this.#expect("ringing");
    this.#enter("answering");
    try {
      await this.#open(media);
      const { connection, description } = this.#req.data;
      const answer = await this.#connect(connection).answer(description, true);
      this.#expect("answering");
      this.#req.reply(200, "OK", this.#sign({ description: answer }));
    } catch (error) {
      this.#release();
      if (this.#state === "answering") this.#enter("ringing");
      throw error instanceof CallError ? error : new CallError("The call is unusable.", error);
    }
    this.#enter("open");
  }

  /** Refuse an incoming call. From 600 on no other device of the user goes on ringing. */
  reject(status = 603, reason = "declined") {
    if (!["ringing", "answering"].includes(this.#state)) return;
    this.#req.reply(status, reason);
    this.#close("hangup", status, reason);
  }

  /** End the call, whatever its state. */
  hangUp(reason = "") {
    this.reject();
    if (this.#state === "closed") return;
    if (this.#path) this.#end(reason);
    else if (this.#world.client.state !== "open") this.#dialing.abort(); // it was not sent yet
    this.#close("hangup", null, reason); // else #dial() ends it as soon as its path is known
  }

  /** Send and take nothing, and tell the other side. */
  hold() {
    this.#setHeld(true);
  }

  unhold() {
    this.#setHeld(false);
  }

  /** Stop or go on sending sound ("audio") or the camera's picture ("video"). */
  setMuted(kind, isMuted) {
    expectKind(kind);
    this.#muted[kind] = isMuted;
    if (this.#devices[kind]) this.#devices[kind].enabled = !isMuted;
    this.#changed("update");
  }

  /** Use another microphone ("audio") or camera ("video"), or add one to the call. */
  async useDevice(kind, deviceId) {
    expectKind(kind);
    const device = deviceId === undefined ? true : { deviceId: { exact: deviceId } };
    const constraints = { audio: false, video: false, [kind]: device };
    try {
      await this.#open(constraints);
    } catch (error) {
      if (error.cause?.name !== "NotReadableError" || !this.#devices[kind]) throw error;
      this.#devices[kind].stop(); // phones have only one camera open at a time
      await this.#open(constraints);
    }
    await this.#publish();
  }

  /** Let the user choose a screen or window, and send it instead of the camera's picture. */
  async shareScreen(options = { video: true }) {
    const tracks = await this.#getTracks("screen", (it) => it.getDisplayMedia(options));
    const track = tracks.find(({ kind }) => kind === "video");
    for (const other of tracks) if (other !== track) other.stop(); // sound is the microphone's
    this.#screen?.stop();
    this.#screen = track;
    track.addEventListener("ended", () => track === this.#screen && this.stopSharing());
    await this.#publish();
    this.#changed("update");
  }

  /** Send the camera's picture again, if there is one. */
  async stopSharing() {
    if (!this.#screen) return;
    this.#screen.stop();
    this.#screen = null;
    await this.#publish();
    this.#changed("update");
  }

  // -- state --

  #enter(state) {
    const previous = this.#state;
    if (!NEXT_STATES[previous].includes(state)) throw new Error(`${previous} to ${state}`);
    this.#state = state;
    this.emitTo("state", { state, previous });
  }

  #expect(state) {
    if (this.#state === state) return;
    throw new CallError(this.#state === "closed" ? "The call is over." : `The call is not ${state}.`);
  }

  #close(cause, status, reason) {
    if (this.#state === "closed") return;
    this.#enter("closed");
    this.#world.calls.delete(this);
    // The server has withdrawn the request; for the client it is in progress until it is answered.
    if (this.#req && !this.#req.ended) this.#req.reply(487, "canceled");
    this.#release();
    this.emitTo("close", { cause, status, reason });
  }

  #release() {
    this.#connection?.close();
    this.#connection = null;
    for (const track of [...Object.values(this.#devices), this.#screen]) track?.stop();
    this.#devices = { audio: null, video: null };
    this.#screen = null;
    for (const stream of [this.localStream, this.remoteStream]) {
      for (const track of stream.getTracks()) stream.removeTrack(track);
    }
  }

  #report = (error) => {
    const isKnown = error instanceof CallError;
    const told = isKnown ? error : new CallError(`The call has a problem: ${error}`, error);
    this.emitTo("error", told, () => console.error("protoo:", told));
  };

  // -- beginning --

  async #dial(path, { info, timeout = RING_TIMEOUT, ...media }) {
    const onProvisional = ({ status, data: { sessionPath } }) => {
      if (sessionPath) this.#path = sessionPath;
      if (this.#state === "closed" && sessionPath) this.#end();
      else if (status >= 180 && this.#state === "connecting") this.#enter("progress");
      if (sessionPath) this.#connection?.flush();
    };
    try {
      await this.#open(media);
      const connection = this.#connect(randomId());
      const description = await connection.offer();
      const kinds = KINDS.filter((kind) => this.#devices[kind]);
      const told = this.#sign({ media: kinds, info, description });
      const options = { onProvisional, timeout, signal: this.#dialing.signal };
      const response = await this.#world.client.request("session", path, told, options);
      if (this.#state === "closed") return; // onProvisional has ended it
      this.#enter("open");
      await connection.takeAnswer(response.data.description);
      // The device that has answered may have begun to ring after the first ones were sent.
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
      await this.#open(media);
    } catch (error) {
      if (this.#state === "closed") return;
      this.#report(error); // but the other side can be heard
    }
    if (this.#connection) this.#publish(); // the other page was reloaded as well, and was first
    else this.#connect(randomId()).negotiate();
  }

  // -- media --

  /** Open devices. */
  async #open({ audio = true, video = false }) {
    const wanted = KINDS.filter((kind) => ({ audio, video })[kind]);
    if (wanted.length === 0) return;
    const names = { audio: "microphone", video: "camera" };
    const devices = wanted.map((kind) => names[kind]).join(" or the ");
    const tracks = await this.#getTracks(devices, (it) => it.getUserMedia({ audio, video }));
    for (const track of tracks) {
      const { kind } = track;
      this.#devices[kind]?.stop();
      this.#devices[kind] = track;
      track.enabled = !this.#muted[kind];
      track.addEventListener("ended", () => {
        if (this.#devices[kind] === track) this.#report(new CallError(`The ${names[kind]} has gone.`));
      });
    }
  }

  async #getTracks(devices, get) {
    this.#expect(this.#state === "closed" ? "open" : this.#state);
    const { mediaDevices } = this.#world;
    if (!mediaDevices) throw new CallError(`The ${devices} can be used on https: pages only.`);
    const stream = await get(mediaDevices).catch((cause) => {
      throw mediaError(devices, cause);
    });
    const tracks = stream.getTracks();
    if (this.#state !== "closed") return tracks;
    for (const track of tracks) track.stop(); // the user has thought about it for too long
    throw new CallError("The call is over.");
  }

  /** Send what there is now. */
  #publish() {
    const { localStream } = this;
    const work = KINDS.map((kind) => {
      const track = (kind === "video" && this.#screen) || this.#devices[kind];
      const isNew = track && !localStream.getTracks().includes(track);
      for (const old of localStream.getTracks()) {
        if (old.kind === kind && old !== track) localStream.removeTrack(old);
      }
      if (isNew) localStream.addTrack(track);
      if (isNew) this.emitTo("track", { track, stream: localStream });
      return this.#connection?.carry(kind, track, localStream);
    });
    return Promise.all(work);
  }

  #setHeld(isHeld) {
    if (this.#isHeld === isHeld) return;
    this.#isHeld = isHeld;
    this.#connection?.hold(isHeld);
    this.#changed(isHeld ? "hold" : "unhold");
  }

  #changed(method) {
    this.emitTo("local", this.local);
    // What is not told now, or is lost, is told by the next description.
    if (this.#state === "open") this.#request(method, {}).catch(() => {});
  }

  // -- negotiation --

  #sign(data) {
    return { connection: this.#connection?.id, status: this.local, ...data };
  }

  /** Have a new RTCPeerConnection with our tracks, instead of the one that there is. */
  #connect(id) {
    this.#connection?.close();
    for (const track of this.remoteStream.getTracks()) this.remoteStream.removeTrack(track);
    const { RTCPeerConnection, configuration } = this.#world;
    const connection = new Connection(id, {
      RTCPeerConnection,
      configuration,
      isHeld: this.#isHeld,
      isReachable: () => this.#path !== null,
      request: (method, data) => this.#request(method, { connection: id, ...data }),
      onError: this.#report,
      onState: (state) => this.emitTo("connection", { state }),
      onTrack: (track) => {
        this.remoteStream.addTrack(track);
        this.emitTo("track", { track, stream: this.remoteStream });
      },
    });
    this.#connection = connection;
    this.#publish();
    const early = this.#early.filter((data) => data.connection === id);
    connection.addCandidates(early.flatMap(({ candidates }) => candidates)).catch(() => {});
    return connection;
  }

  async #request(method, data) {
    const { client } = this.#world;
    try {
      return await client.request(method, this.#path, this.#sign(data));
    } catch (error) {
      // Before the answer it may be one of the ringing devices that says so.
      if (this.#state === "open" && error.status === 404 && !error.isLocal) {
        this.#end(); // perhaps only the page at the other side knows nothing of the call
        this.#close("end", 404, error.reason);
      }
      throw error;
    }
  }

  #end(reason = "") {
    const { client } = this.#world;
    client.request("end", this.#path, { reason }, { repeat: true }).catch(() => {});
  }

  /** The server has forgotten us in between, and rings once more. */
  #ringAgain(req) {
    if (!["ringing", "answering"].includes(this.#state)) return req.reply(482, "loop detected");
    this.#req = req;
    req.provisional(180, "ringing");
  }

  async #receive(req) {
    const { method, sender } = req;
    try {
      if (sender && this.#peer && !isSame(sender, this.#peer)) throw refusal(403, "not in the call");
      if (this.#state === "open") this.#peer ??= sender;
      const data = await this.#perform(req);
      if (!req.ended) req.reply(200, "OK", data);
      if (method === "end") this.#close("end", null, String(req.data.reason ?? ""));
    } catch (error) {
      req.reply(error.status ?? 400, error.message);
    }
  }

  async #perform({ method, data, sender }) {
    if (method === "hold" || method === "unhold") this.#take({ ...data.status, held: method === "hold" });
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
    this.emitTo("remote", this.remote);
  }

  #takeCandidates(data) {
    const { connection, candidates } = data;
    if (!Array.isArray(candidates)) throw refusal(400, "candidates must be a list");
    if (!this.#connection && this.#early.length < MAX_EARLY) this.#early.push(data);
    if (this.#connection?.id !== connection) return;
    this.#connection.addCandidates(candidates).catch(() => {});
  }

  #takeOffer({ connection: id, isNew, description }, sender) {
    if (this.#state !== "open") throw refusal(491, "the call is not open");
    const isPolite = this.#caller !== null && isSame(this.#caller, sender);
    let connection = this.#connection;
    if (connection?.id !== id) {
      // When both pages were reloaded, two new pairs collide: that of the caller remains.
      const isOver = !connection || connection.isPaired || isPolite;
      if (!isNew || !isOver) throw refusal(491, "another connection has begun");
      connection = this.#connect(id);
    }
    return connection.answer(description, isPolite);
  }
}

/** The calls of a client. */
export class Calls extends Emitter {
  #world;
  #mount;
  #resuming = null;
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
    const calls = new Map(); // Call -> what only this class may do to it
    this.#world = { client, calls, configuration, mediaDevices, ...Object.fromEntries(lent) };
    this.#mount = `${mount.replace(/\/$/, "")}/sessions`;
    this.#unlisten = [
      client.on("open", () => this.#check().catch(() => {})), // there will be another "open"
      client.on("close", ({ code, reason, willReconnect }) => {
        if (!willReconnect) this.#lose(this.list, "failed", 410, `${code} ${reason}`.trim());
      }),
    ];
  }

  /** The calls that are not over. */
  get list() {
    return [...this.#world.calls.keys()];
  }

  /** Call the user or device at `path`. */
  start(path, options = {}) {
    return Call.start(this.#world, path, options);
  }

  /** Take a request that belongs to a call, and answer it. Returns whether it did. */
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
    else if (this.#resuming) this.#resuming.then(() => this.handle(req));
    else req.reply(404, "no such call");
    return true;
  }

  /** Go on with the calls that this page was in before it was reloaded. */
  async resume(media = {}) {
    const listing = this.#listOnServer();
    const resuming = listing.then((listed) => this.#take(listed, media));
    const isOver = resuming.catch(() => {}).then(() => {
      if (this.#resuming === isOver) this.#resuming = null;
    });
    this.#resuming = isOver;
    return resuming;
  }

  /** Hang up all calls, and listen to the client no more. */
  close() {
    for (const call of this.list) call.hangUp();
    for (const unlisten of this.#unlisten) unlisten();
  }

  #ring(req) {
    const call = Call.incoming(this.#world, req);
    this.emitTo("call", call, () => call.reject(480, "nobody answers calls here"));
    // The listeners come first: who is busy does not ring.
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
      // One that this user has not answered rings again by itself. One that was not answered
      // to us cannot be: its offer is of the page that is gone.
      const isAbandoned = state !== "open" && caller.uuid === client.uuid;
      if (isAbandoned) client.request("end", path, {}, { repeat: true }).catch(() => {});
    }
    const open = unknown.filter(({ state }) => state === "open");
    return open.map((session) => Call.resume(this.#world, session, media));
  }

  /** After a reconnection: calls that the server has ended in between are over. */
  async #check() {
    const calls = this.list.filter(({ path }) => path !== null);
    if (calls.length === 0) return;
    for (const call of calls) this.#world.calls.get(call).wake();
    const paths = (await this.#listOnServer()).map(({ path }) => path);
    const lost = calls.filter(({ path }) => !paths.includes(path));
    this.#lose(lost, "end", null, "offline");
  }

  #lose(calls, ...how) {
    for (const call of calls) this.#world.calls.get(call)?.lose(...how);
  }
}

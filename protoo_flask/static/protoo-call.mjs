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
 *               the media are not connected in time; the other page
 *                 was left, and does not come back                       closed
 *   closed      -
 *   (each)      hangUp(); `end`; the client is closed for good           closed
 */
import { isPassing, readConfiguration, refusal, retryDelay } from "./protoo-connection.mjs";
import { CallError, Devices, expectMedia, KINDS, pickMedia } from "./protoo-devices.mjs";
import { Emitter } from "./protoo-emitter.mjs";
import { Link } from "./protoo-link.mjs";
import {
  canonicalPath, expect, expectOptions, isObject, isPath, isSame, isTime, MAX_TIMER, readReason,
  returnTime,
} from "./protoo-values.mjs";

export { CallError };

const NEXT_STATES = {
  connecting: ["progress", "open", "closed"],
  progress: ["open", "closed"],
  ringing: ["answering", "closed"],
  answering: ["ringing", "open", "closed"],
  open: ["closed"],
  closed: [],
};
const OPTIONS = [
  "mount", "iceServers", "rtcConfiguration", "setupTimeout", "leaveTimeout", "RTCPeerConnection",
  "MediaStream", "mediaDevices",
];
const START_OPTIONS = ["audio", "video", "required", "info", "timeout"];
const METHODS = ["icecandidate", "update", "hold", "unhold", "end"];
const RING_TIMEOUT = 130000; // longer than the server's PROTOO_SESSION_TIMEOUT, 120 s
const SETUP_TIMEOUT = 30000; // for each step from start() or accept() until the media flow
const LEAVE_TIMEOUT = 2000; // a reloaded page is back after that time
const MAX_RINGING = 50; // the server lets 8 calls ring at a device
const MAX_WAITING = 1000; // requests that wait while the page resumes its calls

// Steps of the setup, for messages
const OPENING = "The microphone or camera has not opened";
const OFFERING = "The offer of the call was not ready";
const ANSWERING = "The answer to the call was not ready";
const CONNECTING = "Sound and pictures did not get through to the other side";


/** A call. Only Calls creates it. */
export class Call extends Emitter {
  #world;
  #state;
  #path = null;
  #peer = null;
  #caller = null; // {username, uuid}; null if this page started the call
  #req = null; // the `session` request, of an incoming call
  #dialing = new AbortController();
  #link;
  #devices;
  #isHeld = false;
  #told = null; // the last status that the other side has confirmed, as JSON
  #remote = { held: false, muted: { audio: false, video: false }, screen: false };
  // The last value of `remote` that was emitted, as JSON
  #heard = JSON.stringify({ ...this.#remote, audio: false, video: false });
  #timers = { setup: null, tell: null, leave: null };

  constructor(world, state) {
    super(["state", "track", "connection", "local", "remote", "error", "close"]);
    this.#world = world;
    this.#state = state;
    this.#devices = new Devices(world, {
      onTrack: (kind, track) => this.#send(kind, track),
      onError: this.#report,
    });
    this.localStream = this.#devices.stream;
    this.#link = new Link(world, this.localStream, {
      request: (method, data) => this.#request(method, data),
      isReachable: () => this.#path !== null,
      onError: this.#report,
      onState: (state) => {
        if (state === "connected") this.#setTimer("setup");
        this.emit("connection", { state });
      },
      onTrack: (track) => this.emit("track", { track, stream: this.remoteStream }),
      onTracks: () => this.#emitRemote(),
    });
    this.remoteStream = this.#link.stream;
    world.calls.set(this, {
      receive: (req) => this.#receive(req),
      ringAgain: (req) => this.#ringAgain(req),
      wake: () => this.#wake(),
      leavePage: (isReload) => this.#leavePage(isReload),
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
    call.#hear(req.data.status);
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

  /**
   * {held, muted: {audio, video}, screen} of the other side, as it reports it; and {audio, video}:
   * whether it sends sound and a picture.
   */
  get remote() {
    const kinds = this.remoteStream.getTracks().map(({ kind }) => kind);
    const sent = Object.fromEntries(KINDS.map((kind) => [kind, kinds.includes(kind)]));
    return { ...this.#remote, muted: { ...this.#remote.muted }, ...sent };
  }

  /** The RTCPeerConnection, or null. A reload of either page replaces it. */
  get peerConnection() {
    return this.#link.connection && this.#link.connection.pc;
  }

  /** Accept an incoming call. Rejects with a CallError; the call then continues to ring. */
  async accept(media = {}) {
    expectMedia(media);
    this.#expectAlive();
    if (this.#state !== "ringing") throw new CallError("The call is not ringing.");
    this.#enter("answering");
    try {
      await this.#limit(this.#devices.open(media), OPENING);
      const { connection, description } = this.#req.data;
      const answering = this.#link.connect(connection).answer(description, true);
      const answer = await this.#limit(answering, ANSWERING);
      this.#expectAlive();
      this.#req.reply(200, "OK", this.#sign({ description: answer }));
    } catch (error) {
      this.#expectAlive();
      this.#release();
      this.#enter("ringing");
      throw error instanceof CallError ? error : new CallError("The call is unusable.", error);
    }
    this.#enter("open");
    this.#expectMedia();
  }

  /** Refuse an incoming call. A status of 600 or more also stops the user's other devices. */
  reject(status = 603, reason = "declined") {
    if (!["ringing", "answering"].includes(this.#state)) return;
    this.#req.reply(status, reason);
    this.#close("hangup", status, reason);
  }

  /** End the call in any state. */
  hangUp(reason = "") {
    this.#hangUp(readReason(reason)); // an event of the button must not keep the call alive
  }

  #hangUp(reason) {
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

  /**
   * Stop or continue sending sound ("audio") or the camera's picture ("video"). With `release` the
   * device is closed meanwhile. An "error" event tells if it cannot be opened again.
   */
  setMuted(kind, isMuted, { release = false } = {}) {
    const opening = this.#devices.setMuted(kind, isMuted, release);
    if (!opening) return this.#changed("update");
    const report = (error) => this.#state === "closed" || this.#report(error);
    opening.then(() => this.#changed("update"), report);
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

  /**
   * Show the media of the other side, or another stream, in an <audio> or <video>. Resolves with
   * false, after an "error" event, if the browser plays nothing before the user has clicked.
   */
  async play(element, stream = this.remoteStream) {
    const isElement = typeof element?.play === "function";
    expect(isElement, "element must be an <audio> or <video>", element);
    if (element.srcObject !== stream) element.srcObject = stream;
    try {
      await element.play();
      return true;
    } catch (error) {
      if (error.name !== "NotAllowedError") return true; // AbortError: other media came meanwhile
      this.#report(new CallError("The browser plays the call only after a click.", error));
      return false;
    }
  }

  // -- state --

  #setTimer(name, delay = Infinity, fn = null) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = fn && delay <= MAX_TIMER ? setTimeout(fn, delay) : null;
  }

  /** Wait for a step of the setup. Throws a CallError if it takes too long. */
  async #limit(step, text) {
    const { setupTimeout } = this.#world;
    const late = new Promise((_, reject) => {
      const error = new CallError(`${text} within ${setupTimeout / 1000} s.`);
      this.#setTimer("setup", setupTimeout, () => reject(error));
    });
    try {
      return await Promise.race([step, late]);
    } finally {
      if (this.#state !== "closed") this.#setTimer("setup");
    }
  }

  /** The last step of the setup: close the call if no media get through. */
  #expectMedia() {
    const { setupTimeout } = this.#world;
    if (this.peerConnection?.connectionState === "connected") return;
    this.#setTimer("setup", setupTimeout, () => {
      const error = new CallError(`${CONNECTING} within ${setupTimeout / 1000} s.`);
      this.#end("no media");
      this.#report(error);
      this.#close("failed", null, error.message);
    });
  }

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
    for (const name of Object.keys(this.#timers)) this.#setTimer(name);
    // The server has withdrawn the request. The client keeps it in progress until a final reply.
    if (this.#req && !this.#req.ended) this.#req.reply(487, "canceled");
    this.#release();
    this.emit("close", { cause, status, reason });
  }

  #release() {
    this.#link.close();
    this.#devices.stop();
  }

  #report = (error) => {
    const isKnown = error instanceof CallError;
    const told = isKnown ? error : new CallError(`The call has a problem: ${error}`, error);
    this.emit("error", told, () => console.error("protoo:", told));
  };

  // -- beginning --

  async #dial(path, { info, timeout = RING_TIMEOUT, ...media }) {
    let connection = null;
    const onProvisional = ({ status, data: { sessionPath } }) => {
      // The first provisional response is from the server and has the path. Later ones are written
      // by ringing devices, so their path does not count.
      this.#path ??= sessionPath ?? null;
      if (this.#state === "closed" && sessionPath) this.#end();
      else if (status >= 180 && this.#state === "connecting") this.#enter("progress");
      if (sessionPath) this.#link.connection?.flush();
    };
    try {
      await this.#limit(this.#devices.open(media), OPENING);
      connection = this.#link.connect();
      const { description } = await this.#limit(connection.offer(), OFFERING);
      const { kinds } = this.#devices;
      const told = this.#sign({ media: kinds, info, description });
      const options = { onProvisional, timeout, signal: this.#dialing.signal };
      const response = await this.#world.client.request("session", path, told, options);
      const isLost = this.#path === null;
      if (isLost) this.#path = await this.#world.findPath(path);
      if (this.#state === "closed") {
        if (isLost && this.#path) this.#end();
        return; // else onProvisional has ended it
      }
      this.#enter("open");
      this.#expectMedia();
      this.#told = JSON.stringify(told.status);
      this.#hear(response.data.status);
      await connection.takeAnswer(response.data.description);
      // The device that answered may have started to ring after the first candidates were sent.
      connection.flush(true);
      if (this.#told !== JSON.stringify(this.local)) this.#changed("update");
    } catch (error) {
      if (this.#state === "closed") return;
      if (this.#state === "open" && this.#link.connection !== connection) return; // a new pair
      if (this.#path && (this.#state === "open" || error.isLocal)) this.#end();
      const { status = null, isLocal = true, reason = error.message } = error;
      if (isLocal) this.#report(error);
      this.#close(isLocal ? "failed" : "rejected", status, reason);
    }
  }

  async #rejoin(media) {
    // The other side must know at once that this page is back. Its user may take long to allow
    // the devices.
    this.#tell();
    try {
      await this.#limit(this.#devices.open(media), OPENING);
    } catch (error) {
      if (this.#state === "closed") return;
      this.#report(error); // go on: the other side can still be heard
    }
    // If the other page was reloaded too and was faster, its offer has already made a connection.
    if (!this.#link.connection) this.#link.connect().negotiate();
  }

  // -- media --

  #send(kind, track) {
    if (track) this.emit("track", { track, stream: this.localStream });
    this.#link?.carry(kind, track);
  }

  #setHeld(isHeld) {
    if (this.#isHeld === isHeld) return;
    this.#isHeld = isHeld;
    this.#devices.hold(isHeld);
    this.#link.hold(isHeld);
    this.#changed(isHeld ? "hold" : "unhold");
  }

  #changed(method) {
    this.emit("local", this.local);
    if (this.#state === "open") this.#tell(method);
  }

  /** Tell the other side our status until it has confirmed it, and read its own in the answer. */
  async #tell(method = "update") {
    this.#setTimer("tell");
    try {
      await this.#request(method, {});
    } catch ({ status, isLocal }) {
      if (this.#state !== "open" || !isPassing({ status, isLocal })) return;
      if (this.#told === JSON.stringify(this.local)) return;
      this.#setTimer("tell", retryDelay(), () => this.#tell());
    }
  }

  /** Resume after the connection to the server is back. */
  #wake() {
    // Either side may have missed a change of the other.
    if (this.#state === "open") this.#tell();
    this.#link.connection?.wake();
  }

  /** The page is left. It may be reloaded, and then the call goes on. */
  #leavePage(isReload) {
    if (["connecting", "progress"].includes(this.#state)) this.hangUp();
    else if (this.#state === "open") {
      this.#request("update", { leaving: true, isReload }, { repeat: false }).catch(() => {});
    }
  }

  /** Expect the other page back, or hang up. It was closed, or is being reloaded. */
  #expectReturn(data) {
    const close = () => {
      this.#end("page closed");
      this.#close("end", null, "page closed");
    };
    this.#setTimer("leave", returnTime(this.#world.leaveTimeout, data), close);
  }

  // -- negotiation --

  #sign(data) {
    return { connection: this.#link.connection?.id, status: this.local, ...data };
  }

  async #request(method, data, options) {
    const { client } = this.#world;
    const signed = this.#sign(data);
    const status = JSON.stringify(signed.status);
    try {
      const response = await client.request(method, this.#path, signed, options);
      this.#told = status;
      this.#hear(response.data.status);
      return response;
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
      this.#setTimer("leave"); // the other page is there
      const data = await this.#perform(req);
      if (!req.ended) req.reply(200, "OK", data);
      if (method === "end") this.#close("end", null, readReason(req.data.reason));
    } catch (error) {
      if (!req.ended) req.reply(error.status ?? 400, error.message);
    }
  }

  async #perform({ method, data, sender }) {
    const isLeaving = method === "update" && data.leaving === true;
    if (isLeaving && this.#state === "open") this.#expectReturn(data);
    const isAboutHold = method === "hold" || method === "unhold";
    if (isAboutHold) this.#take({ ...data.status, held: method === "hold" });
    else if (data.status !== undefined) this.#take(data.status);
    if (method === "icecandidate") this.#link.takeCandidates(data);
    if (method === "update" && data.description !== undefined) {
      return this.#sign({ description: await this.#takeOffer(data, sender) });
    }
    return method === "update" || isAboutHold ? { status: this.local } : {};
  }

  #take(status) {
    if (!isObject(status)) throw refusal(400, "status must be an object");
    const { held, muted, screen } = { ...this.#remote, ...status };
    const kinds = Object.fromEntries(KINDS.map((kind) => [kind, muted?.[kind] === true]));
    const remote = { held: held === true, muted: kinds, screen: screen === true };
    this.#remote = remote;
    this.#emitRemote();
  }

  /** Take the status in an answer. One that is unreadable must not fail what was answered. */
  #hear(status) {
    if (isObject(status)) this.#take(status);
  }

  #emitRemote() {
    const { remote } = this;
    const heard = JSON.stringify(remote);
    if (heard === this.#heard) return;
    this.#heard = heard;
    if (this.#state !== "closed") this.emit("remote", remote);
  }

  #takeOffer(data, sender) {
    if (this.#state !== "open") throw refusal(491, "the call is not open");
    return this.#link.takeOffer(data, this.#caller !== null && isSame(this.#caller, sender));
  }
}

/** The calls of a client. */
export class Calls extends Emitter {
  #world;
  #mount;
  #resuming = null; // what requests of unknown calls wait for: resume(), or the path of a call
  #waiting = 0;
  #unlisten;

  constructor(client, options = {}) {
    super(["call"]);
    expectOptions(options, OPTIONS, "the options of Calls");
    const { mount = "/users", mediaDevices = globalThis.navigator?.mediaDevices } = options;
    const { setupTimeout = SETUP_TIMEOUT, leaveTimeout = LEAVE_TIMEOUT } = options;
    expect(isPath(mount), 'mount must start with "/"', mount);
    expect(isTime(setupTimeout), "setupTimeout must be milliseconds > 0", setupTimeout);
    expect(isTime(leaveTimeout), "leaveTimeout must be milliseconds > 0", leaveTimeout);
    const lent = ["RTCPeerConnection", "MediaStream"].map((name) => [
      name,
      options[name] ?? globalThis[name],
    ]);
    const classes = Object.fromEntries(lent);
    this.#world = {
      ...classes,
      ...readConfiguration(options, classes.RTCPeerConnection),
      client,
      mediaDevices,
      permissions: globalThis.navigator?.permissions,
      setupTimeout,
      leaveTimeout,
      calls: new Map(), // Call -> methods that only this class may use
      findPath: (dialed) => this.#holdRequests(this.#findPath(dialed)),
    };
    this.#mount = `${mount.replace(/\/+$/, "")}/sessions`;
    this.#unlisten = [
      client.on("open", () => this.#check()),
      client.on("close", ({ code, reason, willReconnect }) => {
        if (!willReconnect) this.#lose(this.list, "failed", 410, `${code} ${reason}`.trim());
      }),
      client.on("leave", ({ isReload }) => {
        for (const call of this.list) this.#world.calls.get(call)?.leavePage(isReload);
      }),
    ];
  }

  /** The calls that have not ended. */
  get list() {
    return [...this.#world.calls.keys()];
  }

  /** Call the user or device at `path`. */
  start(path, options = {}) {
    expect(isPath(path), 'path must start with "/"', path);
    expectOptions(options, START_OPTIONS, "the options of start()");
    expectMedia(pickMedia(options));
    const { info = {}, timeout = RING_TIMEOUT } = options;
    expect(isObject(info), "info must be an object", info);
    expect(isTime(timeout), "timeout must be milliseconds > 0", timeout);
    return Call.start(this.#world, path, options);
  }

  /** Handle and answer a request if it belongs to a call. Returns whether it does. */
  handle(req) {
    const { method, data, sender } = req;
    const { sessionPath: path } = data;
    if (typeof path !== "string") return false;
    // The server writes the path of a call, with the mount as the caller has spelt it.
    const known = this.list.find((call) => call.path === path);
    if (!known && !this.#isOfCalls(path)) return false;
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
    expectMedia(media);
    const listing = this.#listOnServer();
    return this.#holdRequests(listing.then((listed) => this.#take(listed, media)));
  }

  /** Hang up all calls, and stop listening to the client. */
  close() {
    for (const call of this.list) call.hangUp();
    for (const unlisten of this.#unlisten) unlisten();
  }

  #isOfCalls(path) {
    const [mount, id] = [canonicalPath(this.#mount), canonicalPath(path)];
    return id.startsWith(`${mount}/`) && !id.slice(mount.length + 1).includes("/");
  }

  /** Have requests of unknown calls wait for a promise, and return it. */
  #holdRequests(promise) {
    const isOver = promise.catch(() => {}).then(() => {
      if (this.#resuming === isOver) this.#resuming = null;
    });
    this.#resuming = isOver;
    return promise;
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

  /**
   * Ask for the path of an accepted call: a connection that broke took the response with it, and
   * a request that is not repeated gets it once. Resolves with null if it is not certain which call
   * it is.
   */
  async #findPath(dialed) {
    const { client } = this.#world;
    const listed = await this.#listOnServer().catch(() => []);
    const mount = this.#mount.slice(0, -"/sessions".length);
    const isDialed = ({ username, uuid }) => {
      const names = [[username], [username, uuid]].map((it) => it.map(encodeURIComponent));
      const paths = names.map((it) => canonicalPath([mount, ...it].join("/")));
      return paths.includes(canonicalPath(dialed));
    };
    const found = listed.filter(({ path, state, caller, callee }) => (
      state === "open" && caller.uuid === client.uuid && isDialed(callee)
      && !this.list.some((call) => call.path === path)
    ));
    return found.length === 1 ? found[0].path : null;
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

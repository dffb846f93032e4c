/*
 * Fakes of the browser interfaces that calls use. The RTCPeerConnection has the signaling states
 * and the flag "negotiation needed" of W3C WebRTC, 4.3 and 4.7.3. It has no network: the test
 * decides when candidates and ICE states come. What it refuses, and with which error, is what
 * Chromium 156 refuses: tests/browser/test_strict_fakes.py compares the two.
 */

export class FakeTrack extends EventTarget {
  enabled = true;
  readyState = "live";

  constructor(kind, settings = {}) {
    super();
    this.kind = kind;
    this.getSettings = () => ({ ...settings });
  }

  stop() {
    this.readyState = "ended";
  }

  /** The user unplugs the device, or stops sharing the screen. */
  ends() {
    this.readyState = "ended";
    this.dispatchEvent(new Event("ended"));
  }
}

export class FakeMediaStream {
  #tracks = new Set();
  getTracks = () => [...this.#tracks];
  addTrack = (track) => void this.#tracks.add(track);
  removeTrack = (track) => void this.#tracks.delete(track);
}

const DEVICES = {
  audio: ["default microphone", "headset"],
  video: ["default camera", "back"],
};

/**
 * Available devices, by their ids in `devices`. A test may set `fail` to a DOMException to throw,
 * `wait` to a promise to wait for, and `isPhone` to true: a phone opens only one camera at a time.
 */
export class FakeMediaDevices {
  tracks = [];
  asked = [];
  fail = null;
  wait = null;
  isPhone = false;
  devices = structuredClone(DEVICES);

  getUserMedia = async ({ audio, video }) => {
    const kinds = [audio && "audio", video && "video"].filter(Boolean);
    if (kinds.length === 0) throw new TypeError("At least one of audio and video must be requested");
    return this.#give({ audio, video }, kinds, (kind) => this.#choose(kind, { audio, video }[kind]));
  };

  getDisplayMedia = (options) => this.#give({ screen: options }, ["audio", "video"], () => "screen");

  #choose(kind, constraints) {
    const ids = this.devices[kind];
    if (ids.length === 0) throw new DOMException("Requested device not found", "NotFoundError");
    const { deviceId } = constraints;
    const exact = deviceId?.exact;
    if (exact === undefined) return ids.includes(deviceId) ? deviceId : ids[0];
    if (!ids.includes(exact)) throw new DOMException("", "OverconstrainedError");
    return exact;
  }

  async #give(asked, kinds, choose) {
    this.asked.push(asked);
    await this.wait;
    if (this.fail) throw this.fail;
    if (this.isPhone && this.open()) throw new DOMException("in use", "NotReadableError");
    const stream = new FakeMediaStream();
    const chosen = kinds.map((kind) => new FakeTrack(kind, { deviceId: choose(kind) }));
    for (const track of chosen) {
      this.tracks.push(track);
      stream.addTrack(track);
    }
    return stream;
  }

  open = () => this.tracks.filter(({ readyState }) => readyState === "live").length;
}

const invalidState = (message) => new DOMException(message, "InvalidStateError");
const ENUMS = {
  bundlePolicy: ["balanced", "max-bundle", "max-compat"],
  iceTransportPolicy: ["all", "relay"],
  rtcpMuxPolicy: ["require"],
};
const DEFAULTS = {
  bundlePolicy: "balanced",
  certificates: [],
  iceCandidatePoolSize: 0,
  iceServers: [],
  iceTransportPolicy: "all",
  rtcpMuxPolicy: "require",
};
const FIXED = ["bundlePolicy", "certificates", "rtcpMuxPolicy"]; // only the constructor takes them

/** Read an RTCConfiguration as Chromium does. */
function readConfiguration(configuration) {
  const given = Object.entries(configuration ?? {}).filter(([, value]) => value !== undefined);
  const read = { ...DEFAULTS, ...Object.fromEntries(given) };
  for (const [name, values] of Object.entries(ENUMS)) {
    if (!values.includes(read[name])) throw new TypeError(`not a valid enum value: ${read[name]}`);
  }
  if (typeof read.iceServers?.[Symbol.iterator] !== "function") {
    throw new TypeError("iceServers: the object must have a callable @@iterator property");
  }
  for (const { urls, username, credential } of read.iceServers) {
    for (const url of [urls].flat()) {
      if (!/^(stuns?|turns?):[^/]/.test(url)) throw new DOMException(`${url}`, "SyntaxError");
      const isTurn = url.startsWith("turn");
      if (isTurn && !(username && credential)) throw new DOMException(url, "InvalidAccessError");
    }
  }
  return read;
}

const sends = (direction) => ["sendrecv", "sendonly"].includes(direction);
const receives = (direction) => ["sendrecv", "recvonly"].includes(direction);
const combine = (doesSend, doesReceive) => {
  if (doesSend) return doesReceive ? "sendrecv" : "sendonly";
  return doesReceive ? "recvonly" : "inactive";
};

/**
 * A class, and its instances in `made`. A test may set `wait` to a promise: operations on
 * descriptions then take until the promise is settled.
 */
export function fakePeerConnections() {
  const lent = { made: [], wait: null };
  const { made } = lent;
  lent.RTCPeerConnection = class extends FakePeerConnection {
    constructor(configuration) {
      super(configuration, `pc${made.length + 1}`, () => lent.wait);
      made.push(this);
    }
  };
  return lent;
}

class FakePeerConnection {
  signalingState = "stable";
  localDescription = null;
  remoteDescription = null;
  iceConnectionState = "new";
  connectionState = "new";
  configurations = [];
  candidates = [];
  restarts = 0;
  #transceivers = [];
  #isNeeded = false;
  #count = 0;
  #wait;
  #configuration;

  constructor(configuration, name, wait) {
    this.#configuration = readConfiguration(configuration);
    this.name = name;
    this.#wait = wait;
  }

  /**
   * Take time. An operation never settles if the connection is closed in the meantime (W3C WebRTC,
   * "chain an asynchronous operation").
   */
  async #takeTime() {
    await this.#wait();
    if (this.signalingState === "closed") await new Promise(() => {});
  }

  getConfiguration = () => ({ ...this.#configuration });

  setConfiguration(configuration) {
    this.#expectOpen();
    const read = readConfiguration(configuration);
    const before = this.#configuration;
    const fixed = [...FIXED, ...(this.localDescription ? ["iceCandidatePoolSize"] : [])];
    for (const name of fixed) {
      const isSame =
        name === "certificates"
          ? read[name].length === before[name].length &&
            read[name].every((it, i) => it === before[name][i])
          : read[name] === before[name];
      if (!isSame) throw new DOMException(name, "InvalidModificationError");
    }
    this.#configuration = read;
    this.configurations.push(configuration);
  }

  #expectOpen() {
    if (this.signalingState === "closed") throw invalidState("The signalingState is 'closed'.");
  }

  getTransceivers = () => [...this.#transceivers];

  addTrack(track) {
    this.#expectOpen();
    const transceivers = this.#transceivers;
    if (transceivers.some(({ sender }) => sender.track === track)) {
      throw new DOMException("A sender already exists for the track.", "InvalidAccessError");
    }
    const free = transceivers.find(
      ({ sender, receiver, wasSending }) =>
        !sender.track && !wasSending && receiver.track.kind === track.kind,
    );
    if (!free) return this.#add(track.kind, "sendrecv", track);
    free.sender.track = track;
    free.direction = combine(true, receives(free.direction));
  }

  addTransceiver(kind, { direction = "sendrecv" } = {}) {
    if (!["audio", "video"].includes(kind)) throw new TypeError(`not a kind: ${kind}`);
    this.#expectOpen();
    this.#add(kind, direction, null);
  }

  #add(kind, initial, track) {
    let direction = initial;
    const isClosed = () => this.signalingState === "closed";
    const sender = {
      track,
      replaceTrack: async (other) => {
        if (isClosed()) throw invalidState("The peer connection is closed.");
        if (other && other.kind !== kind) throw new TypeError("Track kind does not match");
        sender.track = other;
      },
    };
    const need = () => this.#need();
    const transceiver = {
      sender,
      receiver: { track: new FakeTrack(kind) },
      currentDirection: null,
      wasSending: false,
      get direction() {
        return isClosed() ? "stopped" : direction;
      },
      set direction(value) {
        if (isClosed()) throw invalidState("The peer connection is closed.");
        if (direction !== value) need();
        direction = value;
      },
    };
    this.#transceivers.push(transceiver);
    this.#need();
    return transceiver;
  }

  restartIce() {
    if (this.signalingState === "closed") return;
    this.restarts += 1;
    this.#need();
  }

  #need() {
    this.#isNeeded = true;
    queueMicrotask(() => this.#fire());
  }

  #fire() {
    if (!this.#isNeeded || this.signalingState !== "stable") return;
    this.#isNeeded = false;
    this.onnegotiationneeded?.({});
  }

  async setLocalDescription() {
    if (this.signalingState === "closed") throw invalidState("closed");
    const type = this.signalingState === "have-remote-offer" ? "answer" : "offer";
    const sdp = `${type} ${(this.#count += 1)} of ${this.name}`;
    await this.#takeTime();
    if (type === "answer") this.#direct(this.remoteDescription.media);
    this.localDescription = { type, sdp, toJSON: () => ({ type, sdp }) };
    this.#becomes(type === "offer" ? "have-local-offer" : "stable");
  }

  /**
   * `kinds` are the media in the description that need a transceiver on our side. `media` has the
   * directions that the other side gives, by kind; without it the other side sends nothing.
   */
  async setRemoteDescription(description) {
    if (arguments.length === 0) throw new TypeError("1 argument required, but only 0 present.");
    const { type = "", sdp, kinds = [], media = {} } = description ?? {};
    if (description && !["offer", "answer", "pranswer", "rollback"].includes(type)) {
      throw new TypeError(`not a valid enum value of type RTCSdpType: ${type}`);
    }
    this.#expectOpen();
    if (typeof sdp !== "string" || sdp === "") {
      throw new DOMException("Failed to parse SessionDescription.", "OperationError");
    }
    if (type === "answer" && this.signalingState !== "have-local-offer") {
      throw invalidState(`Failed to set remote answer: Called in wrong state`);
    }
    await this.#takeTime();
    if (type === "offer" && this.signalingState === "have-local-offer") this.#isNeeded = true;
    this.remoteDescription = { type, sdp, ...(Object.keys(media).length > 0 && { media }) };
    for (const kind of kinds) this.#add(kind, "recvonly", null);
    for (const transceiver of this.#transceivers) {
      const { kind } = transceiver.receiver.track;
      const isHeard = receives(transceiver.currentDirection ?? "inactive");
      if (sends(media[kind]) && !isHeard && receives(transceiver.direction)) {
        this.ontrack?.({ track: transceiver.receiver.track, transceiver });
      }
    }
    if (type === "answer") this.#direct(media);
    this.#becomes(type === "offer" ? "have-remote-offer" : "stable");
  }

  /** The negotiation of the directions is over. */
  #direct(media = {}) {
    for (const transceiver of this.#transceivers) {
      const theirs = media[transceiver.receiver.track.kind] ?? "recvonly";
      const ours = transceiver.direction;
      const current = combine(sends(ours) && receives(theirs), receives(ours) && sends(theirs));
      transceiver.currentDirection = current;
      transceiver.wasSending ||= sends(current);
    }
  }

  #becomes(state) {
    this.signalingState = state;
    queueMicrotask(() => this.#fire());
  }

  async addIceCandidate(candidate) {
    const { sdpMid = null, sdpMLineIndex = null } = candidate ?? {};
    if (candidate?.candidate && sdpMid === null && sdpMLineIndex === null) {
      throw new TypeError("Candidate missing values for both sdpMid and sdpMLineIndex");
    }
    this.#expectOpen();
    if (!this.remoteDescription) throw invalidState("The remote description was null");
    if (candidate.fails) throw new DOMException("of another offer", "OperationError");
    this.candidates.push(candidate.candidate);
  }

  close() {
    this.signalingState = "closed";
  }

  // Events caused by the test:

  finds(candidate) {
    const init = { candidate, sdpMid: "0", sdpMLineIndex: 0 };
    this.onicecandidate({ candidate: { ...init, toJSON: () => init } });
  }

  iceIs(state) {
    this.iceConnectionState = state;
    this.oniceconnectionstatechange({});
  }

  /** The state of the transports changes. */
  is(state) {
    this.connectionState = state;
    this.onconnectionstatechange?.({});
  }

  receives(track) {
    const transceiver = this.#add(track.kind, "recvonly", null);
    Object.assign(transceiver, { receiver: { track }, currentDirection: "recvonly" });
    this.ontrack({ track, transceiver });
  }
}

/*
 * Fakes of the browser interfaces that calls use. The RTCPeerConnection has the signaling states
 * and the flag "negotiation needed" of W3C WebRTC, 4.3 and 4.7.3. It has no network: the test
 * decides when candidates and ICE states come.
 */

export class FakeTrack extends EventTarget {
  enabled = true;
  readyState = "live";

  constructor(kind) {
    super();
    this.kind = kind;
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
  addTrack = (track) => this.#tracks.add(track);
  removeTrack = (track) => this.#tracks.delete(track);
}

/**
 * Available devices. A test may set `fail` to a DOMException to throw, `wait` to a promise to wait
 * for, and `isPhone` to true: a phone opens only one camera at a time.
 */
export class FakeMediaDevices {
  tracks = [];
  asked = [];
  fail = null;
  wait = null;
  isPhone = false;

  getUserMedia = ({ audio, video }) =>
    this.#give({ audio, video }, [audio && "audio", video && "video"]);

  getDisplayMedia = (options) => this.#give({ screen: options }, ["audio", "video"]);

  async #give(asked, kinds) {
    this.asked.push(asked);
    await this.wait;
    if (this.fail) throw this.fail;
    if (this.isPhone && this.open()) throw new DOMException("in use", "NotReadableError");
    const stream = new FakeMediaStream();
    for (const kind of kinds.filter(Boolean)) {
      const track = new FakeTrack(kind);
      this.tracks.push(track);
      stream.addTrack(track);
    }
    return stream;
  }

  open = () => this.tracks.filter(({ readyState }) => readyState === "live").length;
}

const invalidState = (message) => new DOMException(message, "InvalidStateError");

/**
 * A class, and its instances in `made`. A test may set `wait` to a promise: operations on
 * descriptions then take until the promise is settled.
 */
export function fakePeerConnections() {
  const lent = { made: [], wait: null };
  const { made } = lent;
  lent.RTCPeerConnection = class extends FakePeerConnection {
    constructor() {
      super(`pc${made.length + 1}`, () => lent.wait);
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

  constructor(name, wait) {
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

  setConfiguration(configuration) {
    this.configurations.push(configuration);
  }

  getTransceivers = () => [...this.#transceivers];

  addTrack = (track) => this.#add(track.kind, "sendrecv", track);

  addTransceiver = (kind, { direction }) => this.#add(kind, direction, null);

  #add(kind, initial, track) {
    let direction = initial;
    const sender = { track, replaceTrack: async (other) => Object.assign(sender, { track: other }) };
    const need = () => this.#need();
    this.#transceivers.push({
      sender,
      receiver: { track: new FakeTrack(kind) },
      get direction() {
        return direction;
      },
      set direction(value) {
        if (direction !== value) need();
        direction = value;
      },
    });
    this.#need();
  }

  restartIce() {
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
    this.localDescription = { type, sdp, toJSON: () => ({ type, sdp }) };
    this.#becomes(type === "offer" ? "have-local-offer" : "stable");
  }

  /** `kinds` are the media in the description that need a transceiver on our side. */
  async setRemoteDescription({ type, sdp, kinds = [] }) {
    if (this.signalingState === "closed") throw invalidState("closed");
    if (type !== "offer" && type !== "answer") throw new TypeError(`not a type: ${type}`);
    if (type === "answer" && this.signalingState !== "have-local-offer") {
      throw invalidState(`an answer in ${this.signalingState}`);
    }
    await this.#takeTime();
    if (type === "offer" && this.signalingState === "have-local-offer") this.#isNeeded = true;
    this.remoteDescription = { type, sdp };
    for (const kind of kinds) this.#add(kind, "recvonly", null);
    this.#becomes(type === "offer" ? "have-remote-offer" : "stable");
  }

  #becomes(state) {
    this.signalingState = state;
    queueMicrotask(() => this.#fire());
  }

  async addIceCandidate(candidate) {
    if (!this.remoteDescription) throw invalidState("no remote description");
    if (candidate.fails) throw new DOMException("of another offer", "OperationError");
    this.candidates.push(candidate.candidate);
  }

  close() {
    this.signalingState = "closed";
  }

  // Events caused by the test:

  finds(candidate) {
    this.onicecandidate({ candidate: { toJSON: () => ({ candidate }) } });
  }

  iceIs(state) {
    this.iceConnectionState = state;
    this.oniceconnectionstatechange({});
  }

  receives(track) {
    this.ontrack({ track });
  }
}

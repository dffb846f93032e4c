/*
 * An RTCPeerConnection, and its negotiation with the RTCPeerConnection of the other side. Used by
 * protoo-link.mjs.
 *
 * This is "perfect negotiation" (W3C WebRTC, section 10.7): either side may send an offer at any
 * time. An offer is an `update` request, and its response has the answer. When two offers collide,
 * the impolite side refuses the other offer with 491, and the polite side rolls its own offer back.
 *
 *   signaling state    offer of the other side          answer to our latest offer
 *   -----------------  -------------------------------  --------------------------
 *   stable             answered                         ignored
 *   have-local-offer   polite: ours is rolled back,     used
 *                      theirs is answered
 *                      impolite: refused, 491
 *   (have-remote-offer lasts only within #serial)
 */
import { CallError } from "./protoo-devices.mjs";
import { expect, isObject } from "./protoo-values.mjs";

// Limits for what the other side sends while it waits here. Its pages are not trusted.
export const MAX_EARLY = 1000; // candidates; a browser has a few dozen
const MAX_CANDIDATE = 1000; // characters of JSON; a browser needs about 250
const MAX_OFFERS = 10; // an honest page waits for the answer to its offer
const CANDIDATE_DELAY = 100; // candidates come in bursts: one request for each burst
// ICE is often "disconnected" for a moment and recovers by itself (W3C WebRTC, 5.6.3).
const RESTART_AFTER = 3000;
const SERVERS_TIMEOUT = 10000; // for the function that returns the ICE servers
const RETRY_AFTER = 2100; // plus a random time of up to 1.9 s, as after a 491 (RFC 3261, 14.1)
const RETRY_SPREAD = 1900;

/** A random time after which a request that was refused or lost is sent again, in ms. */
export const retryDelay = () => RETRY_AFTER + Math.random() * RETRY_SPREAD;

// The other page has not seen a request that got one of these, or a local error.
const PASSING_STATUSES = [408, 410, 480, 491, 503, 504];

/** Whether a request with this error may succeed later. */
export const isPassing = ({ status, isLocal }) => isLocal || PASSING_STATUSES.includes(status);

/** The candidates of a list from the other side that are not too long. */
export const readCandidates = (candidates) =>
  candidates.filter((candidate) => JSON.stringify(candidate).length <= MAX_CANDIDATE);

/** Make the error that refuses a request of the other side with this status. */
export const refusal = (status, reason) => Object.assign(new Error(reason), { status, reason });

/** Check the options about RTCPeerConnections; returns what MediaConnection needs of them. */
export function readConfiguration({ iceServers, rtcConfiguration = {} }, RTCPeerConnection) {
  const isSource = iceServers === undefined || typeof iceServers === "function";
  const isRight = isSource || Array.isArray(iceServers);
  expect(isRight, "iceServers must be a list, or a function that returns one", iceServers);
  expect(isObject(rtcConfiguration), "rtcConfiguration must be an object", rtcConfiguration);
  const { iceServers: fixed = [], ...rest } = rtcConfiguration;
  // A wrong member is told now, and not at the first call.
  if (Object.keys(rest).length > 0 && RTCPeerConnection) new RTCPeerConnection(rest).close();
  const read = async () => {
    const servers = typeof iceServers === "function" ? await iceServers() : (iceServers ?? fixed);
    expect(Array.isArray(servers), "iceServers must be a list of RTCIceServer", servers);
    return servers;
  };
  return { rtcConfiguration: rest, iceServers: read };
}

/**
 * One RTCPeerConnection and its negotiation with the RTCPeerConnection of the other side.
 *
 * Operations run one after the other (#serial). So each operation starts in a settled signaling
 * state, and no flags have to track unfinished operations. The other members of the second
 * argument connect this class to its owner: `isReachable()`, `request(method, data)`,
 * `onTrack(track)`, `onNegotiated()`, `onState(state)`, `onError(error)`, `iceServers()`.
 */
export class MediaConnection {
  #pc;
  #link;
  #isHeld;
  #isClosed = false;
  #chain = Promise.resolve();
  #turn = 0; // counts our offers; only the answer to the latest one is used
  #early = []; // candidates of the other side that arrived before its description
  #waiting = 0; // how many of its candidates are in #early or in an operation of #serial
  #offers = 0; // how many of its offers are in an operation of #serial
  #candidates = []; // our own candidates
  #sent = 0; // how many of our candidates were sent
  #timers = { flush: null, restart: null, retry: null, servers: null };
  #servers = null; // a promise, while they are fetched
  #over = null; // a promise that is rejected when this connection is closed
  #end;

  constructor(id, { RTCPeerConnection, isHeld, ...link }) {
    this.id = id;
    this.#link = link;
    this.#isHeld = isHeld;
    this.#over = new Promise((_, reject) => {
      this.#end = () => reject(refusal(491, "this connection is over"));
    });
    this.#over.catch(() => {});
    // setConfiguration() refuses a bundlePolicy, certificates and others that the constructor has
    // not got (W3C WebRTC, 4.4.1.6). And should there be no ICE servers, the rest still holds.
    const pc = new RTCPeerConnection(link.rtcConfiguration);
    this.#pc = pc;
    pc.onicecandidate = ({ candidate }) => candidate && this.#collect(candidate.toJSON());
    pc.oniceconnectionstatechange = () => this.#watch(pc.iceConnectionState);
    pc.onconnectionstatechange = () => link.onState(pc.connectionState);
    pc.ontrack = ({ track }) => link.onTrack(track);
    // The first offer is made by the Call, not by this event.
    pc.onnegotiationneeded = () => pc.remoteDescription && this.negotiate();
    this.#serial(() => this.#configure()).catch(this.#report);
  }

  get pc() {
    return this.#pc;
  }

  /** Whether a description of the other side has arrived, so that the pair is complete. */
  get isPaired() {
    return this.#pc.remoteDescription !== null;
  }

  /** The tracks that the other side sends, as it was negotiated last. */
  get receivedTracks() {
    const isReceived = ({ currentDirection: it }) => it === "sendrecv" || it === "recvonly";
    return this.#pc.getTransceivers().filter(isReceived).map(({ receiver }) => receiver.track);
  }

  /** Make an offer, {description, turn}, without sending it. */
  offer() {
    const pc = this.#pc;
    // An offer without any media would not connect.
    if (pc.getTransceivers().length === 0) pc.addTransceiver("audio", { direction: "recvonly" });
    return this.#serial(async () => {
      this.#turn += 1;
      return { turn: this.#turn, description: await this.#describe() };
    });
  }

  /** Make and send offers until the other side answers or makes an offer itself. */
  async negotiate() {
    this.#setTimer("retry");
    let offer;
    try {
      offer = await this.offer();
      const { description, turn } = offer;
      if (this.#isClosed) return;
      const isNew = !this.isPaired;
      const { data } = await this.#link.request("update", { isNew, description });
      await this.takeAnswer(data.description, turn);
    } catch (error) {
      if (this.#isClosed || (offer && offer.turn !== this.#turn)) return;
      if (error.status === undefined) return this.#link.onError(error);
      // The other side has made an offer too, which arrives before the delay ends. Or it is away.
      // Setting the local description again replaces our offer.
      this.#setTimer("retry", retryDelay(), () => this.negotiate());
    }
  }

  /** Use the answer to our latest offer. */
  takeAnswer(description, turn = this.#turn) {
    return this.#serial(async () => {
      if (turn !== this.#turn || this.#pc.signalingState !== "have-local-offer") return;
      await this.#pc.setRemoteDescription(description);
      this.#link.onNegotiated();
      await this.#addEarly();
    });
  }

  /** Accept an offer and make the answer. Throws an error with status 491 if offers collide. */
  async answer(description, isPolite) {
    if (this.#offers >= MAX_OFFERS) throw refusal(491, "too many offers at a time");
    this.#offers += 1;
    try {
      return await this.#answer(description, isPolite);
    } finally {
      this.#offers -= 1;
    }
  }

  #answer(description, isPolite) {
    return this.#serial(async () => {
      if (this.#pc.signalingState !== "stable" && !isPolite) throw refusal(491, "offers collided");
      this.#setTimer("retry");
      await this.#pc.setRemoteDescription(description); // rolls back an offer of our own
      await this.#addEarly();
      this.#direct();
      const answer = await this.#describe();
      this.#link.onNegotiated();
      return answer;
    });
  }

  /** Add candidates of the other side. */
  addCandidates(candidates) {
    const taken = readCandidates(candidates).slice(0, MAX_EARLY - this.#waiting);
    if (taken.length === 0) return Promise.resolve();
    this.#waiting += taken.length;
    return this.#serial(async () => {
      this.#early.push(...taken);
      if (this.isPaired) await this.#addEarly();
    });
  }

  /** Send `track`, or no track of this kind. The first track of a kind needs a negotiation. */
  async carry(kind, track, stream) {
    const transceiver = this.#pc
      .getTransceivers()
      .find(({ receiver, direction }) => receiver.track.kind === kind && direction !== "stopped");
    if (transceiver) {
      // It fails if the connection is closed meanwhile, which then needs no track.
      await transceiver.sender.replaceTrack(track).catch((error) => {
        if (!this.#isClosed) throw error;
      });
    } else if (track) this.#pc.addTrack(track, stream);
    if (!this.#isClosed) this.#direct();
  }

  hold(isHeld) {
    this.#isHeld = isHeld;
    this.#direct();
  }

  /** Send the candidates that were not sent yet, or all of them. */
  async flush(all = false) {
    this.#setTimer("flush");
    const start = all ? 0 : this.#sent;
    const candidates = this.#candidates.slice(start);
    if (candidates.length === 0 || !this.#link.isReachable()) return;
    this.#sent = this.#candidates.length;
    try {
      await this.#link.request("icecandidate", { candidates });
    } catch {
      this.#sent = Math.min(this.#sent, start); // the next flush sends these candidates again
    }
  }

  /** Resume after the connection to the server is back. */
  wake() {
    this.flush();
    const { iceConnectionState } = this.#pc;
    if (["disconnected", "failed"].includes(iceConnectionState)) this.#restart();
    else if (this.#timers.retry) this.negotiate();
  }

  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#end();
    for (const name of Object.keys(this.#timers)) this.#setTimer(name);
    const pc = this.#pc;
    pc.onicecandidate = pc.oniceconnectionstatechange = pc.onconnectionstatechange = null;
    pc.ontrack = pc.onnegotiationneeded = null;
    pc.close();
  }

  #serial(work) {
    const done = this.#chain.then(() => {
      if (this.#isClosed) throw refusal(491, "this connection is over");
      // Operations of a closed RTCPeerConnection never settle (W3C WebRTC, "chain").
      return Promise.race([work(), this.#over]);
    });
    this.#chain = done.catch(() => {});
    return done;
  }

  #setTimer(name, delay, fn) {
    clearTimeout(this.#timers[name]);
    const fire = () => {
      this.#timers[name] = null;
      fn();
    };
    this.#timers[name] = fn ? setTimeout(fire, delay) : null;
  }

  /** Use fresh ICE servers. Throws an error; the connection may work without them. */
  async #configure(servers = this.#fetchServers()) {
    const iceServers = await servers;
    if (!this.#isClosed) this.#pc.setConfiguration({ ...this.#link.rtcConfiguration, iceServers });
  }

  #fetchServers() {
    if (this.#servers) return this.#servers;
    const fetching = new Promise((resolve, reject) => {
      const reason = `The list of ICE servers has not come within ${SERVERS_TIMEOUT / 1000} s.`;
      this.#setTimer("servers", SERVERS_TIMEOUT, () => reject(new CallError(reason)));
      this.#link.iceServers().then(resolve, reject);
    });
    this.#servers = fetching.finally(() => {
      this.#setTimer("servers");
      this.#servers = null;
    });
    return this.#servers;
  }

  #report = (error) => this.#isClosed || this.#link.onError(error);

  async #describe() {
    await this.#pc.setLocalDescription();
    return this.#pc.localDescription.toJSON();
  }

  /** Set all directions: "inactive" on hold, else receive, and also send if there is a track. */
  #direct() {
    for (const transceiver of this.#pc.getTransceivers()) {
      if (transceiver.direction === "stopped") continue;
      const direction = transceiver.sender.track ? "sendrecv" : "recvonly";
      transceiver.direction = this.#isHeld ? "inactive" : direction;
    }
  }

  async #addEarly() {
    for (const candidate of this.#early.splice(0)) {
      this.#waiting -= 1;
      // A candidate that fails belongs to an offer that was refused or replaced (W3C, 10.7).
      await this.#pc.addIceCandidate(candidate).catch(() => {});
    }
  }

  #collect(candidate) {
    this.#candidates.push(candidate); // an empty one marks the end of the candidates
    if (!this.#timers.flush) this.#setTimer("flush", CANDIDATE_DELAY, () => this.flush());
  }

  #watch(state) {
    this.#setTimer("restart");
    if (state === "failed") this.#restart();
    if (state === "disconnected") this.#setTimer("restart", RESTART_AFTER, () => this.#restart());
  }

  async #restart() {
    // The credentials for a TURN server may have expired. Other operations need not wait for them.
    const servers = this.#fetchServers();
    await servers.catch(() => {});
    await this.#serial(() => this.#configure(servers)).catch(this.#report);
    if (!this.#isClosed) this.#pc.restartIce(); // fires negotiationneeded
  }
}

/*
 * The RTCPeerConnection of a call, and its negotiation with the one at the other side; used by
 * protoo-call.mjs.
 *
 * "Perfect negotiation" (W3C WebRTC, section 10.7): either side may send an offer at any time,
 * as an `update` request whose response has the answer. When two offers meet, the impolite side
 * refuses the other's with 491, and the polite one rolls its own back.
 *
 *   signaling state    offer of the other side          answer to our latest offer
 *   -----------------  -------------------------------  --------------------------
 *   stable             answered                         void
 *   have-local-offer   polite: rolled back, answered    taken
 *                      impolite: refused, 491
 *   (have-remote-offer lasts only within #serial)
 */

const MAX_EARLY = 1000; // candidates that wait; a browser has some dozens
const CANDIDATE_DELAY = 100; // candidates come in bursts: one request for each burst
// ICE is often "disconnected" for a moment and recovers by itself (W3C WebRTC, 5.6.3).
const RESTART_AFTER = 3000;
const RETRY_AFTER = 2100; // and at random up to 1.9 s more: RFC 3261, 14.1, after a 491
const RETRY_SPREAD = 1900;

/** The error for a request of the other side that is answered so. */
export const refusal = (status, reason) => Object.assign(new Error(reason), { status, reason });

/**
 * One RTCPeerConnection and its negotiation with the one at the other side.
 *
 * What is done to it is done one thing at a time (#serial), so that the signaling state is
 * certain when the next thing begins, and no flags are needed to tell what is under way.
 * The rest of the second argument is the way to the Call: `isReachable()`, `request(method,
 * data)`, `onTrack(track)`, `onState(state)`, `onError(error)`, `configuration()`.
 */
export class Connection {
  #pc;
  #link;
  #isHeld;
  #isClosed = false;
  #chain = Promise.resolve();
  #turn = 0; // counts our offers: only the answer to the latest is of use
  #early = []; // candidates of the other side that came before its description
  #candidates = []; // ours
  #sent = 0; // how many of them were sent
  #timers = { flush: null, restart: null, retry: null };

  constructor(id, { RTCPeerConnection, isHeld, ...link }) {
    this.id = id;
    this.#link = link;
    this.#isHeld = isHeld;
    const pc = new RTCPeerConnection();
    this.#pc = pc;
    pc.onicecandidate = ({ candidate }) => candidate && this.#collect(candidate.toJSON());
    pc.oniceconnectionstatechange = () => this.#watch(pc.iceConnectionState);
    pc.onconnectionstatechange = () => link.onState(pc.connectionState);
    pc.ontrack = ({ track }) => link.onTrack(track);
    // The first offer is made without being asked for.
    pc.onnegotiationneeded = () => pc.remoteDescription && this.negotiate();
    this.#configure();
  }

  get pc() {
    return this.#pc;
  }

  /** Whether the other side has said something, so that this pair exists. */
  get isPaired() {
    return this.#pc.remoteDescription !== null;
  }

  /** Make an offer, {description, turn}, and do no more than that. */
  offer() {
    const pc = this.#pc;
    // An offer of nothing at all would connect nothing.
    if (pc.getTransceivers().length === 0) pc.addTransceiver("audio", { direction: "recvonly" });
    return this.#serial(async () => {
      this.#turn += 1;
      return { turn: this.#turn, description: await this.#describe() };
    });
  }

  /** Make an offer and send it, until the other side has answered or made one itself. */
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
      // The other side has an offer of its own under way, which gets here before the time is up,
      // or it is away. Setting the description again replaces the offer.
      const delay = RETRY_AFTER + Math.random() * RETRY_SPREAD;
      this.#setTimer("retry", delay, () => this.negotiate());
    }
  }

  /** Take the answer to our latest offer. */
  takeAnswer(description, turn = this.#turn) {
    return this.#serial(async () => {
      if (turn !== this.#turn || this.#pc.signalingState !== "have-local-offer") return;
      await this.#pc.setRemoteDescription(description);
      await this.#addEarly();
    });
  }

  /** Take an offer and make the answer. Throws an error with the status 491 in a collision. */
  answer(description, isPolite) {
    return this.#serial(async () => {
      if (this.#pc.signalingState !== "stable" && !isPolite) throw refusal(491, "offers collided");
      this.#setTimer("retry");
      await this.#pc.setRemoteDescription(description); // an offer of ours is rolled back
      await this.#addEarly();
      this.#direct();
      return this.#describe();
    });
  }

  /** Take candidates of the other side. */
  addCandidates(candidates) {
    return this.#serial(async () => {
      this.#early.push(...candidates.slice(0, MAX_EARLY - this.#early.length));
      if (this.isPaired) await this.#addEarly();
    });
  }

  /** Send `track`, or nothing of this kind; without negotiation if one of the kind is sent. */
  async carry(kind, track, stream) {
    const transceiver = this.#pc
      .getTransceivers()
      .find(({ receiver, direction }) => receiver.track.kind === kind && direction !== "stopped");
    if (transceiver) await transceiver.sender.replaceTrack(track);
    else if (track) this.#pc.addTrack(track, stream);
    if (!this.#isClosed) this.#direct();
  }

  hold(isHeld) {
    this.#isHeld = isHeld;
    this.#direct();
  }

  /** Send the candidates that were not sent, or all of them. */
  async flush(all = false) {
    this.#setTimer("flush");
    const start = all ? 0 : this.#sent;
    const candidates = this.#candidates.slice(start);
    if (candidates.length === 0 || !this.#link.isReachable()) return;
    this.#sent = this.#candidates.length;
    try {
      await this.#link.request("icecandidate", { candidates });
    } catch {
      this.#sent = Math.min(this.#sent, start); // they go with the next ones
    }
  }

  /** There is a connection to the server again. */
  wake() {
    this.flush();
    const { iceConnectionState } = this.#pc;
    if (["disconnected", "failed"].includes(iceConnectionState)) this.#restart();
    else if (this.#timers.retry) this.negotiate();
  }

  close() {
    this.#isClosed = true;
    for (const name of Object.keys(this.#timers)) this.#setTimer(name);
    const pc = this.#pc;
    pc.onicecandidate = pc.oniceconnectionstatechange = pc.onconnectionstatechange = null;
    pc.ontrack = pc.onnegotiationneeded = null;
    pc.close();
  }

  #serial(work) {
    const done = this.#chain.then(() => {
      if (this.#isClosed) throw refusal(491, "this connection is over");
      return work();
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

  /** Take fresh ICE servers; without them it may still work. */
  #configure() {
    const configure = async () => {
      const configuration = await this.#link.configuration();
      if (!this.#isClosed) this.#pc.setConfiguration(configuration);
    };
    return this.#serial(configure).catch((error) => this.#isClosed || this.#link.onError(error));
  }

  async #describe() {
    await this.#pc.setLocalDescription();
    return this.#pc.localDescription.toJSON();
  }

  /** On hold nothing is sent and nothing asked for; else what there is, and whatever comes. */
  #direct() {
    for (const transceiver of this.#pc.getTransceivers()) {
      if (transceiver.direction === "stopped") continue;
      const direction = transceiver.sender.track ? "sendrecv" : "recvonly";
      transceiver.direction = this.#isHeld ? "inactive" : direction;
    }
  }

  async #addEarly() {
    for (const candidate of this.#early.splice(0)) {
      // One that does not fit belongs to an offer that was refused or replaced (W3C, 10.7).
      await this.#pc.addIceCandidate(candidate).catch(() => {});
    }
  }

  #collect(candidate) {
    this.#candidates.push(candidate); // the last one is empty and says that these were all
    if (!this.#timers.flush) this.#setTimer("flush", CANDIDATE_DELAY, () => this.flush());
  }

  #watch(state) {
    this.#setTimer("restart");
    if (state === "failed") this.#restart();
    if (state === "disconnected") this.#setTimer("restart", RESTART_AFTER, () => this.#restart());
  }

  async #restart() {
    await this.#configure(); // credentials for a TURN server may have expired since
    if (!this.#isClosed) this.#pc.restartIce(); // and negotiation is needed
  }
}

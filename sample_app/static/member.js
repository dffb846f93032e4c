/** One other member of a meeting, and the RTCPeerConnection to it. */

const REPAIR_AFTER_MS = 4000; // a connection that is disconnected often recovers by itself

/**
 * A link lasts until the next offer, of either side, makes another: after a reload, or when it has
 * failed. Its `id` is in everything that belongs to it, so that a candidate of the one before is
 * known to be too late.
 */
export class Member {
  #link = null; // RTCPeerConnection
  #id = null;
  #isNegotiating = false;
  #isOffering = false; // our offer is made, and the other side has not answered
  #over = null; // a promise: another link has begun, or there is none any more
  #end = () => {}; // fulfils it
  #early = []; // candidates of the other side that came before its description
  #timer = null;
  #meeting;

  /**
   * `isFirst`: of the two, this side stands by its offer when two of them meet, and repairs.
   * `meeting` is how to reach the other: `iceServers()`, `stream`, `status`, `request(data)`, `notify(data)`,
   * `onChange()`.
   */
  constructor(peer, isFirst, meeting) {
    this.peer = peer; // {username, uuid}
    this.isFirst = isFirst;
    this.stream = new MediaStream();
    this.status = { audio: true, video: true }; // what the other side says that it sends
    this.#meeting = meeting;
  }

  get isConnected() {
    return this.#link?.connectionState === "connected";
  }

  /** Whether an offer is under way, of either side. */
  get isNegotiating() {
    return this.#isNegotiating;
  }

  async offer() {
    const id = crypto.getRandomValues(new Uint32Array(2)).join("-");
    try {
      const link = await this.#open(id);
      if (!link) return;
      this.#isOffering = true;
      await link.setLocalDescription();
      const { status } = this.#meeting;
      const offer = { id, status, description: link.localDescription };
      const { data } = await this.#meeting.request(this.peer, offer);
      if (link !== this.#link) return; // the other side's offer has come in between
      // What the other side offers from now on, it offers after having answered ours.
      this.#isOffering = false;
      this.setStatus(data.status);
      await link.setRemoteDescription(data.description);
      await this.#addEarly();
    } finally {
      this.#conclude(id);
    }
  }

  /** Take an offer. Returns the data of the answer; null: another offer stands. */
  async answer({ id, status, description }) {
    if (this.#isOffering && this.isFirst) return null;
    this.setStatus(status);
    try {
      const link = await this.#open(id);
      if (!link) return null;
      // What a link is doing when it is closed never ends (W3C WebRTC, "chain an asynchronous
      // operation"). Without an answer, the other side would stand by its offer, and refuse ours.
      return await Promise.race([this.#accept(link, description), this.#over]);
    } finally {
      this.#conclude(id);
    }
  }

  async addCandidate({ id, candidate }) {
    if (id !== this.#id) return;
    if (!this.#link?.remoteDescription) this.#early.push(candidate);
    else await this.#link.addIceCandidate(candidate);
  }

  setStatus(status) {
    this.status = { audio: status?.audio !== false, video: status?.video !== false };
  }

  close() {
    clearTimeout(this.#timer);
    this.#end();
    this.#link?.close();
    this.#link = null;
    this.#id = null;
    this.#isNegotiating = this.#isOffering = false;
    this.#early = [];
    for (const track of this.stream.getTracks()) this.stream.removeTrack(track);
  }

  /** Begin a link in place of the one there is; null if another one was begun meanwhile. */
  async #open(id) {
    this.close();
    this.#id = id;
    this.#isNegotiating = true;
    this.#over = new Promise((resolve) => {
      this.#end = () => resolve(null);
    });
    const iceServers = await this.#meeting.iceServers();
    if (this.#id !== id) return null;
    const link = new RTCPeerConnection({ iceServers });
    this.#link = link;
    for (const track of this.#meeting.stream.getTracks()) {
      link.addTrack(track, this.#meeting.stream);
    }
    link.ontrack = ({ track }) => {
      this.stream.addTrack(track);
      this.#meeting.onChange();
    };
    link.onicecandidate = ({ candidate }) => {
      if (candidate) this.#meeting.notify(this.peer, { id, candidate });
    };
    link.onconnectionstatechange = () => this.#watch(link.connectionState);
    return link;
  }

  async #accept(link, description) {
    await link.setRemoteDescription(description);
    await link.setLocalDescription();
    await this.#addEarly();
    return { status: this.#meeting.status, description: link.localDescription };
  }

  #conclude(id) {
    if (id === this.#id) this.#isNegotiating = this.#isOffering = false;
  }

  async #addEarly() {
    const early = this.#early;
    this.#early = [];
    for (const candidate of early) await this.#link.addIceCandidate(candidate);
  }

  #watch(state) {
    clearTimeout(this.#timer);
    this.#meeting.onChange();
    if (!this.isFirst || (state !== "disconnected" && state !== "failed")) return;
    const repair = () => this.offer().catch(console.warn);
    this.#timer = setTimeout(repair, state === "failed" ? 0 : REPAIR_AFTER_MS);
  }
}

/** Another member of a meeting, and the RTCPeerConnection to it. */

import { readCandidate } from "./wire.js";

const REPAIR_AFTER_MS = 4000; // a disconnected link often recovers by itself
const MAX_EARLY = 100; // candidates that wait; a browser has a few dozen
// Offers of the other side that are accepted in 10 seconds. A browser allows few hundred
// RTCPeerConnections, and closed ones count until they are collected as garbage.
const MAX_OFFERS = 20;
const OFFERS_MS = 10000;

/**
 * Every offer of either side creates a new link in place of the old one: after a reload, or when
 * the old link has failed. All messages about a link carry its `id`, so a late candidate of the
 * previous link is recognized and dropped.
 */
export class Member {
  #link = null; // RTCPeerConnection
  #id = null;
  #isNegotiating = false;
  #isOffering = false; // we have made an offer, and the other side has not answered it
  #over = null; // a promise that is fulfilled when the link is replaced or closed
  #end = () => {}; // fulfils #over
  #early = []; // candidates of the other side that arrived before its description
  #offers = []; // times of the last offers of the other side
  #timer = null;
  #meeting;

  /**
   * `isFirst`: this side keeps its offer when two offers collide, and it repairs the link.
   * `meeting` has `iceServers()`, `stream`, `status`, `request(peer, data)`, `notify(peer, data)`,
   * `onChange()`.
   */
  constructor(peer, isFirst, meeting) {
    this.peer = peer; // {username, uuid}
    this.isFirst = isFirst;
    this.stream = new MediaStream();
    this.status = { audio: true, video: true }; // the media of the other side, as it reports them
    this.#meeting = meeting;
  }

  get isConnected() {
    return this.#link?.connectionState === "connected";
  }

  /** Whether an offer of either side is still unanswered. */
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
      if (link !== this.#link) return; // the other side's offer has replaced the link
      // From now on an offer of the other side is newer than its answer to ours.
      this.#isOffering = false;
      this.setStatus(data.status);
      await link.setRemoteDescription(data.description);
      await this.#addEarly();
    } finally {
      this.#conclude(id);
    }
  }

  /** Accept an offer. Returns the data of the answer; null if another offer has priority. */
  async answer({ id, status, description }) {
    if ((this.#isOffering && this.isFirst) || this.#isFlooded()) return null;
    this.setStatus(status);
    try {
      const link = await this.#open(id);
      if (!link) return null;
      // Operations of a closed link never settle (W3C WebRTC, "chain an asynchronous operation").
      // Without a response the other side would keep its offer and refuse ours.
      return await Promise.race([this.#accept(link, description), this.#over]);
    } finally {
      this.#conclude(id);
    }
  }

  async addCandidate({ id, candidate }) {
    const readable = readCandidate(candidate);
    if (id !== this.#id || !readable) return;
    if (this.#link?.remoteDescription) await this.#link.addIceCandidate(readable);
    else if (this.#early.length < MAX_EARLY) this.#early.push(readable);
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

  /** Replace the link by a new one. Returns null if another one was opened in the meantime. */
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

  #isFlooded() {
    const now = Date.now();
    if (this.#offers.length >= MAX_OFFERS && now - this.#offers[0] < OFFERS_MS) return true;
    this.#offers = [...this.#offers.slice(1 - MAX_OFFERS), now];
    return false;
  }

  #conclude(id) {
    if (id === this.#id) this.#isNegotiating = this.#isOffering = false;
  }

  async #addEarly() {
    const early = this.#early;
    this.#early = [];
    // A candidate that fails must not end the link.
    for (const candidate of early) await this.#link.addIceCandidate(candidate).catch(() => {});
  }

  #watch(state) {
    clearTimeout(this.#timer);
    this.#meeting.onChange();
    if (!this.isFirst || (state !== "disconnected" && state !== "failed")) return;
    const repair = () => this.offer().catch(console.warn);
    this.#timer = setTimeout(repair, state === "failed" ? 0 : REPAIR_AFTER_MS);
  }
}

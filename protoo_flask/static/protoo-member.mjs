/* Another member of a Mesh, and the connection to it. Used by protoo-mesh.mjs. */
import { isPassing, refusal, retryDelay } from "./protoo-connection.mjs";
import { KINDS } from "./protoo-devices.mjs";
import { Link } from "./protoo-link.mjs";
import { isObject, MAX_TIMER } from "./protoo-values.mjs";

// When all connections are lost at a time, the server lists the members as they come back. The
// media of those that are missing may flow, so they are kept for a while.
const ABSENT_TIMEOUT = 5000;
export const NO_SUCH_PAIR = 481; // "call/transaction does not exist" (RFC 3261, 21.4.19)

export const keyOf = ({ username, uuid }) => JSON.stringify([username, uuid]);
export const isPeer = (value) =>
  isObject(value) && typeof value.username === "string" && typeof value.uuid === "string";

/** Another member. Only Mesh creates it. */
export class Member {
  #link;
  #room;
  #status = { muted: { audio: false, video: false }, screen: false };
  #told = null; // the last status that the member has confirmed, as JSON
  #timers = { compare: null, absent: null };

  /** `room` has `world`, `localStream`, `status()`, `request(peer, data)`, `onChange(member)`... */
  constructor(peer, room) {
    this.peer = peer;
    this.#room = room;
    this.#link = new Link(room.world, room.localStream, {
      request: (method, data) => this.#request(data),
      isReachable: () => true,
      onError: room.onError,
      onTrack: () => {},
      onTracks: () => room.onChange(this),
      onState: (state) => {
        room.onChange(this);
        if (state === "connected" && this.#told !== JSON.stringify(room.status())) this.#compare();
      },
    });
    this.stream = this.#link.stream;
    room.members.set(keyOf(peer), this);
    room.internals.set(this, {
      offer: () => this.#link.connect().negotiate(),
      compare: () => this.#compare(),
      receive: (data, isPolite) => this.#receive(data, isPolite),
      carry: (kind, track) => this.#link.carry(kind, track),
      expectBack: (onGone, delay = ABSENT_TIMEOUT) => this.#setTimer("absent", delay, onGone),
      isBack: () => this.#setTimer("absent"),
      leavePage: (isReload) => {
        const connection = this.#link.connection?.id ?? "";
        return this.#request({ connection, leaving: true, isReload });
      },
      close: () => this.#close(),
    });
  }

  /** The connection state of the RTCPeerConnection; "new" before there is one. */
  get connectionState() {
    return this.peerConnection?.connectionState ?? "new";
  }

  /** The RTCPeerConnection, or null. A reload of either page replaces it. */
  get peerConnection() {
    return this.#link.connection?.pc ?? null;
  }

  /**
   * {muted: {audio, video}, screen} as the member reports it; and {audio, video}: whether it sends
   * sound and a picture.
   */
  get remote() {
    const kinds = this.stream.getTracks().map(({ kind }) => kind);
    const sent = Object.fromEntries(KINDS.map((kind) => [kind, kinds.includes(kind)]));
    return { ...this.#status, muted: { ...this.#status.muted }, ...sent };
  }

  /** Tell the status, and find out whether the member has the same pair. Else begin a new one. */
  async #compare() {
    this.#setTimer("compare");
    const { connection } = this.#link;
    // An offer of ours is on its way, and will be answered or made again. It has the status.
    if (connection && !connection.isPaired) return connection.wake();
    try {
      await this.#request({ connection: connection?.id ?? "" });
    } catch (error) {
      if (this.#link.connection !== connection) return;
      if (error.status === NO_SUCH_PAIR) this.#renew(connection);
      // A page that is being reloaded or is away. When it has come back, it compares as well.
      else if (isPassing(error)) this.#setTimer("compare", retryDelay(), () => this.#compare());
      return;
    }
    if (this.#link.connection === connection) connection?.wake();
  }

  /** Begin another pair, in place of this one. */
  #renew(connection) {
    if (this.#link.connection === connection) this.#link.connect().negotiate();
  }

  async #request(data) {
    const { connection } = this.#link;
    const status = this.#room.status();
    try {
      const answer = await this.#room.request(this.peer, { status, ...data });
      this.#told = JSON.stringify(status);
      this.#hear(answer.data.status);
      return answer;
    } catch (error) {
      if (error.status === NO_SUCH_PAIR && data.connection === connection?.id) {
        this.#renew(connection);
      }
      throw error;
    }
  }

  async #receive(data, isPolite) {
    const { connection: id, isNew, description, candidates, status } = data;
    const isKnown = id === this.#link.connection?.id;
    if (!isKnown && !(isNew && description)) throw refusal(NO_SUCH_PAIR, "there is another pair");
    this.#hear(status);
    if (candidates !== undefined) this.#link.takeCandidates(data);
    if (description === undefined) return {};
    return { description: await this.#link.takeOffer(data, isPolite) };
  }

  #hear(status) {
    if (!isObject(status)) return;
    const muted = Object.fromEntries(KINDS.map((kind) => [kind, status.muted?.[kind] === true]));
    const heard = { muted, screen: status.screen === true };
    if (JSON.stringify(heard) === JSON.stringify(this.#status)) return;
    this.#status = heard;
    this.#room.onChange(this);
  }

  #setTimer(name, delay, fn) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = fn && delay <= MAX_TIMER ? setTimeout(fn, delay) : null;
  }

  #close() {
    for (const name of Object.keys(this.#timers)) this.#setTimer(name);
    this.#link.close();
  }
}

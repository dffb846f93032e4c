/*
 * The media between this page and one other page. Used by protoo-call.mjs and protoo-mesh.mjs.
 *
 * A reloaded page has a new RTCPeerConnection with other keys. The old RTCPeerConnection of the
 * other side cannot connect to it. So each pair of RTCPeerConnections has an id. All descriptions
 * and candidates carry this id as `connection`. An offer with `isNew` begins another pair.
 * Messages of an earlier pair are dropped.
 */
import { MAX_EARLY, MediaConnection, readCandidates, refusal } from "./protoo-connection.mjs";

const MAX_ID = 64; // characters of the id of a pair; other clients make up ids as well
// New pairs that the other side may begin in 10 s. It begins one for each reload. A browser allows
// a few hundred RTCPeerConnections, and closed ones count until the garbage collection.
const MAX_PAIRS = 20;
const PAIRS_PERIOD = 10000;

/** Whether an untrusted value is the id of a pair, short enough to be kept. */
const isPairId = (value) => typeof value === "string" && value.length <= MAX_ID;

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The pairs of RTCPeerConnections with one other page, one after the other. `stream` is its media.
 *
 * `owner` has `request(method, data)`, `isReachable()`, `onTrack(track)`, `onTracks()` after any
 * change of the tracks in `stream`, `onState(state)` and `onError(error)`.
 */
export class Link {
  #world;
  #owner;
  #localStream;
  #connection = null;
  #early = []; // {connection, candidate} for a connection that does not exist yet
  #pairs = []; // times at which the other side has begun the last new pairs
  #isHeld = false;

  constructor(world, localStream, owner) {
    this.#world = world;
    this.#owner = owner;
    this.#localStream = localStream;
    this.stream = new world.MediaStream();
  }

  /** The MediaConnection; null if there is none. */
  get connection() {
    return this.#connection;
  }

  /** Replace the current RTCPeerConnection, if any, by a new one with our tracks. */
  connect(id = randomId()) {
    this.#drop();
    const { RTCPeerConnection, rtcConfiguration, iceServers } = this.#world;
    const owner = this.#owner;
    const connection = new MediaConnection(id, {
      RTCPeerConnection,
      rtcConfiguration,
      iceServers,
      isHeld: this.#isHeld,
      isReachable: owner.isReachable,
      request: (method, data) => owner.request(method, { connection: id, ...data }),
      onError: owner.onError,
      onState: owner.onState,
      onNegotiated: () => this.#keep(connection.receivedTracks),
      onTrack: (track) => {
        this.stream.addTrack(track);
        owner.onTrack(track);
        owner.onTracks();
      },
    });
    this.#connection = connection;
    for (const track of this.#localStream.getTracks()) this.carry(track.kind, track);
    const early = this.#early.filter((it) => it.connection === id);
    connection.addCandidates(early.map(({ candidate }) => candidate)).catch(() => {});
    return connection;
  }

  /** Send `track`, or no track of this kind. */
  carry(kind, track) {
    this.#connection?.carry(kind, track, this.#localStream).catch(this.#owner.onError);
  }

  hold(isHeld) {
    this.#isHeld = isHeld;
    this.#connection?.hold(isHeld);
  }

  /** Take candidates of the other side. Throws an error with a status. */
  takeCandidates({ connection: id, candidates }) {
    if (!Array.isArray(candidates)) throw refusal(400, "candidates must be a list");
    if (!this.#connection && isPairId(id)) {
      const taken = readCandidates(candidates).slice(0, MAX_EARLY - this.#early.length);
      this.#early.push(...taken.map((candidate) => ({ connection: id, candidate })));
    }
    if (this.#connection?.id !== id) return;
    this.#connection.addCandidates(candidates).catch(() => {});
  }

  /** Answer an offer of the other side. Throws an error with a status. */
  takeOffer({ connection: id, isNew, description }, isPolite) {
    const isOffer = description?.type === "offer" && typeof description.sdp === "string";
    if (!isOffer) throw refusal(400, "description must be an offer, {type, sdp}");
    let connection = this.#connection;
    if (connection?.id !== id) {
      // If both pages begin a new pair, these collide. The pair of the impolite side remains.
      const isOver = !connection || connection.isPaired || isPolite;
      if (!isNew || !isOver) throw refusal(491, "another connection has begun");
      this.#countPair();
      connection = this.connect(id);
    }
    return connection.answer(description, isPolite);
  }

  /** Close the RTCPeerConnection, if any. */
  close() {
    this.#drop();
    this.#connection = null;
  }

  #drop() {
    this.#connection?.close();
    this.#keep([]);
  }

  /** Leave only these tracks in the stream. */
  #keep(tracks) {
    const gone = this.stream.getTracks().filter((track) => !tracks.includes(track));
    for (const track of gone) this.stream.removeTrack(track);
    if (gone.length > 0) this.#owner.onTracks();
  }

  #countPair() {
    const now = Date.now();
    const isFlood = this.#pairs.length >= MAX_PAIRS && now - this.#pairs[0] < PAIRS_PERIOD;
    if (isFlood) throw refusal(491, "too many new connections");
    this.#pairs = [...this.#pairs.slice(1 - MAX_PAIRS), now];
  }
}

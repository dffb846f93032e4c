/* The media that a call sends: microphone, camera and screen. Used by protoo-call.mjs. */

export const KINDS = ["audio", "video"];
const NAMES = { audio: "microphone", video: "camera" };

/** An error whose message is a sentence for users. `cause` is the original error, if any. */
export class CallError extends Error {
  constructor(message, cause) {
    super(message);
    this.name = "CallError";
    if (cause !== undefined) this.cause = cause;
  }
}

/** Make the CallError for an error of getUserMedia() or getDisplayMedia(). */
function mediaError(device, cause) {
  const refused = `You have not allowed this page to use the ${device}.`;
  const broken = `The ${device} does not work, or another program is using it.`;
  const sentences = new Map([
    ["NotAllowedError", refused],
    ["SecurityError", refused],
    ["NotFoundError", `No ${device} was found.`],
    ["OverconstrainedError", `The chosen ${device} is not available.`],
    ["NotReadableError", broken],
    ["AbortError", broken],
  ]);
  const sentence = sentences.get(cause.name) ?? `The ${device} cannot be used: ${cause}`;
  return new CallError(sentence, cause);
}

function expectKind(kind) {
  if (!KINDS.includes(kind)) throw new TypeError(`kind must be "audio" or "video", got "${kind}"`);
}

/** The devices of a call. `stream` has the tracks that are sent, at most one of each kind. */
export class Devices {
  #mediaDevices;
  #onTrack;
  #onError;
  #opened = { audio: null, video: null }; // tracks
  #screen = null; // a track
  #muted = { audio: false, video: false };
  #isHeld = false;
  #uses = 0; // counts calls of stop(), after which devices requested earlier are not needed

  /** `onTrack(kind, track)`: send this track from now on, or none. `onError(CallError)`. */
  constructor({ mediaDevices, MediaStream }, { onTrack, onError }) {
    this.stream = new MediaStream();
    this.#mediaDevices = mediaDevices;
    this.#onTrack = onTrack;
    this.#onError = onError;
  }

  get kinds() {
    return this.stream.getTracks().map(({ kind }) => kind);
  }

  get muted() {
    return { ...this.#muted };
  }

  get isSharing() {
    return this.#screen !== null;
  }

  /** Open devices; audio and video are true, false or constraints. Throws a CallError. */
  async open({ audio = true, video = false }) {
    const kinds = KINDS.filter((kind) => ({ audio, video })[kind]);
    if (kinds.length === 0) return;
    const device = kinds.map((kind) => NAMES[kind]).join(" or ");
    for (const track of await this.#ask(device, (it) => it.getUserMedia({ audio, video }))) {
      const { kind } = track;
      this.#opened[kind]?.stop();
      this.#opened[kind] = track;
      const error = new CallError(`The ${NAMES[kind]} has gone.`);
      track.addEventListener("ended", () => this.#opened[kind] === track && this.#onError(error));
    }
    this.#update();
  }

  /** Use this device, instead of the open one if there is one. Throws a CallError. */
  async use(kind, deviceId) {
    expectKind(kind);
    const constraint = deviceId === undefined ? true : { deviceId: { exact: deviceId } };
    const constraints = { audio: false, video: false, [kind]: constraint };
    try {
      await this.open(constraints);
    } catch (error) {
      if (error.cause?.name !== "NotReadableError" || !this.#opened[kind]) throw error;
      this.#opened[kind].stop(); // phones can open only one camera at a time
      await this.open(constraints);
    }
  }

  /** Send a screen or window in place of the camera's picture. Throws a CallError. */
  async share(options, onEnded) {
    const tracks = await this.#ask("screen", (it) => it.getDisplayMedia(options));
    const screen = tracks.find(({ kind }) => kind === "video");
    for (const other of tracks) if (other !== screen) other.stop(); // audio is the microphone's
    this.#screen?.stop();
    this.#screen = screen;
    screen.addEventListener("ended", () => this.#screen === screen && onEnded());
    this.#update();
  }

  unshare() {
    this.#screen?.stop();
    this.#screen = null;
    this.#update();
  }

  setMuted(kind, isMuted) {
    expectKind(kind);
    this.#muted[kind] = isMuted;
    this.#update();
  }

  /** Send silence and black at once. The negotiation of the hold may take longer. */
  hold(isHeld) {
    this.#isHeld = isHeld;
    this.#update();
  }

  /** Release all devices. */
  stop() {
    this.#uses += 1;
    for (const track of [...Object.values(this.#opened), this.#screen]) track?.stop();
    this.#opened = { audio: null, video: null };
    this.#screen = null;
    this.#update();
  }

  async #ask(device, get) {
    const uses = this.#uses;
    if (!this.#mediaDevices) {
      throw new CallError(`The ${device} can be used on https: pages only.`);
    }
    let stream;
    try {
      stream = await get(this.#mediaDevices);
    } catch (cause) {
      throw mediaError(device, cause);
    }
    if (uses === this.#uses) return stream.getTracks();
    for (const track of stream.getTracks()) track.stop();
    throw new CallError("The call is over."); // it ended before the user allowed the device
  }

  #update() {
    if (this.#screen) this.#screen.enabled = !this.#isHeld;
    for (const kind of KINDS) {
      const opened = this.#opened[kind];
      if (opened) opened.enabled = !this.#isHeld && !this.#muted[kind];
      const track = (kind === "video" && this.#screen) || opened;
      const previous = this.stream.getTracks().find((it) => it.kind === kind) ?? null;
      if (track === previous) continue;
      if (previous) this.stream.removeTrack(previous);
      if (track) this.stream.addTrack(track);
      this.#onTrack(kind, track);
    }
  }
}

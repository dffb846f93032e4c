/* The media that a page sends: microphone, camera and screen. Used by protoo-call.mjs. */
import { expect, expectOptions, isObject } from "./protoo-values.mjs";

export const KINDS = ["audio", "video"];
const NAMES = { audio: "microphone", video: "camera" };
const PERMISSIONS = { audio: "microphone", video: "camera" };
const REFUSED = ["NotAllowedError", "SecurityError"];
const MEDIA = ["audio", "video", "required"];

/**
 * An error whose message is a sentence for users. `cause` is the original error, if any. `missing`
 * has the kinds of media, "audio" or "video", that could not be opened, if that is the problem.
 */
export class CallError extends Error {
  constructor(message, cause, missing) {
    super(message);
    this.name = "CallError";
    if (cause !== undefined) this.cause = cause;
    if (missing !== undefined) this.missing = missing;
  }
}

/** Make the CallError for an error of getUserMedia() or getDisplayMedia(). */
function mediaError(device, cause, missing) {
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
  return new CallError(sentence, cause, missing);
}

const nameOf = (kinds) => kinds.map((kind) => NAMES[kind]).join(" or ");

export function expectKind(kind) {
  expect(KINDS.includes(kind), 'kind must be "audio" or "video"', kind);
}

/** Throw a TypeError unless these are media, {audio, video, required}. */
export function expectMedia(media) {
  expectOptions(media, MEDIA, "media");
  for (const kind of KINDS) {
    const value = media[kind];
    const isRight = value === undefined || typeof value === "boolean" || isObject(value);
    expect(isRight, `${kind} must be true, false or an object of constraints`, value);
  }
  const { required = true } = media;
  const isList = Array.isArray(required) && required.every((kind) => KINDS.includes(kind));
  const expected = 'required must be true, false or a list of "audio" and "video"';
  expect(typeof required === "boolean" || isList, expected, required);
}

/** Take the media out of options that have other members, too. */
export function pickMedia(options) {
  return Object.fromEntries(Object.entries(options).filter(([name]) => MEDIA.includes(name)));
}

/** The constraints without those that name a device, for another device. */
function withoutDevice(constraints, names) {
  if (!isObject(constraints)) return {};
  const isKept = ([name]) => !names.includes(name);
  const rest = Object.fromEntries(Object.entries(constraints).filter(isKept));
  if (Array.isArray(rest.advanced)) {
    rest.advanced = rest.advanced.map((it) => withoutDevice(it, names));
  }
  return rest;
}

const simplify = (constraints) => (Object.keys(constraints).length > 0 ? constraints : true);

/** The devices of a page. `stream` has the tracks that are sent, at most one of each kind. */
export class Devices {
  #mediaDevices;
  #permissions;
  #onTrack;
  #onError;
  #opened = { audio: null, video: null }; // tracks
  #constraints = { audio: true, video: true }; // of the last device of each kind
  #released = { audio: false, video: false }; // muted, and its device is closed meanwhile
  #wishes = {}; // kind -> {isMuted, release} of the last setMuted()
  #screen = null; // a track
  #muted = { audio: false, video: false };
  #isHeld = false;
  #uses = 0; // counts calls of stop(), after which devices requested earlier are not needed

  /** `onTrack(kind, track)`: send this track from now on, or none. `onError(CallError)`. */
  constructor({ mediaDevices, permissions, MediaStream }, { onTrack, onError }) {
    this.stream = new MediaStream();
    this.#mediaDevices = mediaDevices;
    this.#permissions = permissions;
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

  /**
   * Open devices; audio and video are true, false or constraints. Throws a CallError. Of kinds that
   * are not required, only an error event tells that they are missing.
   */
  async open({ audio = true, video = false, required = true }) {
    const asked = { audio, video };
    const kinds = KINDS.filter((kind) => asked[kind]);
    if (kinds.length === 0) return;
    for (const kind of kinds) this.#constraints[kind] = asked[kind];
    const tracks = await this.#acquire(asked, kinds, required);
    for (const track of tracks) this.#take(track);
    this.#update();
  }

  /** Use this device, instead of the open one if there is one. Throws a CallError. */
  async use(kind, deviceId) {
    expectKind(kind);
    const isId = deviceId === undefined || (typeof deviceId === "string" && deviceId !== "");
    expect(isId, "deviceId must be that of a MediaDeviceInfo, a text, or left out", deviceId);
    // Constraints such as the size of the picture hold for each camera. Those that choose a camera
    // would contradict the chosen one.
    const choosing = ["deviceId", "groupId", ...(deviceId === undefined ? [] : ["facingMode"])];
    const rest = withoutDevice(this.#constraints[kind], choosing);
    const chosen = simplify(
      deviceId === undefined ? rest : { ...rest, deviceId: { exact: deviceId } },
    );
    if (this.#released[kind]) {
      this.#constraints[kind] = chosen; // for the end of the mute
      return;
    }
    const previous = this.#constraints[kind];
    const constraints = { audio: false, video: false, [kind]: chosen };
    try {
      try {
        await this.open(constraints);
      } catch (error) {
        if (error.cause?.name !== "NotReadableError" || !this.#opened[kind]) throw error;
        this.#opened[kind].stop(); // phones can open only one camera at a time
        await this.open(constraints);
      }
    } catch (error) {
      this.#constraints[kind] = previous; // the next device must not inherit from this one
      throw error;
    }
  }

  /** Send a screen or window in place of the camera's picture. Throws a CallError. */
  async share(options, onEnded) {
    const tracks = await this.#ask("screen", (it) => it.getDisplayMedia(options));
    const screen = tracks.find(({ kind }) => kind === "video");
    for (const other of tracks) if (other !== screen) other.stop(); // audio is the microphone's
    if (!screen) throw new CallError("No screen was chosen.");
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

  /**
   * Send silence or black, or the device again. With `release` the device is closed meanwhile: its
   * light goes off. Returns a promise if it must be opened again; null if all is done.
   */
  setMuted(kind, isMuted, release) {
    expectKind(kind);
    expect(typeof isMuted === "boolean", "isMuted must be true or false", isMuted);
    expect(typeof release === "boolean", "release must be true or false", release);
    this.#wishes[kind] = { isMuted, release };
    if (!isMuted && this.#released[kind]) return this.#reopen(kind);
    this.#muted[kind] = isMuted;
    if (isMuted && release) this.#release(kind);
    this.#update();
    return null;
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
    this.#released = { audio: false, video: false };
    this.#screen = null;
    this.#update();
  }

  // -- muted devices that are closed --

  #release(kind) {
    const track = this.#opened[kind];
    if (!track) return;
    // The same device comes back, although another one may be the default by then.
    const { deviceId } = track.getSettings?.() ?? {};
    const own = isObject(this.#constraints[kind]) ? this.#constraints[kind] : {};
    this.#constraints[kind] = simplify(deviceId ? { deviceId, ...own } : own);
    this.#opened[kind] = null;
    this.#released[kind] = true;
    track.stop();
  }

  async #reopen(kind) {
    this.#released[kind] = false;
    try {
      await this.open({ audio: false, video: false, [kind]: this.#constraints[kind] });
    } catch (error) {
      this.#released[kind] = this.#muted[kind]; // the next end of the mute tries again
      throw error;
    }
    const { isMuted, release } = this.#wishes[kind]; // it may have changed while the device opened
    this.#muted[kind] = isMuted;
    if (isMuted && release) this.#release(kind);
    this.#update();
  }

  // -- opening --

  #take(track) {
    const { kind } = track;
    this.#opened[kind]?.stop();
    this.#opened[kind] = track;
    track.addEventListener("ended", () => {
      if (this.#opened[kind] !== track) return;
      // Without a track nothing is sent, so the other side does not see the last picture for ever.
      this.#opened[kind] = null;
      this.#update();
      this.#onError(new CallError(`The ${NAMES[kind]} has gone.`, undefined, [kind]));
    });
  }

  /** Returns the tracks of the devices that could be opened. */
  async #acquire(asked, kinds, required) {
    const only = (some) => ({
      audio: some.includes("audio") && asked.audio,
      video: some.includes("video") && asked.video,
    });
    const uses = this.#uses;
    const get = (some) =>
      this.#ask(nameOf(some), (it) => it.getUserMedia(only(some)), { uses, kinds: some });
    try {
      return await get(kinds);
    } catch (error) {
      if (!error.missing) throw error; // the call is over
      const { cause } = error;
      const missing = cause ? await this.#findMissing(kinds, cause, get) : kinds;
      const named = cause ? mediaError(nameOf(missing), cause, missing) : error;
      const needed = Array.isArray(required) ? required : kinds;
      if (required && missing.some((kind) => needed.includes(kind))) throw named;
      const rest = kinds.filter((kind) => !missing.includes(kind));
      this.#onError(named);
      if (rest.length === 0) return [];
      return get(rest).catch((other) => {
        if (!other.missing) throw other;
        this.#onError(other);
        return [];
      });
    }
  }

  /** Find the kinds because of which these could not be opened together. */
  async #findMissing(kinds, cause, get) {
    if (kinds.length === 1) return kinds;
    let missing = [];
    // A user who has just refused must not be asked again, so the browser is.
    if (REFUSED.includes(cause.name)) missing = await this.#filter(kinds, (it) => this.#isDenied(it));
    else {
      missing = await this.#filter(kinds, (kind) =>
        get([kind]).then(
          (tracks) => tracks.forEach((track) => track.stop()),
          (error) => error.missing !== undefined,
        ),
      );
    }
    return missing.length > 0 ? missing : kinds;
  }

  async #filter(kinds, isMissing) {
    const found = [];
    for (const kind of kinds) if (await isMissing(kind)) found.push(kind);
    return found;
  }

  async #isDenied(kind) {
    try {
      const { state } = await this.#permissions.query({ name: PERMISSIONS[kind] });
      return state === "denied";
    } catch {
      return false; // this browser does not tell
    }
  }

  async #ask(device, get, { uses = this.#uses, kinds } = {}) {
    if (uses !== this.#uses) throw new CallError("The call is over.");
    if (!this.#mediaDevices) {
      throw new CallError(`The ${device} can be used on https: pages only.`, undefined, kinds);
    }
    let stream;
    try {
      stream = await get(this.#mediaDevices);
    } catch (cause) {
      if (uses !== this.#uses) throw new CallError("The call is over.", cause);
      throw mediaError(device, cause, kinds);
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

/**
 * Connects the calls of protoo-call.mjs with the page. A page has one call at a time. During
 * a call it refuses other calls as busy.
 */

import { CallView } from "./call-view.js";
import { explain } from "./reasons.js";
import { Ringer } from "./ringer.js";

const { Calls } = await import(document.body.dataset.protooCallModule);

const SAVED = "call"; // key in sessionStorage; the page continues its call after a reload
const CROSSED_MS = 5000;
const LEAVE_MS = 4000; // this page has many modules to load before it is back after a reload
const VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 } };

export class Phone {
  #client;
  #calls;
  #view;
  #ringer = new Ringer();
  #current = null; // {call, username, withVideo, since, error}
  #rival = null; // an incoming call from the user that this page is calling at the same time
  #crossed = null; // a username; the next call from this user is accepted at once
  #isElsewhere;
  #nameOf;
  #onChange;
  #onNotice;

  /**
   * `isElsewhere()` tells whether the user is in a meeting. `nameOf(username)` is the name that is
   * shown. `onChange()` is called when `caller` or
   * `isBusy` may have changed. `onNotice(text)` shows a text to the user; "" removes it.
   */
  constructor(client, { iceServers, isElsewhere, nameOf, onChange, onNotice }) {
    this.#client = client;
    this.#nameOf = nameOf;
    this.#isElsewhere = isElsewhere;
    this.#onChange = onChange;
    this.#onNotice = onNotice;
    this.#calls = new Calls(client, { iceServers, leaveTimeout: LEAVE_MS });
    this.#calls.on("call", (call) => this.#take(call));
    this.#view = new CallView({
      accept: (withVideo) => this.#accept(withVideo),
      decline: () => this.#current.call.reject(),
      hangUp: () => this.#current.call.hangUp(),
      mute: () => this.#toggleMuted("audio"),
      camera: () => this.#toggleCamera(),
      share: () => this.#toggleSharing(),
      hold: () => this.#toggleHeld(),
    });
    // If the connection is lost before the answer, the next connection asks again.
    const stop = client.on("open", () => this.#resume().then(stop, console.warn));
    setInterval(() => this.#current && this.#view.tick(this.#current), 1000);
  }

  get isBusy() {
    return this.#current !== null;
  }

  /** The username of the caller while a call rings, else null. */
  get caller() {
    const rings = this.#current && ["ringing", "answering"].includes(this.#current.call.state);
    return rings ? this.#current.username : null;
  }

  /** Handle a request from the server if it belongs to a call. Returns whether it does. */
  handle(req) {
    return this.#calls.handle(req);
  }

  start(username, withVideo) {
    const media = { audio: true, video: withVideo && VIDEO, required: ["audio"] };
    const call = this.#calls.start(`/users/${encodeURIComponent(username)}`, media);
    this.#watch(call, username, withVideo);
  }

  // Incoming calls

  #take(call) {
    const { username } = call.peer;
    if (this.#isOutdatedBy(username)) this.#replace();
    const isCalling = ["connecting", "progress"].includes(this.#current?.call.state);
    if (isCalling && this.#current.username === username) this.#await(call);
    else if (this.isBusy || this.#isElsewhere()) call.reject(486, "busy here");
    else {
      this.#watch(call, username, call.offered.video);
      // Both users have called each other, so the call needs no second consent.
      if (this.#crossed === username) this.#accept(call.offered.video);
      this.#crossed = null;
    }
  }

  /**
   * Whether the call on the screen is over for `username`, who calls again: from another page, as
   * the one of this call has been closed or has crashed. The server still waits for that page.
   */
  #isOutdatedBy(username) {
    if (this.#current?.username !== username) return false;
    const { state, peerConnection } = this.#current.call;
    if (state === "open") return peerConnection?.connectionState !== "connected";
    return state === "ringing";
  }

  #replace() {
    const current = this.#current;
    if (current.call.state === "ringing") current.call.reject(486, "called again");
    else current.call.hangUp();
    this.#leave(current, { cause: "hangup", status: null, reason: "" }); // "close" comes later
  }

  /** Both users call each other. The server ends one call, and this page takes the other. */
  #await(call) {
    this.#rival = call;
    call.on("close", () => {
      if (this.#rival === call) this.#rival = null;
    });
  }

  async #accept(withVideo) {
    const current = this.#current;
    current.error = null;
    try {
      const media = { audio: true, video: withVideo && VIDEO, required: ["audio"] };
      await current.call.accept(media);
    } catch (error) {
      if (current !== this.#current) return;
      current.error = error.message;
      this.#draw();
    }
  }

  /** Continue the call after a reload. */
  async #resume() {
    const saved = JSON.parse(sessionStorage.getItem(SAVED)) ?? {};
    const media = { audio: true, video: Boolean(saved.video) && VIDEO, required: ["audio"] };
    const [call, ...others] = await this.#calls.resume(media);
    for (const other of others) other.hangUp();
    if (!call) return sessionStorage.removeItem(SAVED);
    this.#current?.call.hangUp(); // it was started before the server listed the other call
    const isSame = saved.path === call.path;
    const username = isSame ? saved.username : call.peer?.username ?? "";
    this.#watch(call, username, media.video, isSame ? saved.since : Date.now());
    if (isSame && saved.muted) call.setMuted("audio", true);
    if (isSame && saved.held) call.hold();
  }

  // The call

  #watch(call, username, withVideo, since = null) {
    const current = { call, username, withVideo: Boolean(withVideo), since, error: null };
    current.name = this.#nameOf(username);
    this.#current = current;
    this.#onNotice(""); // the notice about the previous call is outdated now
    call.on("state", ({ state }) => {
      if (state === "open") current.since ??= Date.now();
    });
    for (const event of ["state", "track", "connection", "local", "remote"]) {
      call.on(event, () => this.#draw());
    }
    call.on("error", (error) => this.#onNotice(error.message));
    call.on("close", (how) => this.#leave(current, how));
    this.#draw();
  }

  #leave(current, how) {
    if (this.#current !== current) return;
    this.#current = null;
    sessionStorage.removeItem(SAVED);
    const notice = farewell(current, how);
    if (notice) this.#onNotice(notice);
    if (how.status === 491) this.#expect(current);
    const rival = this.#rival;
    this.#rival = null;
    if (rival) this.#take(rival);
    this.#draw();
  }

  #expect({ username }) {
    this.#crossed = username;
    setTimeout(() => (this.#crossed = null), CROSSED_MS);
  }

  #save() {
    const { call, username, since } = this.#current;
    if (call.state !== "open") return;
    const { held, muted, screen } = call.local;
    // A reload must not turn on a camera that was off.
    const video = call.localStream.getVideoTracks().length > 0 && !muted.video && !screen;
    const saved = { path: call.path, username, since, video, held, muted: muted.audio };
    sessionStorage.setItem(SAVED, JSON.stringify(saved));
  }

  /** Tell the server, for the line in the chat, that this call is a video call by now. */
  #tellPicture(current) {
    const { call, withVideo, hasToldPicture } = current;
    const hasPicture = call.remote.video || call.localStream.getVideoTracks().length > 0;
    if (withVideo || hasToldPicture || !hasPicture || call.state !== "open") return;
    current.hasToldPicture = true;
    const telling = this.#client.request("put", "/pictures", { path: call.path });
    telling.catch(() => (current.hasToldPicture = false)); // the next drawing tries again
  }

  #toggleMuted(kind) {
    const { call } = this.#current;
    // The light of the camera goes off with it.
    call.setMuted(kind, !call.local.muted[kind], { release: kind === "video" });
  }

  #toggleHeld() {
    const { call } = this.#current;
    if (call.local.held) call.unhold();
    else call.hold();
  }

  #toggleCamera() {
    const { call } = this.#current;
    const hasVideo = call.localStream.getVideoTracks().length > 0;
    if (hasVideo || call.local.muted.video) this.#toggleMuted("video");
    else call.useDevice("video").catch((error) => this.#onNotice(error.message));
  }

  #toggleSharing() {
    const { call } = this.#current;
    if (call.local.screen) call.stopSharing();
    // If the user cancels the browser's dialog, no message is needed.
    else call.shareScreen().catch(({ cause, message }) => {
      if (cause?.name !== "NotAllowedError") this.#onNotice(message);
    });
  }

  #draw() {
    if (this.#current) {
      this.#current.name = this.#nameOf(this.#current.username);
      this.#current.detail = describe(this.#current);
      this.#save();
      this.#tellPicture(this.#current);
    }
    this.#view.draw(this.#current);
    const state = this.#current?.call.state;
    const sounds = { progress: "calling", ringing: "ringing" };
    this.#ringer.play(sounds[state] ?? null);
    this.#onChange();
  }
}

/** The status line of a call, without its duration. */
function describe({ call, name }) {
  if (call.state === "connecting") return "Calling…";
  if (call.state === "progress") return "Ringing…";
  if (call.local.held) return "On hold";
  if (call.remote.held) return `${name} has put you on hold`;
  const connection = call.peerConnection?.connectionState;
  if (connection === "disconnected" || connection === "failed") return "Reconnecting…";
  if (connection !== "connected") return "Connecting…";
  if (call.remote.screen) return `${name} shares the screen`;
  if (call.remote.muted.audio) return `${name} is muted`;
  return "";
}

/** The reason why a call has ended; null if the user knows it already. */
function farewell({ name }, { cause, status, reason }) {
  if (cause === "failed") return status ? "The connection to the server was lost." : reason;
  if (cause === "rejected") {
    const sentences = new Map([
      [404, `${name} is not online.`],
      [408, `${name} does not answer.`],
      [410, `${name} has gone offline.`],
      [480, `${name} does not answer.`],
      [486, `${name} is busy.`],
      [491, null],
    ]);
    if (reason === "do not disturb") return `${name} does not want to be disturbed.`;
    if (sentences.has(status)) return sentences.get(status);
    return status >= 600 ? `${name} has declined.` : `The call has failed. ${explain({ status })}`;
  }
  const sentences = new Map([
    ["answered elsewhere", "Answered on another device."],
    ["declined elsewhere", "Declined on another device."],
    ["offline", `The connection to ${name} was lost.`],
    ["page closed", `${name} has closed the page.`],
  ]);
  return (cause === "end" && sentences.get(reason)) || null;
}

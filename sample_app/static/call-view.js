/** Draws the panel of a ringing call and the call itself, from the values passed to it. */

import { showAvatar } from "./elements.js";
import { duration } from "./format.js";

const byId = (id) => document.getElementById(id);

/** Whether a side can be seen: it has a picture and sends it. */
function isSeen(stream, { held, muted, screen }) {
  return !held && stream.getVideoTracks().length > 0 && (screen || !muted.video);
}

export function setPressed(button, isPressed, label) {
  button.setAttribute("aria-pressed", isPressed);
  button.setAttribute("aria-label", label);
  button.title = label;
}

/** Show the other side of a call. If playing needs a click first, a button asks for it. */
async function playRemote(call) {
  const video = byId("call-remote");
  byId("call-sound").hidden = true;
  if (!call) video.srcObject = null;
  else if (video.srcObject !== call.remoteStream) {
    byId("call-sound").hidden = await call.play(video);
  }
}

/**
 * Make the page behind a large stage unreachable for keyboard and screen reader too. The stage is
 * the main part of the page then.
 */
export function coverPage() {
  const isLarge = !byId("call").hidden && byId("call").dataset.size === "large";
  const isMeeting = !isLarge && !byId("meeting").hidden;
  byId("columns").inert = isLarge || isMeeting;
  byId("call").setAttribute("role", isLarge ? "main" : "region");
  byId("meeting").setAttribute("role", isMeeting ? "main" : "region");
}

export class CallView {
  #isSmall = false;
  #focused = null; // the element with the focus before the call
  #shown = null; // the call on the screen

  /** `actions` are functions: accept(withVideo), decline, hangUp, mute, camera, share, hold. */
  constructor(actions) {
    const buttons = {
      decline: actions.decline,
      "accept-audio": () => actions.accept(false),
      "accept-video": () => actions.accept(true),
      "call-mute": actions.mute,
      "call-camera": actions.camera,
      "call-share": actions.share,
      "call-hold": actions.hold,
      "call-hang-up": actions.hangUp,
      "call-size": () => this.#resize(!this.#isSmall),
      "call-sound": () => byId("call-remote").play().then(() => (byId("call-sound").hidden = true)),
    };
    for (const [id, action] of Object.entries(buttons)) byId(id).addEventListener("click", action);
    // Browsers of phones cannot share the screen.
    byId("call-share").hidden = !navigator.mediaDevices?.getDisplayMedia;
  }

  /** `current` is {call, username, name, withVideo, since, error, detail}; null without a call. */
  draw(current) {
    const state = current?.call.state;
    const rings = state === "ringing" || state === "answering";
    this.#drawRinging(rings ? current : null);
    this.#drawCall(current && !rings ? current : null);
  }

  #drawRinging(current) {
    const isNew = current && byId("ringing").hidden;
    byId("ringing").hidden = !current;
    if (!current) return;
    const { call, username, name, withVideo, error } = current;
    // The panel does not take the focus, so a screen reader needs the announcer to read it.
    if (isNew) byId("announcer").textContent = `${name} is calling`;
    showAvatar(byId("ringing-avatar"), username, name);
    byId("ringing-name").textContent = name;
    byId("ringing-detail").textContent = withVideo ? "Incoming video call" : "Incoming call";
    byId("ringing-error").hidden = !error;
    byId("ringing-error").textContent = error ?? "";
    byId("accept-audio").setAttribute("aria-label", "Accept with sound only");
    byId("accept-video").setAttribute("aria-label", "Accept with video");
    byId("accept-video").hidden = !withVideo;
    byId("accept-audio").lastElementChild.textContent = withVideo ? "Audio" : "Accept";
    for (const id of ["accept-audio", "accept-video"]) {
      byId(id).disabled = call.state === "answering";
    }
  }

  #drawCall(current) {
    const isNew = current && this.#shown !== current.call;
    this.#shown = current?.call ?? null;
    const wasOpen = !byId("call").hidden;
    byId("call").hidden = !current;
    coverPage();
    const { localStream, remoteStream } = current?.call ?? {};
    if (byId("call-local").srcObject !== (localStream ?? null)) {
      byId("call-local").srcObject = localStream ?? null;
    }
    if (isNew || !current) playRemote(current?.call);
    if (!current) {
      if (wasOpen) this.#focused?.focus();
      return;
    }

    const { call, username, name, detail } = current;
    showAvatar(byId("call-avatar"), username, name);
    byId("call-name").textContent = name;
    byId("call-detail").textContent = detail;
    this.tick(current);
    const seesOther = isSeen(remoteStream, call.remote) && !call.local.held;
    const seesSelf = isSeen(localStream, call.local);
    byId("call").dataset.state = call.state;
    byId("call").dataset.remote = seesOther ? "video" : "avatar";
    byId("call").dataset.screen = call.remote.screen;
    byId("call-local").hidden = !seesSelf;
    byId("call-local").dataset.screen = call.local.screen;

    const { held, muted, screen } = call.local;
    const hasCamera = localStream.getVideoTracks().length > 0 && !muted.video;
    setPressed(byId("call-mute"), muted.audio, muted.audio ? "Unmute" : "Mute");
    setPressed(byId("call-camera"), !hasCamera, hasCamera ? "Camera off" : "Camera on");
    setPressed(byId("call-share"), screen, screen ? "Stop sharing" : "Share the screen");
    setPressed(byId("call-hold"), held, held ? "Go on" : "Hold");
    for (const id of ["call-camera", "call-share", "call-hold"]) {
      byId(id).disabled = call.state !== "open";
    }
    if (isNew) {
      this.#focused = document.activeElement;
      this.#resize(false);
      byId("call-name").focus();
    }
  }

  /** Draw only the duration; called once a second. */
  tick({ since }) {
    byId("call-duration").textContent = since ? duration((Date.now() - since) / 1000) : "";
  }

  /** Draw the call small or large. A small call leaves room for the chat. */
  #resize(isSmall) {
    this.#isSmall = isSmall;
    byId("call").dataset.size = isSmall ? "small" : "large";
    const button = byId("call-size");
    button.querySelector("use").setAttribute("href", isSmall ? "#icon-expand" : "#icon-chat");
    button.setAttribute("aria-label", isSmall ? "Enlarge the call" : "Back to the chat");
    coverPage();
  }
}

/** `reason` says why `username` cannot be called now; null if a call is possible. */
export function drawCallButtons(username, reason) {
  for (const kind of ["audio", "video"]) {
    const button = byId(`call-${kind}`);
    const label = `${kind === "audio" ? "Audio" : "Video"} call with ${username}`;
    // Not `disabled`: a click shows the reason, also to users that cannot see the title.
    button.setAttribute("aria-disabled", Boolean(reason));
    button.setAttribute("aria-label", reason ? `${label}: ${reason}` : label);
    button.title = reason ?? label;
  }
}

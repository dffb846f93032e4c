/** Draws the form to join a meeting, and the meeting itself. */

import { coverPage, setPressed } from "./call-view.js";
import { element, showAvatar, showList } from "./elements.js";
import { readMeetingName } from "./meeting.js";

const byId = (id) => document.getElementById(id);

function createTile({ username, isOwn }) {
  const tile = element("li", isOwn ? "tile own" : "tile", { "data-testid": "tile" });
  tile.dataset.username = username;
  const video = element("video", "", { playsinline: "" });
  video.autoplay = true;
  video.muted = isOwn;
  const name = element("span", "tile-name");
  name.append(element("span", "tile-text"), element("span", "tile-detail"));
  tile.append(video, element("span", "avatar", { "aria-hidden": "true" }), name);
  return tile;
}

function updateTile(tile, { username, name, isOwn, stream, status, isConnected }) {
  const video = tile.querySelector("video");
  showAvatar(tile.querySelector(".avatar"), username, name);
  tile.querySelector(".tile-text").textContent = isOwn ? "You" : name;
  tile.dataset.screen = status.screen; // a shared screen is not mirrored, and shown to its edges
  if (video.srcObject !== stream) video.srcObject = stream;
  const hasPicture = stream?.getVideoTracks().length > 0;
  tile.dataset.seen = Boolean(hasPicture && status.video && isConnected);
  tile.dataset.muted = !status.audio;
  tile.querySelector(".tile-detail").textContent = detailOf(status, isConnected);
}

function headcount(count, isConnected) {
  if (count > 1) return `${count} people`;
  return isConnected ? "Nobody else is here yet" : "Reconnecting…";
}

function detailOf(status, isConnected) {
  if (!isConnected) return "connecting…";
  return [status.screen && "shares the screen", !status.audio && "muted"].filter(Boolean).join(", ");
}

export class MeetingView {
  #me;
  #nameOf;
  #name = null; // the name of the meeting on the screen

  /** `actions` are functions: nameOf(username), join(name), leave, toggle(kind), share. */
  constructor(me, actions) {
    this.#me = me;
    this.#nameOf = actions.nameOf;
    byId("meetings-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const name = readMeetingName(byId("meeting-name").value);
      if (name) byId("meeting-name").value = name;
      actions.join(name);
    });
    byId("meeting-link").addEventListener("click", () => this.#copyLink());
    byId("meeting-leave").addEventListener("click", actions.leave);
    byId("meeting-mute").addEventListener("click", () => actions.toggle("audio"));
    byId("meeting-camera").addEventListener("click", () => actions.toggle("video"));
    byId("meeting-share").addEventListener("click", actions.share);
    // Browsers of phones cannot share the screen.
    byId("meeting-share").hidden = !navigator.mediaDevices?.getDisplayMedia;
  }

  /** Show or hide the form. `error` says why the user could not join. */
  drawForm({ isOpen, isJoining, error }) {
    byId("meetings").hidden = !isOpen;
    if (isOpen) byId("meetings-link").setAttribute("aria-current", "true");
    else byId("meetings-link").removeAttribute("aria-current");
    byId("meetings-error").hidden = !error;
    byId("meetings-error").textContent = error ?? "";
    byId("meeting-join").disabled = isJoining;
    byId("meeting-join").textContent = isJoining ? "Joining…" : "Join";
  }

  suggest(name) {
    byId("meeting-name").value = name;
    byId("meeting-name").focus();
  }

  async #copyLink() {
    const link = new URL(`#/meetings/${this.#name}`, location.href);
    const copied = navigator.clipboard.writeText(link).then(() => "Link copied");
    byId("meeting-link").textContent = await copied.catch(() => link); // shown if copying fails
  }

  /** `isConnected`: without the server, nobody knows who is there. */
  draw(meeting, isConnected) {
    byId("meeting").hidden = !meeting.isIn;
    coverPage();
    if (!meeting.isIn) {
      byId("tiles").replaceChildren();
      if (this.#name) byId(byId("meetings").hidden ? "meetings-link" : "meetings-title").focus();
      this.#name = null;
      return;
    }
    const { members, status, stream, name } = meeting;
    const own = { key: "own", username: this.#me, stream, status, isOwn: true, isConnected: true };
    own.name = this.#nameOf(this.#me);
    const others = members.map((member) => ({
      key: JSON.stringify(member.peer),
      username: member.peer.username,
      name: this.#nameOf(member.peer.username),
      stream: member.stream,
      status: member.status,
      isConnected: member.isConnected,
    }));
    const tiles = [...others, own];
    showList(byId("tiles"), tiles, ({ key }) => key, createTile, updateTile);
    byId("tiles").dataset.count = tiles.length;
    byId("meeting-title").textContent = name;
    byId("meeting-detail").textContent = headcount(tiles.length, isConnected);
    const { audio, video, screen } = status;
    const showsCamera = video && !screen;
    setPressed(byId("meeting-mute"), !audio, audio ? "Mute" : "Unmute");
    setPressed(byId("meeting-camera"), !showsCamera, showsCamera ? "Camera off" : "Camera on");
    setPressed(byId("meeting-share"), screen, screen ? "Stop sharing" : "Share the screen");
    if (this.#name !== name) {
      byId("meeting-title").focus();
      byId("meeting-link").textContent = "Copy link";
    }
    this.#name = name;
  }
}

/** Draws the form to join a meeting, and the meeting itself. */

import { coverPage, setPressed } from "./call-view.js";
import { element, showAvatar, showList } from "./elements.js";

const byId = (id) => document.getElementById(id);

function createTile({ username, isOwn }) {
  const tile = element("li", isOwn ? "tile own" : "tile", { "data-testid": "tile" });
  tile.dataset.username = username;
  const video = element("video", "", { playsinline: "" });
  video.autoplay = true;
  video.muted = isOwn;
  const avatar = element("span", "avatar", { "aria-hidden": "true" });
  showAvatar(avatar, username);
  const name = element("span", "tile-name");
  const text = element("span", "");
  text.textContent = isOwn ? "You" : username;
  name.append(text, element("span", "tile-detail"));
  tile.append(video, avatar, name);
  return tile;
}

function updateTile(tile, { stream, status, isConnected }) {
  const video = tile.querySelector("video");
  if (video.srcObject !== stream) video.srcObject = stream;
  const hasPicture = stream?.getVideoTracks().length > 0;
  tile.dataset.seen = Boolean(hasPicture && status.video && isConnected);
  tile.dataset.muted = !status.audio;
  const detail = isConnected ? (status.audio ? "" : "muted") : "connecting…";
  tile.querySelector(".tile-detail").textContent = detail;
}

export class MeetingView {
  #me;
  #name = null; // the name of the meeting on the screen

  /** `actions` are functions: join(name), leave, toggle(kind). */
  constructor(me, actions) {
    this.#me = me;
    byId("meetings-form").addEventListener("submit", (event) => {
      event.preventDefault();
      actions.join(byId("meeting-name").value.trim().toLowerCase());
    });
    byId("meeting-link").addEventListener("click", () => this.#copyLink());
    byId("meeting-leave").addEventListener("click", actions.leave);
    byId("meeting-mute").addEventListener("click", () => actions.toggle("audio"));
    byId("meeting-camera").addEventListener("click", () => actions.toggle("video"));
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

  draw(meeting) {
    byId("meeting").hidden = !meeting.isIn;
    coverPage();
    if (!meeting.isIn) {
      byId("tiles").replaceChildren();
      this.#name = null;
      return;
    }
    const { members, status, stream, name } = meeting;
    const own = { key: "own", username: this.#me, stream, status, isOwn: true, isConnected: true };
    const others = members.map((member) => ({
      key: JSON.stringify(member.peer),
      username: member.peer.username,
      stream: member.stream,
      status: member.status,
      isConnected: member.isConnected,
    }));
    const tiles = [...others, own];
    showList(byId("tiles"), tiles, ({ key }) => key, createTile, updateTile);
    byId("tiles").dataset.count = tiles.length;
    byId("meeting-title").textContent = name;
    byId("meeting-detail").textContent =
      tiles.length > 1 ? `${tiles.length} people` : "Nobody else is here yet";
    const { audio, video } = status;
    setPressed(byId("meeting-mute"), !audio, audio ? "Mute" : "Unmute");
    setPressed(byId("meeting-camera"), !video, video ? "Camera off" : "Camera on");
    byId("meeting-camera").disabled = !meeting.hasCamera;
    if (this.#name !== name) {
      byId("meeting-title").focus();
      byId("meeting-link").textContent = "Copy link";
    }
    this.#name = name;
  }
}

"""A site only for calls and rooms: a login by URL, one page for calls, and one for meetings."""

from __future__ import annotations

from flask import Flask, redirect, request, session

from protoo_flask import Protoo
from protoo_flask.middleware import room_handler, session_handler

PAGE = """<!doctype html>
<title>calls</title>
<video id="local" autoplay muted playsinline></video>
<video id="remote" autoplay muted playsinline></video>
<script type="module">
  import { Client } from "/protoo/protoo.mjs";
  import { Calls } from "/protoo/protoo-call.mjs";

  const client = new Client({ repeat: true, reconnect: { min: 50, max: 200 } });
  const query = new URLSearchParams(location.search);
  const options = JSON.parse(query.get("calls") ?? "{}");
  const calls = new Calls(client, { iceServers: async () => [], ...options });
  const log = [];
  const show = (call) => {
    document.getElementById("local").srcObject = call.localStream;
    document.getElementById("remote").srcObject = call.remoteStream;
    for (const event of ["state", "remote", "error", "close", "connection"]) {
      call.on(event, (payload) => log.push([event, payload]));
    }
    Object.assign(window, { call });
    return call;
  };
  client.on("request", (req) => calls.handle(req) || req.reply(404, "unknown method"));
  calls.on("call", show);
  // Answers without a device and without a user, who would have clicked.
  if (query.has("answer")) {
    calls.on("call", async (call) => {
      await call.accept({ audio: false });
      call.on("error", ({ message }) => console.log(message));
      const element = document.getElementById("remote");
      element.muted = false;
      console.log(`plays: ${await call.play(element)}`);
    });
  }
  client.once("open", async () => {
    if (sessionStorage.resume) (await calls.resume({ audio: true, video: true })).forEach(show);
    document.body.dataset.ready = "true";
  });
  Object.assign(window, { client, calls, log, show, call: null, username: "USERNAME" });
  client.connect();

  const frames = async (type) => {
    let count = 0;
    if (!window.call || !call.peerConnection) return 0;
    for (const it of (await call.peerConnection.getStats()).values()) {
      if (it.type === type && it.kind === "video") count += it.framesDecoded ?? it.framesSent ?? 0;
    }
    return count;
  };
  window.framesDecoded = () => frames("inbound-rtp");
  window.framesSent = () => frames("outbound-rtp");
</script>
"""

MEETING = """<!doctype html>
<title>meeting</title>
<script type="module">
  import { Client } from "/protoo/protoo.mjs";
  import { Mesh } from "/protoo/protoo-mesh.mjs";

  const client = new Client({ reconnect: { min: 50, max: 200 } });
  const mesh = new Mesh(client);
  const log = [];
  for (const event of ["join", "leave", "error", "close"]) {
    mesh.on(event, (it) => log.push([event, it.peer?.username ?? it.message ?? it]));
  }
  client.on("request", (req) => mesh.handle(req) || req.reply(404, "unknown method"));
  client.on("notification", (it) => mesh.takeNotification(it));
  let opened = 0;
  client.on("open", () => (opened += 1));
  // Small pictures: the machine of the tests encodes one for each other member.
  const video = { width: 160, height: 120, frameRate: 10 };
  const connections = () => mesh.members.map(({ peerConnection }) => peerConnection);
  const frames = async () => {
    const counts = {};
    for (const { peer, peerConnection } of mesh.members) {
      for (const it of (await peerConnection?.getStats())?.values() ?? []) {
        const isVideo = it.type === "inbound-rtp" && it.kind === "video";
        if (isVideo) counts[peer.username] = it.framesDecoded ?? 0;
      }
    }
    return counts;
  };
  Object.assign(window, { client, mesh, log, frames, connections, opened: () => opened });
  await client.connect();
  const path = new URLSearchParams(location.search).get("room") ?? "/rooms/standup";
  await mesh.join(path, { audio: true, video });
  document.body.dataset.ready = "true";
</script>
"""


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="of the tests", PROTOO_DISCONNECT_GRACE_PERIOD=20)
    protoo = Protoo(app)
    protoo.use("/users", session_handler(protoo))
    protoo.use("/", room_handler(protoo))

    @app.route("/login/<username>")
    def login(username: str):
        session["username"] = username
        return redirect(f"/?{request.query_string.decode()}")

    @app.route("/")
    def page():
        return PAGE.replace("USERNAME", session["username"])

    @app.route("/meeting/<username>")
    def meeting(username: str):
        session["username"] = username
        return MEETING

    return app

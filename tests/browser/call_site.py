"""A site only for calls: a login by URL, and one page."""

from __future__ import annotations

from flask import Flask, redirect, request, session

from protoo_flask import Protoo
from protoo_flask.middleware import session_handler

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


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="of the tests", PROTOO_DISCONNECT_GRACE_PERIOD=20)
    protoo = Protoo(app)
    protoo.use("/users", session_handler(protoo))

    @app.route("/login/<username>")
    def login(username: str):
        session["username"] = username
        return redirect(f"/?{request.query_string.decode()}")

    @app.route("/")
    def page():
        return PAGE.replace("USERNAME", session["username"])

    return app

/*
 * A page with calls, for tests. The test plays the server and the other side.
 *
 *   const at = await site(t);
 *   const call = await at.opened({ video: true });
 */
import assert from "node:assert/strict";
import { settle, world } from "./harness.mjs";
import { fakePeerConnections, FakeMediaDevices, FakeMediaStream } from "./media.mjs";

export const { Call, CallError, Calls } = await import(
  "../../protoo_flask/static/protoo-call.mjs"
);

export const PATH = "/users/sessions/s1";
export const bob = { username: "bob", uuid: "b1" };
export const alice = { username: "alice", uuid: "a1" };
export const quiet = { held: false, muted: { audio: false, video: false }, screen: false };
export const offerOf = (connection, extra = {}) => ({
  connection,
  description: { type: "offer", sdp: "their offer" },
  ...extra,
});
export const answerOf = (connection, media) => ({
  connection,
  description: { type: "answer", sdp: "theirs", media },
});
/** A candidate as RTCIceCandidate.toJSON() writes it. */
export const ice = (candidate) => ({ candidate, sdpMid: "0", sdpMLineIndex: 0 });

/** A client with an open connection, and its calls. */
export async function site(t, options = {}) {
  const here = world(t);
  const media = new FakeMediaDevices();
  const pcs = fakePeerConnections();
  const { made, RTCPeerConnection } = pcs;
  const client = await here.openClient({ uuid: "a1", requestTimeout: 1e6 });
  const lent = { RTCPeerConnection, MediaStream: FakeMediaStream, mediaDevices: media };
  const calls = new Calls(client, { ...lent, ...options });
  client.on("request", (req) => calls.handle(req) || req.reply(404, "unknown method"));
  let ids = 0;
  const at = Object.assign(here, {
    media,
    pcs,
    made,
    calls,
    theClient: client,
    incoming: [],
    /** The sent requests with this method. */
    requests: (method) => here.sent.filter((it) => it.method === method),
    last: (method) => at.requests(method).at(-1),
    async answers(request, status, data = {}, reason = "") {
      assert.ok(request, "there was no such request");
      await here.say({ status, reason, id: request.id, data });
    },
    /** Send a request inside a call. Returns its final response, if there is one. */
    async asks(method, data = {}, sender = bob) {
      ids += 1;
      const id = ids;
      await here.say({ method, id, data: { sessionPath: PATH, ...data }, sender });
      return here.sent.find((it) => it.id === id && it.status >= 200);
    },
    watch(call) {
      return here.record(call, "state", "remote", "error", "close");
    },
    async dial(media) {
      const call = calls.start("/users/bob", media);
      await settle();
      return call;
    },
    /** A call that bob has answered. `sent` has the directions of his media, by kind. */
    async opened(media, sent) {
      const call = await at.dial(media);
      const request = at.last("session");
      await at.answers(request, 100, { sessionPath: PATH });
      await at.answers(request, 200, answerOf(request.data.connection, sent));
      assert.equal(call.state, "open");
      return Object.assign(call, { id: request.data.connection });
    },
    /** A ringing call from bob. */
    async rung(data = offerOf("c1", { media: ["audio"] })) {
      let call;
      const stop = calls.on("call", (it) => {
        call = it;
      });
      await at.asks("session", data);
      stop();
      return call;
    },
    async accepted() {
      const call = await at.rung();
      await call.accept();
      await settle();
      return call;
    },
  });
  Object.defineProperty(at, "pc", { get: () => made.at(-1) }); // the latest RTCPeerConnection
  t.after(() => {
    calls.close();
    assert.equal(media.open(), 0, "a device was left open");
    assert.ok(made.every(({ signalingState }) => signalingState === "closed"), "left open");
  });
  return at;
}

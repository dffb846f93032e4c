/* Calls in the browser. The test plays the server and the other side. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  alice, answerOf, bob, Call, CallError, ice, offerOf, PATH, quiet, site,
} from "./calls.mjs";
import { settle } from "./harness.mjs";
import { FakeTrack } from "./media.mjs";

describe("An outgoing call", () => {
  test("begins with an offer of its media", async (t) => {
    const at = await site(t);
    const call = await at.dial({ audio: true, video: true, info: { topic: "tea" } });
    const { path, data } = at.last("session");
    assert.equal(path, "/users/bob");
    assert.match(data.connection, /^[0-9a-f]{16}$/);
    const { connection, ...rest } = data;
    const description = { type: "offer", sdp: "offer 1 of pc1" };
    const told = { media: ["audio", "video"], info: { topic: "tea" }, description, status: quiet };
    assert.deepEqual(rest, told);
    assert.equal(call.state, "connecting");
    assert.deepEqual(call.localStream.getTracks(), at.media.tracks);
  });

  test("sends only sound by default", async (t) => {
    const at = await site(t);
    await at.dial();
    assert.deepEqual(at.media.asked, [{ audio: true, video: false }]);
  });

  test("makes an offer even without a device", async (t) => {
    const at = await site(t);
    await at.dial({ audio: false });
    const [{ direction, receiver }] = at.pc.getTransceivers();
    assert.deepEqual([direction, receiver.track.kind], ["recvonly", "audio"]);
  });

  test("rings, and is open when it is answered", async (t) => {
    const at = await site(t);
    const call = await at.dial();
    const events = at.watch(call);
    const request = at.last("session");
    await at.answers(request, 100, { sessionPath: PATH });
    assert.deepEqual([call.state, call.path], ["connecting", PATH]);
    await at.answers(request, 180);
    await at.answers(request, 180);
    assert.equal(call.state, "progress");
    await at.answers(request, 200, answerOf(request.data.connection));
    assert.deepEqual(at.pc.remoteDescription, { type: "answer", sdp: "theirs" });
    assert.deepEqual(events, [
      ["state", { state: "progress", previous: "connecting" }],
      ["state", { state: "open", previous: "progress" }],
    ]);
  });

  test("is closed when it is rejected", async (t) => {
    const at = await site(t);
    const call = await at.dial();
    const events = at.watch(call);
    await at.answers(at.last("session"), 486, {}, "busy");
    assert.deepEqual(events.at(-1), ["close", { cause: "rejected", status: 486, reason: "busy" }]);
    assert.deepEqual([call.state, at.calls.list], ["closed", []]);
    assert.equal(at.last("end"), undefined);
  });

  test("is closed when the microphone is not allowed, and says why", async (t) => {
    const at = await site(t);
    at.media.fail = new DOMException("no", "NotAllowedError");
    const call = at.calls.start("/users/bob");
    const events = at.watch(call);
    await settle();
    const reason = "You have not allowed this page to use the microphone.";
    assert.deepEqual(events.at(-1), ["close", { cause: "failed", status: null, reason }]);
    const [, error] = events.find(([name]) => name === "error");
    assert.ok(error instanceof CallError);
    assert.deepEqual([error.message, error.cause], [reason, at.media.fail]);
    assert.equal(at.last("session"), undefined);
  });

  test("is closed when its answer is unusable, and the other side is told", async (t) => {
    const at = await site(t);
    const call = await at.dial();
    call.on("error", () => {});
    const request = at.last("session");
    await at.answers(request, 100, { sessionPath: PATH });
    await at.answers(request, 200, {});
    assert.equal(call.state, "closed");
    assert.equal(at.last("end").path, PATH);
  });

  test("that is hung up is ended on the server", async (t) => {
    const at = await site(t);
    const call = await at.dial();
    await at.answers(at.last("session"), 100, { sessionPath: PATH });
    const events = at.watch(call);
    call.hangUp();
    await settle();
    assert.equal(at.last("end").path, PATH);
    assert.deepEqual(events.at(-1), ["close", { cause: "hangup", status: null, reason: "" }]);
    await at.answers(at.last("session"), 487, {}, "canceled");
    assert.equal(events.length, 2);
  });

  test("that is hung up before it has a path is ended as soon as it has one", async (t) => {
    const at = await site(t);
    const call = await at.dial();
    call.hangUp();
    assert.equal(at.last("end"), undefined);
    await at.answers(at.last("session"), 100, { sessionPath: PATH });
    assert.equal(at.last("end").path, PATH);
  });

  test("that is hung up without a connection is never sent", async (t) => {
    const at = await site(t);
    await at.drop();
    const call = await at.dial();
    call.hangUp();
    await at.page("online");
    await at.accept();
    assert.equal(at.last("session"), undefined);
  });

  test("that is hung up while the user is asked for the microphone releases it", async (t) => {
    const at = await site(t);
    let allow;
    at.media.wait = new Promise((resolve) => {
      allow = resolve;
    });
    const call = await at.dial();
    call.hangUp();
    allow();
    await settle();
    assert.deepEqual([at.media.tracks.length, at.media.open()], [1, 0]);
    assert.equal(at.last("session"), undefined);
  });

  test("sends its candidates in bursts, once it has a path", async (t) => {
    const at = await site(t);
    const call = await at.dial();
    at.pc.finds("one");
    at.pc.finds("two");
    await at.tick(100);
    assert.equal(at.last("icecandidate"), undefined);
    const request = at.last("session");
    await at.answers(request, 100, { sessionPath: PATH });
    at.pc.finds("three");
    await at.tick(99);
    const sent = () => at.requests("icecandidate").map(({ data }) =>
      data.candidates.map(({ candidate }) => candidate));
    assert.deepEqual(sent(), [["one", "two"]]);
    await at.tick(1);
    assert.deepEqual(sent(), [["one", "two"], ["three"]]);
    assert.equal(at.last("icecandidate").data.connection, request.data.connection);
    // The answering device may have been reloaded, or have connected, after the first burst.
    await at.answers(request, 200, answerOf(request.data.connection));
    assert.deepEqual(sent().at(-1), ["one", "two", "three"]);
    call.hangUp();
  });

  test("sends lost candidates again", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    at.pc.finds("one");
    await at.tick(100);
    await at.answers(at.last("icecandidate"), 408);
    at.pc.finds("two");
    await at.tick(100);
    const { candidates } = at.last("icecandidate").data;
    assert.deepEqual(candidates, [ice("one"), ice("two")]);
    assert.equal(call.state, "open");
  });

  test("continues when one of the ringing devices refuses candidates", async (t) => {
    const at = await site(t);
    const call = await at.dial();
    await at.answers(at.last("session"), 100, { sessionPath: PATH });
    at.pc.finds("one");
    await at.tick(100);
    await at.answers(at.last("icecandidate"), 404);
    assert.equal(call.state, "connecting");
  });

  test("tells changes of its status since the offer", async (t) => {
    const at = await site(t);
    const call = await at.dial();
    call.setMuted("audio", true);
    assert.equal(at.last("update"), undefined);
    const request = at.last("session");
    await at.answers(request, 100, { sessionPath: PATH });
    await at.answers(request, 200, answerOf(request.data.connection));
    assert.equal(at.last("update").data.status.muted.audio, true);
  });

  test("takes its path once, however often it is told", async (t) => {
    const at = await site(t);
    const call = await at.dial();
    const events = at.watch(call);
    const request = at.last("session");
    for (let i = 0; i < 2; i += 1) await at.answers(request, 100, { sessionPath: PATH });
    await at.answers(request, 180);
    await at.answers(request, 100, { sessionPath: PATH });
    await at.answers(request, 200, answerOf(request.data.connection));
    await at.answers(request, 100, { sessionPath: PATH });
    await at.answers(request, 200, answerOf(request.data.connection));
    const states = events.filter(([name]) => name === "state").map(([, { state }]) => state);
    assert.deepEqual(states, ["progress", "open"]);
    assert.deepEqual([call.state, call.path], ["open", PATH]);
    assert.equal(at.last("get"), undefined);
    call.hangUp();
  });
});

describe("An outgoing call whose path was lost", () => {
  const session = (path, changes = {}) =>
    ({ path, state: "open", caller: alice, callee: bob, ...changes });

  /** A call that was answered, and whose path is asked for. */
  async function answered(at, path = "/users/bob") {
    const call = at.calls.start(path);
    await settle();
    const request = at.last("session");
    await at.answers(request, 200, answerOf(request.data.connection));
    return call;
  }
  const lists = (at, ...sessions) => at.answers(at.last("get"), 200, { sessions });

  for (const dialed of ["/users/bob", "/users/bob/b1", "/Users//b%6Fb"]) {
    test(`asks the server for it: ${dialed}`, async (t) => {
      const at = await site(t);
      const call = await answered(at, dialed);
      assert.deepEqual([call.state, at.last("get").path], ["connecting", "/users/sessions"]);
      at.pc.finds("one");
      await lists(at, session(PATH));
      assert.deepEqual([call.state, call.path], ["open", PATH]);
      await at.tick(100);
      assert.equal(at.last("icecandidate").path, PATH);
      call.hangUp();
      assert.equal(at.last("end").path, PATH);
    });
  }

  test("lets requests of the other side wait for it", async (t) => {
    const at = await site(t);
    const call = await answered(at);
    assert.equal(await at.asks("update", { status: { held: true } }), undefined);
    await lists(at, session(PATH));
    await settle();
    assert.deepEqual([call.remote.held, call.peer], [true, bob]);
    assert.equal(at.sent.filter(({ status }) => status === 404).length, 0);
    call.hangUp();
  });

  test("takes no other call for it", async (t) => {
    const at = await site(t);
    const other = await at.opened();
    const call = await answered(at);
    await lists(
      at,
      session(PATH), // of another call of the page
      session("/users/sessions/s2", { state: "progress" }),
      session("/users/sessions/s3", { caller: { username: "alice", uuid: "a2" } }),
      session("/users/sessions/s4", { caller: bob, callee: alice }),
      session("/users/sessions/s5", { callee: { username: "carol", uuid: "c1" } }),
    );
    assert.deepEqual([call.state, call.path, other.path], ["open", null, PATH]);
    call.hangUp();
    other.hangUp();
  });

  test("takes none of two that it may be", async (t) => {
    const at = await site(t);
    const call = await answered(at);
    await lists(at, session(PATH), session("/users/sessions/s2"));
    assert.deepEqual([call.state, call.path], ["open", null]);
    call.hangUp();
  });

  for (const lose of ["is refused", "is lost with the connection"]) {
    test(`goes on when the question ${lose}`, async (t) => {
      const at = await site(t);
      const call = await answered(at);
      if (lose === "is refused") await at.answers(at.last("get"), 404, {}, "not found");
      else await at.drop();
      await settle();
      assert.deepEqual([call.state, call.path], ["open", null]);
      call.hangUp();
    });
  }

  test("is ended as soon as it is known, if it was hung up meanwhile", async (t) => {
    const at = await site(t);
    const call = await answered(at);
    call.hangUp();
    assert.equal(at.last("end"), undefined);
    await lists(at, session(PATH));
    assert.equal(at.last("end").path, PATH);
  });
});

describe("An incoming call", () => {
  test("rings, and has its caller, info and media", async (t) => {
    const at = await site(t);
    const call = await at.rung(offerOf("c1", { media: ["audio"], info: { topic: "tea" } }));
    assert.ok(call instanceof Call);
    const { state, peer, path, info, offered } = call;
    assert.deepEqual(
      { state, peer, path, info, offered },
      {
        state: "ringing",
        peer: bob,
        path: PATH,
        info: { topic: "tea" },
        offered: { audio: true, video: false },
      },
    );
    assert.deepEqual(at.sent.map(({ status }) => status), [180]);
  });

  test("may have an invalid info and invalid media", async (t) => {
    const at = await site(t);
    const { info, offered } = await at.rung(offerOf("c1", { media: 5, info: "tea" }));
    assert.deepEqual({ info, offered }, { info: {}, offered: { audio: false, video: false } });
  });

  test("makes no answer and opens no device before it is accepted", async (t) => {
    const at = await site(t);
    await at.rung();
    assert.deepEqual([at.made, at.media.asked], [[], []]);
  });

  test("is answered with a description when it is accepted", async (t) => {
    const at = await site(t);
    const call = await at.rung();
    const events = at.watch(call);
    await call.accept();
    await settle();
    assert.deepEqual(at.pc.remoteDescription.sdp, "their offer");
    const { status, data } = at.sent.at(-1);
    const description = { type: "answer", sdp: "answer 1 of pc1" };
    assert.deepEqual([status, data], [200, { connection: "c1", description, status: quiet }]);
    assert.deepEqual(events.map(([, { state }]) => state), ["answering", "open"]);
  });

  test("keeps the candidates that arrive before it is accepted", async (t) => {
    const at = await site(t);
    const call = await at.rung();
    const candidates = [ice("one"), { ...ice("bad"), fails: true }, ice("two")];
    const answer = await at.asks("icecandidate", { connection: "c1", candidates });
    assert.equal(answer.status, 200);
    await call.accept();
    await settle();
    assert.deepEqual(at.pc.candidates, ["one", "two"]);
  });

  test("is rejected for all devices of the user", async (t) => {
    const at = await site(t);
    const call = await at.rung();
    const events = at.watch(call);
    call.reject();
    await settle();
    assert.deepEqual([at.sent.at(-1).status, at.sent.at(-1).reason], [603, "declined"]);
    const how = { cause: "hangup", status: 603, reason: "declined" };
    assert.deepEqual(events.at(-1), ["close", how]);
    call.reject();
    call.hangUp();
    await settle();
    assert.equal(events.length, 2);
  });

  test("does not ring if the listener rejects it at once", async (t) => {
    const at = await site(t);
    at.calls.on("call", (call) => call.reject(486, "busy"));
    await at.asks("session", offerOf("c1"));
    assert.deepEqual(at.sent.map(({ status }) => status), [486]);
  });

  test("is rejected if there is no listener for calls", async (t) => {
    const at = await site(t);
    await at.asks("session", offerOf("c1"));
    assert.equal(at.sent.at(-1).status, 480);
    assert.deepEqual(at.calls.list, []);
  });

  test("ends when another device has answered", async (t) => {
    const at = await site(t);
    const call = await at.rung();
    const events = at.watch(call);
    const answer = await at.asks("end", { reason: "answered elsewhere" }, null);
    assert.equal(answer.status, 200);
    const how = { cause: "end", status: null, reason: "answered elsewhere" };
    assert.deepEqual(events.at(-1), ["close", how]);
    assert.equal(at.sent.at(-1).status, 487, "the session request is not left in progress");
    await assert.rejects(call.accept(), { name: "CallError", message: "The call is over." });
  });

  test("that ends while it is being accepted releases the microphone", async (t) => {
    const at = await site(t);
    const call = await at.rung();
    let allow;
    at.media.wait = new Promise((resolve) => {
      allow = resolve;
    });
    const accepting = call.accept();
    await at.asks("end", { reason: "canceled" }, null);
    allow();
    await assert.rejects(accepting, { message: "The call is over." });
    assert.equal(at.media.open(), 0);
    assert.equal(call.state, "closed");
  });

  test("continues to ring when the microphone is not allowed", async (t) => {
    const at = await site(t);
    const call = await at.rung();
    at.media.fail = new DOMException("no", "NotFoundError");
    const message = "No microphone or camera was found.";
    await assert.rejects(call.accept({ video: true }), { name: "CallError", message });
    assert.equal(call.state, "ringing");
    at.media.fail = null;
    await call.accept();
    assert.equal(call.state, "open");
    await assert.rejects(call.accept(), { message: "The call is not ringing." });
  });

  test("continues to ring when its offer is unusable", async (t) => {
    const at = await site(t);
    const call = await at.rung({ connection: "c1", description: { type: "nonsense" } });
    await assert.rejects(call.accept(), { name: "CallError", message: "The call is unusable." });
    assert.deepEqual([call.state, at.media.open()], ["ringing", 0]);
  });

  test("stays the same call when the server makes it ring again", async (t) => {
    const at = await site(t);
    const call = await at.rung();
    const again = await at.rung();
    assert.equal(again, undefined);
    await call.accept();
    await settle();
    const answers = at.sent.filter(({ status }) => status === 200);
    assert.deepEqual(answers.map(({ id }) => id), [2], "the request that still waits");
    assert.equal((await at.asks("session", offerOf("c1"))).status, 482);
  });
});

describe("Inside a call", () => {
  test("an offer is answered in the response", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    const { status, data } = await at.asks("update", offerOf(call.id));
    const description = { type: "answer", sdp: "answer 2 of pc1" };
    assert.deepEqual([status, data], [200, { connection: call.id, description, status: quiet }]);
  });

  test("a change that needs negotiation makes an offer, and the answer is used", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    await call.useDevice("video");
    await settle();
    const { data, path } = at.last("update");
    assert.deepEqual([path, data.isNew, data.description.type], [PATH, false, "offer"]);
    await at.answers(at.last("update"), 200, answerOf(call.id));
    assert.equal(at.pc.signalingState, "stable");
  });

  test("the caller refuses an offer that collides with its own", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    await call.useDevice("video");
    await settle();
    assert.equal((await at.asks("update", offerOf(call.id))).status, 491);
    assert.equal(at.pc.signalingState, "have-local-offer");
    await at.answers(at.last("update"), 200, answerOf(call.id));
    assert.equal(at.pc.signalingState, "stable");
  });

  test("the callee rolls its own offer back, and repeats it afterwards", async (t) => {
    const at = await site(t);
    const call = await at.accepted();
    await call.useDevice("video");
    await settle();
    const mine = at.last("update");
    assert.equal((await at.asks("update", offerOf("c1"))).status, 200);
    await at.answers(mine, 491);
    const again = at.last("update");
    assert.notEqual(again.id, mine.id);
    await at.answers(again, 200, answerOf("c1"));
    assert.equal(at.pc.signalingState, "stable");
    await at.tick(5000);
    assert.equal(at.last("update").id, again.id);
  });

  test("the answer to a rolled-back offer is ignored", async (t) => {
    const at = await site(t);
    const call = await at.accepted();
    await call.useDevice("video");
    await settle();
    const mine = at.last("update");
    await at.asks("update", offerOf("c1"));
    const before = at.pc.remoteDescription;
    await at.answers(mine, 200, answerOf("c1"));
    assert.equal(at.pc.remoteDescription, before);
  });

  test("an offer that waited for the other side's offer still gets its answer", async (t) => {
    const at = await site(t);
    const call = await at.accepted();
    // Both offers are made at the same time. Ours waits until theirs is answered.
    const theirs = at.asks("update", offerOf("c1"));
    at.pc.restartIce();
    assert.equal((await theirs).status, 200);
    await settle();
    await at.answers(at.last("update"), 200, answerOf("c1"));
    assert.equal(at.pc.signalingState, "stable");
    assert.equal(call.state, "open");
  });

  for (const status of [408, 491]) {
    test(`an offer with the response ${status} is repeated after 2.1 to 4 s`, async (t) => {
      const at = await site(t);
      const call = await at.opened();
      at.random.mock.mockImplementation(() => 0.5);
      await call.useDevice("video");
      await settle();
      await at.answers(at.last("update"), status);
      await at.tick(3049);
      assert.equal(at.requests("update").length, 1);
      await at.tick(1);
      assert.equal(at.requests("update").length, 2);
      await at.answers(at.last("update"), 200, answerOf(call.id));
      assert.equal(at.pc.signalingState, "stable");
    });
  }

  test("candidates of another connection are ignored", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    const of = (connection, candidate) => ({ connection, candidates: [ice(candidate)] });
    await at.asks("icecandidate", of(call.id, "right"));
    await at.asks("icecandidate", of("other", "wrong"));
    assert.deepEqual(at.pc.candidates, ["right"]);
  });

  test("a new connection of the other page replaces ours, with our tracks", async (t) => {
    const at = await site(t);
    const call = await at.opened({ video: true });
    const theirs = new FakeTrack("video");
    at.made[0].receives(theirs);
    assert.deepEqual(call.remoteStream.getTracks(), [theirs]);
    const { status, data } = await at.asks("update", offerOf("c2", { isNew: true }));
    assert.deepEqual([status, data.connection], [200, "c2"]);
    const [old, pc] = at.made;
    assert.equal(old.signalingState, "closed");
    assert.deepEqual(pc.getTransceivers().map(({ sender }) => sender.track), at.media.tracks);
    assert.equal(at.media.open(), 2);
    assert.deepEqual(call.remoteStream.getTracks(), []);
    assert.equal(call.peerConnection, pc);
  });

  test("an offer for an old connection is refused", async (t) => {
    const at = await site(t);
    await at.opened();
    assert.equal((await at.asks("update", offerOf("c0"))).status, 491);
    assert.equal(at.made.length, 1);
  });

  const wrong = [
    ["a missing description", "update", { description: null }],
    ["an invalid type of description", "update", { description: { type: "rollback" } }],
    ["candidates that are not a list", "icecandidate", { candidates: "many" }],
    ["a status that is not an object", "update", { status: "on hold" }],
    ["a status that is null", "update", { status: null }],
  ];
  for (const [name, method, data] of wrong) {
    test(`${name} gets 400, and the call continues`, async (t) => {
      const at = await site(t);
      const call = await at.opened();
      const answer = await at.asks(method, { connection: call.id, ...data });
      assert.deepEqual([answer.status, call.state], [400, "open"]);
    });
  }

  test("requests from a third peer are refused", async (t) => {
    const at = await site(t);
    const call = await at.accepted();
    assert.equal((await at.asks("end", {}, alice)).status, 403);
    assert.equal(call.state, "open");
    assert.equal((await at.asks("end", {}, bob)).status, 200);
    assert.equal(call.state, "closed");
  });

  test("hold stops all media in both directions, and tells the other side", async (t) => {
    const at = await site(t);
    const call = await at.opened({ video: true });
    const directions = () => at.pc.getTransceivers().map(({ direction }) => direction);
    call.hold();
    call.hold();
    await settle();
    assert.deepEqual(directions(), ["inactive", "inactive"]);
    assert.equal(at.requests("hold").length, 1);
    assert.equal(at.last("hold").data.status.held, true);
    call.unhold();
    await settle();
    assert.deepEqual(directions(), ["sendrecv", "sendrecv"]);
    assert.equal(at.last("unhold").data.status.held, false);
  });

  test("hold sends silence and black before its negotiation ends", async (t) => {
    const at = await site(t);
    const call = await at.opened({ video: true });
    const enabled = () => at.media.tracks.map((track) => track.enabled);
    call.setMuted("video", true);
    call.hold();
    assert.deepEqual(enabled(), [false, false]);
    call.setMuted("audio", false);
    assert.deepEqual(enabled(), [false, false]);
    call.unhold();
    assert.deepEqual(enabled(), [true, false]);
  });

  test("the screen is not sent on hold", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    await call.shareScreen();
    call.hold();
    assert.equal(at.media.tracks.at(-1).enabled, false);
  });

  test("media that the other side adds on hold stay inactive", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    call.hold();
    await settle();
    await at.answers(at.last("update"), 200, answerOf(call.id));
    const description = { type: "offer", sdp: "with video", kinds: ["video"] };
    await at.asks("update", { connection: call.id, description });
    const directions = at.pc.getTransceivers().map(({ direction }) => direction);
    assert.deepEqual(directions, ["inactive", "inactive"]);
  });

  test("a change of the other side's status is emitted once", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    const events = at.watch(call);
    const muted = { audio: true, video: "x" };
    await at.asks("hold");
    await at.asks("hold");
    await at.asks("update", { status: { held: true, muted, screen: true } });
    await at.asks("unhold");
    const heard = { audio: true, video: false };
    const sent = { audio: false, video: false };
    assert.deepEqual(events, [
      ["remote", { ...quiet, ...sent, held: true }],
      ["remote", { held: true, muted: heard, screen: true, ...sent }],
      ["remote", { held: false, muted: heard, screen: true, ...sent }],
    ]);
    assert.deepEqual(call.remote, events.at(-1)[1]);
  });

  test("mute disables the current track, and the track of a later device", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    call.setMuted("audio", true);
    assert.equal(at.last("update").data.status.muted.audio, true);
    await call.useDevice("audio", "headset");
    assert.deepEqual(at.media.asked.at(-1), {
      audio: { deviceId: { exact: "headset" } },
      video: false,
    });
    assert.deepEqual(at.media.tracks.map(({ enabled }) => enabled), [false, false]);
    assert.equal(at.media.open(), 1);
    assert.throws(() => call.setMuted("smell", true), TypeError);
    await assert.rejects(call.useDevice("smell"), TypeError);
  });

  test("another camera replaces the first without negotiation", async (t) => {
    const at = await site(t);
    const call = await at.opened({ video: true });
    await call.useDevice("video", "back");
    await settle();
    assert.equal(at.last("update"), undefined);
    const [, , track] = at.media.tracks;
    assert.equal(at.pc.getTransceivers()[1].sender.track, track);
    assert.deepEqual(call.localStream.getTracks().at(-1), track);
  });

  test("a phone closes the first camera before it opens the second", async (t) => {
    const at = await site(t);
    const call = await at.opened({ audio: false, video: true });
    at.media.isPhone = true;
    await call.useDevice("video", "back");
    assert.deepEqual(at.media.tracks.map(({ readyState }) => readyState), ["ended", "live"]);
  });

  test("the screen replaces the camera until the user stops sharing", async (t) => {
    const at = await site(t);
    const call = await at.opened({ video: true });
    const [, camera] = at.media.tracks;
    const sent = () => at.pc.getTransceivers()[1].sender.track;
    await call.shareScreen();
    await settle();
    assert.deepEqual([call.local.screen, at.last("update").data.status.screen], [true, true]);
    const screen = sent();
    assert.ok(![camera, null].includes(screen));
    assert.equal(at.media.open(), 3, "the sound of the screen is not used");
    screen.ends();
    await settle();
    assert.equal(sent(), camera);
    assert.equal(at.last("update").data.status.screen, false);
    assert.equal(camera.readyState, "live");
  });

  test("an unplugged camera is reported", async (t) => {
    const at = await site(t);
    const call = await at.opened({ video: true });
    const events = at.watch(call);
    at.media.tracks[1].ends();
    await settle();
    assert.deepEqual(events.map(([, { message }]) => message), ["The camera has gone."]);
  });

  test("a call that is unknown to the server is closed", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    const events = at.watch(call);
    call.setMuted("audio", true);
    await at.answers(at.last("update"), 404, {}, "session not found");
    const how = { cause: "end", status: 404, reason: "session not found" };
    assert.deepEqual(events.at(-1), ["close", how]);
  });

  test("a closed call leaves no timer, listener or track behind", async (t) => {
    const at = await site(t);
    const timers = at.timers.delays().length;
    const call = await at.opened({ video: true });
    const { pc } = at;
    await call.shareScreen();
    at.pc.restartIce();
    await settle();
    await at.answers(at.last("update"), 491);
    at.pc.finds("one");
    at.pc.iceIs("disconnected");
    assert.ok(at.timers.delays().length > timers + 2);
    call.hangUp();
    for (const request of [...at.requests("end"), ...at.requests("update")]) {
      await at.answers(request, 200);
    }
    assert.equal(at.timers.delays().length, timers);
    assert.deepEqual([at.media.open(), pc.signalingState], [0, "closed"]);
    assert.deepEqual([pc.ontrack, pc.onicecandidate, call.peerConnection], [null, null, null]);
    assert.deepEqual(call.localStream.getTracks(), []);
  });

  test("an error of a listener is logged, and the other listeners run", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    call.on("close", () => {
      throw new Error("of the test");
    });
    const events = at.watch(call);
    call.hangUp();
    await settle();
    assert.equal(events.length, 2);
    assert.match(String(at.takeLogged()), /"close" listener failed/);
    assert.throws(() => call.on("closed", () => {}), /event must be one of .*, got "closed"/);
    assert.throws(() => call.on("close", null), /listener must be a function/);
  });
});

describe("The state", () => {
  const states = {
    async connecting(at) {
      const call = await at.dial();
      await at.answers(at.last("session"), 100, { sessionPath: PATH });
      return call;
    },
    async progress(at) {
      const call = await states.connecting(at);
      await at.answers(at.last("session"), 180);
      return call;
    },
    ringing: (at) => at.rung(),
    async answering(at) {
      const call = await at.rung();
      at.media.wait = new Promise((resolve) => {
        at.allow = resolve;
      });
      call.accept().catch(() => {});
      return call;
    },
    open: (at) => at.opened(),
    async closed(at) {
      const call = await at.opened();
      call.hangUp();
      return call;
    },
  };
  const answer = (status) => (at, call) => {
    const request = at.last("session");
    const data = request && answerOf(request.data.connection);
    return request && call.state !== "closed" && at.answers(request, status, data);
  };
  const happenings = {
    "accept()": (at, call) => call.accept().catch((error) => assert.ok(error instanceof CallError)),
    "reject()": (at, call) => call.reject(),
    "hangUp()": (at, call) => call.hangUp(),
    "end": (at) => at.asks("end"),
    "180": answer(180),
    "200": answer(200),
    "486": answer(486),
    "allowed": (at) => at.allow?.(),
    "the client is closed": (at) => at.theClient.close(),
  };
  // Events that are missing here do not change the state.
  const next = {
    connecting: { "180": "progress", "200": "open", "486": "closed" },
    progress: { "200": "open", "486": "closed" },
    ringing: { "accept()": "open", "reject()": "closed" },
    answering: { "allowed": "open", "reject()": "closed" },
    open: {},
    closed: {},
  };
  const always = { "hangUp()": "closed", "end": "closed", "the client is closed": "closed" };

  for (const [state, enter] of Object.entries(states)) {
    for (const [name, happen] of Object.entries(happenings)) {
      const expected = { ...always, ...next[state] }[name] ?? state;
      test(`${state}, ${name}: ${expected}`, async (t) => {
        const at = await site(t);
        const call = await enter(at);
        assert.equal(call.state, state);
        await happen(at, call);
        await settle();
        assert.equal(call.state, expected);
        at.allow?.();
        await settle();
      });
    }
  }
});

describe("ICE", () => {
  test("is restarted with fresh servers at once when it has failed", async (t) => {
    let count = 0;
    const servers = (n) => [{ urls: `turn:${n}`, username: "alice", credential: "secret" }];
    const iceServers = async () => servers((count += 1));
    const at = await site(t, { iceServers, rtcConfiguration: { iceTransportPolicy: "relay" } });
    await at.opened();
    at.pc.iceIs("failed");
    await settle();
    assert.equal(at.pc.restarts, 1);
    assert.equal(at.last("update").data.description.type, "offer");
    const of = (n) => ({ iceTransportPolicy: "relay", iceServers: servers(n) });
    assert.deepEqual(at.pc.configurations, [of(1), of(2)]);
  });

  test("is restarted after 3 s of being disconnected", async (t) => {
    const at = await site(t);
    await at.opened();
    at.pc.iceIs("disconnected");
    await at.tick(2999);
    assert.equal(at.pc.restarts, 0);
    await at.tick(1);
    assert.equal(at.pc.restarts, 1);
  });

  test("is not restarted when it recovers by itself", async (t) => {
    const at = await site(t);
    await at.opened();
    at.pc.iceIs("disconnected");
    at.pc.iceIs("connected");
    await at.tick(5000);
    assert.equal(at.pc.restarts, 0);
  });

  test("starts without servers if they could not be fetched, and reports the error", async (t) => {
    const iceServers = async () => {
      throw new Error("no servers");
    };
    const at = await site(t, { iceServers });
    const call = at.calls.start("/users/bob");
    const events = at.watch(call);
    await settle();
    assert.match(events[0][1].message, /no servers/);
    assert.ok(at.last("session"));
  });
});

describe("After a reconnection", () => {
  const listed = (at, paths) =>
    at.answers(at.last("get"), 200, { sessions: paths.map((path) => ({ path, state: "open" })) });

  for (const [state, restarts] of [["connected", 0], ["disconnected", 1], ["failed", 1]]) {
    test(`a ${state} RTCPeerConnection is restarted ${restarts} times`, async (t) => {
      const at = await site(t);
      const call = await at.opened();
      at.pc.iceConnectionState = state; // its event comes later, if at all
      await at.reconnect();
      assert.equal(at.last("get").path, "/users/sessions");
      await listed(at, [PATH]);
      assert.deepEqual([at.pc.restarts, call.state], [restarts, "open"]);
    });
  }

  test("a lost offer is repeated at once", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    await call.useDevice("video");
    await settle();
    await at.reconnect();
    assert.equal(at.last("update"), undefined);
    await listed(at, [PATH]);
    await at.answers(at.last("update"), 200, answerOf(call.id));
    assert.equal(at.pc.signalingState, "stable");
  });

  test("a call that the server has ended is closed", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    const events = at.watch(call);
    await at.reconnect();
    await listed(at, []);
    assert.deepEqual(events.at(-1), ["close", { cause: "end", status: null, reason: "offline" }]);
  });

  test("the calls stay open if the server cannot list them", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    await at.reconnect();
    await at.answers(at.last("get"), 404);
    assert.equal(call.state, "open");
  });

  test("all calls are closed if there will be no reconnection", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    const events = at.watch(call);
    await at.drop(3000, "online elsewhere");
    const how = { cause: "failed", status: 410, reason: "3000 online elsewhere" };
    assert.deepEqual(events.at(-1), ["close", how]);
  });
});

describe("A page that was reloaded", () => {
  const session = { path: PATH, state: "open", caller: alice, callee: bob };

  async function resuming(t, sessions, media) {
    const at = await site(t);
    const resumed = at.calls.resume(media);
    await settle();
    const answer = () => at.answers(at.last("get"), 200, { sessions });
    return Object.assign(at, { resumed, answer });
  }

  test("begins a new connection for each open call", async (t) => {
    const at = await resuming(t, [session], { video: true });
    await at.answer();
    const [call] = await at.resumed;
    assert.deepEqual([call.state, call.path, call.peer], ["open", PATH, bob]);
    await settle();
    const { path, data } = at.last("update");
    assert.deepEqual([path, data.isNew, data.description.type], [PATH, true, "offer"]);
    await at.answers(at.last("update"), 200, answerOf(data.connection));
    assert.equal(at.pc.signalingState, "stable");
  });

  test("ends its own calls that were not answered", async (t) => {
    const ringing = { ...session, state: "progress", callee: { username: "bob" } };
    const toMe = { path: "/users/sessions/s2", state: "progress", caller: bob, callee: alice };
    const at = await resuming(t, [ringing, toMe]);
    await at.answer();
    assert.deepEqual(await at.resumed, []);
    assert.deepEqual(at.requests("end").map(({ path }) => path), [PATH]);
  });

  test("learns the peer from a request if all devices have the same uuid", async (t) => {
    const twin = { username: "bob", uuid: "a1" };
    const at = await resuming(t, [{ ...session, callee: twin }]);
    await at.answer();
    const [call] = await at.resumed;
    assert.equal(call.peer, null);
    assert.equal((await at.asks("hold", {}, twin)).status, 200);
    assert.deepEqual(call.peer, twin);
  });

  test("delays requests that arrive while it resumes", async (t) => {
    const at = await resuming(t, [session]);
    await at.asks("hold");
    assert.equal(at.sent.filter(({ status }) => status).length, 0);
    await at.answer();
    const [call] = await at.resumed;
    await settle();
    assert.equal(call.remote.held, true);
    assert.equal(at.sent.filter(({ status }) => status === 200).length, 1);
  });

  test("continues without a microphone if it is no longer allowed", async (t) => {
    const at = await resuming(t, [session]);
    at.media.fail = new DOMException("no", "NotAllowedError");
    await at.answer();
    const [call] = await at.resumed;
    await settle();
    assert.equal(call.state, "open");
    assert.equal(at.last("update").data.isNew, true);
    assert.match(String(at.takeLogged()), /You have not allowed/);
  });

  for (const [who, caller, status] of [["caller", alice, 491], ["callee", bob, 200]]) {
    test(`keeps the new connection of the caller if both were reloaded; this is the ${who}`,
      async (t) => {
        const callee = caller === alice ? bob : alice;
        const at = await resuming(t, [{ ...session, caller, callee }]);
        await at.answer();
        await settle();
        const answer = await at.asks("update", offerOf("c2", { isNew: true }));
        assert.equal(answer.status, status);
        assert.equal(at.made.length, status === 200 ? 2 : 1);
      });
  }

  test("answers a new connection of the other side before its own devices are open", async (t) => {
    const at = await resuming(t, [session]);
    let allow;
    at.media.wait = new Promise((resolve) => {
      allow = resolve;
    });
    await at.answer();
    assert.equal((await at.asks("update", offerOf("c2", { isNew: true }))).status, 200);
    allow();
    await settle();
    assert.equal(at.made.length, 1);
    assert.deepEqual(at.pc.getTransceivers().map(({ sender }) => sender.track), at.media.tracks);
    assert.deepEqual(at.last("update").data.connection, "c2");
  });
});

describe("Calls", () => {
  const others = [
    ["a message", "message", { sessionPath: undefined }],
    ["a session of a room", "session", { sessionPath: "/rooms/tea" }],
    ["a session without an offer", "session", {}],
    ["another method inside a call", "whiteboard", {}],
  ];
  for (const [name, method, data] of others) {
    test(`leave ${name} to the page`, async (t) => {
      const at = await site(t);
      assert.equal((await at.asks(method, data)).reason, "unknown method");
    });
  }

  test("answer 404 for a closed call", async (t) => {
    const at = await site(t);
    assert.equal((await at.asks("update", {})).reason, "no such call");
  });

  test("can have another mount", async (t) => {
    const at = await site(t, { mount: "/people/" });
    at.calls.on("call", (call) => call.reject(486));
    const data = offerOf("c1", { sessionPath: "/people/sessions/s1" });
    assert.equal((await at.asks("session", data)).status, 486);
    assert.equal((await at.asks("session", offerOf("c1"))).status, 404);
  });

  test("hang up when they are closed", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    at.calls.close();
    assert.deepEqual([call.state, at.last("end").path], ["closed", PATH]);
  });
});

describe("What the other side sends is bounded:", () => {
  const batch = (first, count) =>
    Array.from({ length: count }, (_, i) => ice(`candidate ${first + i}`));
  /** Make all operations of the RTCPeerConnections wait. Returns a function that ends that. */
  const slowDown = (at) => {
    let end;
    at.pcs.wait = new Promise((resolve) => {
      end = resolve;
    });
    return async () => {
      at.pcs.wait = null;
      end();
      await settle();
    };
  };
  const statuses = (at) => at.sent.map(({ status }) => status).filter((status) => status >= 200);

  test("a thousand candidates wait while it rings", async (t) => {
    const at = await site(t);
    const call = await at.rung();
    for (const [first, count] of [[1, 600], [601, 399], [1000, 2]]) {
      const data = { connection: "c1", candidates: batch(first, count) };
      assert.equal((await at.asks("icecandidate", data)).status, 200);
    }
    await call.accept();
    await settle();
    assert.equal(at.pc.candidates.length, 1000);
    assert.equal(at.pc.candidates.at(-1), "candidate 1000");
  });

  test("a thousand candidates wait while a description is set", async (t) => {
    const at = await site(t);
    const call = await at.accepted();
    const goOn = slowDown(at);
    await at.asks("update", offerOf("c1"));
    for (const [first, count] of [[1, 999], [1000, 2], [1002, 50]]) {
      await at.asks("icecandidate", { connection: "c1", candidates: batch(first, count) });
    }
    assert.deepEqual(at.pc.candidates, []);
    await goOn();
    assert.equal(at.pc.candidates.length, 1000);
    await at.asks("icecandidate", { connection: "c1", candidates: batch(2000, 1) });
    assert.equal(at.pc.candidates.at(-1), "candidate 2000", "no room after they were used");
    assert.equal(call.state, "open");
  });

  test("a candidate has a thousand characters, and others are left out", async (t) => {
    const at = await site(t);
    const call = await at.rung();
    const length = 1000 - JSON.stringify(ice("")).length;
    const candidates = [length, length + 1].map((it) => ice("x".repeat(it)));
    const nested = { ...ice("nested"), more: [["x".repeat(1000)]] };
    await at.asks("icecandidate", { connection: "c1", candidates: [...candidates, nested, null] });
    await call.accept();
    await settle();
    assert.deepEqual(at.pc.candidates.map((it) => it.length), [length]);
  });

  for (const [name, connection] of [
    ["longer than 64 characters", "c".repeat(65)],
    ["that is no text", ["c1"]],
    ["that is missing", undefined],
  ]) {
    test(`candidates of a pair with an id ${name} do not wait`, async (t) => {
      const at = await site(t);
      const call = await at.rung(offerOf(connection, { media: ["audio"] }));
      await at.asks("icecandidate", { connection, candidates: batch(1, 1) });
      await call.accept();
      await settle();
      assert.deepEqual(at.pc.candidates, []);
    });
  }

  test("candidates of a pair with an id of 64 characters wait", async (t) => {
    const at = await site(t);
    const connection = "c".repeat(64);
    const call = await at.rung(offerOf(connection, { media: ["audio"] }));
    await at.asks("icecandidate", { connection, candidates: batch(1, 1) });
    await call.accept();
    await settle();
    assert.deepEqual(at.pc.candidates, ["candidate 1"]);
  });

  test("ten offers at a time wait", async (t) => {
    const at = await site(t);
    await at.accepted();
    const before = statuses(at).length;
    const goOn = slowDown(at);
    for (let i = 1; i <= 11; i += 1) await at.asks("update", offerOf("c1"));
    assert.deepEqual(statuses(at).slice(before), [491]);
    await goOn();
    assert.deepEqual(statuses(at).slice(before), [491, ...Array(10).fill(200)]);
    assert.equal((await at.asks("update", offerOf("c1"))).status, 200);
  });

  test("twenty new pairs begin in ten seconds", async (t) => {
    const at = await site(t);
    await at.accepted();
    const now = Date.now();
    const clock = t.mock.method(Date, "now", () => now);
    const begin = async (i) => (await at.asks("update", offerOf(`n${i}`, { isNew: true }))).status;
    for (let i = 1; i <= 20; i += 1) assert.equal(await begin(i), 200);
    assert.equal(at.made.length, 21);
    assert.equal(await begin(21), 491);
    clock.mock.mockImplementation(() => now + 9999);
    assert.equal(await begin(22), 491);
    assert.equal(at.made.length, 21);
    clock.mock.mockImplementation(() => now + 10000);
    assert.equal(await begin(23), 200);
  });

  test("fifty calls ring", async (t) => {
    const at = await site(t);
    at.calls.on("call", () => {});
    const ring = async (i) =>
      at.asks("session", offerOf("c1", { sessionPath: `/users/sessions/n${i}` }));
    for (let i = 1; i <= 50; i += 1) assert.equal(await ring(i), undefined);
    assert.equal((await ring(51)).status, 486);
    assert.equal(at.calls.list.length, 50);
    at.calls.list[0].reject();
    assert.equal(await ring(52), undefined);
  });

  test("a thousand requests wait while the page resumes its calls", async (t) => {
    const at = await site(t);
    const resumed = at.calls.resume();
    await settle();
    for (let i = 1; i <= 1000; i += 1) await at.asks("hold");
    assert.deepEqual(statuses(at), []);
    assert.equal((await at.asks("hold")).status, 404);
    const session = { path: PATH, state: "open", caller: alice, callee: bob };
    await at.answers(at.last("get"), 200, { sessions: [session] });
    await resumed;
    await settle();
    assert.equal(statuses(at).filter((status) => status === 200).length, 1000);
  });

  for (const [name, reason, told] of [
    ["an object", { toString: 1 }, ""],
    ["a list", [["x"]], ""],
    ["null", null, ""],
    ["a number", 7, "7"],
    ["200 characters", "x".repeat(200), "x".repeat(200)],
    ["201 characters", "x".repeat(201), "x".repeat(200)],
  ]) {
    test(`a call ends with ${name} as the reason`, async (t) => {
      const at = await site(t);
      const call = await at.accepted();
      const events = at.watch(call);
      assert.equal((await at.asks("end", { reason })).status, 200);
      assert.deepEqual(events.at(-1), ["close", { cause: "end", status: null, reason: told }]);
    });
  }

  test("provisional responses without end leave nothing behind", async (t) => {
    const at = await site(t);
    const call = await at.dial();
    const events = at.watch(call);
    const request = at.last("session");
    await at.answers(request, 100, { sessionPath: PATH });
    for (let i = 0; i < 1000; i += 1) {
      await at.answers(request, 180, { sessionPath: `/users/sessions/forged${i}`, nested: [[i]] });
    }
    assert.equal(call.path, PATH);
    assert.equal(events.length, 1);
  });
});

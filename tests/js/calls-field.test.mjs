/* Calls in situations that users of comparable software complain of. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { alice, answerOf, bob, offerOf, PATH, quiet, site } from "./calls.mjs";
import { settle } from "./harness.mjs";

const never = () => new Promise(() => {});
const errorsOf = (events) => events.filter(([name]) => name === "error").map(([, it]) => it.message);

describe("The configuration of an RTCPeerConnection", () => {
  const certificate = { expires: 1e15 };
  const rtcConfiguration = {
    bundlePolicy: "max-bundle",
    iceTransportPolicy: "relay",
    certificates: [certificate],
    iceCandidatePoolSize: 1,
  };

  test("is given to the constructor, and kept with the servers", async (t) => {
    const at = await site(t, { rtcConfiguration, iceServers: [{ urls: "stun:s.example" }] });
    const call = await at.dial();
    const events = at.watch(call);
    const { iceServers, ...rest } = at.pc.getConfiguration();
    assert.deepEqual(iceServers, [{ urls: "stun:s.example" }]);
    assert.deepEqual(rest, { ...rtcConfiguration, rtcpMuxPolicy: "require" });
    assert.deepEqual(events, []);
  });

  for (const [name, iceServers] of [
    ["fail to come", async () => Promise.reject(new Error("away"))],
    ["are of an invalid form", () => [{ urls: "http://turn.example" }]],
    ["are not a list", () => ({ urls: "stun:s.example" })],
  ]) {
    test(`is kept if the servers ${name}, and an error tells`, async (t) => {
      const at = await site(t, { rtcConfiguration, iceServers });
      const call = at.calls.start("/users/bob");
      const events = at.watch(call);
      await settle();
      assert.equal(at.pc.getConfiguration().iceTransportPolicy, "relay");
      assert.equal(errorsOf(events).length, 1);
      assert.ok(at.last("session"), "the call goes on");
    });
  }

  test("may have the servers, if the option iceServers is missing", async (t) => {
    const iceServers = [{ urls: "stun:s.example" }];
    const at = await site(t, { rtcConfiguration: { iceServers } });
    await at.dial();
    assert.deepEqual(at.pc.getConfiguration().iceServers, iceServers);
  });

  test("that no browser takes is refused at once", async (t) => {
    const wrong = { iceTransportPolicy: "relays" };
    await assert.rejects(site(t, { rtcConfiguration: wrong }), TypeError);
  });
});

describe("What the other side sends", () => {
  const both = { audio: "sendrecv", video: "sendrecv" };

  test("is in remote and in remoteStream, until it stops", async (t) => {
    const at = await site(t);
    const call = await at.opened({ video: true }, both);
    const sent = ({ audio, video }) => [audio, video];
    assert.deepEqual(sent(call.remote), [true, true]);
    const events = at.watch(call);
    const without = (sdp) => ({
      connection: call.id,
      description: { type: "offer", sdp, media: { audio: "sendrecv", video: "recvonly" } },
    });
    await at.asks("update", without("no picture"));
    assert.deepEqual(call.remoteStream.getTracks().map(({ kind }) => kind), ["audio"]);
    assert.deepEqual(events, [["remote", { ...quiet, audio: true, video: false }]]);
    const description = { type: "offer", sdp: "a picture", media: both };
    await at.asks("update", { connection: call.id, description });
    assert.deepEqual(sent(call.remote), [true, true]);
    assert.deepEqual(events.at(-1), ["remote", { ...quiet, audio: true, video: true }]);
  });

  test("is known from the answer, too", async (t) => {
    const at = await site(t);
    const call = await at.opened({ video: true }, both);
    at.pc.restartIce();
    await settle();
    await at.answers(at.last("update"), 200, answerOf(call.id, { audio: "sendrecv" }));
    assert.equal(call.remote.video, false);
  });

  test("stops when the camera is unplugged or the shared screen ends", async (t) => {
    const at = await site(t);
    const call = await at.opened({ video: true }, both);
    const directions = () => at.pc.getTransceivers().map(({ direction }) => direction);
    call.on("error", () => {});
    await call.shareScreen();
    at.media.tracks[1].ends();
    assert.deepEqual(directions(), ["sendrecv", "sendrecv"], "the screen is still sent");
    at.media.tracks.at(-1).ends();
    await settle();
    assert.deepEqual(directions(), ["sendrecv", "recvonly"]);
    assert.equal(at.last("update").data.description.type, "offer");
    assert.deepEqual(call.localStream.getTracks().map(({ kind }) => kind), ["audio"]);
  });
});

describe("Constraints", () => {
  const size = { width: { ideal: 1280 }, height: { ideal: 720 } };

  test("of the call hold for each device that it uses", async (t) => {
    const at = await site(t);
    const audio = { echoCancellation: false };
    const call = await at.opened({ audio, video: { ...size, facingMode: "user" } });
    await call.useDevice("video", "back");
    const back = { ...size, deviceId: { exact: "back" } };
    assert.deepEqual(at.media.asked.at(-1), { audio: false, video: back });
    await call.useDevice("audio", "headset");
    const headset = { ...audio, deviceId: { exact: "headset" } };
    assert.deepEqual(at.media.asked.at(-1), { audio: headset, video: false });
    await call.useDevice("video");
    assert.deepEqual(at.media.asked.at(-1), { audio: false, video: size });
  });

  test("of a device that could not be opened are forgotten", async (t) => {
    const at = await site(t);
    const call = await at.opened({ video: size });
    await assert.rejects(call.useDevice("video", "nowhere"), /The chosen camera is not available/);
    await call.useDevice("video");
    assert.deepEqual(at.media.asked.at(-1), { audio: false, video: size });
  });

  for (const [name, id] of [
    ["an object", { deviceId: "back" }],
    ["null", null],
    ["an empty text", ""],
    ["a number", 7],
  ]) {
    test(`are not made of ${name} as the id of a device`, async (t) => {
      const at = await site(t);
      const call = await at.opened();
      const asked = at.media.asked.length;
      await assert.rejects(call.useDevice("video", id), /TypeError: deviceId must be .*, got /);
      assert.equal(at.media.asked.length, asked);
    });
  }
});

describe("Wrong arguments are refused with the allowed ones:", () => {
  const wrong = [
    ["a path without a slash", (calls) => calls.start("users/bob"), /path must start with/],
    ["no path", (calls) => calls.start(), /path must start with "\/", got undefined/],
    ["media as a text", (calls) => calls.start("/users/bob", { video: "hd" }), /video must be/],
    ["an unknown option", (calls) => calls.start("/users/bob", { vidoe: true }), /may have audio/],
    ["info as a text", (calls) => calls.start("/users/bob", { info: "tea" }), /info must be/],
    ["a timeout of 0", (calls) => calls.start("/users/bob", { timeout: 0 }), /timeout must be/],
    ["options as a text", (calls) => calls.start("/users/bob", "video"), /must be an object/],
  ];
  for (const [name, act, expected] of wrong) {
    test(name, async (t) => {
      const at = await site(t);
      assert.throws(() => act(at.calls), (error) => {
        assert.ok(error instanceof TypeError);
        assert.match(error.message, expected);
        return true;
      });
      assert.deepEqual(at.calls.list, []);
    });
  }

  for (const [name, options, expected] of [
    ["a mount without a slash", { mount: "users" }, /mount must start with/],
    ["ICE servers as an object", { iceServers: {} }, /iceServers must be a list/],
    ["a configuration as a text", { rtcConfiguration: "relay" }, /rtcConfiguration must be/],
    ["a setupTimeout of 0", { setupTimeout: 0 }, /setupTimeout must be/],
    ["a leaveTimeout as a text", { leaveTimeout: "2 s" }, /leaveTimeout must be/],
    ["an unknown option of Calls", { iceServer: [] }, /may have mount/],
  ]) {
    test(name, (t) => assert.rejects(site(t, options), expected));
  }

  test("a mute that is a text", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    assert.throws(() => call.setMuted("audio", "false"), /isMuted must be true or false/);
    assert.equal(call.local.muted.audio, false);
  });

  test("a hang-up with an event of the button still hangs up", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    call.hangUp({ isTrusted: true });
    assert.equal(at.last("end").data.reason, "");
  });
});

describe("The status", () => {
  const listed = (at) =>
    at.answers(at.last("get"), 200, { sessions: [{ path: PATH, state: "open" }] });

  for (const status of [408, 410, 503]) {
    test(`is told again after ${status}, until it is confirmed`, async (t) => {
      const at = await site(t);
      const call = await at.opened();
      call.setMuted("audio", true);
      await at.answers(at.last("update"), status);
      await at.tick(3049);
      assert.equal(at.requests("update").length, 1);
      await at.tick(1);
      assert.equal(at.last("update").data.status.muted.audio, true);
      await at.answers(at.last("update"), 200);
      await at.tick(20000);
      assert.equal(at.requests("update").length, 2);
    });
  }

  test("is not told again to a page that refuses it", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    call.setMuted("audio", true);
    await at.answers(at.last("update"), 405);
    await at.tick(20000);
    assert.equal(at.requests("update").length, 1);
  });

  test("is told after an outage that was longer than the request", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    at.pc.is("connected");
    await at.drop();
    call.setMuted("audio", true);
    call.hold();
    for (let i = 0; i < 60; i += 1) await at.tick(20000);
    await at.page("online");
    await at.accept();
    await listed(at);
    const { held, muted } = at.last("update").data.status;
    assert.deepEqual([held, muted.audio], [true, true]);
  });

  test("is asked for after a reconnection, as the other side may have changed it", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    await at.reconnect();
    await listed(at);
    assert.deepEqual(at.last("update").data, { connection: call.id, status: quiet });
    await at.answers(at.last("update"), 200, { status: { ...quiet, held: true } });
    assert.equal(call.remote.held, true);
  });

  for (const status of [undefined, null, 7, "held", []]) {
    test(`in an answer may be ${JSON.stringify(status)}`, async (t) => {
      const at = await site(t);
      const call = await at.opened();
      call.setMuted("audio", true);
      await at.answers(at.last("update"), 200, { status });
      assert.deepEqual([call.state, call.remote.held], ["open", false]);
    });
  }

  test("of the caller is known while it rings, and that of the callee when it is answered",
    async (t) => {
      const status = { ...quiet, muted: { audio: true, video: false } };
      const at = await site(t);
      const ringing = await at.rung(offerOf("c1", { media: ["audio"], status }));
      assert.equal(ringing.remote.muted.audio, true);
      const call = await at.dial();
      const request = at.last("session");
      await at.answers(request, 100, { sessionPath: PATH });
      await at.answers(request, 200, { ...answerOf(request.data.connection), status });
      assert.equal(call.remote.muted.audio, true);
    });

  test("is in the answer to each change of the other side", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    call.setMuted("video", true);
    for (const method of ["update", "hold", "unhold"]) {
      assert.equal((await at.asks(method)).data.status.muted.video, true);
    }
  });
});

describe("When a page is left,", () => {
  test("its outgoing calls that ring are ended", async (t) => {
    const at = await site(t);
    const call = await at.dial();
    await at.answers(at.last("session"), 100, { sessionPath: PATH });
    await at.page("pagehide");
    assert.deepEqual([call.state, at.last("end").path], ["closed", PATH]);
  });

  test("the other side of an open call is told, and the call goes on", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    await at.page("pagehide");
    assert.equal(at.last("update").data.leaving, true);
    assert.equal(call.state, "open");
  });

  test("the call is ended if it does not come back in 2 s", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    const events = at.watch(call);
    assert.equal((await at.asks("update", { leaving: true })).status, 200);
    await at.tick(1999);
    assert.equal(call.state, "open");
    await at.tick(1);
    const how = { cause: "end", status: null, reason: "page closed" };
    assert.deepEqual(events.at(-1), ["close", how]);
    assert.equal(at.last("end").path, PATH);
  });

  test("the call waits longer for a page that is loaded again, as its browser has told", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    at.pc.is("connected");
    await at.asks("update", { leaving: true, isReload: true });
    await at.tick(9999);
    assert.equal(call.state, "open");
    await at.tick(1);
    assert.equal(call.state, "closed");
  });

  test("and the browser tells that it is loaded again, the other side is told too", async (t) => {
    const at = await site(t);
    await at.opened();
    await at.page("pageswap", { activation: { navigationType: "reload" } });
    await at.page("pagehide");
    const { leaving, isReload } = at.last("update").data;
    assert.deepEqual({ leaving, isReload }, { leaving: true, isReload: true });
  });

  test("the call goes on if it comes back", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    at.pc.is("connected");
    await at.asks("update", { leaving: true });
    await at.tick(1000);
    await at.asks("update");
    await at.tick(60000);
    assert.equal(call.state, "open");
  });

  test("the call goes on for the grace period, with a leaveTimeout of Infinity", async (t) => {
    const at = await site(t, { leaveTimeout: Infinity });
    const call = await at.opened();
    at.pc.is("connected");
    await at.asks("update", { leaving: true });
    await at.tick(1e7);
    assert.equal(call.state, "open");
  });

  test("and comes back from the back/forward cache, the other side is told", async (t) => {
    const at = await site(t);
    await at.opened();
    await at.page("pagehide", { persisted: true });
    assert.equal(at.last("update").data.leaving, true);
    await at.page("pageshow", { persisted: true });
    if (at.theClient.state !== "open") {
      await at.accept();
      await at.answers(at.last("get"), 200, { sessions: [{ path: PATH, state: "open" }] });
    }
    assert.equal(at.last("update").data.leaving, undefined);
  });

  test("a resumed call tells it before the devices are open", async (t) => {
    const at = await site(t);
    at.media.wait = never();
    const resumed = at.calls.resume();
    await settle();
    const session = { path: PATH, state: "open", caller: alice, callee: bob };
    await at.answers(at.last("get"), 200, { sessions: [session] });
    await resumed;
    assert.equal(at.last("update").path, PATH);
  });
});

describe("A mount that the other page writes differently", () => {
  for (const [mine, path] of [
    ["/users", "/Users/sessions/s1"],
    ["/users/", "/USERS/sessions/s1"],
    ["/Users", "/users/Sessions/s1"],
    ["/our users", "/our%20users/sessions/s1"],
    ["/our%20users", "/our users/sessions/s1"],
    ["/users", "/users//sessions/s1/"],
    ["/caf%C3%A9", "/caf%c3%a9/sessions/s1"],
  ]) {
    test(`${path} rings at ${mine}`, async (t) => {
      const at = await site(t, { mount: mine });
      const call = await at.rung(offerOf("c1", { sessionPath: path }));
      assert.equal(call?.path, path);
      await call.accept();
      await at.asks("hold", { sessionPath: path });
      assert.equal(call.remote.held, true);
    });
  }

  test("is that of the caller's own requests, too", async (t) => {
    const at = await site(t);
    const call = at.calls.start("/Users/bob");
    await settle();
    const request = at.last("session");
    const sessionPath = "/Users/sessions/s1";
    await at.answers(request, 100, { sessionPath });
    await at.answers(request, 200, answerOf(request.data.connection));
    assert.equal((await at.asks("hold", { sessionPath })).status, 200);
    assert.equal(call.remote.held, true);
  });

  for (const path of ["/users/sessions", "/people/sessions/s1", "/users/sessions/s1/more", "/"]) {
    test(`${path} is another path`, async (t) => {
      const at = await site(t);
      const { reason } = await at.asks("session", offerOf("c1", { sessionPath: path }));
      assert.equal(reason, "unknown method");
    });
  }
});

describe("The setup is limited:", () => {
  const text = "The list of ICE servers has not come within 10 s.";

  test("start() goes on after 10 s without ICE servers", async (t) => {
    const at = await site(t, { iceServers: never });
    const call = at.calls.start("/users/bob");
    const events = at.watch(call);
    await settle();
    await at.tick(9999);
    assert.equal(at.last("session"), undefined);
    await at.tick(1);
    assert.deepEqual(errorsOf(events), [text]);
    assert.ok(at.last("session"));
  });

  test("accept() goes on after 10 s without ICE servers", async (t) => {
    const at = await site(t, { iceServers: never });
    const call = await at.rung();
    const events = at.watch(call);
    const accepted = call.accept();
    await settle();
    await at.tick(10000);
    await accepted;
    await settle();
    assert.deepEqual([call.state, errorsOf(events)], ["open", [text]]);
  });

  test("ICE is restarted with the old servers after 10 s, and calls wait for nothing",
    async (t) => {
      let iceServers = () => [{ urls: "stun:s.example" }];
      const at = await site(t, { iceServers: () => iceServers() });
      const call = await at.opened();
      const events = at.watch(call);
      iceServers = never;
      at.pc.iceIs("failed");
      await settle();
      assert.equal((await at.asks("update", offerOf(call.id))).status, 200);
      await at.tick(10000);
      assert.deepEqual([at.pc.restarts, errorsOf(events)], [1, [text]]);
      assert.deepEqual(at.pc.getConfiguration().iceServers, [{ urls: "stun:s.example" }]);
    });

  test("a call that is hung up while it waits for ICE servers leaves nothing behind", async (t) => {
    const at = await site(t, { iceServers: never });
    const call = await at.rung();
    const accepted = call.accept();
    await settle();
    call.hangUp();
    await assert.rejects(accepted, { message: "The call is over." });
  });

  test("start() fails if the browser gives no microphone for 30 s", async (t) => {
    const at = await site(t);
    at.media.wait = never();
    const call = await at.dial();
    const events = at.watch(call);
    await at.tick(30000);
    const reason = "The microphone or camera has not opened within 30 s.";
    assert.deepEqual(events.at(-1), ["close", { cause: "failed", status: null, reason }]);
  });

  test("accept() rejects then, and the call goes on ringing", async (t) => {
    const at = await site(t, { setupTimeout: 5000 });
    let allow;
    at.media.wait = new Promise((resolve) => {
      allow = resolve;
    });
    const call = await at.rung();
    const accepted = assert.rejects(call.accept(), { message: /not opened within 5 s/ });
    await at.tick(5000);
    await accepted;
    assert.equal(call.state, "ringing");
    allow();
    await settle();
    assert.equal(at.media.open(), 0, "a late microphone is released");
    at.media.wait = null;
    await call.accept();
    assert.equal(call.state, "open");
  });

  test("an answered call fails if no media get through", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    const events = at.watch(call);
    await at.tick(30000);
    const reason = "Sound and pictures did not get through to the other side within 30 s.";
    assert.deepEqual(errorsOf(events), [reason]);
    assert.deepEqual(events.at(-1), ["close", { cause: "failed", status: null, reason }]);
    assert.equal(at.last("end").path, PATH);
  });

  test("a call whose media have got through is not limited", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    at.pc.is("connected");
    at.pc.is("disconnected");
    await at.tick(1e6);
    assert.equal(call.state, "open");
  });
});

describe("Without a camera or microphone", () => {
  for (const [missing, message] of [
    [["video"], "No camera was found."],
    [["audio"], "No microphone was found."],
    [["audio", "video"], "No microphone or camera was found."],
  ]) {
    const take = (at) => {
      for (const kind of missing) at.media.devices[kind] = [];
    };

    test(`a call tells that ${missing} is missing`, async (t) => {
      const at = await site(t);
      take(at);
      const call = await at.rung();
      await assert.rejects(call.accept({ video: true }), { name: "CallError", message, missing });
      assert.equal(at.media.open(), 0);
    });

    test(`a call goes on without ${missing}, if they are not required`, async (t) => {
      const at = await site(t);
      take(at);
      const call = at.calls.start("/users/bob", { video: true, required: false });
      const events = at.watch(call);
      await settle();
      const sent = ["audio", "video"].filter((kind) => !missing.includes(kind));
      assert.deepEqual(at.last("session").data.media, sent);
      assert.deepEqual(events.map(([name, it]) => [name, it.message]), [["error", message]]);
    });
  }

  test("a call needs only the kinds that are required", async (t) => {
    const at = await site(t);
    at.media.devices.video = [];
    const required = ["audio"];
    const call = await at.rung();
    const events = at.watch(call);
    await call.accept({ video: true, required });
    await settle();
    assert.deepEqual([call.state, errorsOf(events)], ["open", ["No camera was found."]]);
    at.media.devices.audio = [];
    const other = await at.rung(offerOf("c2", { sessionPath: `${PATH}2` }));
    await assert.rejects(other.accept({ video: true, required }), { missing: ["audio", "video"] });
    await assert.rejects(other.accept({ required: ["smell"] }), /required must be true, false or a/);
  });

  test("a user who has refused is not asked again", async (t) => {
    const at = await site(t);
    at.media.fail = new DOMException("no", "NotAllowedError");
    const call = await at.rung();
    const message = "You have not allowed this page to use the microphone or camera.";
    await assert.rejects(call.accept({ video: true }), { message });
    assert.equal(at.media.asked.length, 1);
  });

  test("a call that ends meanwhile opens no device", async (t) => {
    const at = await site(t);
    at.media.devices.video = [];
    let go;
    at.media.wait = new Promise((resolve) => {
      go = resolve;
    });
    const call = at.calls.start("/users/bob", { video: true, required: false });
    call.on("error", () => {});
    await settle();
    call.hangUp();
    go();
    await settle();
    assert.equal(at.media.open(), 0);
  });
});

describe("A mute that releases the device", () => {
  const video = { width: { ideal: 1280 } };

  test("closes the camera, and opens the same one again", async (t) => {
    const at = await site(t);
    const call = await at.opened({ video });
    await call.useDevice("video", "back");
    call.setMuted("video", true, { release: true });
    assert.deepEqual(at.media.tracks.map(({ readyState }) => readyState), ["live", "ended", "ended"]);
    assert.equal(at.last("update").data.status.muted.video, true);
    call.setMuted("video", false);
    await settle();
    const again = { ...video, deviceId: { exact: "back" } };
    assert.deepEqual(at.media.asked.at(-1), { audio: false, video: again });
    assert.deepEqual([at.media.open(), call.local.muted.video], [2, false]);
    assert.equal(at.pc.getTransceivers()[1].sender.track, at.media.tracks.at(-1));
  });

  test("comes back with the camera that was the default before", async (t) => {
    const at = await site(t);
    const call = await at.opened({ video: true });
    call.setMuted("video", true, { release: true });
    at.media.devices.video.unshift("a new one");
    call.setMuted("video", false);
    await settle();
    assert.equal(at.media.tracks.at(-1).getSettings().deviceId, "default camera");
  });

  test("goes on if the camera cannot be opened again, and an error tells", async (t) => {
    const at = await site(t);
    const call = await at.opened({ video: true });
    call.setMuted("video", true, { release: true });
    at.media.devices.video = [];
    const events = at.watch(call);
    call.setMuted("video", false);
    await settle();
    assert.deepEqual(errorsOf(events), ["No camera was found."]);
    assert.equal(call.local.muted.video, true);
    at.media.devices.video = ["another"];
    call.setMuted("video", false);
    await settle();
    assert.equal(call.local.muted.video, false);
  });

  test("holds for a device that is chosen meanwhile", async (t) => {
    const at = await site(t);
    const call = await at.opened({ video: true });
    call.setMuted("video", true, { release: true });
    await call.useDevice("video", "back");
    assert.equal(at.media.open(), 1, "the light stays off");
    call.setMuted("video", false);
    await settle();
    assert.equal(at.media.tracks.at(-1).getSettings().deviceId, "back");
  });

  test("may come again while the camera opens", async (t) => {
    const at = await site(t);
    const call = await at.opened({ video: true });
    call.setMuted("video", true, { release: true });
    call.setMuted("video", false);
    call.setMuted("video", true, { release: true });
    await settle();
    assert.deepEqual([at.media.open(), call.local.muted.video], [1, true]);
  });
});

describe("play()", () => {
  const element = (play) => ({ srcObject: null, play });

  test("shows the other side", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    const video = element(async () => {});
    assert.equal(await call.play(video), true);
    assert.equal(video.srcObject, call.remoteStream);
    assert.equal(await call.play(video, call.localStream), true);
    assert.equal(video.srcObject, call.localStream);
  });

  test("tells that the browser wants a click first", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    const events = at.watch(call);
    const refused = new DOMException("play() failed", "NotAllowedError");
    assert.equal(await call.play(element(() => Promise.reject(refused))), false);
    await settle();
    assert.deepEqual(errorsOf(events), ["The browser plays the call only after a click."]);
    assert.equal(events[0][1].cause, refused);
  });

  test("does not mind that other media came meanwhile", async (t) => {
    const at = await site(t);
    const call = await at.opened();
    const aborted = new DOMException("interrupted", "AbortError");
    assert.equal(await call.play(element(() => Promise.reject(aborted))), true);
    await assert.rejects(call.play("video"), /element must be an <audio> or <video>, got "video"/);
  });
});

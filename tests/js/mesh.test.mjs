/* A Mesh in one page. The test plays the server and the other pages. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { settle, world } from "./harness.mjs";
import { fakePeerConnections, FakeMediaDevices, FakeMediaStream } from "./media.mjs";

const { CallError, Mesh } = await import("../../protoo_flask/static/protoo-mesh.mjs");

const PATH = "/rooms/standup";
const alice = { username: "alice", uuid: "a1" };
const bob = { username: "bob", uuid: "b1" };
const carol = { username: "carol", uuid: "c1" };
const quiet = { muted: { audio: false, video: false }, screen: false };

/** The connected page of `me`. If offers collide, the one of alice stands, then that of bob. */
async function site(t, me = alice, options = {}) {
  const here = world(t);
  const media = new FakeMediaDevices();
  const pcs = fakePeerConnections();
  const client = await here.openClient({ uuid: me.uuid, requestTimeout: 1e6 });
  const lent = {
    RTCPeerConnection: pcs.RTCPeerConnection,
    MediaStream: FakeMediaStream,
    mediaDevices: media,
  };
  const mesh = new Mesh(client, { ...lent, ...options });
  client.on("request", (req) => mesh.handle(req) || req.reply(404, "unknown method"));
  const left = []; // notifications for the page
  client.on("notification", (it) => mesh.takeNotification(it) || left.push(it.method));
  let ids = 0;
  const at = Object.assign(here, {
    media,
    pcs,
    mesh,
    left,
    theClient: client,
    events: here.record(mesh, "state", "join", "leave", "change", "local", "error", "close"),
    requests: (method) => here.sent.filter((it) => it.method === method),
    last: (method) => at.requests(method).at(-1),
    offers: () => at.requests("private").filter(({ data }) => data.description),
    async answers(request, status, data = {}, reason = "") {
      assert.ok(request, "there was no such request");
      await here.say({ status, reason, id: request.id, data });
    },
    notifies: (method, data, sender) =>
      here.say({ method, data: { sessionPath: PATH, ...data }, sender }),
    /** A member sends a `private` request. Returns a function that finds the response, if any. */
    async asks(sender, data, method = "private") {
      ids += 1;
      const id = ids;
      await here.say({ method, id, data: { sessionPath: PATH, peer: me, ...data }, sender });
      return () => here.sent.find((it) => it.id === id && it.status >= 200);
    },
    isOffered: (connection, sender = bob) =>
      at.asks(sender, {
        connection,
        isNew: true,
        description: { type: "offer", sdp: `offer ${connection}` },
      }),
    /** The server lets the page in, or lists the members again. */
    async enters(...peers) {
      await at.answers(at.last("session"), 200, { peers, sessionPath: PATH });
    },
    async joined(...peers) {
      const joining = mesh.join(PATH, { video: true });
      await settle();
      await at.enters(...peers);
      await joining;
      await settle();
    },
    /** Bob answers an offer. */
    isAnswered: (offer) =>
      at.answers(offer, 200, { status: quiet, description: { type: "answer", sdp: "answer" } }),
    async met(...peers) {
      await at.joined(...peers);
      for (const offer of at.offers()) await at.isAnswered(offer);
      for (const pc of pcs.made) pc.is("connected");
      await settle();
      return pcs.made.slice();
    },
    /** Delays all operations on descriptions. Returns a function that lets them end. */
    slowDown() {
      let end;
      pcs.wait = new Promise((resolve) => {
        end = resolve;
      });
      return async () => {
        end();
        pcs.wait = null;
        await settle();
      };
    },
  });
  t.after(() => {
    mesh.close();
    assert.equal(media.open(), 0, "a device was left open");
    assert.ok(pcs.made.every(({ signalingState }) => signalingState === "closed"), "left open");
  });
  return at;
}

const closed = ({ signalingState }) => signalingState === "closed";
const names = (at) => at.mesh.members.map(({ peer }) => peer.username);

describe("A page that joins", () => {
  test("makes an offer to each member", async (t) => {
    const at = await site(t);
    await at.joined(bob, carol);
    assert.deepEqual([at.mesh.state, at.mesh.path, names(at)], ["in", PATH, ["bob", "carol"]]);
    assert.deepEqual(at.offers().map(({ data }) => data.peer), [bob, carol]);
    assert.ok(at.offers().every(({ data }) => data.isNew));
    await at.isAnswered(at.offers()[0]);
    assert.equal(at.pcs.made[0].signalingState, "stable");
  });

  test("waits for the offer of a member that comes later", async (t) => {
    const at = await site(t);
    await at.joined();
    await at.notifies("join", { peer: bob });
    assert.deepEqual([names(at), at.offers()], [["bob"], []]);
    assert.equal((await at.isOffered("c1"))().status, 200);
  });

  for (const me of [alice, carol]) {
    test(`refuses offers until it is in, as ${me.username}, and makes its own then`, async (t) => {
      const at = await site(t, me);
      const joining = at.mesh.join(PATH);
      await settle();
      const response = await at.isOffered("c1");
      assert.equal(response().status, 480);
      await at.enters(bob);
      await joining;
      await settle();
      assert.equal(at.offers().length, 1);
    });
  }

  test("uses the path as the server writes it", async (t) => {
    const at = await site(t);
    const joining = at.mesh.join("/Rooms/team 1");
    await settle();
    const sessionPath = "/Rooms/team%201";
    const early = { sessionPath, connection: "c0", isNew: true, description: { type: "offer" } };
    assert.equal((await at.asks(bob, early))().status, 480, "before it knows that path");
    await at.answers(at.last("session"), 200, { peers: [bob], sessionPath });
    await joining;
    await settle();
    assert.equal(at.offers()[0].path, sessionPath);
    assert.equal((await at.asks(bob, { ...early, description: { type: "offer", sdp: "o" } }))()
      .status, 491);
  });

  test("is told why it may not", async (t) => {
    const at = await site(t);
    const refused = { status: 503, reason: "room is full" };
    const joining = assert.rejects(at.mesh.join(PATH), refused);
    await settle();
    await at.answers(at.last("session"), 503, {}, "room is full");
    await joining;
    assert.deepEqual([at.mesh.state, at.media.open()], ["out", 0]);
  });

  test("goes on without a camera if it is not required, and an error tells", async (t) => {
    const at = await site(t);
    at.media.devices.video = [];
    await assert.rejects(at.mesh.join(PATH, { video: true }), { missing: ["video"] });
    const joining = at.mesh.join(PATH, { video: true, required: false });
    await settle();
    await at.enters();
    await joining;
    const errors = at.events.filter(([name]) => name === "error");
    assert.deepEqual(errors.map(([, { message }]) => message), ["No camera was found."]);
  });

  test("may leave meanwhile", async (t) => {
    const at = await site(t);
    const joining = assert.rejects(at.mesh.join(PATH), { message: "The meeting was left." });
    await settle();
    at.mesh.leave();
    await at.enters(bob);
    await joining;
    assert.deepEqual([at.mesh.state, at.pcs.made], ["out", []]);
    assert.equal(at.sent.at(-1).method, "end");
  });

  test("refuses wrong arguments, and a second meeting", async (t) => {
    const at = await site(t);
    await assert.rejects(at.mesh.join("rooms"), /path must start with/);
    await assert.rejects(at.mesh.join(PATH, { video: "hd" }), /video must be true, false or/);
    await assert.rejects(at.mesh.join(PATH, { media: {} }), /may have audio/);
    await at.joined();
    await assert.rejects(at.mesh.join(PATH), CallError);
  });
});

describe("After a reconnection", () => {
  test("media that flow are left alone", async (t) => {
    const at = await site(t);
    const made = await at.met(bob, carol);
    for (let i = 0; i < 8; i += 1) {
      await at.reconnect();
      await at.enters(bob, carol);
      const asked = at.requests("private");
      assert.deepEqual(asked.map(({ data }) => data.description), [undefined, undefined]);
      for (const request of asked) await at.answers(request, 200, { status: quiet });
    }
    assert.deepEqual(at.pcs.made, made);
    assert.ok(!made.some(closed));
  });

  test("a member that has another pair, or none, gets a new one", async (t) => {
    const at = await site(t);
    const [old] = await at.met(bob);
    await at.reconnect();
    await at.enters(bob);
    await at.answers(at.last("private"), 481);
    const [offer, ...more] = at.offers();
    assert.deepEqual([closed(old), offer.data.isNew, more], [true, true, []]);
    assert.notEqual(offer.data.connection, undefined);
  });

  test("the members that are missing in the list are kept as long as their media flow",
    async (t) => {
      const at = await site(t);
      const [ofBob, ofCarol] = await at.met(bob, carol);
      ofCarol.is("failed");
      await at.reconnect();
      await at.enters();
      assert.deepEqual(names(at), ["bob"]);
      await at.notifies("join", { peer: bob });
      await at.tick(20000);
      assert.deepEqual([names(at), closed(ofBob), closed(ofCarol)], [["bob"], false, true]);
    });

  test("a member that does not come back leaves", async (t) => {
    const at = await site(t);
    await at.met(bob);
    await at.reconnect();
    await at.enters();
    await at.tick(4999);
    assert.deepEqual(names(at), ["bob"]);
    await at.tick(1);
    assert.deepEqual(names(at), []);
  });

  test("the room is joined again when its home was lost, and media go on", async (t) => {
    const at = await site(t);
    const [pc] = await at.met(bob);
    const response = await at.asks(null, { reason: "server lost" }, "end");
    assert.equal(response().status, 200);
    await at.enters();
    assert.deepEqual([at.mesh.state, closed(pc), names(at)], ["in", false, ["bob"]]);
  });

  test("a page that is no longer let in is told", async (t) => {
    const at = await site(t);
    await at.met(bob);
    await at.reconnect();
    await at.answers(at.last("session"), 403, {}, "not enrolled");
    const how = { cause: "rejected", status: 403, reason: "not enrolled" };
    assert.deepEqual(at.events.at(-1), ["close", how]);
    assert.equal(at.mesh.state, "out");
  });

  test("a list that the server cannot give is asked for again", async (t) => {
    const at = await site(t);
    await at.met(bob);
    await at.reconnect();
    await at.answers(at.last("session"), 503);
    await at.tick(4000);
    assert.equal(at.requests("session").length, 2);
    await at.enters(bob);
    assert.equal(at.mesh.state, "in");
  });
});

describe("When two offers collide,", () => {
  test("the offer of the member that sorts first stands", async (t) => {
    const at = await site(t, alice);
    await at.joined(bob);
    assert.equal((await at.isOffered("c1"))().status, 491);
    await at.isAnswered(at.offers()[0]);
    assert.equal(at.pcs.made.length, 1);
  });

  test("the other member gives way", async (t) => {
    const at = await site(t, carol);
    await at.joined(bob);
    assert.equal((await at.isOffered("c1"))().status, 200);
    await at.answers(at.offers()[0], 491);
    await at.tick(10000);
    assert.equal(at.offers().length, 1);
  });

  test("users with several devices are compared as well", async (t) => {
    const at = await site(t, { username: "bob", uuid: "b0" });
    await at.joined(bob);
    assert.equal((await at.isOffered("c1"))().status, 491);
  });

  test("an offer made after the answer to ours is accepted", async (t) => {
    const at = await site(t);
    await at.joined(bob);
    const goOn = at.slowDown();
    await at.isAnswered(at.offers()[0]);
    const response = await at.isOffered("c1");
    await goOn();
    await settle();
    assert.ok([200, 491].includes(response()?.status), "it is answered");
  });

  test("an offer that a newer one has replaced is refused", async (t) => {
    const at = await site(t, carol);
    await at.joined(bob);
    const goOn = at.slowDown();
    const first = await at.isOffered("1");
    const second = await at.isOffered("2");
    assert.equal(first()?.status, 491);
    await goOn();
    assert.equal(second()?.status, 200);
  });

  test("our offer is not sent again by the client, when it is out of date", async (t) => {
    const at = await site(t);
    await at.joined(bob);
    await at.reconnect();
    assert.deepEqual(at.offers(), []);
  });
});

describe("The status", () => {
  test("is told to each member, and known of each", async (t) => {
    const at = await site(t);
    await at.met(bob);
    at.mesh.setMuted("audio", true);
    assert.equal(at.last("private").data.status.muted.audio, true);
    const [member] = at.mesh.members;
    await at.answers(at.last("private"), 200, { status: { ...quiet, screen: true } });
    assert.equal(member.remote.screen, true);
    const connection = at.last("private").data.connection;
    const status = { ...quiet, muted: { video: true } };
    const response = await at.asks(bob, { connection, status });
    assert.equal(response().data.status.muted.audio, true);
    assert.deepEqual(member.remote.muted, { audio: false, video: true });
    assert.equal(at.events.at(-1)[0], "change");
  });

  test("is told again until it is confirmed", async (t) => {
    const at = await site(t);
    await at.met(bob);
    at.mesh.setMuted("audio", true);
    const before = at.requests("private").length;
    await at.answers(at.last("private"), 408);
    await at.tick(4000);
    assert.equal(at.requests("private").length, before + 1);
  });
});

describe("A page that is left", () => {
  test("tells each member", async (t) => {
    const at = await site(t);
    await at.met(bob, carol);
    await at.page("pageswap", { activation: { navigationType: "reload" } });
    await at.page("pagehide");
    const told = at.requests("private").filter(({ data }) => data.leaving && data.isReload);
    assert.deepEqual(told.map(({ data }) => data.peer), [bob, carol]);
  });

  for (const [name, isBack] of [["stays away", false], ["comes back", true]]) {
    test(`and ${name} in 2 s is ${isBack ? "still in" : "gone"} for the others`, async (t) => {
      const at = await site(t);
      const [pc] = await at.met(bob);
      const { connection } = at.offers()[0].data;
      assert.equal((await at.asks(bob, { connection, leaving: true }))().status, 200);
      await at.tick(1999);
      assert.deepEqual(names(at), ["bob"]);
      if (isBack) await at.asks(bob, { connection });
      await at.tick(1);
      assert.deepEqual([names(at), closed(pc)], isBack ? [["bob"], false] : [[], true]);
    });
  }

  test("and is loaded again has 10 s", async (t) => {
    const at = await site(t);
    await at.met(bob);
    const { connection } = at.offers()[0].data;
    await at.asks(bob, { connection, leaving: true, isReload: true });
    await at.tick(9999);
    assert.deepEqual(names(at), ["bob"]);
    await at.tick(1);
    assert.deepEqual(names(at), []);
  });

  test("and comes back later is in again", async (t) => {
    const at = await site(t);
    await at.met(bob);
    const { connection } = at.offers()[0].data;
    await at.asks(bob, { connection, leaving: true });
    await at.tick(2000);
    assert.equal((await at.isOffered("c2"))().status, 200);
    assert.deepEqual(names(at), ["bob"]);
  });
});

describe("The end", () => {
  test("of the room closes everything, and the page is told why", async (t) => {
    const at = await site(t);
    const [pc] = await at.met(bob);
    await at.asks(null, { reason: "be polite" }, "end");
    const how = { cause: "end", status: null, reason: "be polite" };
    assert.deepEqual(at.events.at(-1), ["close", how]);
    assert.deepEqual([closed(pc), at.media.open(), at.mesh.members], [true, 0, []]);
  });

  test("by this page is told to the server", async (t) => {
    const at = await site(t);
    await at.met(bob);
    at.mesh.leave();
    assert.equal(at.last("end").path, PATH);
    at.mesh.leave();
    assert.equal(at.requests("end").length, 1);
  });

  test("comes when the client is closed for good", async (t) => {
    const at = await site(t);
    await at.met(bob);
    at.theClient.close();
    await settle();
    assert.deepEqual(at.events.at(-1)[1].cause, "failed");
  });
});

describe("What a member may grow or break:", () => {
  test("members neither add nor remove members", async (t) => {
    const at = await site(t);
    await at.joined(bob);
    await at.notifies("join", { peer: carol }, bob);
    await at.notifies("leave", { peer: bob }, bob);
    assert.deepEqual([names(at), at.left], [["bob"], ["join", "leave"]]);
    await at.asks(bob, { reason: "out" }, "end");
    assert.equal(at.mesh.state, "in");
  });

  test("other messages of the room are for the page", async (t) => {
    const at = await site(t);
    await at.joined(bob);
    await at.notifies("message", { text: "hi" }, bob);
    assert.deepEqual(at.left, ["message"]);
    assert.equal((await at.asks(bob, { text: "psst" }))().reason, "unknown method");
    assert.equal((await at.asks(bob, {}, "knock"))().reason, "unknown method");
  });

  test("values of other types change nothing", async (t) => {
    const at = await site(t);
    const [pc] = await at.met(bob);
    const { connection } = at.offers()[0].data;
    for (const value of [undefined, null, 7, "bob", [], {}, { username: {}, uuid: 7 }]) {
      await at.notifies("join", { peer: value });
      await at.notifies("leave", { peer: value });
      await at.asks(bob, { connection, status: value });
      await at.asks(bob, { connection, candidates: value });
      await at.asks(bob, { connection: value, isNew: true, description: value });
    }
    assert.deepEqual([names(at), closed(pc)], [["bob"], false]);
    assert.deepEqual(at.mesh.members[0].remote.muted, quiet.muted);
  });

  test("a request about an unknown pair is answered 481", async (t) => {
    const at = await site(t);
    await at.met(bob);
    assert.equal((await at.asks(bob, { connection: "old" }))().status, 481);
    assert.equal((await at.asks(carol, { connection: "c1" }))().status, 481);
    assert.deepEqual(names(at), ["bob"]);
  });

  test("of a flood of offers the first twenty make a pair", async (t) => {
    const at = await site(t, carol);
    await at.joined(bob);
    const before = at.pcs.made.length;
    const responses = [];
    for (let i = 1; i <= 21; i += 1) responses.push(await at.isOffered(`offer ${i}`));
    assert.deepEqual(responses.map((it) => it()?.status), [...Array(20).fill(200), 491]);
    assert.equal(at.pcs.made.length - before, 20);
  });
});

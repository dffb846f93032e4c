/* Meetings of the sample app in one page. The test plays the server and the other pages. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { settle, world } from "./harness.mjs";
import { fakePeerConnections, FakeMediaDevices, FakeMediaStream } from "./media.mjs";
import { load } from "./sample.mjs";

const PATH = "/rooms/standup";
const alice = { username: "alice", uuid: "a1" };
const bob = { username: "bob", uuid: "b1" };
const { Meeting } = await load("meeting.js");

/**
 * The reloaded and connected page of `me`, which was in the meeting before the reload. If offers
 * collide, alice keeps her offer and bob gives way.
 */
async function reloaded(t, me, other) {
  const here = world(t);
  const pcs = fakePeerConnections();
  const saved = JSON.stringify({ name: "standup", status: { audio: true, video: true } });
  const lent = {
    sessionStorage: { getItem: () => saved, setItem() {}, removeItem() {} },
    navigator: { mediaDevices: new FakeMediaDevices() },
    MediaStream: FakeMediaStream,
    RTCPeerConnection: pcs.RTCPeerConnection,
  };
  for (const [name, value] of Object.entries(lent)) {
    const before = Object.getOwnPropertyDescriptor(globalThis, name);
    Object.defineProperty(globalThis, name, { value, configurable: true });
    t.after(() => {
      if (before) Object.defineProperty(globalThis, name, before);
      else delete globalThis[name];
    });
  }
  t.mock.method(console, "warn", () => {}); // refused offers
  const client = here.client({ uuid: me.uuid });
  const meeting = new Meeting(client, me.username, {
    iceServers: async () => [],
    onChange() {},
    onNotice: (text) => assert.fail(text),
  });
  client.on("request", (req) => meeting.handle(req));
  client.on("notification", (notification) => meeting.takeNotification(notification));
  client.connect();
  await here.accept();

  let ids = 0;
  const page = Object.assign(here, {
    pcs,
    meeting,
    notifies: (method, data, sender) =>
      here.say({ method, data: { sessionPath: PATH, ...data }, sender }),
    /** The sent offers. */
    offers: () => here.sent.filter(({ method }) => method === "private"),
    /** The other page makes an offer. Returns a function that finds the response, if any. */
    async isOffered(connection) {
      ids += 1;
      const id = ids;
      const description = { type: "offer", sdp: `offer ${connection}` };
      const data = { sessionPath: PATH, id: connection, description };
      await here.say({ method: "private", id, data, sender: other });
      return () => here.sent.find((it) => it.id === id && it.status !== undefined);
    },
    /** The server accepts the page, or lists the members again. */
    async enters() {
      const { id } = here.sent.findLast(({ method }) => method === "session");
      const data = { peers: [other], sessionPath: PATH };
      await here.say({ id, status: 200, reason: "joined", data });
    },
    async isAnswered(offer) {
      const data = { status: {}, description: { type: "answer", sdp: "answer" } };
      await here.say({ id: offer.id, status: 200, reason: "OK", data });
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
  return page;
}

for (const [me, other] of [[alice, bob], [bob, alice]]) {
  test(`a reloaded page of ${me.username} refuses offers until it has joined`, async (t) => {
    const page = await reloaded(t, me, other);
    const goOn = page.slowDown();
    const response = await page.isOffered("1");
    await page.enters();
    await goOn();
    assert.equal(response()?.status, 480);
    const [offer, ...more] = page.offers();
    assert.deepEqual([offer.data.peer, more], [other, []]);
    assert.ok(page.sent.indexOf(response()) < page.sent.indexOf(offer));
  });
}

test("a page makes no offer of its own while it answers one", async (t) => {
  const page = await reloaded(t, bob, alice);
  await page.enters();
  await page.reconnect();
  const goOn = page.slowDown();
  const response = await page.isOffered("1");
  await page.enters();
  await goOn();
  assert.equal(response()?.status, 200);
  assert.deepEqual(page.offers().map(({ data }) => data.id), []);
});

test("an offer that a newer one has replaced is refused", async (t) => {
  const page = await reloaded(t, bob, alice);
  await page.enters();
  const goOn = page.slowDown();
  const first = await page.isOffered("1");
  const second = await page.isOffered("2");
  assert.equal(first()?.status, 491);
  await goOn();
  assert.equal(second()?.status, 200);
});

test("when two offers collide, the offer of the first member by name stands", async (t) => {
  const ofAlice = await reloaded(t, alice, bob);
  await ofAlice.enters();
  const refused = await ofAlice.isOffered("1");
  assert.equal(refused()?.status, 491);
});

test("when two offers collide, the other member gives way", async (t) => {
  const ofBob = await reloaded(t, bob, alice);
  await ofBob.enters();
  const taken = await ofBob.isOffered("1");
  assert.equal(taken()?.status, 200);
});

test("an offer made after the answer to ours is accepted", async (t) => {
  const page = await reloaded(t, alice, bob);
  await page.enters();
  const goOn = page.slowDown();
  await page.isAnswered(page.offers()[0]);
  const response = await page.isOffered("1");
  await goOn();
  assert.equal(response()?.status, 200);
});

// What a member may grow or break

const MALLORY = { username: "mallory", uuid: "m1" };

test("members neither add nor remove members", async (t) => {
  const page = await reloaded(t, alice, bob);
  await page.enters();
  await page.notifies("join", { peer: MALLORY }, bob);
  await page.notifies("leave", { peer: bob }, bob);
  assert.deepEqual(page.meeting.members.map(({ peer }) => peer), [bob]);
  await page.notifies("join", { peer: MALLORY });
  await page.notifies("leave", { peer: bob });
  assert.deepEqual(page.meeting.members.map(({ peer }) => peer), [MALLORY]);
});

test("notifications with values of other types change nothing", async (t) => {
  const page = await reloaded(t, alice, bob);
  await page.enters();
  for (const value of [undefined, null, 7, "bob", [], {}, { username: {}, uuid: 7 }]) {
    await page.notifies("join", { peer: value });
    await page.notifies("leave", { peer: value });
    await page.notifies("message", { status: value }, bob);
    await page.notifies("private", { id: value, candidate: value }, bob);
  }
  assert.deepEqual(page.meeting.members.map(({ peer }) => peer), [bob]);
  assert.deepEqual(page.meeting.members[0].status, { audio: true, video: true });
});

test("candidates before a description wait, at most a hundred of them", async (t) => {
  const page = await reloaded(t, alice, bob);
  await page.enters();
  const [offer] = page.offers();
  for (let i = 1; i <= 101; i += 1) {
    const candidate = { candidate: `candidate ${i}`, sdpMid: "0" };
    await page.notifies("private", { id: offer.data.id, candidate }, bob);
  }
  await page.isAnswered(offer);
  const { candidates } = page.pcs.made.at(-1);
  assert.equal(candidates.length, 100);
  assert.equal(candidates[99], "candidate 100");
});

test("of a flood of offers the first twenty make a link, and later ones after a time", async (t) => {
  const page = await reloaded(t, bob, alice);
  await page.enters();
  const before = page.pcs.made.length;
  const responses = [];
  for (let i = 1; i <= 21; i += 1) responses.push(await page.isOffered(`offer ${i}`));
  assert.deepEqual(responses.map((it) => it()?.status), [...Array(20).fill(200), 491]);
  assert.equal(page.pcs.made.length - before, 20);
  const now = Date.now();
  t.mock.method(Date, "now", () => now + 10000);
  assert.equal((await page.isOffered("later"))()?.status, 200);
});

/* Meetings of the sample app in one page. The test plays the server and the other pages. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { settle, world } from "./harness.mjs";
import { fakePeerConnections, FakeMediaDevices, FakeMediaStream } from "./media.mjs";

const PATH = "/rooms/standup";
const alice = { username: "alice", uuid: "a1" };
const bob = { username: "bob", uuid: "b1" };
const { Meeting } = await loadMeeting();

/** Node before 20.19 does not recognize a .js file as a module by its content. */
async function loadMeeting() {
  const read = (name) =>
    readFile(new URL(`../../sample_app/static/${name}`, import.meta.url), "utf8");
  const urlOf = (text) => `data:text/javascript,${encodeURIComponent(text)}`;
  const member = urlOf(await read("member.js"));
  return import(urlOf((await read("meeting.js")).replace("./member.js", member)));
}

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
  client.connect();
  await here.accept();

  let ids = 0;
  const page = Object.assign(here, {
    pcs,
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

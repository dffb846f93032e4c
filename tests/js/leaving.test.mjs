/* A page that is hidden for good, cached or frozen: the server is told, so it does not look online. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { follow, settle, world } from "./harness.mjs";

const GONE = { code: 3003, reason: "" };
const CACHED = { code: 3002, reason: "" };

describe("A page that goes into the back/forward cache", () => {
  test("closes with a code that keeps the grace period, and comes back at once", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const events = here.record(client, "leave", "state", "close", "reconnecting", "open");
    await here.page("pagehide", { persisted: true });
    assert.deepEqual(here.socket.closedWith, CACHED);
    const close = { code: 1006, reason: "the page is hidden", willReconnect: true, delay: 0 };
    assert.deepEqual(events, [
      ["leave", { persisted: true, isReload: false }],
      ["state", { state: "waiting", previous: "open" }],
      ["close", close],
    ]);
    assert.deepEqual(here.timers.delays(), [], "nothing happens in the cache");
    await here.page("pageshow", { persisted: true });
    assert.equal(client.state, "connecting");
    await here.accept();
    assert.equal(client.state, "open");
  });

  test("keeps its requests, and repeats those with repeat", async (t) => {
    const here = world(t);
    const client = await here.openClient({ repeat: true });
    follow(client.request("get", "/1"));
    await here.page("pagehide", { persisted: true });
    follow(client.request("get", "/2"));
    await here.page("pageshow", { persisted: true });
    await here.accept();
    assert.deepEqual(here.sent.map(({ path }) => path), ["/1", "/2"]);
  });

  test("during a handshake abandons it", async (t) => {
    const here = world(t);
    const client = here.client();
    const connected = follow(client.connect());
    await here.page("pagehide", { persisted: true });
    assert.deepEqual(here.sockets[0].closedWith, CACHED);
    assert.equal(client.state, "waiting");
    await here.page("pageshow", { persisted: true });
    await here.accept();
    assert.equal(connected.isSettled, true);
  });

  test("during a probe abandons it", async (t) => {
    const here = world(t);
    const client = here.client();
    client.connect();
    await here.drop(1006, "", () => new Promise(() => {}));
    await here.page("pagehide", { persisted: true });
    assert.equal(here.probes[0].options.signal.aborted, true);
    assert.equal(client.state, "waiting");
  });

  test("while waiting, idle or closed does nothing", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const events = here.record(client, "leave");
    await here.drop();
    await here.page("pagehide", { persisted: true });
    assert.equal(client.state, "waiting");
    client.close();
    await here.page("pagehide", { persisted: true });
    assert.equal(client.state, "closed");
    assert.deepEqual(events, []);
  });

  test("may be closed by a listener of \"leave\"", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    client.on("leave", () => client.close());
    await here.page("pagehide", { persisted: true });
    assert.equal(here.socket.closedWith.code, 1000);
    assert.equal(client.state, "closed");
  });
});

describe("A tab that the browser freezes", () => {
  test("leaves, and comes back when it is resumed", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    await here.onDocument("freeze");
    assert.deepEqual(here.socket.closedWith, CACHED);
    await here.onDocument("resume");
    await here.accept();
    assert.equal(client.state, "open");
  });

  test("after pagehide leaves once", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const events = here.record(client, "leave");
    await here.page("pagehide", { persisted: true });
    await here.onDocument("freeze");
    assert.equal(events.length, 1);
  });
});

describe("A page that is unloaded", () => {
  test("closes with a code of its own: it was closed, or is loaded again", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const events = here.record(client, "leave");
    await here.page("pagehide", { persisted: false });
    assert.deepEqual(here.socket.closedWith, GONE);
    assert.deepEqual(events, [["leave", { persisted: false, isReload: false }]]);
  });

  test("lets listeners of \"leave\" send their last messages", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    client.on("leave", () => client.notify("end", "/users/sessions/1"));
    await here.page("pagehide", { persisted: false });
    assert.deepEqual(here.sent.map(({ method }) => method), ["end"]);
    assert.deepEqual(here.socket.closedWith, GONE);
  });

  // "pageswap" comes in browsers that tell what the user does, "navigate" in others.
  const url = (path) => ({ sameDocument: false, url: new URL(path, "https://site.test/").href });
  for (const [name, event, expected] of [
    ["by a reload of a script", { destination: url("/chat"), navigationType: "reload" }, CACHED],
    ["by a link to another page of the site", { destination: url("/profile") }, CACHED],
    ["by a link to another site", { destination: url("https://elsewhere.test/") }, GONE],
    ["after a link to a part of this page", { destination: { ...url("/"), sameDocument: true } }, GONE],
    ["after a download", { destination: url("/file"), downloadRequest: "file" }, GONE],
  ]) {
    test(`${name} closes with ${expected.code}`, async (t) => {
      const navigation = new EventTarget();
      const origin = "https://site.test";
      Object.assign(globalThis, { navigation });
      location.origin = origin;
      const here = world(t);
      t.after(() => {
        delete globalThis.navigation;
        delete location.origin;
      });
      const client = await here.openClient();
      const events = here.record(client, "leave");
      navigation.dispatchEvent(Object.assign(new Event("navigate"), event));
      await here.page("pagehide", { persisted: false });
      assert.deepEqual(here.socket.closedWith, expected);
      const isReload = event.navigationType === "reload";
      assert.deepEqual(events, [["leave", { persisted: false, isReload }]]);
      client.close();
      await settle();
    });
  }

  test("long after a link that has not led to another page closes with 3003", async (t) => {
    globalThis.navigation = new EventTarget();
    location.origin = "https://site.test";
    let now = 0;
    t.mock.method(performance, "now", () => now);
    const here = world(t);
    t.after(() => {
      delete globalThis.navigation;
      delete location.origin;
    });
    const client = await here.openClient();
    // The answer has no content, or is a file to be saved: no event tells that the page stays.
    navigation.dispatchEvent(Object.assign(new Event("navigate"), { destination: url("/report") }));
    now += 10001;
    await here.page("pagehide", { persisted: false });
    assert.deepEqual(here.socket.closedWith, GONE);
    client.close();
    await settle();
  });

  for (const [name, activation, expected] of [
    ["is reloaded by the user", { navigationType: "reload" }, CACHED],
    ["gives way to another page of the site", { navigationType: "traverse" }, CACHED],
    ["gives way to a page of another site", null, GONE],
    ["is closed after a download", undefined, GONE],
  ]) {
    test(`and ${name}, as "pageswap" tells, closes with ${expected.code}`, async (t) => {
      globalThis.onpageswap = null;
      globalThis.navigation = new EventTarget();
      const here = world(t);
      t.after(() => {
        delete globalThis.onpageswap;
        delete globalThis.navigation;
      });
      const client = await here.openClient();
      const events = here.record(client, "leave");
      navigation.dispatchEvent(Object.assign(new Event("navigate"), { destination: url("/a") }));
      if (activation !== undefined) await here.page("pageswap", { activation });
      await here.page("pagehide", { persisted: false });
      assert.deepEqual(here.socket.closedWith, expected);
      const isReload = activation?.navigationType === "reload";
      assert.deepEqual(events, [["leave", { persisted: false, isReload }]]);
      client.close();
      await settle();
    });
  }
});

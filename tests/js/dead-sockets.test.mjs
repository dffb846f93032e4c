/* A socket that is open and dead: nothing arrives any more, and the browser does not know it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assertProtooError, follow, settle, world } from "./harness.mjs";

const wakeUps = {
  online: (here) => here.page("online"),
  pageshow: (here) => here.page("pageshow", { persisted: true }),
  visibilitychange: (here) => here.visibility("visible"),
  resume: (here) => here.onDocument("resume"),
};

describe("A sign of trouble", () => {
  for (const [name, wakeUp] of Object.entries(wakeUps)) {
    test(`(${name}) makes the client leave a dead socket after 5 s`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      here.isDead = true;
      const events = here.record(client, "close");
      await wakeUp(here);
      assert.equal(here.socket.pings, 1);
      await here.tick(4999);
      assert.equal(client.state, "open");
      await here.tick(1);
      assert.deepEqual(events, [
        ["close", { code: 1006, reason: "no sign of life", willReconnect: true, delay: 250 }],
      ]);
      assert.equal(here.sockets[0].closedWith.code, 3002, "the grace period goes on");
      here.isDead = false;
      await here.tick(250);
      await here.accept();
      assert.equal(client.state, "open");
    });

    test(`(${name}) changes nothing for a socket that works`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      const events = here.record(client, "state", "close", "notification", "error");
      await wakeUp(here);
      assert.equal(here.socket.pings, 1);
      await here.tick(60000);
      assert.deepEqual([client.state, here.sockets.length, events], ["open", 1, []]);
      assert.deepEqual(here.timers.delays(), []);
    });

    test(`(${name}) while the server is asked already asks no second time`, async (t) => {
      const here = world(t);
      await here.openClient();
      here.isDead = true;
      await wakeUp(here);
      await here.tick(3000);
      await wakeUp(here);
      assert.equal(here.socket.pings, 1);
      await here.tick(2000);
      assert.equal(here.socket.closedWith.code, 3002);
    });
  }

  test("is also a change of the network that the browser tells of", async (t) => {
    const connection = new EventTarget();
    const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
    Object.defineProperty(globalThis, "navigator", { value: { connection }, configurable: true });
    const here = world(t);
    t.after(() => {
      if (before) Object.defineProperty(globalThis, "navigator", before);
      else delete globalThis.navigator;
    });
    const client = await here.openClient();
    connection.dispatchEvent(new Event("change"));
    assert.equal(here.socket.pings, 1);
    client.close();
    connection.dispatchEvent(new Event("change"));
    assert.equal(here.socket.pings, 1);
  });

  test("is no tab that goes to the background", async (t) => {
    const here = world(t);
    await here.openClient();
    await here.visibility("hidden");
    assert.equal(here.socket.pings, 0);
  });

  test("during a failing attempt makes the next one come soon", async (t) => {
    const here = world(t);
    const client = here.client();
    const events = here.record(client, "reconnecting");
    client.connect();
    for (let n = 0; n < 6; n += 1) {
      await here.drop();
      await here.tick(250 * 2 ** n);
    }
    await here.page("online"); // the attempt that is under way was begun without a network
    await here.drop();
    assert.equal(events.pop()[1].delay, 250);
  });

  test("is taken for one even if the clock of a throttled tab was late", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const start = performance.now();
    let now = start;
    t.mock.method(performance, "now", () => now);
    here.isDead = true;
    await here.page("online");
    now = start + 60000; // the timer fires now: the answer may be waiting behind it
    await here.tick(5000);
    assert.equal(client.state, "open");
    assert.deepEqual(here.timers.delays(), [1000]);
    now += 60000;
    await here.tick(1000);
    assert.equal(client.state, "waiting", "late again, and still nothing");
  });

  test("finds an answer that has come while the timer was late", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const start = performance.now();
    let now = start;
    t.mock.method(performance, "now", () => now);
    here.isDead = true;
    await here.page("online");
    now = start + 60000;
    await here.tick(5000);
    await here.say({ method: "late", data: {} });
    await here.tick(60000);
    assert.equal(client.state, "open");
  });
});

describe("A request without an answer", () => {
  test("makes the client leave a dead socket in time to repeat the request", async (t) => {
    const here = world(t);
    const client = await here.openClient({ repeat: true });
    here.isDead = true;
    const call = follow(client.request("message", "/users/bob", { text: "hi" }));
    await here.tick(4000);
    assert.equal(here.socket.pings, 1);
    await here.tick(6000);
    assert.equal(client.state, "waiting");
    here.isDead = false;
    await here.tick(250);
    await here.accept();
    assert.equal(here.sent.length, 1, "again, over the new connection");
    await here.say({ status: 200, id: here.sent[0].id });
    assert.equal(call.value.status, 200);
  });

  test("that ends with 408 is a sign of trouble, however short its timeout is", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    here.isDead = true;
    const call = follow(client.request("get", "/", {}, { timeout: 100 }));
    await here.tick(100);
    assertProtooError(call.error, 408);
    assert.equal(here.socket.pings, 1);
    await here.tick(5000);
    assert.equal(client.state, "waiting");
  });

  test("of a handler that is slow loses nothing", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("get", "/slow", {}, { timeout: 120000 }));
    for (let n = 0; n < 110; n += 1) await here.tick(1000);
    assert.equal(client.state, "open");
    assert.equal(here.sockets.length, 1);
    assert.ok(here.socket.pings <= 5, `${here.socket.pings} pings`);
    await here.say({ status: 200, id: here.sent[0].id });
    assert.equal(call.value.status, 200);
    assert.deepEqual(here.timers.delays(), []);
  });

  test("is noticed too when the socket dies later", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    follow(client.request("get", "/slow", {}, { timeout: Infinity }));
    await here.tick(4000);
    here.isDead = true;
    await here.tick(25000);
    await here.tick(6000);
    assert.equal(client.state, "waiting");
  });

  test("asks for nothing while other messages arrive", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    follow(client.request("get", "/slow", {}, { timeout: 120000 }));
    for (let n = 0; n < 10; n += 1) {
      await here.tick(3000);
      await here.say({ method: "news", data: {} });
    }
    assert.equal(here.socket.pings, 0);
  });

  test("on a slow link, behind other data, is waited for as long as the data moves", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    here.isDead = true;
    here.socket.bufferedAmount = 400;
    follow(client.request("get", "/", {}, { timeout: Infinity }));
    await here.tick(4000);
    for (const left of [300, 200, 100, 0]) {
      here.socket.bufferedAmount = left;
      await here.tick(6000);
      assert.equal(client.state, "open");
    }
    await here.tick(6000);
    assert.equal(client.state, "waiting");
  });

  test("that is long is waited for as long as a slow link takes to send it", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    follow(client.request("message", "/users/bob", { image: "x".repeat(600000) }, { timeout: 60000 }));
    here.isDead = true;
    await here.tick(4000);
    assert.equal(here.socket.pings, 1);
    await here.tick(6000 + 30000 - 1);
    assert.equal(client.state, "open", "600 kB need 30 s at 20 kB a second");
    await here.tick(1);
    assert.equal(client.state, "waiting");
  });

  test("gets more patience each time, as a long answer on a slow link is silence", async (t) => {
    const here = world(t);
    const client = await here.openClient({ repeat: true });
    follow(client.request("get", "/history", {}, { timeout: Infinity }));
    const patiences = [];
    for (let n = 0; n < 6; n += 1) {
      here.isDead = true;
      await here.tick(4000);
      const patience = here.timers.delays().pop();
      patiences.push(patience);
      await here.tick(patience);
      assert.equal(client.state, "waiting");
      here.isDead = false;
      await here.page("online");
      await here.accept();
    }
    assert.deepEqual(patiences, [6000, 12000, 24000, 48000, 48000, 48000]);
  });
});

describe("A notification", () => {
  test("on a dead socket is noticed, as nothing else comes", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    here.isDead = true;
    client.notify("typing", "/");
    await here.tick(4000);
    await here.tick(6000);
    assert.equal(client.state, "waiting");
  });
});

describe("An idle client", () => {
  test("has no timer, and asks nothing", async (t) => {
    const here = world(t);
    await here.openClient();
    await here.tick(5000);
    assert.deepEqual(here.timers.delays(), []);
    await here.tick(2 ** 30);
    assert.equal(here.socket.pings, 0);
    await settle();
  });
});

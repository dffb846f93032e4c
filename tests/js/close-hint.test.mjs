/* A server that goes away tells its clients when to come back. Here, Math.random() is 0.5. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assertProtooError, follow, http, world } from "./harness.mjs";

const HINT = "shutting down; retry-after=2.35";

describe("A close with a hint", () => {
  test("is told with the time that the server has asked for", async (t) => {
    const { openClient, drop, record, tick, accept } = world(t);
    const client = await openClient();
    const events = record(client, "state", "close", "reconnecting", "deferred", "open");
    await drop(1001, HINT);
    await tick(2599);
    assert.equal(client.state, "waiting");
    await tick(1);
    await accept();
    assert.deepEqual(events, [
      ["state", { state: "waiting", previous: "open" }],
      ["close", { code: 1001, reason: HINT, willReconnect: true, delay: 2600 }],
      ["reconnecting", { attempt: 1, delay: 2600, retryAfter: 2350 }],
      ["state", { state: "connecting", previous: "waiting" }],
      ["state", { state: "open", previous: "connecting" }],
      ["open", {}],
    ]);
  });

  const retryAfterOf = async (t, code, reason) => {
    const { openClient, drop, record } = world(t);
    const events = record(await openClient(), "reconnecting");
    await drop(code, reason);
    const [[, { delay, retryAfter }]] = events;
    assert.equal(delay, retryAfter + 250);
    return retryAfter;
  };

  for (const [reason, expected] of [
    ["retry-after=3", 3000],
    ["shutting down;retry-after=3", 3000],
    ["shutting down; retry-after=3; node=2", 3000],
    ["shutting down; node=2; retry-after=3", 3000],
    ["; retry-after=007.50", 7500],
    ["shutting down; retry-after=0.001", 1],
    ["shutting down; retry-after=0.0001", 0],
    ["shutting down; retry-after=0", 0],
    ["shutting down; retry-after=60", 60000],
    ["shutting down; retry-after=60.001", 60000],
    ["shutting down; retry-after=" + "9".repeat(90), 60000],
    ["shutting down; retry-after=1e9", 0],
    ["shutting down; retry-after=NaN", 0],
    ["shutting down; retry-after=Infinity", 0],
    ["shutting down; retry-after=-2", 0],
    ["shutting down; retry-after=+2", 0],
    ["shutting down; retry-after= 2", 0],
    ["shutting down; retry-after=2 ", 0],
    ["shutting down; retry-after=2s", 0],
    ["shutting down; retry-after=.5", 0],
    ["shutting down; retry-after=2.", 0],
    ["shutting down; retry-after=2,5", 0],
    ["shutting down; retry-after=0x10", 0],
    ["shutting down; retry-after=٣", 0],
    ["shutting down; retry-after=", 0],
    ["shutting down; Retry-After=2", 0],
    ["shutting down retry-after=2", 0],
    ["shutting down; no-retry-after=2", 0],
    ["shutting down", 0],
    ["", 0],
  ]) {
    test(`"${reason.slice(0, 60)}" asks for ${expected} ms`, async (t) => {
      assert.equal(await retryAfterOf(t, 1001, reason), expected);
    });
  }

  for (const [code, expected] of [
    [1001, 2350], [1012, 2350], [1013, 2350],
    [1005, 0], [1006, 0], [1008, 0], [1009, 0], [1011, 0], [1014, 0], [3002, 0], [4001, 0],
  ]) {
    test(`and the code ${code} asks for ${expected} ms`, async (t) => {
      assert.equal(await retryAfterOf(t, code, HINT), expected);
    });
  }

  for (const code of [1000, 3000, 3001]) {
    test(`and the code ${code} is final all the same`, async (t) => {
      const { openClient, drop, timers } = world(t);
      const client = await openClient();
      await drop(code, HINT);
      assert.deepEqual([client.state, timers.delays()], ["closed", []]);
    });
  }

  test("is final with reconnect: false", async (t) => {
    const { openClient, drop, timers } = world(t);
    const client = await openClient({ reconnect: false });
    await drop(1001, HINT);
    assert.deepEqual([client.state, timers.delays()], ["closed", []]);
  });

  test("takes the place of the first delay, and the backoff goes on behind it", async (t) => {
    const { openClient, drop, tick, record } = world(t);
    const client = await openClient();
    const events = record(client, "reconnecting");
    await drop(1001, HINT);
    await tick(2600);
    await drop(); // the server is not back yet
    await tick(500);
    await drop();
    assert.deepEqual(events.map(([, event]) => event), [
      { attempt: 1, delay: 2600, retryAfter: 2350 },
      { attempt: 2, delay: 500, retryAfter: 0 },
      { attempt: 3, delay: 1000, retryAfter: 0 },
    ]);
  });

  test("is followed by a random time, never by none at all for everybody", async (t) => {
    const { openClient, drop, record, random } = world(t);
    const client = await openClient();
    const events = record(client, "reconnecting");
    random.mock.mockImplementation(() => 1 - Number.EPSILON);
    await drop(1001, HINT);
    assert.equal(events[0][1].delay, 2850);
  });

  test("between the 101 and the welcome is honoured, without a question by HTTP", async (t) => {
    const here = world(t);
    const client = here.client({ username: "alice" });
    const events = here.record(client, "close", "reconnecting");
    here.isDead = true; // the welcome does not come
    client.connect();
    await here.accept();
    assert.equal(client.state, "connecting");
    await here.drop(1001, HINT);
    assert.deepEqual(here.probes, []);
    assert.deepEqual(events, [
      ["close", { code: 1001, reason: HINT, willReconnect: true, delay: 2600 }],
      ["reconnecting", { attempt: 1, delay: 2600, retryAfter: 2350 }],
    ]);
    here.isDead = false;
    await here.tick(2600);
    await here.accept();
    assert.equal(client.state, "open");
  });

  test("and then a 503 with Retry-After adds up to two waits", async (t) => {
    const { openClient, drop, tick, record } = world(t);
    const client = await openClient();
    const events = record(client, "reconnecting", "deferred");
    await drop(1001, HINT);
    await tick(2600);
    const answer = http(503, "shutting down");
    answer.headers.set("Retry-After", "5");
    await drop(1006, "", answer);
    assert.deepEqual(events, [
      ["reconnecting", { attempt: 1, delay: 2600, retryAfter: 2350 }],
      ["deferred", { status: 503, reason: "shutting down", retryAfter: 5000 }],
      ["reconnecting", { attempt: 2, delay: 5500, retryAfter: 5000 }],
    ]);
  });
});

describe("While the server is away as it has said", () => {
  const events = {
    online: (here) => here.page("online"),
    pageshow: (here) => here.page("pageshow", { persisted: true }),
    visibilitychange: (here) => here.visibility("visible"),
    resume: (here) => here.onDocument("resume"),
  };
  const setClock = (t) => {
    const clock = t.mock.method(Date, "now", () => clock.time);
    clock.time = 1e12;
    return clock;
  };

  for (const [name, occur] of Object.entries(events)) {
    test(`"${name}" starts no attempt before its time`, async (t) => {
      const clock = setClock(t);
      const here = world(t);
      const client = await here.openClient();
      await here.drop(1001, HINT);
      clock.time += 2349;
      await occur(here);
      assert.deepEqual([client.state, here.sockets.length], ["waiting", 1]);
      assert.deepEqual(here.timers.delays(), [2600]);
    });

    test(`"${name}" starts one at its time: the timers of the page may have slept`, async (t) => {
      const clock = setClock(t);
      const here = world(t);
      const client = await here.openClient();
      await here.drop(1001, HINT);
      clock.time += 2350;
      await occur(here);
      assert.deepEqual([client.state, here.sockets.length], ["connecting", 2]);
      await here.drop();
      await here.page("online");
      assert.equal(here.sockets.length, 3, "the later delay is the client's own");
    });
  }

  test("a clock that is set back only makes these events powerless", async (t) => {
    const clock = setClock(t);
    const here = world(t);
    const client = await here.openClient();
    await here.drop(1001, HINT);
    clock.time -= 1e9;
    await here.page("online");
    assert.equal(client.state, "waiting");
    await here.tick(2600);
    assert.equal(client.state, "connecting");
  });

  test("the browser going offline and online again changes nothing", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    await here.drop(1001, HINT);
    await here.page("offline");
    await here.page("online");
    assert.deepEqual([client.state, here.timers.delays()], ["waiting", [2600]]);
  });

  test("connect() tries at once, and only once", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    await here.drop(1001, HINT);
    const connected = follow(client.connect());
    client.connect();
    assert.deepEqual([client.state, here.sockets.length], ["connecting", 2]);
    await here.accept();
    assert.deepEqual([connected.isSettled, connected.error], [true, undefined]);
    await here.tick(3000);
    assert.deepEqual([client.state, here.sockets.length], ["open", 2]);
  });

  test("a connect() that fails ends the time: a user wants to come back", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const events = here.record(client, "reconnecting");
    await here.drop(1001, "retry-after=60");
    client.connect();
    await here.drop();
    assert.deepEqual(events[1][1], { attempt: 2, delay: 500, retryAfter: 0 });
    await here.page("online");
    assert.equal(client.state, "connecting");
  });

  test("close() ends the wait", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    await here.drop(1001, HINT);
    client.close();
    assert.deepEqual([client.state, here.timers.delays()], ["closed", []]);
  });

  test("requests wait, and those with repeat come again, in their order", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const lost = follow(client.request("get", "/lost"));
    const repeated = follow(client.request("get", "/repeated", {}, { repeat: true }));
    const { id } = here.sent[1];
    await here.drop(1001, HINT);
    assertProtooError(lost.error, 410, { reason: /connection lost \(1001 shutting down/ });
    const waiting = follow(client.request("get", "/waiting"));
    client.notify("note", "/note");
    await here.tick(2600);
    await here.accept();
    const paths = here.sent.map(({ path }) => path);
    assert.deepEqual(paths, ["/repeated", "/waiting", "/note"]);
    assert.equal(here.sent[0].id, id);
    await here.say({ status: 200, reason: "first", id, data: {} });
    await here.say({ status: 200, reason: "second", id, data: {} });
    assert.equal(repeated.value.reason, "first");
    await here.say({ status: 200, reason: "OK", id: here.sent[1].id, data: {} });
    assert.equal(waiting.value.status, 200);
  });

  test("the time of a request goes on", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    await here.drop(1001, "shutting down; retry-after=30");
    const call = follow(client.request("get", "/"));
    await here.tick(14999);
    assert.equal(call.isSettled, false);
    await here.tick(1);
    assertProtooError(call.error, 408);
  });
});

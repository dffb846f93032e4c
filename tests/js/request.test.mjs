import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Client, assertProtooError, follow, settle, world } from "./harness.mjs";

const OK = (id, data = {}) => ({ status: 200, reason: "OK", id, data });

describe("request()", () => {
  test("sends method, path, id and data", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    follow(client.request("message", "/users/bob", { text: "hi" }));
    const [{ id, ...rest }] = here.sent;
    assert.deepEqual(rest, { method: "message", path: "/users/bob", data: { text: "hi" } });
    assert.ok(Number.isSafeInteger(id) && id >= 1);
  });

  for (const nothing of [undefined, null]) {
    test(`sends an empty object for the data ${nothing}`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      follow(client.request("get", "/", nothing));
      assert.deepEqual(here.sent[0].data, {});
    });
  }

  test("resolves with a 2xx response", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("get", "/"));
    await here.say({ status: 202, reason: "stored", id: here.sent[0].id, data: { n: 1 } });
    assert.deepEqual(call.value, { status: 202, reason: "stored", data: { n: 1 } });
  });

  for (const status of [300, 404, 500, 699]) {
    test(`rejects with a ProtooError of the response ${status}`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      const call = follow(client.request("get", "/"));
      await here.say({ status, reason: "sorry", id: here.sent[0].id, data: { why: 1 } });
      assertProtooError(call.error, status, { reason: /^sorry$/, isLocal: false });
      assert.deepEqual(call.error.data, { why: 1 });
      assert.equal(call.error.name, "ProtooError");
      assert.equal(call.error.message, `${status} sorry`);
    });
  }

  test("accepts a response without reason and data", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("get", "/"));
    await here.say({ status: 200, id: here.sent[0].id });
    assert.deepEqual(call.value, { status: 200, reason: "", data: {} });
  });

  test("matches responses by id, in any order", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const first = follow(client.request("get", "/1"));
    const second = follow(client.request("get", "/2"));
    const [{ id: one }, { id: two }] = here.sent;
    await here.say(OK(two, { n: 2 }));
    assert.equal(first.isSettled, false);
    await here.say(OK(one, { n: 1 }));
    assert.deepEqual([first.value.data.n, second.value.data.n], [1, 2]);
  });

  test("ignores a second final response", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const events = here.record(client, "error");
    const call = follow(client.request("get", "/"));
    await here.say(OK(here.sent[0].id, { n: 1 }));
    await here.say(OK(here.sent[0].id, { n: 2 }));
    assert.deepEqual(call.value.data, { n: 1 });
    assert.deepEqual(events, []);
  });

  test("in an \"open\" listener is sent at once, after the waiting requests", async (t) => {
    const here = world(t);
    const client = here.client();
    client.on("open", () => follow(client.request("second", "/")));
    follow(client.request("first", "/"));
    client.connect();
    await here.accept();
    assert.deepEqual(here.sent.map(({ method }) => method), ["first", "second"]);
  });

  const wrong = [
    [["", "/"], /method must be a non-empty string, got ""/],
    [[undefined, "/"], /method must be a non-empty string, got undefined/],
    [["get", "users"], /path must start with "\/", got "users"/],
    [["get"], /path must start with "\/", got undefined/],
    [["get", "/", "text"], /data must be an object, got "text"/],
    [["get", "/", [1]], /data must be an object, got 1/],
    [["get", "/", { n: 1n }], /BigInt/],
    [["get", "/", {}, { timeout: 0 }], /timeout must be milliseconds > 0, got 0/],
    [["get", "/", {}, null], /null/],
  ];
  for (const [args, message] of wrong) {
    test(`rejects with a TypeError: ${message.source}`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      const call = follow(client.request(...args));
      await settle();
      assert.ok(call.error instanceof TypeError, String(call.error));
      assert.match(call.error.message, message);
      assert.deepEqual(here.sent, []);
    });
  }
});

describe("The ids of requests", () => {
  test("start at an unpredictable number within 1..2^53-1 and count up", async (t) => {
    const starts = new Set();
    for (let i = 0; i < 20; i += 1) {
      const here = world(t);
      const client = await here.openClient();
      follow(client.request("get", "/"));
      follow(client.request("get", "/"));
      const [{ id: first }, { id: second }] = here.sent;
      assert.ok(Number.isSafeInteger(first) && first >= 1);
      assert.equal(second, first + 1);
      starts.add(first);
      client.close();
      t.mock.timers.reset();
    }
    assert.equal(starts.size, 20);
  });

  const ends = [
    ["start at 1 rather than 0", [0, 0], [1, 2]],
    ["continue with 1 after 2^53-1", [0xffffffff, 0xffffffff], [Number.MAX_SAFE_INTEGER, 1]],
  ];
  for (const [name, words, expected] of ends) {
    test(name, async (t) => {
      const here = world(t);
      t.mock.method(crypto, "getRandomValues", (array) => {
        array.set(words);
        return array;
      });
      const client = await here.openClient();
      follow(client.request("get", "/"));
      follow(client.request("get", "/"));
      assert.deepEqual(here.sent.map(({ id }) => id), expected);
    });
  }
});

describe("request() with onProvisional", () => {
  test("passes on each provisional response, and keeps waiting", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const heard = [];
    const onProvisional = (response) => heard.push(response);
    const call = follow(client.request("session", "/users/bob", {}, { onProvisional }));
    const { id } = here.sent[0];
    await here.say({ status: 100, reason: "connecting", id, data: { sessionPath: "/s/1" } });
    await here.say({ status: 199, reason: "ringing", id });
    assert.equal(call.isSettled, false);
    assert.deepEqual(heard, [
      { status: 100, reason: "connecting", data: { sessionPath: "/s/1" } },
      { status: 199, reason: "ringing", data: {} },
    ]);
    await here.say(OK(id));
    assert.equal(call.value.status, 200);
  });

  test("without it ignores provisional responses", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("session", "/users/bob"));
    await here.say({ status: 100, reason: "connecting", id: here.sent[0].id });
    assert.equal(call.isSettled, false);
    await here.say(OK(here.sent[0].id));
    assert.equal(call.value.status, 200);
  });

  const failures = [
    ["throws", () => { throw new Error("oops"); }],
    ["rejects", async () => { throw new Error("oops"); }],
  ];
  for (const [how, onProvisional] of failures) {
    test(`that ${how} is reported and does not stop the request`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      const events = here.record(client, "error");
      const call = follow(client.request("session", "/", {}, { onProvisional }));
      await here.say({ status: 100, reason: "", id: here.sent[0].id });
      assertProtooError(events[0][1], 500, { reason: /onProvisional failed: Error: oops/ });
      assert.equal(here.takeLogged().length, 1);
      await here.say(OK(here.sent[0].id));
      assert.equal(call.value.status, 200);
    });
  }
});

describe("request() with a timeout", () => {
  test("rejects with 408 after requestTimeout, 15 s by default", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("get", "/"));
    await here.tick(14999);
    assert.equal(call.isSettled, false);
    await here.tick(1);
    assertProtooError(call.error, 408, { reason: /nothing within 15000 ms/ });
  });

  test("rejects after the client's own requestTimeout", async (t) => {
    const here = world(t);
    const client = await here.openClient({ requestTimeout: 100 });
    const call = follow(client.request("get", "/"));
    await here.tick(100);
    assertProtooError(call.error, 408);
  });

  test("uses the timeout of the request instead of the client's", async (t) => {
    const here = world(t);
    const client = await here.openClient({ requestTimeout: 100 });
    const call = follow(client.request("session", "/", {}, { timeout: 130000 }));
    await here.tick(129999);
    assert.equal(call.isSettled, false);
    await here.tick(1);
    assertProtooError(call.error, 408);
  });

  test("is not extended by a provisional response", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("get", "/"));
    await here.tick(14000);
    await here.say({ status: 100, reason: "", id: here.sent[0].id });
    await here.tick(1000);
    assertProtooError(call.error, 408);
  });

  for (const timeout of [Infinity, 2 ** 31]) {
    test(`of ${timeout} waits for ever`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      await here.tick(5000);
      const call = follow(client.request("get", "/", {}, { timeout }));
      await here.tick(2 ** 30);
      assert.equal(call.isSettled, false);
      assert.equal(client.state, "open");
      const delays = here.timers.delays();
      assert.deepEqual(delays, [25000], "no timer of its own: pings ask for the connection");
    });
  }

  test("ignores a late response", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const events = here.record(client, "error");
    const call = follow(client.request("get", "/"));
    await here.tick(15000);
    await here.say({ status: 100, reason: "", id: here.sent[0].id });
    await here.say(OK(here.sent[0].id));
    assertProtooError(call.error, 408);
    assert.deepEqual(events, []);
  });

  test("leaves no timer after its answer", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    await here.tick(5000);
    follow(client.request("get", "/"));
    assert.deepEqual(here.timers.delays().sort(), [15000, 4000], "its own, and for a sign of life");
    await here.say(OK(here.sent[0].id));
    assert.deepEqual(here.timers.delays(), []);
  });
});

describe("request() with a signal", () => {
  test("that is aborted already sends nothing and rejects with 487", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("get", "/", {}, { signal: AbortSignal.abort("why") }));
    await settle();
    assertProtooError(call.error, 487);
    assert.equal(call.error.cause, "why");
    assert.deepEqual(here.sent, []);
  });

  test("that is aborted later rejects with 487 and ignores the response", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const controller = new AbortController();
    const call = follow(client.request("get", "/", {}, { signal: controller.signal }));
    controller.abort();
    await here.say(OK(here.sent[0].id));
    assertProtooError(call.error, 487);
  });

  test("that is aborted while it waits is never sent", async (t) => {
    const here = world(t);
    const client = here.client();
    const controller = new AbortController();
    const call = follow(client.request("get", "/", {}, { signal: controller.signal }));
    controller.abort();
    client.connect();
    await here.accept();
    assertProtooError(call.error, 487);
    assert.deepEqual(here.sent, []);
  });

  test("leaves no listener on the signal after its answer", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const { signal } = new AbortController();
    const added = t.mock.method(signal, "addEventListener");
    const removed = t.mock.method(signal, "removeEventListener");
    follow(client.request("get", "/", {}, { signal }));
    await here.say(OK(here.sent[0].id));
    const args = ({ mock }) => mock.calls.map((call) => call.arguments);
    assert.equal(args(added).length, 1);
    assert.deepEqual(args(removed), args(added));
  });
});

describe("request() while not open", () => {
  test("waits, and is sent in order after the opening", async (t) => {
    const here = world(t);
    const client = here.client();
    follow(client.request("get", "/1"));
    client.connect();
    follow(client.request("get", "/2"));
    client.notify("note", "/3");
    await here.accept();
    assert.deepEqual(here.sent.map(({ path }) => path), ["/1", "/2", "/3"]);
    client.close();
  });

  test("survives attempts that fail", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    await here.drop();
    const call = follow(client.request("get", "/"));
    await here.tick(250);
    await here.drop();
    assert.equal(call.isSettled, false);
    await here.tick(500);
    await here.accept();
    await here.say(OK(here.sent[0].id));
    assert.equal(call.value.status, 200);
  });

  test("times out in the queue and is never sent", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    await here.drop();
    const call = follow(client.request("get", "/", {}, { timeout: 100 }));
    await here.tick(100);
    assertProtooError(call.error, 408);
    await here.tick(150);
    await here.accept();
    assert.deepEqual(here.sent, []);
  });

  test("sends the data as it was at the call, even if the object has changed", async (t) => {
    const here = world(t);
    const client = here.client();
    const data = { text: "before" };
    follow(client.request("get", "/", data));
    data.text = "after";
    client.connect();
    await here.accept();
    assert.deepEqual(here.sent[0].data, { text: "before" });
  });

  test("also waits while the socket is closing, which would drop it", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    here.socket.readyState = 2;
    const call = follow(client.request("get", "/"));
    await here.drop(1001);
    assert.equal(call.isSettled, false);
    await here.tick(250);
    await here.accept();
    assert.equal(here.sent.length, 1);
  });

  test("rejects with 503 when 1000 are waiting already", async (t) => {
    const here = world(t);
    const client = here.client();
    const calls = Array.from({ length: 1000 }, () => follow(client.request("get", "/")));
    const oneMore = follow(client.request("get", "/"));
    await settle();
    assertProtooError(oneMore.error, 503, { reason: /1000 are waiting already/ });
    assert.ok(calls.every(({ isSettled }) => !isSettled));
    client.connect();
    await here.accept();
    assert.equal(here.sent.length, 1000);
    follow(client.request("get", "/"));
    assert.equal(here.sent.length, 1001);
  });

  test("rejects with 410 when closed", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    client.close();
    await assert.rejects(client.request("get", "/"), { status: 410, isLocal: true });
  });
});

describe("request() when the connection is lost before the response", () => {
  test("rejects with 410 and the close code", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("get", "/"));
    await here.drop(1009, "too big");
    assertProtooError(call.error, 410, { reason: /connection lost \(1009 too big\)/ });
    await here.tick(250);
    await here.accept();
    assert.deepEqual(here.sent, []);
  });

  test("with repeat: true sends it again with the same id", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("message", "/", { n: 1 }, { repeat: true }));
    const [first] = here.sent;
    await here.drop();
    assert.equal(call.isSettled, false);
    await here.tick(250);
    await here.accept();
    assert.deepEqual(here.sent, [first]);
    await here.say(OK(first.id));
    assert.equal(call.value.status, 200);
  });

  test("with repeat: true does not repeat an answered request", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    follow(client.request("message", "/", {}, { repeat: true }));
    await here.say(OK(here.sent[0].id));
    await here.drop();
    await here.tick(250);
    await here.accept();
    assert.deepEqual(here.sent, []);
  });

  test("with repeat: true keeps its timeout and its place before newer requests", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const old = follow(client.request("get", "/old", {}, { repeat: true }));
    here.socket.readyState = 2;
    follow(client.request("get", "/newer"));
    await here.drop();
    follow(client.request("get", "/newest"));
    await here.tick(250);
    await here.accept();
    assert.deepEqual(here.sent.map(({ path }) => path), ["/old", "/newer", "/newest"]);
    await here.tick(14750);
    assertProtooError(old.error, 408);
  });

  test("with repeat: true rejects with 410 when the client will not reconnect", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("get", "/", {}, { repeat: true }));
    await here.drop(3000, "online elsewhere");
    assertProtooError(call.error, 410, { reason: /connection lost \(3000 online elsewhere\)/ });
  });
});

describe("request() with repeat: true", () => {
  const repeat = true;

  test("sends the same request over each new connection", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("message", "/", { n: 1 }, { repeat }));
    const [first] = here.sent;
    for (let count = 2; count <= 5; count += 1) {
      await here.reconnect();
      assert.equal(here.sockets.length, count);
      assert.deepEqual(here.sent, [first]);
    }
    await here.say(OK(first.id));
    assert.equal(call.value.status, 200);
  });

  test("ends with the first response, and ignores the response to the repetition", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const events = here.record(client, "error");
    const heard = [];
    const onProvisional = ({ status }) => heard.push(status);
    const call = follow(client.request("message", "/", {}, { repeat, onProvisional }));
    await here.reconnect();
    const { id } = here.sent[0];
    await here.say(OK(id, { n: 1 }));
    await here.say({ status: 100, id });
    await here.say(OK(id, { n: 2 }));
    assert.deepEqual(call.value.data, { n: 1 });
    assert.deepEqual([heard, events], [[], []]);
    await here.reconnect();
    assert.deepEqual(here.sent, []);
  });

  test("keeps its place before the notifications and requests that came later", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    follow(client.request("get", "/1", {}, { repeat }));
    follow(client.request("get", "/2", {}, { repeat }));
    await here.drop();
    client.notify("note", "/3");
    follow(client.request("get", "/4"));
    client.notify("note", "/5");
    await here.tick(250);
    await here.drop();
    follow(client.request("get", "/6"));
    await here.tick(500);
    await here.accept();
    const paths = here.sent.map(({ path }) => path);
    assert.deepEqual(paths, ["/1", "/2", "/3", "/4", "/5", "/6"]);
  });

  test("does not repeat a notification that was sent between two requests", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    follow(client.request("get", "/1", {}, { repeat }));
    client.notify("note", "/2");
    follow(client.request("get", "/3", {}, { repeat }));
    await here.reconnect();
    assert.deepEqual(here.sent.map(({ path }) => path), ["/1", "/3"]);
  });

  test("is not sent again after its timeout", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("get", "/", {}, { repeat, timeout: 1000 }));
    await here.tick(900);
    await here.drop();
    await here.tick(100);
    assertProtooError(call.error, 408, { reason: /nothing within 1000 ms/ });
    await here.tick(150);
    await here.accept();
    assert.deepEqual(here.sent, []);
  });

  test("is not sent again if it is aborted without a connection", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const controller = new AbortController();
    const { signal } = controller;
    const call = follow(client.request("get", "/", {}, { repeat, signal }));
    await here.drop();
    controller.abort();
    await here.tick(250);
    await here.accept();
    assertProtooError(call.error, 487);
    assert.deepEqual(here.sent, []);
  });

  test("rejects with 410 when the client is closed without a connection", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("get", "/", {}, { repeat }));
    await here.drop();
    client.close();
    await settle();
    assertProtooError(call.error, 410, { reason: /client closed/ });
    client.connect();
    await here.accept();
    assert.deepEqual(here.sent, []);
  });

  test("rejects with 410 after 1009, as this request may have been too big", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("message", "/", { text: "x" }, { repeat }));
    await here.reconnect(1009);
    assertProtooError(call.error, 410, { reason: /connection lost \(1009\)/ });
    assert.deepEqual(here.sent, []);
  });

  test("still waits after 1009 if it was not sent yet", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    here.socket.readyState = 2;
    follow(client.request("get", "/", {}, { repeat }));
    await here.reconnect(1009);
    assert.equal(here.sent.length, 1);
  });
});

describe("The option repeat of a client", () => {
  test("applies to every request", async (t) => {
    const here = world(t);
    const client = await here.openClient({ repeat: true });
    const call = follow(client.request("get", "/"));
    const [first] = here.sent;
    await here.reconnect();
    assert.equal(call.isSettled, false);
    assert.deepEqual(here.sent, [first]);
  });

  test("can be overridden by a request", async (t) => {
    const here = world(t);
    const client = await here.openClient({ repeat: true });
    const call = follow(client.request("get", "/", {}, { repeat: false }));
    await here.reconnect();
    assertProtooError(call.error, 410);
    assert.deepEqual(here.sent, []);
  });

  test("does not repeat notifications", async (t) => {
    const here = world(t);
    const client = await here.openClient({ repeat: true });
    client.notify("note", "/");
    await here.reconnect();
    assert.deepEqual(here.sent, []);
  });
});

test("The class has exactly the documented public names", () => {
  const names = Object.getOwnPropertyNames(Client.prototype).sort();
  assert.deepEqual(names, [
    "close", "connect", "constructor", "notify", "off", "on", "once", "request", "state",
    "username", "uuid",
  ]);
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assertProtooError, follow, http, proxyHttp, settle, world } from "./harness.mjs";

describe("connect()", () => {
  test("goes over connecting to open", async (t) => {
    const { client: newClient, accept, record } = world(t);
    const client = newClient();
    const events = record(client, "state", "open", "close", "refused", "error");
    client.connect();
    assert.equal(client.state, "connecting");
    await accept();
    assert.equal(client.state, "open");
    assert.deepEqual(events, [
      ["state", { state: "connecting", previous: "idle" }],
      ["state", { state: "open", previous: "connecting" }],
      ["open", {}],
    ]);
  });

  test("resolves at the first open", async (t) => {
    const { client, accept } = world(t);
    const connected = follow(client().connect());
    await settle();
    assert.equal(connected.isSettled, false);
    await accept();
    assert.deepEqual(connected, { isSettled: true, value: undefined, error: undefined });
  });

  test("called twice opens one socket", async (t) => {
    const { client: newClient, accept, sockets } = world(t);
    const client = newClient();
    const first = client.connect();
    assert.equal(client.connect(), first);
    await accept();
    await first;
    await client.connect();
    assert.equal(sockets.length, 1);
  });

  test("still resolves when the first attempts fail", async (t) => {
    const { client: newClient, accept, drop, tick } = world(t);
    const client = newClient();
    const connected = follow(client.connect());
    await drop();
    assert.equal(client.state, "waiting");
    await tick(250);
    await drop();
    await tick(500);
    assert.equal(connected.isSettled, false);
    await accept();
    assert.equal(connected.isSettled, true);
    assert.equal(connected.error, undefined);
  });

  test("while waiting to reconnect starts an attempt at once", async (t) => {
    const { openClient, accept, drop, sockets, timers } = world(t);
    const client = await openClient();
    await drop();
    assert.equal(client.state, "waiting");
    const again = follow(client.connect());
    await settle();
    assert.equal(client.state, "connecting");
    assert.equal(again.isSettled, false);
    assert.equal(sockets.length, 2);
    assert.deepEqual(timers.delays(), [20000], "the backoff timer is gone");
    await accept();
    assert.equal(again.isSettled, true);
  });

  test("after a refusal starts again", async (t) => {
    const { client: newClient, accept, drop } = world(t);
    const client = newClient();
    client.connect();
    await drop(1006, "", http(401));
    const again = follow(client.connect());
    await accept();
    assert.deepEqual(again, { isSettled: true, value: undefined, error: undefined });
  });

  test("after close() starts again", async (t) => {
    const { openClient, accept, sockets } = world(t);
    const client = await openClient();
    client.close();
    const again = client.connect();
    await accept();
    await again;
    assert.equal(client.state, "open");
    assert.equal(sockets.length, 2);
  });

  test("after close() ignores the events of the old socket", async (t) => {
    const { openClient, accept, sockets, record } = world(t);
    const client = await openClient();
    client.close();
    client.connect();
    await accept();
    const events = record(client, "state", "close", "notification", "error");
    sockets[0].says({ method: "late" });
    sockets[0].ends(1000);
    await settle();
    assert.equal(client.state, "open");
    assert.deepEqual(events, []);
  });

  test("gives up a handshake that takes 20 s", async (t) => {
    const { client: newClient, tick, sockets } = world(t);
    const client = newClient();
    client.connect();
    await tick(19999);
    assert.equal(client.state, "connecting");
    assert.equal(sockets[0].closedWith, null);
    await tick(1);
    assert.notEqual(sockets[0].closedWith, null);
    assert.equal(client.state, "waiting");
  });

  test("rejects and closes when the browser forbids the connection", async (t) => {
    const { client: newClient, record } = world(t);
    class Forbidden {
      constructor() {
        throw new DOMException("insecure", "SecurityError");
      }
    }
    const client = newClient({ WebSocket: Forbidden });
    const events = record(client, "state", "close");
    const connected = follow(client.connect());
    await settle();
    assertProtooError(connected.error, 410, { reason: /cannot connect: SecurityError: insecure/ });
    assert.equal(client.state, "closed");
    assert.deepEqual(events.map(([name]) => name), ["state", "close"]);
  });

  test("causes no unhandled rejection if its promise is ignored", async (t) => {
    const unhandled = [];
    const listener = (error) => unhandled.push(error);
    process.on("unhandledRejection", listener);
    t.after(() => process.off("unhandledRejection", listener));
    const { client, drop } = world(t);
    client().connect();
    await drop(1006, "", http(403));
    await settle();
    assert.deepEqual(unhandled, []);
  });
});

describe("A handshake that fails", () => {
  test("is followed by a plain HTTP request to the same URL", async (t) => {
    const { client, drop, probes } = world(t);
    client({ uuid: "me" }).connect();
    await drop(1006, "", http(503));
    assert.equal(probes.length, 1);
    const { url, options } = probes[0];
    assert.equal(url, "https://site.test/protoo?uuid=me&welcome=1");
    assert.equal(options.cache, "no-store");
    assert.equal(options.credentials, "include");
    assert.equal(options.redirect, "manual");
    // The server must learn the origin of the page, which a GET to the same origin does not name.
    assert.equal(options.referrerPolicy, "origin");
  });

  for (const status of [400, 401, 403, 404, 410, 451, 499]) {
    test(`with HTTP ${status} is a refusal`, async (t) => {
      const { client: newClient, drop, record, sockets, timers } = world(t);
      const client = newClient();
      const events = record(client, "refused", "close", "reconnecting");
      const connected = follow(client.connect());
      await drop(1006, "", http(status, "not today\n"));
      assert.equal(client.state, "closed");
      assert.deepEqual(events, [
        ["refused", { status, reason: "not today" }],
        [
          "close",
          { code: 1006, reason: `refused: ${status} not today`, willReconnect: false, delay: null },
        ],
      ]);
      assertProtooError(connected.error, status, { reason: /^not today$/, isLocal: false });
      assert.equal(sockets.length, 1);
      assert.deepEqual(timers.delays(), []);
    });
  }

  for (const status of [408, 425, 426, 429, 500, 502, 503]) {
    test(`with HTTP ${status} is tried again`, async (t) => {
      const { client: newClient, drop, record } = world(t);
      const client = newClient();
      const events = record(client, "refused", "close");
      client.connect();
      await drop(1006, "", http(status, "why"));
      assert.equal(client.state, "waiting");
      const reason = `handshake failed, HTTP ${status}`;
      assert.deepEqual(events, [
        ["close", { code: 1006, reason, willReconnect: true, delay: 250 }],
      ]);
    });
  }

  for (const status of [200, 400, 401, 403, 404, 410, 429, 502]) {
    test(`with HTTP ${status} of a proxy, while the site restarts, is tried again`, async (t) => {
      const { client: newClient, drop, record, tick, accept } = world(t);
      const client = newClient();
      const events = record(client, "refused", "deferred", "close");
      client.connect();
      await drop(1006, "", proxyHttp(status, "404 page not found\n"));
      assert.equal(client.state, "waiting");
      assert.deepEqual(events, [
        ["deferred", { status, reason: "404 page not found", retryAfter: 0 }],
        [
          "close",
          { code: 1006, reason: `handshake failed, HTTP ${status}`, willReconnect: true, delay: 250 },
        ],
      ]);
      await tick(250);
      await accept();
      assert.equal(client.state, "open");
    });
  }

  test("with the login page of the site is a refusal, if the server has marked it", async (t) => {
    const { client: newClient, drop, record } = world(t);
    const client = newClient();
    const events = record(client, "refused");
    client.connect();
    const page = proxyHttp(200, "<form>", "text/html", "OK");
    page.headers.set("Protoo-Handshake", "refused");
    await drop(1006, "", page);
    assert.deepEqual(events, [["refused", { status: 200, reason: "OK" }]]);
    assert.equal(client.state, "closed");
  });

  const redirects = {
    "as browsers show it": [
      () => ({ type: "opaqueredirect", status: 0, statusText: "", headers: new Headers() }),
      { status: 302, reason: "redirected" },
    ],
    "as other runtimes show it": [
      () => Response.redirect("https://site.test/login", 303),
      { status: 303, reason: "redirected to https://site.test/login" },
    ],
  };
  for (const [name, [makeAnswer, expected]] of Object.entries(redirects)) {
    test(`with a redirect, ${name}, is a refusal`, async (t) => {
      const { client: newClient, drop, record, tick, sockets } = world(t);
      const client = newClient();
      const events = record(client, "refused", "deferred");
      const connected = follow(client.connect());
      await drop(1006, "", makeAnswer());
      assert.deepEqual(events, [["refused", expected]]);
      assertProtooError(connected.error, expected.status, { isLocal: false });
      await tick(2 ** 30);
      assert.deepEqual([client.state, sockets.length], ["closed", 1]);
    });
  }

  test("with 429 tells the device why, and when it tries again", async (t) => {
    const { client: newClient, drop, record } = world(t);
    const client = newClient();
    const events = record(client, "deferred", "close", "reconnecting");
    client.connect();
    const answer = http(429, "alice has 16 devices, which is the limit");
    answer.headers.set("Retry-After", "50");
    await drop(1006, "", answer);
    const close = { code: 1006, reason: "handshake failed, HTTP 429", willReconnect: true };
    const reason = "alice has 16 devices, which is the limit";
    assert.deepEqual(events, [
      ["deferred", { status: 429, reason, retryAfter: 50000 }],
      ["close", { ...close, delay: 50250 }],
      ["reconnecting", { attempt: 1, delay: 50250, retryAfter: 50000 }],
    ]);
  });

  test("while the server lets clients in is no answer worth an event", async (t) => {
    const { client: newClient, drop, record } = world(t);
    const client = newClient();
    const events = record(client, "deferred");
    client.connect();
    await drop(1006, "", http(426, "This is a WebSocket endpoint"));
    assert.deepEqual(events, []);
    assert.equal(client.state, "waiting");
  });

  for (const [value, delay] of [
    ["50", 50000],
    ["0", 0],
    [" 1 ", 1000],
    ["3599", 3599000],
    ["3600", 3600000],
    ["3601", 3600000],
    ["100000000000", 3600000],
    ["9".repeat(400), 3600000],
    ["1e3", 0],
    [new Date(Date.now() + 1e9).toUTCString(), 3600000],
    ["Thu, 01 Jan 1970 00:00:00 GMT", 0],
    ["soon", 0],
    ["-1", 0],
  ]) {
    test(`with Retry-After: ${value} is tried again not earlier`, async (t) => {
      const { client: newClient, drop, record, tick } = world(t);
      const client = newClient();
      const events = record(client, "close");
      client.connect();
      const answer = http(429, "too many devices");
      answer.headers.set("Retry-After", value);
      await drop(1006, "", answer);
      assert.equal(events[0][1].delay, delay + 250);
      await tick(delay + 249);
      assert.equal(client.state, "waiting");
      await tick(1);
      assert.equal(client.state, "connecting");
    });
  }

  test("with a date in Retry-After goes by the clock of the server, if it tells", async (t) => {
    const { client: newClient, drop, record } = world(t);
    const client = newClient();
    const events = record(client, "deferred");
    client.connect();
    const answer = http(503, "maintenance");
    answer.headers.set("Date", "Thu, 01 Jan 1970 00:10:00 GMT");
    answer.headers.set("Retry-After", "Thu, 01 Jan 1970 00:10:30 GMT");
    await drop(1006, "", answer);
    assert.equal(events[0][1].retryAfter, 30000);
  });

  const wakeUps = {
    online: (here) => here.page("online"),
    pageshow: (here) => here.page("pageshow", { persisted: true }),
    visibilitychange: (here) => here.visibility("visible"),
  };
  for (const [name, wakeUp] of Object.entries(wakeUps)) {
    test(`with Retry-After is not tried earlier because of "${name}", but by connect()`, async (t) => {
      const here = world(t);
      const client = here.client();
      client.connect();
      const answer = http(429, "too many devices");
      answer.headers.set("Retry-After", "50");
      await here.drop(1006, "", answer);
      await wakeUp(here);
      assert.deepEqual([client.state, here.sockets.length], ["waiting", 1]);
      client.connect();
      assert.deepEqual([client.state, here.sockets.length], ["connecting", 2]);
    });

    test(`without Retry-After is tried at once after "${name}"`, async (t) => {
      const here = world(t);
      const client = here.client();
      client.connect();
      await here.drop(1006, "", http(503, "shutting down"));
      await wakeUp(here);
      assert.equal(client.state, "connecting");
    });
  }

  test("without network is tried again", async (t) => {
    const { client: newClient, drop } = world(t);
    const client = newClient();
    client.connect();
    await drop();
    assert.equal(client.state, "waiting");
  });

  test("is tried again when the probe takes 10 s", async (t) => {
    const { client: newClient, drop, tick } = world(t);
    const client = newClient();
    client.connect();
    const never = ({ signal }) => new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
    await drop(1006, "", never);
    await tick(9999);
    assert.equal(client.state, "connecting");
    await tick(1);
    assert.equal(client.state, "waiting");
  });

  test("does not show a page of HTML as the reason", async (t) => {
    const { client: newClient, drop, record } = world(t);
    const client = newClient();
    const events = record(client, "refused");
    client.connect();
    await drop(1006, "", http(403, "<h1>Forbidden</h1>", "text/html", "FORBIDDEN"));
    assert.deepEqual(events, [["refused", { status: 403, reason: "FORBIDDEN" }]]);
  });

  test("has a reason even with HTTP/2, which has no status text", async (t) => {
    const { client: newClient, drop, record } = world(t);
    const client = newClient();
    const events = record(client, "refused");
    client.connect();
    await drop(1006, "", http(403, "<h1>Forbidden</h1>", "text/html"));
    assert.deepEqual(events, [["refused", { status: 403, reason: "HTTP 403" }]]);
  });

  test("takes no more than 200 characters as the reason", async (t) => {
    const { client: newClient, drop, record } = world(t);
    const client = newClient();
    const events = record(client, "refused");
    client.connect();
    await drop(1006, "", http(403, "x".repeat(10000)));
    assert.equal(events[0][1].reason.length, 200);
  });

  test("rejects waiting requests if it is a refusal", async (t) => {
    const { client: newClient, drop } = world(t);
    const client = newClient();
    const call = follow(client.request("message", "/"));
    client.connect();
    await drop(1006, "", http(401, "log in"));
    assertProtooError(call.error, 410, { reason: /connection refused \(401 log in\)/ });
  });

  test("is probed at every reconnection, as the session may have ended", async (t) => {
    const { openClient, drop, tick, record } = world(t);
    const client = await openClient();
    const events = record(client, "refused");
    await drop();
    await tick(250);
    await drop(1006, "", http(401, "log in"));
    assert.equal(client.state, "closed");
    assert.deepEqual(events, [["refused", { status: 401, reason: "log in" }]]);
  });
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assertProtooError, follow, http, settle, world } from "./harness.mjs";

describe("A connection that was lost", () => {
  test("is made again after the delay given by \"close\" and \"reconnecting\"", async (t) => {
    const { openClient, drop, record, sockets, tick, accept } = world(t);
    const client = await openClient();
    const events = record(client, "state", "close", "reconnecting", "open");
    await drop(1006, "");
    assert.equal(client.state, "waiting");
    await tick(249);
    assert.equal(sockets.length, 1);
    await tick(1);
    assert.equal(sockets.length, 2);
    assert.equal(sockets[1].url, sockets[0].url, "the same uuid");
    await accept();
    assert.deepEqual(events, [
      ["state", { state: "waiting", previous: "open" }],
      ["close", { code: 1006, reason: "", willReconnect: true, delay: 250 }],
      ["reconnecting", { attempt: 1, delay: 250, retryAfter: 0 }],
      ["state", { state: "connecting", previous: "waiting" }],
      ["state", { state: "open", previous: "connecting" }],
      ["open", {}],
    ]);
  });

  for (const code of [1001, 1005, 1006, 1008, 1009, 1011, 1012, 1013, 3002, 4000]) {
    test(`with ${code} is made again`, async (t) => {
      const { openClient, drop } = world(t);
      const client = await openClient();
      await drop(code);
      assert.equal(client.state, "waiting");
    });
  }

  for (const code of [1000, 3000, 3001]) {
    test(`with ${code} is not made again`, async (t) => {
      const { openClient, drop, record, tick, sockets } = world(t);
      const client = await openClient();
      const events = record(client, "close", "reconnecting", "refused");
      await drop(code, "so it is");
      await tick(60000);
      assert.equal(client.state, "closed");
      assert.equal(sockets.length, 1);
      assert.deepEqual(events, [
        ["close", { code, reason: "so it is", willReconnect: false, delay: null }],
      ]);
    });
  }

  test("is not made again with reconnect: false", async (t) => {
    const { openClient, drop } = world(t);
    const client = await openClient({ reconnect: false });
    await drop();
    assert.equal(client.state, "closed");
  });

  test("is not made again with reconnect: false when the first handshake fails", async (t) => {
    const { client: newClient, drop } = world(t);
    const client = newClient({ reconnect: false });
    const connected = client.connect();
    await drop();
    assert.equal(client.state, "closed");
    await assert.rejects(connected, { status: 410, isLocal: true });
  });
});

describe("The delay before an attempt", () => {
  const delays = async (t, random, count, options) => {
    const here = world(t);
    here.random.mock.mockImplementation(() => random);
    const client = here.client(options);
    const found = [];
    client.on("reconnecting", ({ attempt, delay }) => found.push([attempt, delay]));
    client.connect();
    for (let i = 0; i < count; i += 1) {
      await here.drop();
      await here.tick(found[i][1]);
    }
    return found.map(([attempt, delay], index) => {
      assert.equal(attempt, index + 1);
      return delay;
    });
  };

  test("is at most min * 2**n, and at most max", async (t) => {
    const most = await delays(t, 1 - Number.EPSILON, 9);
    assert.deepEqual(most, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  });

  test("may be 0: full jitter spreads the clients of a restarting server", async (t) => {
    assert.deepEqual(await delays(t, 0, 4), [0, 0, 0, 0]);
  });

  test("is uniform in between", async (t) => {
    assert.deepEqual(await delays(t, 0.25, 3), [125, 250, 500]);
  });

  test("follows the option reconnect", async (t) => {
    const options = { reconnect: { min: 10, max: 25 } };
    assert.deepEqual(await delays(t, 1 - Number.EPSILON, 4, options), [10, 20, 25, 25]);
  });

  test("is a number after any number of attempts, also with a min of 0", async (t) => {
    const options = { reconnect: { min: 0, max: 25 } };
    assert.deepEqual(new Set(await delays(t, 1 - Number.EPSILON, 1100, options)), new Set([0]));
  });

  test("never exceeds the longest timer of a browser", async (t) => {
    const longest = 2 ** 31 - 1;
    const here = world(t);
    here.random.mock.mockImplementation(() => 1 - Number.EPSILON);
    const client = here.client({ reconnect: { min: longest, max: longest } });
    const found = here.record(client, "reconnecting");
    client.connect();
    const answer = http(429, "too many devices");
    answer.headers.set("Retry-After", "3600");
    await here.drop(1006, "", answer);
    assert.equal(found[0][1].delay, longest);
  });

  test("has a default for each missing part of the option", async (t) => {
    const options = { reconnect: { max: 700 } };
    assert.deepEqual(await delays(t, 1 - Number.EPSILON, 2, options), [500, 700]);
  });

  test("stays at max for ever", async (t) => {
    const found = await delays(t, 0.5, 1200);
    assert.equal(found[1199], 15000);
  });

  test("keeps growing if connections stay open for less than 5 s", async (t) => {
    const { openClient, drop, tick, accept, record } = world(t);
    const client = await openClient();
    const events = record(client, "reconnecting");
    await tick(4999);
    await drop();
    await tick(250);
    await accept();
    await tick(4999);
    await drop();
    assert.deepEqual(events.map(([, it]) => [it.attempt, it.delay]), [[1, 250], [2, 500]]);
  });

  test("starts again from min after a connection that stayed open for 5 s", async (t) => {
    const { openClient, drop, tick, accept, record } = world(t);
    const client = await openClient();
    const events = record(client, "reconnecting");
    await drop();
    await tick(250);
    await accept();
    await tick(5000);
    await drop();
    assert.deepEqual(events.map(([, it]) => [it.attempt, it.delay]), [[1, 250], [1, 250]]);
  });

  test("starts again from min after close() and connect()", async (t) => {
    const { openClient, drop, accept, record } = world(t);
    const client = await openClient();
    const events = record(client, "reconnecting");
    await drop();
    client.close();
    client.connect();
    await accept();
    await drop();
    assert.deepEqual(events.map(([, { attempt }]) => attempt), [1, 1]);
  });
});

describe("While waiting", () => {
  const triggers = {
    "the network coming back": (here) => here.page("online"),
    "the page coming back from the back/forward cache": (here) =>
      here.page("pageshow", { persisted: true }),
    "the tab coming to the front": (here) => here.visibility("visible"),
  };
  for (const [name, trigger] of Object.entries(triggers)) {
    test(`${name} starts an attempt at once`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      await here.drop();
      await trigger(here);
      assert.equal(client.state, "connecting");
      assert.equal(here.sockets.length, 2);
    });

    test(`${name} opens no second socket`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      await here.drop();
      for (const again of Object.values(triggers)) await again(here);
      await here.tick(250);
      assert.equal(here.sockets.length, 2);
      await here.accept();
      await trigger(here);
      assert.equal(here.sockets.length, 2);
      assert.equal(client.state, "open");
    });

    test(`${name} does not wake a client that was closed`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      client.close();
      await trigger(here);
      assert.equal(here.sockets.length, 1);
    });
  }

  test("the tab going to the background changes nothing", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    await here.drop();
    await here.visibility("hidden");
    assert.equal(client.state, "waiting");
  });

  test("a trigger during the probe opens no second socket", async (t) => {
    const here = world(t);
    here.client().connect();
    await here.drop(1006, "", () => new Promise(() => {}));
    await here.page("online");
    assert.equal(here.sockets.length, 1);
  });
});

describe("The browser going offline", () => {
  const GIVEN_UP = { code: 3002, reason: "" };

  test("ends the connection at once, without a final close code", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const events = here.record(client, "state", "close", "reconnecting");
    await here.page("offline");
    assert.deepEqual(here.socket.closedWith, GIVEN_UP, "neither 1000 nor no code");
    assert.deepEqual(events, [
      ["state", { state: "waiting", previous: "open" }],
      [
        "close",
        { code: 1006, reason: "the browser is offline", willReconnect: true, delay: 250 },
      ],
      ["reconnecting", { attempt: 1, delay: 250, retryAfter: 0 }],
    ]);
    await here.tick(250);
    await here.accept();
    assert.equal(client.state, "open");
  });

  test("ends a handshake at once", async (t) => {
    const here = world(t);
    const client = here.client();
    const connected = follow(client.connect());
    await here.page("offline");
    assert.equal(client.state, "waiting");
    assert.deepEqual(here.sockets[0].closedWith, GIVEN_UP);
    assert.deepEqual(here.probes, [], "there is nothing to be learnt now");
    await here.tick(250);
    await here.accept();
    assert.deepEqual([connected.isSettled, connected.error], [true, undefined]);
  });

  test("ends a probe at once", async (t) => {
    const here = world(t);
    const client = here.client();
    client.connect();
    let answer;
    await here.drop(1006, "", () => new Promise((resolve) => { answer = resolve; }));
    await here.page("offline");
    assert.equal(client.state, "waiting");
    assert.equal(here.probes[0].options.signal.aborted, true);
    answer(http(403));
    await settle();
    assert.equal(client.state, "waiting");
  });

  test("makes the client ignore the old socket", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("get", "/", {}, { repeat: true }));
    const { id } = here.sent[0];
    await here.page("offline");
    await here.page("online");
    const events = here.record(client, "state", "close", "notification", "request", "error");
    const [old] = here.sockets;
    for (const late of [{ method: "m" }, { method: "m", id: 7 }, { status: 200, id }]) {
      old.says(late);
    }
    old.ends(1000);
    await settle();
    assert.deepEqual(events, []);
    assert.equal(client.state, "connecting");
    await here.accept();
    old.ends(3000);
    await settle();
    assert.equal(client.state, "open");
    assert.equal(call.isSettled, false);
    assert.deepEqual(here.sent.map((request) => request.id), [id]);
  });

  test("makes the client ignore a late success of the old handshake", async (t) => {
    const here = world(t);
    const client = here.client();
    client.connect();
    await here.page("offline");
    here.sockets[0].onopen({});
    await settle();
    assert.equal(client.state, "waiting");
  });

  test("has the same effect on requests as any loss of the connection", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const lost = follow(client.request("get", "/1"));
    follow(client.request("get", "/2", {}, { repeat: true }));
    await here.page("offline");
    follow(client.request("get", "/3"));
    client.notify("note", "/4");
    assertProtooError(lost.error, 410, { reason: /1006 the browser is offline/ });
    await here.page("online");
    await here.accept();
    assert.deepEqual(here.sent.map(({ path }) => path), ["/2", "/3", "/4"]);
  });

  test("and online again opens a new connection at once", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    await here.page("offline");
    await here.page("online");
    assert.equal(client.state, "connecting");
    assert.equal(here.sockets.length, 2);
  });

  test("changes nothing while waiting", async (t) => {
    const here = world(t);
    await here.openClient();
    await here.drop();
    await here.page("offline");
    assert.deepEqual(here.timers.delays(), [250]);
  });

  test("changes nothing once the client is closed", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    client.close();
    const events = here.record(client, "state", "close");
    await settle();
    events.length = 0;
    await here.page("offline");
    assert.equal(client.state, "closed");
    assert.deepEqual(events, []);
  });

  test("closes a client with reconnect: false", async (t) => {
    const here = world(t);
    const client = await here.openClient({ reconnect: false });
    await here.page("offline");
    assert.equal(client.state, "closed");
    assert.deepEqual(here.socket.closedWith, GIVEN_UP);
  });
});

describe("A handshake that takes too long", () => {
  test("is ended without a final close code: the server may have accepted it", async (t) => {
    const here = world(t);
    here.client().connect();
    await here.tick(20000);
    assert.equal(here.sockets[0].closedWith.code, 3002);
  });
});

describe("A socket that fails during send()", () => {
  const failing = (socket) => {
    socket.send = () => {
      throw new DOMException("no more", "InvalidStateError");
    };
  };

  test("is given up, and the message goes over the next socket", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    failing(here.socket);
    const call = follow(client.request("get", "/1"));
    assert.equal(client.state, "waiting");
    assert.equal(here.socket.closedWith.code, 3002);
    client.notify("note", "/2");
    await settle();
    assert.equal(call.isSettled, false);
    await here.tick(250);
    await here.accept();
    assert.deepEqual(here.sent.map(({ path }) => path), ["/1", "/2"]);
  });

  test("at the first message emits \"open\" before \"close\"", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    await here.drop();
    follow(client.request("get", "/"));
    await here.tick(250);
    const events = here.record(client, "state", "open", "close", "reconnecting");
    failing(here.socket);
    await here.accept();
    const names = events.map(([name, { state }]) => state ?? name);
    assert.deepEqual(names, ["open", "open", "waiting", "close", "reconnecting"]);
    const [, { reason }] = events.find(([name]) => name === "close");
    assert.equal(reason, "cannot send: InvalidStateError: no more");
    await here.tick(500);
    await here.accept();
    assert.equal(here.sent.length, 1);
  });

  test("does not lose the reply to a request", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const requests = [];
    client.on("request", (req) => requests.push(req));
    await here.say({ method: "message", id: 7 });
    failing(here.socket);
    requests[0].reply(200);
    assert.equal(client.state, "waiting");
    await here.tick(250);
    await here.accept();
    await here.say({ method: "message", id: 7 });
    assert.deepEqual(here.sent.map(({ status, id }) => [status, id]), [[200, 7]]);
    assert.equal(requests.length, 1);
  });

  test("or closes between two messages leaves the rest for the next, in order", async (t) => {
    const here = world(t);
    const client = here.client();
    for (const n of [1, 2, 3]) follow(client.request("get", `/${n}`));
    client.notify("note", "/4");
    client.connect();
    const { socket } = here;
    const send = socket.send.bind(socket);
    socket.send = (text) => {
      send(text);
      socket.readyState = 2;
    };
    await here.accept();
    assert.deepEqual(here.sent.map(({ path }) => path), ["/1"]);
    await here.reconnect();
    assert.deepEqual(here.sent.map(({ path }) => path), ["/2", "/3", "/4"]);
  });
});

describe("A server that accepts and drops at once, again and again", () => {
  test("is tried less and less often, and gets the repeated request each time", async (t) => {
    const here = world(t);
    const client = here.client({ repeat: true });
    const events = here.record(client, "open", "reconnecting");
    const call = follow(client.request("get", "/", {}, { timeout: 60000 }));
    client.connect();
    const ids = new Set();
    for (let n = 0; n < 6; n += 1) {
      await here.accept();
      assert.equal(here.sent.length, 1);
      ids.add(here.sent[0].id);
      await here.drop();
      assert.deepEqual(here.timers.delays().sort((a, b) => a - b), [250 * 2 ** n, 60000]);
      await here.tick(250 * 2 ** n);
    }
    assert.equal(ids.size, 1);
    assert.equal(here.sockets.length, 7);
    assert.equal(events.filter(([name]) => name === "open").length, 6);
    assert.equal(call.isSettled, false);
  });
});

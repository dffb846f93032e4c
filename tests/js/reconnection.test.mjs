import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { world } from "./harness.mjs";

describe("A connection that was lost", () => {
  test("is made again after the delay that \"close\" and \"reconnecting\" tell", async (t) => {
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
      ["reconnecting", { attempt: 1, delay: 250 }],
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

  test("may be up to min * 2**n, and max at most", async (t) => {
    const most = await delays(t, 1 - Number.EPSILON, 9);
    assert.deepEqual(most, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  });

  test("may be nothing: full jitter spreads the clients of a server that restarts", async (t) => {
    assert.deepEqual(await delays(t, 0, 4), [0, 0, 0, 0]);
  });

  test("is uniform in between", async (t) => {
    assert.deepEqual(await delays(t, 0.25, 3), [125, 250, 500]);
  });

  test("obeys the option reconnect", async (t) => {
    const options = { reconnect: { min: 10, max: 25 } };
    assert.deepEqual(await delays(t, 1 - Number.EPSILON, 4, options), [10, 20, 25, 25]);
  });

  test("takes the default for what the option leaves out", async (t) => {
    const options = { reconnect: { max: 700 } };
    assert.deepEqual(await delays(t, 1 - Number.EPSILON, 2, options), [500, 700]);
  });

  test("stays at max for ever", async (t) => {
    const found = await delays(t, 0.5, 1200);
    assert.equal(found[1199], 15000);
  });

  test("goes on growing when connections stay open for less than 5 s", async (t) => {
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

  test("starts anew after a connection that stayed open for 5 s", async (t) => {
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

  test("starts anew after close() and connect()", async (t) => {
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
    test(`${name} tries at once`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      await here.drop();
      await trigger(here);
      assert.equal(client.state, "connecting");
      assert.equal(here.sockets.length, 2);
    });

    test(`${name} makes no second socket`, async (t) => {
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

  test("a trigger during the probe makes no second socket", async (t) => {
    const here = world(t);
    here.client().connect();
    await here.drop(1006, "", () => new Promise(() => {}));
    await here.page("online");
    assert.equal(here.sockets.length, 1);
  });
});

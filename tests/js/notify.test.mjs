import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assertProtooError, world } from "./harness.mjs";

describe("notify()", () => {
  test("sends method, path and data, without id", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    assert.equal(client.notify("typing", "/users/bob", { on: true }), undefined);
    assert.deepEqual(here.sent, [{ method: "typing", path: "/users/bob", data: { on: true } }]);
  });

  test("leaves no timer after it is sent, and something has come", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    await here.tick(5000);
    client.notify("typing", "/");
    await here.say({ method: "typing", data: {} });
    assert.deepEqual(here.timers.delays(), []);
    assert.equal(here.socket.pings, 0);
  });

  test("waits while not open", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    await here.drop();
    client.notify("typing", "/");
    await here.tick(250);
    await here.accept();
    assert.deepEqual(here.sent, [{ method: "typing", path: "/", data: {} }]);
  });

  test("emits \"error\" after waiting for requestTimeout, and is dropped", async (t) => {
    const here = world(t);
    const client = await here.openClient({ requestTimeout: 200 });
    const events = here.record(client, "error");
    await here.drop();
    client.notify("typing", "/users/bob");
    await here.tick(200);
    assertProtooError(events[0][1], 408, { reason: /"typing" not sent: nothing within 200 ms/ });
    assert.deepEqual(events[0][1].data, { method: "typing", path: "/users/bob" });
    await here.tick(50);
    await here.accept();
    assert.deepEqual(here.sent, []);
  });

  test("emits \"error\" if the client is closed while it waits", async (t) => {
    const here = world(t);
    const client = here.client();
    const events = here.record(client, "error");
    client.notify("typing", "/");
    client.close();
    await here.tick(0);
    assert.equal(events.length, 1);
    assertProtooError(events[0][1], 410, { reason: /not sent: client closed/ });
  });

  test("throws 410 when closed", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    client.close();
    assert.throws(() => client.notify("typing", "/"), { name: "ProtooError", status: 410 });
  });

  test("throws 503 when 1000 are waiting already", async (t) => {
    const here = world(t);
    const client = here.client();
    for (let i = 0; i < 1000; i += 1) client.notify("typing", "/");
    assert.throws(() => client.notify("typing", "/"), { name: "ProtooError", status: 503 });
    client.connect();
    await here.accept();
    assert.equal(here.sent.length, 1000);
  });

  test("throws a TypeError for values that the wire cannot carry", async (t) => {
    const client = await world(t).openClient();
    assert.throws(() => client.notify("", "/"), TypeError);
    assert.throws(() => client.notify("typing", "users"), TypeError);
    assert.throws(() => client.notify("typing", "/", []), TypeError);
  });
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assertProtooError, follow, http, settle, world } from "./harness.mjs";

const CLOSED = { code: 1000, reason: "", willReconnect: false, delay: null };

describe("close()", () => {
  test("closes the socket with 1000 and does not reconnect", async (t) => {
    const { openClient, record, sockets, tick, timers } = world(t);
    const client = await openClient();
    const events = record(client, "state", "close");
    client.close();
    assert.equal(client.state, "closed");
    assert.deepEqual(sockets[0].closedWith, { code: 1000, reason: "" });
    await tick(60000);
    assert.equal(sockets.length, 1);
    assert.deepEqual(events, [
      ["state", { state: "closed", previous: "open" }],
      ["close", CLOSED],
    ]);
    assert.deepEqual(timers.delays(), []);
  });

  test("passes code and reason on", async (t) => {
    const { openClient, record, sockets } = world(t);
    const client = await openClient();
    const events = record(client, "close");
    client.close(4001, "bye");
    await settle();
    assert.deepEqual(sockets[0].closedWith, { code: 4001, reason: "bye" });
    assert.deepEqual(events, [["close", { ...CLOSED, code: 4001, reason: "bye" }]]);
  });

  test("with a forbidden code throws and changes nothing", async (t) => {
    const client = await world(t).openClient();
    assert.throws(() => client.close(1001), { name: "InvalidAccessError" });
    assert.equal(client.state, "open");
  });

  test("rejects pending requests with 410", async (t) => {
    const client = await world(t).openClient();
    const calls = [
      follow(client.request("message", "/")),
      follow(client.request("message", "/", {}, { repeat: true })),
    ];
    client.close();
    await settle();
    for (const call of calls) assertProtooError(call.error, 410, { reason: /client closed/ });
  });

  test("while connecting abandons the socket and rejects connect()", async (t) => {
    const { client: newClient, record, sockets, timers } = world(t);
    const client = newClient();
    const connected = follow(client.connect());
    await settle();
    const events = record(client, "state", "open", "close");
    client.close();
    await settle();
    assertProtooError(connected.error, 410, { reason: /client closed/ });
    assert.notEqual(sockets[0].closedWith, null);
    assert.equal(client.state, "closed");
    assert.deepEqual(timers.delays(), []);
    assert.deepEqual(events, [
      ["state", { state: "closed", previous: "connecting" }],
      ["close", CLOSED],
    ]);
  });

  test("during the probe aborts it", async (t) => {
    const { client: newClient, drop, probes, record } = world(t);
    const client = newClient();
    client.connect();
    let answer;
    await drop(1006, "", () => new Promise((resolve) => { answer = resolve; }));
    const events = record(client, "refused", "close");
    client.close();
    assert.equal(probes[0].options.signal.aborted, true);
    answer(http(403));
    await settle();
    assert.deepEqual(events, [["close", CLOSED]]);
  });

  test("and connect() during the probe leave only the new attempt", async (t) => {
    const { client: newClient, drop, accept, sockets, record } = world(t);
    const client = newClient();
    client.connect();
    let answer;
    await drop(1006, "", () => new Promise((resolve) => { answer = resolve; }));
    client.close();
    client.connect();
    const events = record(client, "refused", "reconnecting");
    answer(http(403));
    await settle();
    assert.equal(client.state, "connecting");
    await accept();
    assert.deepEqual(events, []);
    assert.equal(sockets.length, 2);
  });

  test("while waiting ends the reconnection", async (t) => {
    const { openClient, drop, record, sockets, tick } = world(t);
    const client = await openClient();
    await drop();
    const events = record(client, "close");
    client.close();
    await tick(60000);
    assert.equal(sockets.length, 1);
    assert.deepEqual(events, [["close", CLOSED]]);
  });

  test("before connect() closes as well", async (t) => {
    const client = world(t).client();
    const call = follow(client.request("message", "/"));
    client.close();
    await settle();
    assert.equal(client.state, "closed");
    assertProtooError(call.error, 410);
  });

  test("twice is the same as once", async (t) => {
    const { openClient, record } = world(t);
    const client = await openClient();
    const events = record(client, "close");
    client.close();
    client.close(4000);
    await settle();
    assert.equal(events.length, 1);
  });

  test("inside an \"open\" listener works", async (t) => {
    const { client: newClient, accept, record, sockets } = world(t);
    const client = newClient();
    client.on("open", () => client.close());
    const events = record(client, "state");
    client.connect();
    await accept();
    assert.equal(client.state, "closed");
    assert.deepEqual(sockets[0].closedWith, { code: 1000, reason: "" });
    assert.deepEqual(events.map(([, { state }]) => state), ["connecting", "open", "closed"]);
  });

  test("removes its listeners from the page", async (t) => {
    const { openClient, pageListeners } = world(t);
    const client = await openClient();
    assert.equal(pageListeners(), 8);
    client.close();
    assert.equal(pageListeners(), 0);
  });
});

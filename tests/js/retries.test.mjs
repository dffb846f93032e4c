/* Requests that a limit refuses, and tells when it may let them pass. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ProtooError, assertProtooError, follow, http, world } from "./harness.mjs";

const BUSY = { status: 429, reason: "too many requests", data: { retryAfter: 0.5 } };

/** Answer the latest message that was sent. */
const answer = (here, response = BUSY) => here.say({ ...response, id: here.sent.at(-1).id });

describe("ProtooError.retryAfter", () => {
  for (const [retryAfter, expected] of [
    [0.5, 500], [2, 2000], [0.0001, 1], [3600, 3600000], [3601, 3600000], [1e300, 3600000],
    [0, 0], [-1, 0], [NaN, 0], ["2", 0], [true, 0], [null, 0], [[2], 0], [{}, 0], [undefined, 0],
  ]) {
    test(`is ${expected} ms for ${JSON.stringify(retryAfter) ?? "nothing"}`, () => {
      for (const status of [429, 503]) {
        assert.equal(new ProtooError(status, "", { retryAfter }).retryAfter, expected);
      }
    });
  }

  test("is 0 for other statuses, where it may mean anything", () => {
    for (const status of [404, 428, 430, 500, 502, 504]) {
      assert.equal(new ProtooError(status, "", { retryAfter: 1 }).retryAfter, 0);
    }
    assert.equal(new ProtooError(503, "", null).retryAfter, 0);
    assert.equal(new ProtooError(503, "").retryAfter, 0);
  });
});

describe("A request that a limit refuses", () => {
  test("is rejected at once, by default, with repeat as well", async (t) => {
    const here = world(t);
    const client = await here.openClient({ repeat: true });
    const call = follow(client.request("get", "/"));
    await answer(here);
    assertProtooError(call.error, 429, { isLocal: false });
    assert.equal(call.error.retryAfter, 500);
    await here.tick(10000);
    assert.equal(here.sent.length, 1);
  });

  for (const status of [429, 503]) {
    test(`with ${status} is made again with retries, as another request`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      const call = follow(client.request("put", "/x", { n: [1, "ü"] }, { retries: 1 }));
      await answer(here, { ...BUSY, status });
      await here.tick(749); // Math.random() is 0.5
      assert.equal(here.sent.length, 1);
      await here.tick(1);
      const [{ id: first, ...one }, { id: second, ...two }] = here.sent;
      assert.deepEqual(two, one);
      assert.notEqual(first, second);
      await answer(here, { status: 200, reason: "OK" });
      assert.equal(call.value.status, 200);
    });
  }

  test("is made again so many times, and then rejected", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("get", "/", {}, { retries: 2 }));
    for (let n = 0; n < 2; n += 1) {
      await answer(here);
      await here.tick(750);
    }
    assert.equal(call.isSettled, false);
    await answer(here);
    assertProtooError(call.error, 429, { isLocal: false });
    assert.equal(here.sent.length, 3);
  });

  for (const [name, response] of Object.entries({
    "without a time": { status: 429, data: {} },
    "with another status": { status: 404, data: { retryAfter: 1 } },
    "for longer than its timeout": { status: 503, data: { retryAfter: 10 } }, // and 5 s at random
  })) {
    test(`${name} is rejected at once`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      const call = follow(client.request("get", "/", {}, { retries: 9, timeout: 15000 }));
      await answer(here, response);
      assertProtooError(call.error, response.status, { reason: /^$/, isLocal: false });
    });
  }

  test("keeps its timeout and its signal meanwhile", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const controller = new AbortController();
    const slow = follow(client.request("get", "/1", {}, { retries: 9, timeout: 900 }));
    await answer(here);
    await here.tick(750);
    await here.tick(150);
    assertProtooError(slow.error, 408);
    const options = { retries: 9, signal: controller.signal };
    const aborted = follow(client.request("get", "/2", {}, options));
    await answer(here);
    controller.abort();
    await here.tick(1000);
    assertProtooError(aborted.error, 487);
    assert.deepEqual(here.sent.map(({ path }) => path), ["/1", "/1", "/2"]);
  });

  test("is rejected with the others when the client closes", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("get", "/", {}, { retries: 1 }));
    await answer(here);
    client.close();
    await here.tick(0);
    assertProtooError(call.error, 410, { reason: /client closed/ });
  });

  test("is rejected with the others when the client is refused", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("get", "/", {}, { retries: 1, timeout: 90000 }));
    await answer(here, { status: 429, data: { retryAfter: 30 } });
    await here.drop();
    await here.tick(250);
    await here.drop(1006, "", http(403, "no"));
    assertProtooError(call.error, 410, { reason: /connection refused \(403 no\)/ });
  });

  test("survives the loss of the connection, also without repeat: nobody handles it", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("get", "/", {}, { retries: 1 }));
    await answer(here);
    await here.drop();
    await here.tick(250);
    await here.accept();
    assert.deepEqual(here.sent, []);
    await here.tick(500);
    await answer(here, { status: 200 });
    assert.equal(call.value.status, 200);
  });

  test("that is due while there is no connection waits for one", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const call = follow(client.request("get", "/refused", {}, { retries: 1 }));
    await answer(here);
    await here.drop(1001, "retry-after=5");
    follow(client.request("get", "/new"));
    await here.tick(750);
    assert.equal(call.isSettled, false);
    await here.tick(4500);
    await here.accept();
    assert.deepEqual(here.sent.map(({ path }) => path), ["/new", "/refused"]);
  });

  test("makes no ping: nothing is waited for", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    follow(client.request("get", "/", {}, { retries: 1, timeout: 90000 }));
    await answer(here, { status: 429, data: { retryAfter: 30 } });
    await here.tick(30000);
    assert.equal(here.socket.pings, 0);
  });

  for (const retries of [-1, 1.5, "1", NaN, null]) {
    test(`and retries: ${JSON.stringify(retries)} is a mistake`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      await assert.rejects(client.request("get", "/", {}, { retries }), {
        name: "TypeError",
        message: /retries must be an integer from 0/,
      });
    });
  }
});

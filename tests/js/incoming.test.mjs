import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assertProtooError, settle, world } from "./harness.mjs";

const alice = { username: "alice", uuid: "a1" };
const incoming = (id) => ({ method: "message", id, data: { n: 1 }, sender: alice });

/** A client with an open connection, and its incoming requests in `requests`. */
async function listening(t) {
  const here = world(t);
  const client = await here.openClient();
  const requests = [];
  client.on("request", (req) => requests.push(req));
  return Object.assign(here, { theClient: client, requests });
}

describe("An incoming request", () => {
  test("has method, data and sender", async (t) => {
    const here = await listening(t);
    await here.say(incoming(7));
    const [{ method, data, sender, ended }] = here.requests;
    assert.deepEqual([method, data, sender, ended], ["message", { n: 1 }, alice, false]);
  });

  test("from the server itself has the sender null, and data even if none was sent", async (t) => {
    const here = await listening(t);
    await here.say({ method: "end", id: 7 });
    assert.deepEqual([here.requests[0].sender, here.requests[0].data], [null, {}]);
  });

  test("is answered by reply()", async (t) => {
    const here = await listening(t);
    await here.say(incoming(7));
    here.requests[0].reply(200, "OK", { seen: true });
    assert.deepEqual(here.sent, [{ status: 200, reason: "OK", id: 7, data: { seen: true } }]);
    assert.equal(here.requests[0].ended, true);
  });

  test("may be answered without reason and data", async (t) => {
    const here = await listening(t);
    await here.say(incoming(7));
    here.requests[0].reply(486);
    assert.deepEqual(here.sent, [{ status: 486, reason: "", id: 7, data: {} }]);
  });

  test("may get provisional responses before the final one", async (t) => {
    const here = await listening(t);
    await here.say(incoming(7));
    const [req] = here.requests;
    req.provisional(180, "ringing");
    assert.equal(req.ended, false);
    req.provisional(183, "progress", { n: 2 });
    req.reply(200);
    const sent = here.sent.map(({ status, id }) => [status, id]);
    assert.deepEqual(sent, [[180, 7], [183, 7], [200, 7]]);
  });

  test("gets one final reply: a second one is not sent, and is reported", async (t) => {
    const here = await listening(t);
    const errors = here.record(here.theClient, "error");
    await here.say(incoming(7));
    const [req] = here.requests;
    assert.equal(req.provisional(180), true);
    assert.equal(req.reply(200), true);
    assert.equal(req.reply(603), false);
    assert.equal(req.provisional(180), false);
    await settle();
    assert.deepEqual(here.sent.map(({ status }) => status), [180, 200]);
    for (const [, error] of errors) {
      assertProtooError(error, 409, { reason: /^"message" request: the final reply was given before$/ });
    }
    assert.equal(errors.length, 2);
  });

  test("that two listeners answer causes no unhandled rejection", async (t) => {
    const unhandled = [];
    const listener = (error) => unhandled.push(error);
    process.on("unhandledRejection", listener);
    t.after(() => process.off("unhandledRejection", listener));
    const here = world(t);
    const client = await here.openClient();
    const errors = here.record(client, "error");
    const answer = async (req) => {
      await settle();
      Promise.resolve().then(() => req.reply(200)); // a promise that nobody looks at
    };
    client.on("request", answer);
    client.on("request", answer);
    await here.say(incoming(7));
    await settle();
    await settle();
    assert.deepEqual(here.sent.map(({ status, id }) => [status, id]), [[200, 7]]);
    assert.equal(errors.length, 1);
    assert.deepEqual(unhandled, []);
  });

  const wrong = [
    ["reply", [99], /status must be an integer from 200 to 699, got 99/],
    ["reply", [180], /status must be an integer from 200 to 699, got 180/],
    ["reply", [700], /status must be an integer from 200 to 699, got 700/],
    ["reply", ["200"], /status must be an integer from 200 to 699, got "200"/],
    ["reply", [200, 5], /reason must be a string, got 5/],
    ["reply", [200, "", "text"], /data must be an object, got "text"/],
    ["reply", [200, "", { n: 1n }], /BigInt/],
    ["provisional", [200], /status must be an integer from 100 to 199, got 200/],
  ];
  for (const [name, args, message] of wrong) {
    test(`stays open after a wrong ${name}(): ${message.source}`, async (t) => {
      const here = await listening(t);
      await here.say(incoming(7));
      const [req] = here.requests;
      assert.throws(() => req[name](...args), { name: "TypeError", message });
      assert.equal(req.ended, false);
      assert.deepEqual(here.sent, []);
    });
  }

  test("without a listener is answered 404", async (t) => {
    const here = world(t);
    await here.openClient();
    await here.say(incoming(7));
    assert.deepEqual(here.sent.map(({ status, id }) => [status, id]), [[404, 7]]);
  });

  const failures = {
    throws: () => { throw new Error("oops"); },
    rejects: async () => { throw new Error("oops"); },
  };
  for (const [how, fail] of Object.entries(failures)) {
    test(`with a listener that ${how} is answered 500, without the cause`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      const errors = here.record(client, "error");
      client.on("request", fail);
      await here.say(incoming(7));
      assert.deepEqual(here.sent, [{ status: 500, reason: "listener failed", id: 7, data: {} }]);
      assertProtooError(errors[0][1], 500, { reason: /oops/ });
      assert.equal(here.takeLogged().length, 1);
    });
  }

  test("with a listener that fails after its reply is answered once", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    client.on("request", (req) => {
      req.reply(200);
      throw new Error("oops");
    });
    await here.say(incoming(7));
    assert.deepEqual(here.sent.map(({ status }) => status), [200]);
    assert.equal(here.takeLogged().length, 1);
  });

  test("stays open if its async listener ends without a reply", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    let later;
    client.on("request", async (req) => { later = req; });
    await here.say(incoming(7));
    assert.deepEqual(here.sent, []);
    later.reply(200);
    assert.equal(here.sent.length, 1);
  });

  test("may be answered after the client is closed, but nothing is sent", async (t) => {
    const here = await listening(t);
    await here.say(incoming(7));
    here.theClient.close();
    here.requests[0].reply(200);
    assert.equal(here.requests[0].ended, true);
    assert.deepEqual(here.sent, []);
  });
});

describe("A duplicate of an incoming request", () => {
  test("gets the same final response again, and the listener is not called twice", async (t) => {
    const here = await listening(t);
    await here.say(incoming(7));
    here.requests[0].provisional(180);
    here.requests[0].reply(200, "OK", { n: 5 });
    await here.reconnect();
    await here.say(incoming(7));
    assert.deepEqual(here.sent, [{ status: 200, reason: "OK", id: 7, data: { n: 5 } }]);
    assert.equal(here.requests.length, 1);
  });

  test("is ignored while the first is in progress; its reply uses the new connection", async (t) => {
    const here = await listening(t);
    await here.say(incoming(7));
    await here.reconnect();
    await here.say(incoming(7));
    assert.equal(here.requests.length, 1);
    assert.deepEqual(here.sent, []);
    here.requests[0].reply(200);
    assert.deepEqual(here.sent.map(({ status, id }) => [status, id]), [[200, 7]]);
  });

  for (const when of ["before the connection was lost", "while there was no connection"]) {
    test(`gets the latest provisional response, given ${when}, again`, async (t) => {
      const here = await listening(t);
      await here.say(incoming(7));
      const [req] = here.requests;
      const progress = () => {
        req.provisional(180, "ringing");
        req.provisional(183, "progress", { n: 2 });
      };
      if (when.startsWith("before")) progress();
      await here.drop();
      if (when.startsWith("while")) progress();
      await here.tick(250);
      await here.accept();
      assert.deepEqual(here.sent, []);
      await here.say(incoming(7));
      assert.deepEqual(here.sent, [{ status: 183, reason: "progress", id: 7, data: { n: 2 } }]);
      req.reply(200);
      assert.deepEqual(here.sent.map(({ status, id }) => [status, id]), [[183, 7], [200, 7]]);
      assert.equal(here.requests.length, 1);
    });
  }

  test("gets the same response over each new connection", async (t) => {
    const here = await listening(t);
    await here.say(incoming(7));
    await here.reconnect();
    await here.say(incoming(7));
    await here.reconnect();
    here.requests[0].reply(200, "OK", { n: 5 });
    for (let i = 0; i < 3; i += 1) {
      await here.reconnect();
      await here.say(incoming(7));
      assert.deepEqual(here.sent, [{ status: 200, reason: "OK", id: 7, data: { n: 5 } }]);
    }
    assert.equal(here.requests.length, 1);
  });

  test("is answered even if it arrives after the reply on the new connection", async (t) => {
    const here = await listening(t);
    await here.say(incoming(7));
    await here.reconnect();
    here.requests[0].reply(200);
    await here.say(incoming(7));
    assert.deepEqual(here.sent.map(({ status, id }) => [status, id]), [[200, 7], [200, 7]]);
    assert.equal(here.requests.length, 1);
  });

  test("is not assumed when a restarted server sends a request with another id", async (t) => {
    const here = await listening(t);
    await here.say(incoming(7));
    await here.reconnect(1001);
    await here.say(incoming(4242));
    here.requests[1].reply(200);
    assert.deepEqual(here.sent.map(({ status, id }) => [status, id]), [[200, 4242]]);
    assert.equal(here.requests.length, 2);
  });

  test("gets the reply that was given while there was no connection", async (t) => {
    const here = await listening(t);
    await here.say(incoming(7));
    await here.drop();
    here.requests[0].reply(202, "later");
    await here.tick(250);
    await here.accept();
    assert.deepEqual(here.sent, [], "the server may have forgotten the request");
    await here.say(incoming(7));
    assert.deepEqual(here.sent.map(({ status, id }) => [status, id]), [[202, 7]]);
    assert.equal(here.requests.length, 1);
  });

  test("gets the same 404 or 500 as before", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    await here.say(incoming(7));
    const requests = here.record(client, "request");
    await here.say(incoming(7));
    assert.deepEqual(here.sent.map(({ status }) => status), [404, 404]);
    assert.deepEqual(requests, []);
  });

  /** Send a request and answer it with `data`. Returns how often the listener was called. */
  async function calls(here, id, data) {
    const before = here.requests.length;
    await here.say(incoming(id));
    const added = here.requests.slice(before);
    for (const req of added) req.reply(200, "OK", data);
    return added.length;
  }

  test("is recognised among the last 500 answered requests", async (t) => {
    const here = await listening(t);
    for (let id = 1; id <= 500; id += 1) await calls(here, id);
    assert.equal(await calls(here, 1), 0);
    await calls(here, 501);
    assert.equal(await calls(here, 2), 0);
    assert.equal(await calls(here, 1), 1, "1 was forgotten for 501");
  });

  test("is recognised while all answers have at most a million characters", async (t) => {
    const here = await listening(t);
    const text = "x".repeat(2 ** 18 - 100); // four of these are just below the limit
    for (let id = 1; id <= 4; id += 1) await calls(here, id, { text });
    assert.equal(await calls(here, 1), 0);
    await calls(here, 5, { text });
    assert.equal(await calls(here, 2), 0);
    assert.equal(await calls(here, 1), 1, "1 was forgotten for 5");
  });

  test("is recognised even if its answer alone exceeds the limit", async (t) => {
    const here = await listening(t);
    await calls(here, 1);
    await calls(here, 2, { text: "x".repeat(2 ** 21) });
    assert.equal(await calls(here, 2), 0);
    assert.equal(await calls(here, 1), 1);
  });

  test("is recognised while in progress, even after many other answers", async (t) => {
    const here = await listening(t);
    await here.say(incoming(1));
    for (let id = 2; id <= 1002; id += 1) await calls(here, id);
    const [first] = here.requests;
    await here.say(incoming(1));
    assert.equal(here.requests.length, 1002);
    first.reply(202);
    assert.equal(await calls(here, 1), 0);
    assert.equal(here.sent[here.sent.length - 1].status, 202);
  });

  test("is recognised among the last 10000 requests in progress", async (t) => {
    const here = await listening(t);
    for (let id = 1; id <= 10000; id += 1) here.socket.says(incoming(id));
    await here.say(incoming(1));
    assert.equal(here.requests.length, 10000);
    await here.say(incoming(10001));
    await here.say(incoming(2));
    assert.equal(here.requests.length, 10001);
    await here.say(incoming(1));
    assert.equal(here.requests.length, 10002, "1 was forgotten for 10001");
  });
});

describe("An incoming notification", () => {
  test("is emitted with method, data and sender", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const events = here.record(client, "notification", "request");
    await here.say({ method: "presence", data: { online: true }, sender: alice });
    await here.say({ method: "presence" });
    assert.deepEqual(events, [
      ["notification", { method: "presence", data: { online: true }, sender: alice }],
      ["notification", { method: "presence", data: {}, sender: null }],
    ]);
    assert.deepEqual(here.sent, []);
  });

  test("may be the welcome that the URL has asked for", async (t) => {
    const here = world(t);
    const client = await here.openClient({ url: "/protoo?welcome=1" });
    const events = here.record(client, "notification", "error");
    const data = { username: "alice", uuid: "a1" };
    await here.say({ method: "welcome", data });
    assert.deepEqual(events, [["notification", { method: "welcome", data, sender: null }]]);
    assert.deepEqual(here.sent, []);
  });

  test("without a listener is dropped", async (t) => {
    const here = world(t);
    await here.openClient();
    await here.say({ method: "presence" });
    assert.deepEqual(here.sent, []);
  });
});

describe("An invalid message of the server", () => {
  const wrong = [
    ["no JSON", /not JSON/],
    ["", /not JSON/],
    ["[]", /not an object/],
    ["null", /not an object/],
    ["5", /not an object/],
    [{}, /method must be/],
    [{ data: {} }, /method must be/],
    [{ method: 5 }, /method must be/],
    [{ method: "m", id: 0 }, /id of a request must be/],
    [{ method: "m", id: "7" }, /id of a request must be/],
    [{ method: "m", id: 1.5 }, /id of a request must be/],
    [{ method: "m", id: 2 ** 53 }, /id of a request must be/],
    [{ method: "m", id: null }, /id of a request must be/],
    [{ method: "m", data: [] }, /data must be an object/],
    [{ method: "m", sender: "alice" }, /sender must have a username and a uuid/],
    [{ method: "m", sender: { username: "alice" } }, /sender must have a username and a uuid/],
    [{ status: 99, id: 1 }, /status must be/],
    [{ status: 700, id: 1 }, /status must be/],
    [{ status: "200", id: 1 }, /status must be/],
    [{ status: null, id: 1 }, /status must be/],
    [{ status: 200 }, /id of a response must be/],
    [{ status: 200, id: -1 }, /id of a response must be/],
    [{ status: 200, id: 1, reason: 5 }, /reason must be a string/],
    [{ status: 200, id: 1, reason: null }, /reason must be a string/],
    [{ status: 200, id: 1, data: "text" }, /data must be an object/],
  ];
  for (const [message, reason] of wrong) {
    test(`is an "error" and changes nothing else: ${JSON.stringify(message)}`, async (t) => {
      const here = await listening(t);
      const events = here.record(here.theClient, "error", "notification");
      await here.say(message);
      assert.equal(events.length, 1);
      assertProtooError(events[0][1], 400, { reason });
      assert.deepEqual(here.requests, []);
      assert.deepEqual(here.sent, []);
      assert.equal(here.theClient.state, "open");
    });
  }

  test("is an \"error\" when it is binary", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const events = here.record(client, "error");
    here.socket.onmessage({ data: new ArrayBuffer(8) });
    await settle();
    assertProtooError(events[0][1], 400, { reason: /binary/ });
  });

  const answered = [
    [{ method: "", id: 7 }, /method must be a non-empty string/],
    [{ id: 7 }, /method must be a non-empty string/],
    [{ method: "m", id: 7, data: "text" }, /data must be an object/],
    [{ method: "m", id: 7, sender: {} }, /sender must have a username and a uuid/],
  ];
  for (const [message, reason] of answered) {
    test(`is answered 400 if it is a request: ${JSON.stringify(message)}`, async (t) => {
      const here = await listening(t);
      const events = here.record(here.theClient, "error");
      await here.say(message);
      assert.equal(events.length, 1);
      assert.deepEqual(here.sent.map(({ status, id }) => [status, id]), [[400, 7]]);
      assert.match(here.sent[0].reason, reason);
      assert.deepEqual(here.requests, []);
    });
  }

  test("shows at most 200 characters of itself in the error", async (t) => {
    const here = await listening(t);
    const events = here.record(here.theClient, "error");
    await here.say("x".repeat(100000));
    assert.equal(events[0][1].data.received.length, 200);
  });

  test("does not settle the request with its id", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    here.record(client, "error");
    const call = client.request("get", "/");
    await here.say({ status: 200, id: here.sent[0].id, data: "text" });
    await here.say({ status: 200, id: here.sent[0].id, data: { n: 1 } });
    assert.deepEqual((await call).data, { n: 1 });
  });
});

describe("A response with the id 0", () => {
  test("is an \"error\": the server could not read our message", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const events = here.record(client, "error");
    await here.say({ status: 400, reason: "not JSON", id: 0 });
    assertProtooError(events[0][1], 400, { reason: /^not JSON$/, isLocal: false });
  });
});

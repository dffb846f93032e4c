/* The user of a client: the server tells who it is, and the client stops when that changes. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assertProtooError, follow, settle, world } from "./harness.mjs";

describe("The username", () => {
  test("is known from the welcome of the server", async (t) => {
    const here = world(t);
    const client = here.client();
    assert.equal(client.username, null);
    client.connect();
    await here.accept();
    assert.equal(client.username, "alice");
  });

  test("comes with the uuid, which the site may have chosen", async (t) => {
    const here = world(t);
    here.isUnwelcoming = true;
    const client = await here.openClient({ uuid: "mine" });
    assert.equal(client.uuid, "mine");
    await here.say({ method: "welcome", data: { username: "alice", uuid: "of the site" } });
    assert.equal(client.uuid, "of the site");
    assert.match(here.socket.url, /uuid=mine/);
  });

  for (const [url, count, username] of [
    ["/protoo", 0, "alice"],
    ["/protoo?welcome=1", 1, "alice"],
    ["/protoo?welcome=0", 0, null],
  ]) {
    test(`with the URL ${url} comes with ${count} notifications`, async (t) => {
      const here = world(t);
      const client = here.client({ url });
      const events = here.record(client, "notification");
      client.connect();
      await here.accept();
      assert.deepEqual([events.length, client.username], [count, username]);
    });
  }

  test("is not taken from a later notification of that name, or from a peer's", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const events = here.record(client, "notification");
    await here.say({ method: "welcome", data: { username: "mallory" } });
    here.isUnwelcoming = true;
    await here.reconnect();
    const sender = { username: "mallory", uuid: "m1" };
    await here.say({ method: "welcome", data: { username: "mallory" }, sender });
    assert.equal(client.username, "alice");
    assert.equal(events.length, 2);
    assert.equal(client.state, "open");
  });
});

describe("Another login in the same browser", () => {
  const relogin = async (t, options) => {
    const here = world(t);
    const client = await here.openClient({ repeat: true, ...options });
    const events = here.record(client, "open", "refused", "close");
    const sent = follow(client.request("message", "/users/carol", { text: "from alice" }));
    await here.drop();
    const queued = follow(client.request("message", "/users/carol", { text: "from alice, too" }));
    client.notify("typing", "/users/carol");
    const errors = here.record(client, "error");
    events.length = 0;
    here.username = "bob";
    await here.tick(250);
    await here.accept();
    return { here, client, events, errors, calls: [sent, queued] };
  };

  test("ends the client, and nothing of the first user is sent as the second", async (t) => {
    const { here, client, events, errors, calls } = await relogin(t);
    assert.deepEqual(here.sent, []);
    assert.equal(client.state, "closed");
    assert.deepEqual(here.socket.closedWith, { code: 1000, reason: "" }, "bob is not waited for");
    const reason = 'the browser is logged in as "bob", not as "alice"';
    const close = { code: 1006, reason: `refused: 409 ${reason}`, willReconnect: false, delay: null };
    assert.deepEqual(events, [
      ["refused", { status: 409, reason, username: "bob" }],
      ["close", close],
    ]);
    for (const { error } of calls) assertProtooError(error, 410, { reason: /connection refused/ });
    assert.equal(errors.length, 1, "the notification");
    await here.tick(2 ** 30);
    await here.page("online");
    assert.equal(here.sockets.length, 2);
  });

  test("rejects connect() with 409", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    await here.drop();
    const connected = follow(client.connect());
    here.username = "bob";
    await here.accept();
    assertProtooError(connected.error, 409);
  });

  test("is accepted by a page that connects again after it was told", async (t) => {
    const { here, client } = await relogin(t);
    client.connect();
    await here.accept();
    assert.deepEqual([client.state, client.username, here.sent], ["open", "bob", []]);
  });

  test("is noticed after close() and connect(), too", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    client.close();
    here.username = "bob";
    client.connect();
    follow(client.request("message", "/"));
    await here.accept();
    assert.deepEqual([client.state, here.sent], ["closed", []]);
  });

  test("does not get the answers to requests to the first user", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const requests = [];
    client.on("request", (req) => requests.push(req));
    await here.say({ method: "message", id: 7 });
    await here.say({ method: "message", id: 8 });
    requests[0].reply(200);
    await here.drop();
    here.username = "bob";
    await here.tick(250);
    await here.accept();
    client.connect();
    await here.accept();
    requests[1].reply(200);
    await settle();
    assert.deepEqual(here.sent, []);
    await here.say({ method: "message", id: 7 }); // of bob: another one
    assert.equal(requests.length, 3);
  });

  test("of the same user is no other login", async (t) => {
    const here = world(t);
    const client = await here.openClient({ repeat: true });
    follow(client.request("get", "/"));
    await here.reconnect();
    assert.deepEqual([client.state, here.sent.length], ["open", 1]);
  });
});

describe("While the user is not confirmed", () => {
  test("a client that knows its user is connecting, and sends nothing", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    await here.drop();
    follow(client.request("get", "/"));
    here.isUnwelcoming = true;
    await here.tick(250);
    await here.accept();
    assert.deepEqual([client.state, here.sent], ["connecting", []]);
    await here.say({ method: "welcome", data: { username: "alice", uuid: "a1" } });
    assert.deepEqual([client.state, here.sent.length], ["open", 1]);
  });

  test("a client gives the handshake up after 20 s", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    here.isUnwelcoming = true;
    await here.drop();
    await here.tick(250);
    await here.accept();
    await here.tick(20000);
    assert.equal(here.socket.closedWith.code, 3002);
    here.socket.ends(1006);
    await settle();
    assert.equal(client.state, "waiting");
  });

  test("any other first message means a server that does not welcome", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const events = here.record(client, "notification", "error");
    await here.drop();
    here.isUnwelcoming = true;
    await here.tick(250);
    await here.accept();
    await here.say({ method: "news", data: {} });
    assert.equal(client.state, "open");
    assert.equal(events.length, 1);
  });

  test("an unreadable first message is reported, and opens the client", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const events = here.record(client, "error");
    await here.drop();
    here.isUnwelcoming = true;
    await here.tick(250);
    await here.accept();
    await here.say("no JSON");
    assert.equal(client.state, "open");
    assert.equal(events.length, 1);
  });
});

describe("The option username", () => {
  test("protects the first connection as well", async (t) => {
    const here = world(t);
    here.username = "bob";
    const client = here.client({ username: "alice" });
    const call = follow(client.request("message", "/users/carol"));
    const events = here.record(client, "open", "refused");
    client.connect();
    await here.accept();
    assert.equal(client.state, "closed");
    assert.deepEqual(here.sent, []);
    assertProtooError(call.error, 410);
    assert.deepEqual(events.map(([name, { username }]) => [name, username]), [["refused", "bob"]]);
    client.connect();
    await here.accept();
    assert.equal(client.state, "closed", "the page is alice's for ever");
  });

  test("connects as that user", async (t) => {
    const here = world(t);
    const client = here.client({ username: "alice", url: "/protoo?welcome=0" });
    assert.equal(client.username, "alice");
    client.connect();
    assert.match(here.socket.url, /welcome=1/);
    await here.accept();
    assert.equal(client.state, "open");
  });
});

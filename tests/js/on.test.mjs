import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assertProtooError, settle, world } from "./harness.mjs";

const note = { method: "note", data: { n: 1 }, sender: { username: "alice", uuid: "a1" } };

describe("on()", () => {
  test("calls the listener at every event", async (t) => {
    const here = world(t);
    const events = here.record(await here.openClient(), "notification");
    await here.say(note);
    await here.say(note);
    assert.deepEqual(events, [["notification", note], ["notification", note]]);
  });

  test("returns a function that removes the listener", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const heard = [];
    const stop = client.on("notification", (it) => heard.push(it));
    await here.say(note);
    stop();
    await here.say(note);
    assert.equal(heard.length, 1);
  });

  test("with the same function twice calls it twice, and each is removed by itself", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const heard = [];
    const listener = (it) => heard.push(it);
    const stops = [client.on("notification", listener), client.on("notification", listener)];
    await here.say(note);
    assert.equal(heard.length, 2);
    stops[0]();
    stops[0]();
    await here.say(note);
    assert.equal(heard.length, 3);
    stops[1]();
    await here.say(note);
    assert.equal(heard.length, 3);
  });

  test("of a component that is mounted, unmounted and mounted again calls it once", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const heard = [];
    const listener = (it) => heard.push(it);
    client.on("notification", listener);
    client.off("notification", listener);
    client.on("notification", listener);
    await here.say(note);
    assert.equal(heard.length, 1);
  });

  test("and once() with the same function are two listeners", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const heard = [];
    const listener = (it) => heard.push(it);
    client.once("notification", listener);
    client.on("notification", listener);
    await here.say(note);
    await here.say(note);
    assert.equal(heard.length, 3);
  });

  test("calls listeners in the order in which they were added", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const order = [];
    for (const name of ["a", "b", "c"]) client.on("notification", () => order.push(name));
    await here.say(note);
    assert.deepEqual(order, ["a", "b", "c"]);
  });

  test("does not call a listener that an earlier one has removed", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const heard = [];
    const second = () => heard.push("second");
    client.on("notification", () => client.off("notification", second));
    client.on("notification", second);
    await here.say(note);
    assert.deepEqual(heard, []);
  });

  test("never calls a listener inside the call that causes the event", async (t) => {
    const here = world(t);
    const client = here.client();
    const events = here.record(client, "state");
    client.connect();
    assert.deepEqual(events, []);
    await settle();
    assert.equal(events.length, 1);
  });

  test("keeps the order of events for all listeners, even if one changes the state", async (t) => {
    const here = world(t);
    const client = here.client();
    client.once("state", () => client.close());
    const events = here.record(client, "state");
    client.connect();
    await settle();
    assert.deepEqual(events.map(([, { state }]) => state), ["connecting", "closed"]);
  });

  test("refuses an unknown event, and names the known ones", (t) => {
    const client = world(t).client();
    const message = /event must be one of open, close, .*, error, got "opened"/;
    for (const name of ["on", "once", "off"]) {
      assert.throws(() => client[name]("opened", () => {}), { name: "TypeError", message });
    }
  });

  test("refuses a listener that is not a function", (t) => {
    const client = world(t).client();
    assert.throws(() => client.on("open", null), /listener must be a function, got null/);
  });
});

describe("once()", () => {
  test("calls the listener at the next event only", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const heard = [];
    client.once("notification", (it) => heard.push(it));
    await here.say(note);
    await here.say(note);
    assert.equal(heard.length, 1);
  });

  test("returns a function that removes the listener", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const heard = [];
    client.once("notification", (it) => heard.push(it))();
    await here.say(note);
    assert.deepEqual(heard, []);
  });
});

describe("off()", () => {
  test("removes one of two equal listeners, the latest one", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const order = [];
    const twice = () => order.push("twice");
    client.on("notification", twice);
    client.on("notification", () => order.push("between"));
    client.on("notification", twice);
    client.off("notification", twice);
    await here.say(note);
    assert.deepEqual(order, ["twice", "between"]);
    client.off("notification", twice);
    client.off("notification", twice);
    await here.say(note);
    assert.deepEqual(order, ["twice", "between", "between"]);
  });

  test("removes listeners of on() and once()", async (t) => {
    const here = world(t);
    const client = await here.openClient();
    const heard = [];
    const [first, second] = [() => heard.push(1), () => heard.push(2)];
    client.on("notification", first);
    client.once("notification", second);
    client.off("notification", first);
    client.off("notification", second);
    await here.say(note);
    assert.deepEqual(heard, []);
  });

  test("of an unknown listener does nothing", (t) => {
    world(t).client().off("open", () => {});
  });
});

describe("A listener that fails", () => {
  const failures = {
    throws: () => { throw new Error("oops"); },
    "returns a promise that rejects": async () => { throw new Error("oops"); },
  };
  for (const [how, fail] of Object.entries(failures)) {
    test(`because it ${how} is reported, and the others still run`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      const errors = here.record(client, "error");
      client.on("notification", fail);
      const events = here.record(client, "notification");
      await here.say(note);
      assert.equal(events.length, 1);
      assert.equal(errors.length, 1);
      const [[, error]] = errors;
      assertProtooError(error, 500, { reason: /"notification" listener failed: Error: oops/ });
      assert.equal(error.cause.message, "oops");
      const [[text, cause]] = here.takeLogged();
      assert.equal(text, 'protoo: "notification" listener failed:');
      assert.equal(cause, error.cause);
      assert.equal(client.state, "open");
    });

    test(`because it ${how} on "error" is reported on the console only`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      client.on("error", fail);
      const events = here.record(client, "error");
      await here.say("no JSON");
      assert.equal(events.length, 1);
      assert.equal(here.takeLogged().length, 1);
    });
  }

  test("on \"open\" does not break the connection", async (t) => {
    const here = world(t);
    const client = here.client();
    client.on("open", failures.throws);
    client.notify("first", "/");
    await Promise.all([client.connect(), here.accept()]);
    assert.equal(here.sent.length, 1);
    assert.equal(here.takeLogged().length, 1);
  });
});

describe("An \"error\" without a listener", () => {
  test("is written to the console", async (t) => {
    const here = world(t);
    await here.openClient();
    await here.say("no JSON");
    const [[text, error]] = here.takeLogged();
    assert.equal(text, "protoo:");
    assertProtooError(error, 400);
  });
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Client, world } from "./harness.mjs";

describe("new Client()", () => {
  test("is idle, and opens nothing before connect()", (t) => {
    const { client, sockets, timers } = world(t);
    assert.equal(client().state, "idle");
    assert.deepEqual(sockets, []);
    assert.deepEqual(timers.delays(), []);
  });

  const urls = [
    [undefined, "wss://site.test/protoo?uuid=me&welcome=1"],
    ["/chat/protoo", "wss://site.test/chat/protoo?uuid=me&welcome=1"],
    ["/protoo?key=a%26b&uuid=other", "wss://site.test/protoo?key=a%26b&uuid=me&welcome=1"],
    ["wss://elsewhere.test:8443/protoo", "wss://elsewhere.test:8443/protoo?uuid=me&welcome=1"],
    ["ws://127.0.0.1:8000/protoo#part", "ws://127.0.0.1:8000/protoo?uuid=me&welcome=1"],
    ["/protoo?welcome=0", "wss://site.test/protoo?welcome=0&uuid=me"],
    ["/protoo?welcome=yes", "wss://site.test/protoo?welcome=yes&uuid=me"],
    ["http://elsewhere.test/protoo", "ws://elsewhere.test/protoo?uuid=me&welcome=1"],
  ];
  for (const [url, expected] of urls) {
    test(`connects with the url ${url} to ${expected}`, (t) => {
      const here = world(t);
      here.client({ url, uuid: "me" }).connect();
      assert.equal(here.socket.url, expected);
    });
  }

  test("throws for an unknown option, and for options that are not an object", () => {
    assert.throws(() => new Client({ urll: "/x" }), /option must be one of url, .*, got "urll"/);
    for (const options of ["/protoo", null, [], 5]) {
      assert.throws(() => new Client(options), /options must be an object/);
    }
  });

  test("connects with ws: from a page on http:", (t) => {
    const { href } = location;
    t.after(() => Object.assign(location, { href }));
    location.href = "http://site.test:5000/";
    const here = world(t);
    here.client({ uuid: "me" }).connect();
    assert.equal(here.socket.url, "ws://site.test:5000/protoo?uuid=me&welcome=1");
  });

  test("asks for the sub-protocol protoo", (t) => {
    const here = world(t);
    here.client().connect();
    assert.equal(here.socket.protocol, "protoo");
  });

  test("escapes the uuid", (t) => {
    const here = world(t);
    const client = here.client({ uuid: "a&b ü" });
    client.connect();
    assert.equal(client.uuid, "a&b ü");
    assert.equal(new URL(here.socket.url).searchParams.get("uuid"), "a&b ü");
  });

  test("gives all clients of a page the uuid of the tab", (t) => {
    const { client } = world(t);
    const { uuid } = client();
    assert.match(uuid, /^[0-9a-f]{32}$/);
    assert.equal(client().uuid, uuid);
  });

  const wrong = [
    [{ url: "" }, /url must be a ws\(s\) URL or a path, got ""/],
    [{ url: 5 }, /url must be a ws\(s\) URL or a path, got 5/],
    [{ url: "ftp://site.test/" }, /url must be a ws\(s\) URL or a path, got "ftp:/],
    [{ uuid: "" }, /uuid must be a non-empty string, got ""/],
    [{ uuid: null }, /uuid must be a non-empty string, got null/],
    [{ username: "" }, /username must be a non-empty string, or null, got ""/],
    [{ username: 7 }, /username must be a non-empty string, or null, got 7/],
    [{ requestTimeout: 0 }, /requestTimeout must be milliseconds > 0, got 0/],
    [{ requestTimeout: NaN }, /requestTimeout must be milliseconds > 0, got NaN/],
    [{ reconnect: { min: 500, max: 100 } }, /reconnect must be false or {min, max} in ms/],
    [{ reconnect: { min: -1 } }, /reconnect must be false or {min, max} in ms/],
    [{ reconnect: { max: Infinity } }, /reconnect must be false or {min, max} in ms/],
    [{ repeat: "yes" }, /repeat must be true or false, got "yes"/],
    [{ WebSocket: null }, /WebSocket must be a class, got null/],
  ];
  for (const [options, message] of wrong) {
    const [[name, value]] = Object.entries(options);
    test(`refuses ${name}: ${JSON.stringify(value)}`, (t) => {
      const { client } = world(t);
      assert.throws(() => client(options), (error) => {
        assert.ok(error instanceof TypeError);
        assert.match(error.message, message);
        return true;
      });
    });
  }

  const skip = "WebSocket" in globalThis;
  test("names the missing WebSocket if there is none", { skip }, () => {
    assert.throws(() => new Client(), /WebSocket must be a class, got undefined/);
  });

  test("has a read-only state, uuid and username", (t) => {
    const client = world(t).client();
    assert.throws(() => { client.username = "other"; }, TypeError);
    assert.throws(() => { client.state = "open"; }, TypeError);
    assert.throws(() => { client.uuid = "other"; }, TypeError);
  });
});

/* Names that every plain object has by inheritance, where the client looks names up. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Client, world } from "./harness.mjs";

const { Calls } = await import("../../protoo_flask/static/protoo-call.mjs");

const INHERITED = Object.getOwnPropertyNames(Object.prototype);

describe("A name that objects inherit", () => {
  for (const name of INHERITED) {
    test(`${name} is no event`, (t) => {
      const here = world(t);
      const client = here.client();
      const calls = new Calls(client, { RTCPeerConnection: class {}, MediaStream: class {} });
      for (const emitter of [client, calls]) {
        assert.throws(() => emitter.on(name, () => {}), { name: "TypeError", message: /event must/ });
      }
    });

    test(`${name} is no option`, () => {
      const options = Object.fromEntries([[name, 1]]);
      assert.throws(() => new Client(options), { name: "TypeError", message: /option must/ });
    });

    test(`${name} is a method like any other`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      const events = here.record(client, "notification");
      client.on("request", (req) => req.reply(200, req.method));
      await here.say({ method: name, id: 1, data: {} });
      await here.say({ method: name, data: {} });
      assert.equal(here.sent[0].reason, name);
      assert.equal(events[0][1].method, name);
    });

    test(`${name} is a key of data that changes nothing else`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      const events = here.record(client, "notification");
      const key = JSON.stringify(name);
      await here.say(`{"method": "m", "data": {${key}: {"polluted": true}}, ${key}: {"id": 5}}`);
      const [[, { data, sender }]] = events;
      assert.ok(Object.hasOwn(data, name));
      assert.equal(sender, null);
      assert.equal({}.polluted, undefined);
      assert.equal(data.polluted, undefined, "the prototype of the data was replaced");
    });

    test(`${name} is a key of data that can be sent`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      client.on("request", (req) => req.reply(200, "echo", req.data));
      const data = Object.fromEntries([[name, 1]]);
      await here.say(`{"method": "echo", "id": 1, "data": ${JSON.stringify(data)}}`);
      client.notify("message", "/users/bob", data);
      assert.deepEqual(here.sent.map((it) => it.data), [data, data]);
    });
  }
});

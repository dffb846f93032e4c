/* docs/browser-client.md names all options, events and members, and its snippets run. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { Client, ProtooError, settle, world } from "./harness.mjs";

const read = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const page = read("docs/browser-client.md");
const types = read("protoo_flask/static/protoo.d.ts");

const section = (title) => page.split(/^## /m).find((part) => part.startsWith(`${title}\n`));
/** The names in the first column of the tables of a section. */
const firstColumn = (title) =>
  [...section(title).matchAll(/^\| (`.*?) \|/gm)]
    .flatMap(([, cell]) => cell.match(/`[\w.]+/g))
    .map((name) => name.replace(/`(req\.|client\.)?/, ""));
const declared = (name) => {
  const declaration = new RegExp(`export (?:interface|class) ${name}\\b[^{]*{(.*?)\\n}`, "s");
  const [, body] = types.match(declaration);
  return [...body.matchAll(/^  (?:readonly )?(\w+)[?]?[:(<]/gm)]
    .map(([, found]) => found)
    .filter((found) => found !== "constructor");
};

describe("docs/browser-client.md", () => {
  test("has every option", () => {
    assert.deepEqual(firstColumn("Options").sort(), declared("ClientOptions").sort());
  });

  test("has every event", () => {
    assert.deepEqual(firstColumn("Events").sort(), declared("Events").sort());
  });

  test("has every member of an incoming request", () => {
    const members = [...declared("Notification"), ...declared("IncomingRequest")];
    assert.deepEqual(firstColumn("Incoming requests").sort(), members.sort());
  });

  test("has every property of ProtooError", () => {
    const own = declared("ProtooError").filter((name) => name !== "name");
    assert.deepEqual(firstColumn("Errors").sort(), own.sort());
  });

  test("mentions every member of Client", () => {
    for (const name of Object.getOwnPropertyNames(Client.prototype)) {
      if (name !== "constructor") assert.match(page, new RegExp(`client\\.${name}\\b`));
    }
  });

  const snippets = [...page.matchAll(/^```js\n(.*?)^```/gms)].map(([, code]) => code);
  assert.ok(snippets.length >= 7);
  for (const code of snippets) {
    test(`has a snippet that runs: ${code.split("\n")[0]}`, async (t) => {
      const here = world(t);
      const client = await here.openClient();
      const silent = { log() {} };
      const globals = { client, ProtooError, console: silent, document: {}, confirm: () => true };
      const AsyncFunction = (async () => {}).constructor;
      const run = new AsyncFunction(...Object.keys(globals), code);
      const running = run(...Object.values(globals));
      await settle();
      for (const { id } of here.sent) if (id) await here.say({ status: 200, id });
      await running;
      const sender = { username: "alice", uuid: "a1" };
      await here.say({ method: "message", id: 7, data: { text: "hi" }, sender });
      const [answer] = here.sent.filter(({ status }) => status);
      assert.equal(answer.status, code.includes('"request"') ? 200 : 404);
    });
  }
});

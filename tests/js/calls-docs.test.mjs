/* protoo-call.d.ts and docs/calls-browser.md name all options, events, members and states. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

const { Call, CallError, Calls } = await import("../../protoo_flask/static/protoo-call.mjs");
const read = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const page = read("docs/calls-browser.md");
const types = read("protoo_flask/static/protoo-call.d.ts");
const source = read("protoo_flask/static/protoo-call.mjs");

const declared = (name) => {
  const declaration = new RegExp(`export (?:interface|class) ${name}\\b[^{]*{(.*?)\\n}`, "s");
  const [, body] = types.match(declaration);
  return [...body.matchAll(/^  (?:readonly )?(\w+)[?]?[:(<]/gm)].map(([, found]) => found).sort();
};

/** The names in the first column of the table that begins with this heading. */
const firstColumn = (heading, n = 0) => {
  const table = page.split(`\n| ${heading} |`)[n + 1].split("\n\n")[0];
  return [...table.matchAll(/^\| (`.*?) \|/gm)]
    .flatMap(([, cell]) => cell.match(/`[\w.]+/g))
    .map((name) => name.replace(/`(calls\.)?/, ""))
    .sort();
};

const client = { on: () => () => {} };
class MediaStream {}
const membersOf = (object) => {
  const names = [object, Object.getPrototypeOf(object), Object.getPrototypeOf(Calls.prototype)]
    .flatMap((it) => Object.getOwnPropertyNames(it));
  return [...new Set(names)].filter((name) => !["constructor", "emit"].includes(name)).sort();
};
const aCall = () => new Call({ MediaStream, calls: new Map() }, "closed");
const eventsOf = (base) => [...source.matchAll(/super\(\[(.*?)\]\)/g)][base][1]
  .match(/\w+/g).sort();

describe("protoo-call.d.ts", () => {
  test("declares the members of Call", () => {
    const found = declared("Call").filter((name) => name !== "constructor");
    assert.deepEqual(found, membersOf(aCall()));
  });

  test("declares the members of Calls", () => {
    const found = declared("Calls").filter((name) => name !== "constructor");
    assert.deepEqual(found, membersOf(new Calls(client)));
  });

  test("declares the events", () => {
    assert.deepEqual(declared("CallEvents"), eventsOf(0));
    assert.deepEqual(declared("CallsEvents"), eventsOf(1));
  });

  test("declares the states", () => {
    const [, table] = source.match(/NEXT_STATES = {(.*?)\n}/s);
    const states = [...table.matchAll(/^  (\w+):/gm)].map(([, state]) => state).sort();
    const [, union] = types.match(/CallState =(.*?);/s);
    assert.deepEqual(union.match(/\w+/g).sort(), states);
    assert.deepEqual(firstColumn("state"), states);
  });

  test("declares the error", () => {
    const error = new CallError("What?", new Error("that"));
    assert.deepEqual([error.name, error.message, error.cause.message], ["CallError", "What?", "that"]);
    assert.deepEqual(Object.keys(new CallError("What?")), ["name"]);
  });
});

describe("docs/calls-browser.md", () => {
  test("has every option", () => {
    assert.deepEqual(firstColumn("option"), declared("CallsOptions"));
  });

  test("has every member of Calls", () => {
    assert.deepEqual(firstColumn("member"), membersOf(new Calls(client)));
  });

  test("has every member of Call", () => {
    const documented = [...firstColumn("property"), ...firstColumn("method")].sort();
    assert.deepEqual(documented, membersOf(aCall()));
  });

  test("has every event", () => {
    assert.deepEqual(firstColumn("event"), eventsOf(0));
  });

  const snippets = [...page.matchAll(/^```js\n(.*?)^```/gms)].map(([, code]) => code);
  assert.ok(snippets.length >= 4);
  for (const code of snippets) {
    test(`has a snippet that runs: ${code.split("\n")[0]}`, async () => {
      const used = [];
      // Every call and every read succeeds and is recorded.
      const anything = () => new Proxy(function () {}, {
        get: (_, name) => {
          if (name === "then" || name === Symbol.toPrimitive) return undefined;
          if (name === Symbol.iterator) return function* () {};
          used.push(name);
          return anything();
        },
        apply: () => anything(),
        construct: () => anything(),
        set: () => true,
      });
      const names = ["client", "calls", "call", "document", "console", "Client", "Calls", "show"];
      const missing = names.filter((name) => !new RegExp(`(const|function) ${name}\\b`).test(code));
      const AsyncFunction = (async () => {}).constructor;
      await new AsyncFunction(...missing, code)(...missing.map(anything));
      const known = [...membersOf(aCall()), ...membersOf(new Calls(client)), "connect", "once"];
      const strange = used.filter((name) => ![...known, "log", "catch", "getElementById"].includes(name));
      assert.deepEqual(strange, []);
    });
  }
});

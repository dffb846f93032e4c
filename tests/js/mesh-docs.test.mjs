/* protoo-mesh.d.ts and docs/rooms.md name all members, events and options of a Mesh. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { FakeMediaStream } from "./media.mjs";

const { Member, Mesh } = await import("../../protoo_flask/static/protoo-mesh.mjs");
const read = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const page = read("docs/rooms.md").split("## A call of three")[1].split("\n## ")[0];
const types = read("protoo_flask/static/protoo-mesh.d.ts");
const source = read("protoo_flask/static/protoo-mesh.mjs");

const declared = (name) => {
  const declaration = new RegExp(`export (?:interface|class) ${name}\\b[^{]*{(.*?)\\n}`, "s");
  const [, body] = types.match(declaration);
  return [...body.matchAll(/^  (?:readonly )?(\w+)[?]?[:(<]/gm)]
    .map(([, found]) => found)
    .filter((name) => name !== "constructor")
    .sort();
};
const membersOf = (object) => {
  const prototypes = [object];
  for (let it = object; (it = Object.getPrototypeOf(it)) !== Object.prototype; ) prototypes.push(it);
  const names = prototypes.flatMap((it) => Object.getOwnPropertyNames(it));
  return [...new Set(names)].filter((name) => !["constructor", "emit"].includes(name)).sort();
};
const mesh = () => new Mesh({ on: () => () => {} }, { MediaStream: FakeMediaStream });
const member = () => new Member({ username: "bob", uuid: "b1" }, {
  world: { MediaStream: FakeMediaStream },
  members: new Map(),
  internals: new Map(),
});
const events = source.match(/super\(\[(.*?)\]\)/)[1].match(/\w+/g).sort();

describe("protoo-mesh.d.ts", () => {
  test("declares the members of Mesh and Member", () => {
    assert.deepEqual(declared("Mesh"), membersOf(mesh()));
    assert.deepEqual(declared("Member"), membersOf(member()));
  });

  test("declares the events and states", () => {
    assert.deepEqual(declared("MeshEvents"), events);
    const [, union] = types.match(/MeshState =(.*?);/s);
    const [, table] = source.match(/NEXT_STATES = {(.*?)};/s);
    const states = [...table.matchAll(/(\w+): \[/g)].map(([, state]) => state);
    assert.deepEqual(union.match(/\w+/g), states);
  });
});

describe("docs/rooms.md", () => {
  for (const name of [...membersOf(mesh()), ...membersOf(member())]) {
    test(`has ${name}`, () => assert.match(page, new RegExp(`\`${name}|[{ ]${name}[,}]`)));
  }

  for (const event of events) {
    test(`has the event ${event}`, () => assert.match(page, new RegExp(`\`"${event}"\``)));
  }

  test("has the options of join()", () => {
    const [, list] = source.match(/JOIN_OPTIONS = \[(.*?)\]/s);
    for (const name of list.match(/\w+/g)) assert.match(page, new RegExp(`\`${name}\``));
  });
});

/* Loads protoo.js like the pages of a tab: each has its own realm, and all share sessionStorage. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import vm from "node:vm";

const file = (name) => new URL(`../../protoo_flask/static/${name}`, import.meta.url);
const source = readFileSync(file("protoo.js"), "utf8");

class Storage extends Map {
  getItem(key) {
    return this.get(key) ?? null;
  }

  setItem(key, value) {
    this.set(key, value);
  }

  removeItem(key) {
    this.delete(key);
  }
}

/** Load protoo.js into a new page of the tab with this storage, or with this getter for it. */
function loadPage(storage, globals = {}) {
  const target = new EventTarget();
  const page = vm.createContext({
    crypto,
    URL,
    WebSocket: class {},
    location: { href: "https://site.test/" },
    addEventListener: target.addEventListener.bind(target),
    removeEventListener: target.removeEventListener.bind(target),
    ...globals,
  });
  const get = typeof storage === "function" ? storage : () => storage;
  Object.defineProperty(page, "sessionStorage", { get });
  vm.runInContext(source, page);
  return {
    page,
    uuid: () => new page.protoo.Client().uuid,
    hide: () => target.dispatchEvent(new Event("pagehide")),
    show: (persisted) => target.dispatchEvent(Object.assign(new Event("pageshow"), { persisted })),
  };
}

describe("The uuid of a tab", () => {
  test("survives a reload", () => {
    const storage = new Storage();
    const before = loadPage(storage);
    before.hide();
    assert.equal(loadPage(storage).uuid(), before.uuid());
  });

  test("survives a page without a client in between", () => {
    const storage = new Storage();
    const before = loadPage(storage);
    const uuid = before.uuid();
    before.hide();
    const between = loadPage(storage);
    between.hide();
    assert.equal(loadPage(storage).uuid(), uuid);
  });

  test("differs in a duplicated tab", () => {
    const storage = new Storage();
    const original = loadPage(storage);
    original.show(false);
    const duplicate = loadPage(new Storage(storage));
    assert.notEqual(duplicate.uuid(), original.uuid());
  });

  test("is not stored while a page from the back/forward cache is shown", () => {
    const storage = new Storage();
    const first = loadPage(storage);
    first.hide();
    const second = loadPage(storage);
    second.hide();
    first.show(true);
    assert.equal(first.uuid(), second.uuid());
    assert.notEqual(loadPage(new Storage(storage)).uuid(), first.uuid());
    first.hide();
    assert.equal(loadPage(storage).uuid(), first.uuid());
  });

  test("differs from tab to tab", () => {
    assert.notEqual(loadPage(new Storage()).uuid(), loadPage(new Storage()).uuid());
  });

  test("is random if the storage is blocked", () => {
    const page = loadPage(() => {
      throw new DOMException("blocked", "SecurityError");
    });
    page.hide();
    assert.match(page.uuid(), /^[0-9a-f]{32}$/);
  });
});

describe("The default URL", () => {
  const connectFrom = (src, modules = []) => {
    const urls = [];
    class WebSocket {
      constructor(url) {
        urls.push(url);
      }
    }
    const document = { currentScript: src === null ? null : { src }, addEventListener() {} };
    const timers = { setTimeout() {}, clearTimeout() {}, queueMicrotask() {}, navigator: {} };
    const { page } = loadPage(new Storage(), { document, WebSocket, ...timers });
    for (const module of modules) page.protoo.Client[Symbol.for("protoo.script")](module);
    new page.protoo.Client({ uuid: "me" }).connect();
    return urls[0].replace("?uuid=me&welcome=1", "");
  };

  for (const [src, expected] of [
    ["https://site.test/protoo/protoo.js", "wss://site.test/protoo"],
    ["https://site.test/chat/ws/protoo.js?v=3#x", "wss://site.test/chat/ws"],
    ["https://site.test/sites/first/protoo/protoo.js", "wss://site.test/sites/first/protoo"],
    ["http://chat.site.test:8000/protoo/protoo.js", "ws://chat.site.test:8000/protoo"],
    ["https://site.test/t%C3%A9l/protoo/protoo.js", "wss://site.test/t%C3%A9l/protoo"],
    ["https://site.test/static/bundle-1a2b.js", "wss://site.test/protoo"],
    ["https://site.test/static/my-protoo.js", "wss://site.test/protoo"],
    ["https://site.test/protoo.js", "wss://site.test/protoo"],
    ["file:///app/protoo/protoo.js", "wss://site.test/protoo"],
    ["blob:https://site.test/1234", "wss://site.test/protoo"],
    ["", "wss://site.test/protoo"],
    [null, "wss://site.test/protoo"],
  ]) {
    test(`for a script from ${src} is ${expected}`, () => {
      assert.equal(connectFrom(src), expected);
    });
  }

  test("is that of the module which imports the script", () => {
    const module = "https://site.test/chat/ws/protoo.mjs?v=3";
    assert.equal(connectFrom(null, [module]), "wss://site.test/chat/ws");
    assert.equal(connectFrom(null, ["https://site.test/assets/index.mjs"]), "wss://site.test/protoo");
  });

  test("is that of the first one, whose classes the page has, too", () => {
    const urls = ["https://site.test/a/protoo.js", ["https://site.test/b/protoo.mjs"]];
    assert.equal(connectFrom(...urls), "wss://site.test/a");
  });
});

describe("protoo.js", () => {
  test("defines the global protoo with Client and ProtooError, and nothing else", () => {
    const { page } = loadPage(new Storage());
    assert.deepEqual(Object.keys(page.protoo), ["Client", "ProtooError"]);
    const before = Object.keys(loadPage(new Storage(), { protoo: undefined }).page);
    assert.deepEqual(Object.keys(page).sort(), before.sort());
  });

  test("keeps its classes and its uuid when it is loaded twice", () => {
    const { page, uuid } = loadPage(new Storage());
    const { Client } = page.protoo;
    const before = uuid();
    vm.runInContext(source, page);
    assert.equal(page.protoo.Client, Client);
    assert.equal(uuid(), before);
  });

  test("loads in a page that has an element with id=\"protoo\"", () => {
    const { page } = loadPage(new Storage(), { protoo: { tagName: "DIV" } });
    assert.equal(typeof page.protoo.Client, "function");
  });

  test("loads in a worker, without document and sessionStorage", () => {
    const { uuid } = loadPage(undefined);
    assert.match(uuid(), /^[0-9a-f]{32}$/);
  });
});

describe("protoo.mjs", () => {
  test("can be imported in Node, and exports what protoo.js defines", async () => {
    assert.equal(typeof globalThis.addEventListener, "undefined", "a bare Node");
    const module = await import(file("protoo.mjs"));
    assert.deepEqual(Object.keys(module).sort(), ["Client", "ProtooError"]);
    assert.equal(module.Client, globalThis.protoo.Client);
    class WebSocket {}
    const client = new module.Client({ url: "ws://127.0.0.1:8000/protoo", WebSocket });
    assert.equal(client.state, "idle");
    assert.throws(() => new module.Client({ WebSocket }), { code: "ERR_INVALID_URL" });
  });
});

describe("protoo.d.ts", () => {
  const types = readFileSync(file("protoo.d.ts"), "utf8");
  const members = (kind, name) => {
    const [, body] = types.match(new RegExp(`export ${kind} ${name}\\b[^{]*{\\n(.*?)\\n}`, "s"));
    return [...body.matchAll(/^  (?:readonly )?(\w+)[?]?[:(<]/gm)].map(([, found]) => found).sort();
  };

  test("declares the members of Client", () => {
    const { Client } = loadPage(new Storage()).page.protoo;
    const names = Object.getOwnPropertyNames(Client.prototype).sort();
    assert.deepEqual(members("class", "Client"), names);
  });

  test("declares the members of ProtooError", () => {
    const { ProtooError } = loadPage(new Storage()).page.protoo;
    const error = new ProtooError(500, "", {}, { cause: 1 });
    const names = [...Object.keys(error), ...Object.getOwnPropertyNames(ProtooError.prototype)];
    assert.deepEqual(members("class", "ProtooError"), names.sort());
  });

  test("declares all events", () => {
    const [, list] = source.match(/const EVENTS = \[(.*?)\]/s);
    const events = [...list.matchAll(/"(\w+)"/g)].map(([, event]) => event);
    assert.deepEqual(members("interface", "Events"), events.sort());
  });
});

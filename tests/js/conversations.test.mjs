/* The state of the sample app's page. The test plays the server. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";

/** Node before 20.19 does not recognize a .js file as a module by its content. */
async function load(name) {
  const text = await readFile(new URL(`../../sample_app/static/${name}`, import.meta.url), "utf8");
  return import(`data:text/javascript,${encodeURIComponent(text)}`);
}

const { Conversations } = await load("conversations.js");

/** Names of properties that every plain object has. */
const INHERITED = [...Object.getOwnPropertyNames(Object.prototype), "prototype", "length"];

function makeStorage() {
  const items = new Map();
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => items.set(key, String(value)),
  };
}

describe("A user with the name of an inherited property", () => {
  for (const name of INHERITED) {
    test(`${name} has a draft of its own`, () => {
      const storage = makeStorage();
      const conversations = new Conversations("alice", storage);
      assert.equal(conversations.draft(name), "");
      conversations.setDraft(name, "half a thought");
      conversations.setDraft("bob", "another");
      assert.equal(conversations.draft(name), "half a thought");

      const reloaded = new Conversations("alice", storage);
      assert.equal(reloaded.draft(name), "half a thought");
      reloaded.setDraft(name, "");
      assert.equal(reloaded.draft(name), "");
      assert.equal(new Conversations("alice", storage).draft(name), "");
      assert.equal(reloaded.draft("bob"), "another");
    });

    test(`${name} has a conversation`, () => {
      const conversations = new Conversations(name, makeStorage());
      conversations.setContacts([{ username: "constructor", unread: 1, last: null }]);
      conversations.compose("constructor", "hi", "u1");
      const [message] = conversations.messages("constructor");
      assert.deepEqual([message.sender, message.text], [name, "hi"]);
      assert.equal(new Conversations("__proto__", makeStorage()).draft(name), "");
    });
  }
});

/* The state of the sample app's page. The test plays the server. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { load } from "./sample.mjs";

const { Conversations } = await load("conversations.js");
const { initials } = await load("format.js");
const { explain } = await load("reasons.js");
const { readMessage, readPresence, shortText } = await load("wire.js");

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

/** Values of every other type, and values beyond a limit. */
const NO_TEXTS = [undefined, null, 7, true, {}, [], ["a"], { length: 3 }, { toString: 1 }];
const NO_TIMES = [undefined, null, "now", {}, [5], true, 1e300, -1e300];
const NO_IDS = [undefined, null, 0, -1, 1.5, "7", {}, 2 ** 53];
const NO_NAMES = [...NO_TEXTS, "", "a/b", "Bob", "b ob", "<b>", "a".repeat(31), "bob\n"];

const good = {
  id: 7,
  uuid: "u7",
  sender: "bob",
  recipient: "alice",
  text: "hi",
  sent_at: 1e9,
  delivered_at: null,
  call: null,
};

describe("A message of the server", () => {
  const wrong = {
    id: NO_IDS,
    uuid: [...NO_TEXTS, "u".repeat(65)],
    sender: NO_NAMES,
    recipient: [...NO_NAMES, "mallory"],
    text: NO_TEXTS,
    sent_at: NO_TIMES,
    call: [7, "call", true, []],
  };
  for (const [field, values] of Object.entries(wrong)) {
    test(`is not taken with another type of ${field}`, () => {
      assert.deepEqual(readMessage(good, "alice"), good);
      for (const value of values) {
        assert.equal(readMessage({ ...good, [field]: value }, "alice"), null, typeof value);
      }
    });
  }

  test("is not taken if it is no object", () => {
    for (const value of NO_TEXTS) assert.equal(readMessage(value, "alice"), null);
  });

  test("has a text and reasons that fit on a page", () => {
    const { text } = readMessage({ ...good, text: "x".repeat(64 * 1024) }, "alice");
    assert.equal(text.length, 4001);
    assert.equal(readMessage({ ...good, text: "x".repeat(4000) }, "alice").text.length, 4000);
    assert.equal(shortText("x".repeat(300)).length, 300);
    assert.equal(shortText("x".repeat(301)), `${"x".repeat(300)}…`);
  });

  test("about a call has known fields only", () => {
    const call = { outcome: {}, video: 1, duration: 1e300, missed: "yes", more: 1 };
    const read = readMessage({ ...good, call }, "alice");
    assert.deepEqual(read.call, { outcome: "", video: false, duration: 0, missed: false });
  });
});

describe("A list of the server", () => {
  const broken = [null, 7, "x", [], {}, { ...good, text: 7 }, { ...good, sent_at: 1e300 }];

  test("keeps the good messages beside broken ones", () => {
    const conversations = new Conversations("alice", makeStorage());
    conversations.setHistory("bob", { messages: [...broken, good], more: "yes" });
    assert.deepEqual(conversations.messages("bob"), [good]);
    conversations.addEarlier("bob", { messages: [{ ...good, id: 5, uuid: "u5" }, ...broken] });
    assert.deepEqual(conversations.messages("bob").map(({ id }) => id), [5, 7]);
    for (const page of [null, 7, [], {}, { messages: {} }]) conversations.addEarlier("bob", page);
    assert.equal(conversations.messages("bob").length, 2);
  });

  test("keeps the good contacts beside broken ones", () => {
    const conversations = new Conversations("alice", makeStorage());
    const names = NO_NAMES.map((username) => ({ username, unread: 0, last: null }));
    const bob = { username: "bob", unread: "many", last: { ...good, text: null } };
    conversations.setContacts([...broken, ...names, bob]);
    const found = [...conversations.contacts.values()];
    assert.deepEqual(found, [{ username: "bob", unread: 0, last: null }]);
    for (const list of [null, 7, {}, "x"]) conversations.setContacts(list);
    assert.equal(conversations.sortedContacts().length, 1);
  });
});

describe("A notification of the server", () => {
  test("with values of other types changes nothing", () => {
    const conversations = new Conversations("alice", makeStorage());
    for (const username of NO_NAMES) {
      conversations.setPresence({ username, online: true });
      conversations.setUnread({ username, unread: 3 });
      conversations.setDelivered({ username, ids: [7] });
    }
    for (const unread of [null, "3", -1, 1.5, {}]) {
      conversations.setUnread({ username: "bob", unread });
    }
    for (const ids of [null, 7, "x", {}]) conversations.setDelivered({ username: "bob", ids });
    assert.deepEqual([...conversations.contacts], []);
  });

  test("about presence has known fields of known types", () => {
    const wild = { username: "bob", online: 1, devices: {}, status: [], note: 7, since: 1e300 };
    const known = { online: false, devices: 0, status: null, note: null, since: null };
    assert.deepEqual(readPresence({ ...wild, extra: 1 }), { username: "bob", ...known });
    const inherits = JSON.parse('{"username": "bob", "__proto__": {"x": 1}}');
    assert.equal(readPresence(inherits).x, undefined);
    for (const value of NO_TEXTS) assert.equal(readPresence(value), null);
  });
});

describe("A delivery report", () => {
  test("counts lists only: with one device it is the answer of that device", () => {
    const conversations = new Conversations("alice", makeStorage());
    const sent = { ...good, sender: "alice", recipient: "bob" };
    for (const delivered of NO_TEXTS.filter((value) => !Array.isArray(value))) {
      conversations.setReport(sent, { delivered, failed: delivered });
    }
    assert.equal(conversations.report(sent), undefined);
    conversations.setReport(sent, { delivered: ["b1"], failed: { length: 1e9 } });
    assert.deepEqual(conversations.report(sent), { delivered: 1, devices: 1 });
  });

  test("is kept for the last thousand messages", () => {
    const conversations = new Conversations("alice", makeStorage());
    const sent = (id) => ({ ...good, id, uuid: `u${id}`, sender: "alice", recipient: "bob" });
    for (let id = 1; id <= 1000; id += 1) conversations.setReport(sent(id), { delivered: ["b1"] });
    assert.ok(conversations.report(sent(1)));
    conversations.setReport(sent(1001), { delivered: ["b1"] });
    assert.equal(conversations.report(sent(1)), undefined);
    assert.ok(conversations.report(sent(2)));
  });
});

describe("A conversation", () => {
  test("keeps its last thousand messages, and can load the others again", () => {
    const conversations = new Conversations("alice", makeStorage());
    const message = (id) => ({ ...good, id, uuid: `u${id}` });
    for (let id = 1; id <= 1000; id += 1) conversations.receive(message(id));
    assert.equal(conversations.messages("bob").length, 1000);
    assert.equal(conversations.thread("bob").more, false);
    conversations.receive(message(1001));
    assert.equal(conversations.messages("bob").length, 1000);
    assert.equal(conversations.oldestId("bob"), 2);
    assert.equal(conversations.thread("bob").more, true);
  });

  test("goes on when the storage of the browser is full", (t) => {
    t.mock.method(console, "warn", () => {});
    const setItem = () => {
      throw new DOMException("full", "QuotaExceededError");
    };
    const conversations = new Conversations("alice", { ...makeStorage(), setItem });
    conversations.setDraft("bob", "half a thought");
    conversations.compose("bob", "hi", "u1");
    assert.equal(conversations.draft("bob"), "half a thought");
    assert.equal(conversations.messages("bob").length, 1);
  });
});

test("The initials of a name are whole characters", () => {
  const expected = {
    bob: "BO", "anna.karenina": "AK", "Anna de la Cruz": "AC", x: "X", "🎈 Zoë": "🎈Z", "...": "..",
  };
  for (const [name, letters] of Object.entries(expected)) assert.equal(initials(name), letters);
});

test("An error is a sentence for users, whatever the server has written", () => {
  const special = { 480: "Too many." };
  for (const status of [400, 401, 403, 404, 408, 410, 413, 429, 480, 500, 503, 599, undefined]) {
    const sentence = explain({ status, reason: "data.text must be a string" }, special);
    assert.match(sentence, /^[A-Z][^{}]*\.$/);
    assert.doesNotMatch(sentence, /data|undefined/);
  }
  assert.equal(explain({ status: 480 }, special), "Too many.");
  assert.match(explain({ status: 410, isLocal: true }), /no connection/);
});

/*
 * A world for one test: a page, a network with the test at its other end, and a clock that only
 * the test moves. Nothing here sleeps.
 *
 *   const { client, accept, tick } = world(t);
 *
 * At the end of the test every client is closed. The test fails if a client has left a timer or
 * a listener of the page behind, or if a log entry was not looked at.
 */
import assert from "node:assert/strict";

// The page must exist before the client is loaded, as in a browser.
const page = countingTarget();
const visibility = countingTarget();
globalThis.addEventListener = page.addEventListener;
globalThis.removeEventListener = page.removeEventListener;
globalThis.document = Object.assign(visibility, { visibilityState: "visible" });
globalThis.location = { href: "https://site.test/chat?room=1#top" };

export const { Client, ProtooError } = await import("../../protoo_flask/static/protoo.mjs");

const ofTheModule = page.count();

function countingTarget() {
  const target = new EventTarget();
  let listeners = [];
  return {
    addEventListener(type, fn) {
      listeners.push([type, fn]);
      target.addEventListener(type, fn);
    },
    removeEventListener(type, fn) {
      listeners = listeners.filter((listener) => listener[0] !== type || listener[1] !== fn);
      target.removeEventListener(type, fn);
    },
    dispatchEvent: (event) => target.dispatchEvent(event),
    count: () => listeners.length,
  };
}

/** Wait until all pending microtasks have run. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

/** Follow a promise without leaving its rejection unhandled. */
export function follow(promise) {
  const followed = { isSettled: false, value: undefined, error: undefined };
  promise.then(
    (value) => Object.assign(followed, { isSettled: true, value }),
    (error) => Object.assign(followed, { isSettled: true, error }),
  );
  return followed;
}

/** Assert that an error is a ProtooError of this status and origin; `reason` is a pattern. */
export function assertProtooError(error, status, { reason = /./, isLocal = true } = {}) {
  assert.ok(error instanceof ProtooError, `not a ProtooError: ${error}`);
  assert.deepEqual([error.status, error.isLocal], [status, isLocal]);
  assert.match(error.reason, reason);
}

export function world(t) {
  const sockets = [];
  const clients = [];
  const logged = [];
  const probes = [];
  const answers = [];
  const timers = watchTimers(t);
  const { error } = console;
  t.mock.method(console, "error", (...args) => {
    // Warnings of Node itself also use console.error.
    if (String(args[0]).startsWith("protoo:")) logged.push(args);
    else error.apply(console, args);
  });
  const random = t.mock.method(Math, "random", () => 0.5);

  // Answers as the server does: the welcome, and pings. Both are none of a test's business, unless it
  // sets here.isDead: then nothing arrives in either direction.
  class FakeWebSocket {
    readyState = 0;
    bufferedAmount = 0;
    sent = [];
    pings = 0;
    closedWith = null;

    constructor(url, protocol) {
      Object.assign(this, { url, protocol });
      sockets.push(this);
    }

    send(text) {
      assert.equal(this.readyState, 1, "send() on a socket that is not open");
      this.bufferedAmount += text.length; // until the next task, also in a dead socket
      setImmediate(() => {
        this.bufferedAmount -= text.length;
      });
      const message = JSON.parse(text);
      if (message.method !== "ping" || "path" in message) {
        this.sent.push(message);
        return;
      }
      this.pings += 1;
      assert.deepEqual(Object.keys(message), ["method", "id"]);
      if (here.isDead) return;
      queueMicrotask(() => this.says({ status: 200, reason: "pong", id: message.id, data: {} }));
    }

    close(code, reason = "") {
      const isPermitted = code === undefined || code === 1000 || (code >= 3000 && code <= 4999);
      if (!isPermitted) throw new DOMException(`${code}`, "InvalidAccessError");
      if (Buffer.byteLength(reason) > 123) throw new DOMException("too long", "SyntaxError");
      if (this.readyState > 1) return;
      this.closedWith = { code, reason };
      const wasConnecting = this.readyState === 0;
      this.readyState = 2;
      if (wasConnecting) queueMicrotask(() => this.ends(1006));
    }

    // Actions of the other end:

    accepts() {
      assert.equal(this.readyState, 0, "this handshake is over");
      this.readyState = 1;
      this.onopen({});
      const { searchParams } = new URL(this.url);
      const isAsked = (searchParams.get("welcome") ?? "0") !== "0" && !here.isUnwelcoming;
      const data = { username: here.username, uuid: searchParams.get("uuid") };
      if (isAsked && !here.isDead) this.says({ method: "welcome", data });
    }

    ends(code = 1006, reason = "") {
      this.readyState = 3;
      if (code === 1006) this.onerror({});
      this.onclose({ code, reason });
    }

    says(message) {
      this.onmessage({ data: typeof message === "object" ? JSON.stringify(message) : message });
    }
  }

  async function fetch(url, options) {
    probes.push({ url, options });
    const answer = answers.shift();
    if (!answer) throw new TypeError("Failed to fetch");
    return typeof answer === "function" ? answer(options) : answer;
  }

  const here = {
    username: "alice", // the user that the browser is logged in as
    isDead: false,
    isUnwelcoming: false, // a server that does not know "welcome=1"
    sockets,
    probes,
    logged,
    random,
    timers,

    get socket() {
      return sockets[sockets.length - 1];
    },

    /** The messages sent over the latest socket. */
    get sent() {
      return here.socket.sent;
    },

    client(options = {}) {
      const client = new Client({ WebSocket: FakeWebSocket, fetch, ...options });
      clients.push(client);
      return client;
    },

    /** A client with an open connection. */
    async openClient(options) {
      const client = here.client(options);
      client.connect();
      await here.accept();
      return client;
    },

    async accept() {
      here.socket.accepts();
      await settle();
    },

    /** End the connection or the handshake. A probe gets `answer`; without one, no network. */
    async drop(code, reason, answer) {
      if (answer) answers.push(answer);
      here.socket.ends(code, reason);
      await settle();
    },

    /** Lose the connection and make it again at once. */
    async reconnect(code) {
      await here.drop(code);
      await here.page("online");
      await here.accept();
    },

    async say(message) {
      here.socket.says(message);
      await settle();
    },

    async tick(ms) {
      await settle();
      t.mock.timers.tick(ms);
      await settle();
    },

    async page(type, init = {}) {
      page.dispatchEvent(Object.assign(new Event(type), init));
      await settle();
    },

    async visibility(state) {
      document.visibilityState = state;
      visibility.dispatchEvent(new Event("visibilitychange"));
      await settle();
    },

    /** An event of the document, as "freeze" and "resume" are. */
    async onDocument(type) {
      visibility.dispatchEvent(new Event(type));
      await settle();
    },

    pageListeners: () => page.count() - ofTheModule + visibility.count(),

    /** Record these events of a client as [name, payload] from now on. */
    record(client, ...names) {
      const events = [];
      for (const name of names) client.on(name, (payload) => events.push([name, payload]));
      return events;
    },

    /** Return the errors reported on the console since the last call. */
    takeLogged: () => logged.splice(0),
  };

  t.after(async () => {
    for (const client of clients) client.close();
    await settle();
    timers.restore();
    const left = { timers: timers.delays(), listeners: here.pageListeners(), logged };
    document.visibilityState = "visible";
    assert.deepEqual(left, { timers: [], listeners: 0, logged: [] }, "left behind by the test");
  });

  return here;
}

function watchTimers(t) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { setTimeout, clearTimeout } = globalThis;
  const pending = new Map();
  globalThis.setTimeout = (fn, delay) => {
    assert.ok(delay >= 0 && delay < 2 ** 31, `a browser would fire at once: ${delay}`);
    const timer = setTimeout(() => {
      pending.delete(timer);
      fn();
    }, delay);
    pending.set(timer, delay);
    return timer;
  };
  globalThis.clearTimeout = (timer) => {
    pending.delete(timer);
    clearTimeout(timer);
  };
  return {
    /** The delays of the pending timers. */
    delays: () => [...pending.values()],
    restore() {
      Object.assign(globalThis, { setTimeout, clearTimeout });
      t.mock.timers.reset();
    },
  };
}

/** An HTTP response to the probe, of a proxy. */
export const proxyHttp = (status, body = "", type = "text/plain; charset=utf-8", statusText = "") =>
  new Response(body, { status, statusText, headers: { "Content-Type": type } });

/** An HTTP response to the probe, marked by the server. */
export function http(status, ...args) {
  const response = proxyHttp(status, ...args);
  const isPassing = status >= 500 || [408, 425, 429].includes(status);
  const verdict = status === 426 ? "welcome" : isPassing ? "later" : "refused";
  response.headers.set("Protoo-Handshake", verdict);
  return response;
}

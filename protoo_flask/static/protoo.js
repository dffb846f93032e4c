/*
 * The browser client of protoo_flask: requests, responses and notifications over one WebSocket
 * that reconnects by itself. This file is a classic script that defines the global `protoo`.
 * protoo.mjs is the same client as a module. protoo.d.ts has the types, and
 * docs/browser-client.md has the documentation.
 *
 * States of a Client. Only #enter() changes the state. Each state owns at most one timer. Leaving
 * a state stops its timer, so a timer never fires in a later state.
 *
 *   state       timer                event                                     next state
 *   ----------  -------------------  ----------------------------------------  ----------
 *   idle        -                    connect()                                 connecting
 *   connecting  handshake, probe     the socket opens                          open
 *                                    the handshake fails; the probe's HTTP     closed
 *                                      answer is a refusal
 *                                    the handshake fails otherwise             waiting (1)
 *                                    the browser goes offline                  waiting (1)
 *   open        reset the attempts   the socket closes with 1000, 3000, 3001   closed
 *                                    the socket closes with another code       waiting (1)
 *                                    the browser goes offline; send() throws   waiting (1)
 *   waiting     backoff              the timer fires; the page is back;        connecting
 *                                      connect()
 *   closed      -                    connect()                                 connecting
 *   (each)                           close()                                   closed
 *   (1) closed if the option `reconnect` is false
 *
 * Every event is emitted in its own microtask. So a listener never runs in the middle of a state
 * change, and it may call any method. Events arrive in the order in which they happened.
 *
 * No request is lost, and none is handled twice. After a reconnection each side sends its requests
 * without a final response again, with the same id. This client repeats only requests with
 * `repeat`. The receiver answers a request that it has seen before with the response that it
 * remembers. The server remembers responses for its grace period. The sender of a request ignores
 * a second final response.
 */
"use strict";

(() => {
  // A page that loads both protoo.js and protoo.mjs must get one ProtooError class (for instanceof)
  // and one uuid. An element with id="protoo" also creates a global `protoo`, hence the check
  // for Client.
  if (globalThis.protoo && globalThis.protoo.Client) return;

  const NEXT_STATES = {
    idle: ["connecting", "closed"],
    connecting: ["open", "waiting", "closed"],
    open: ["waiting", "closed"],
    waiting: ["connecting", "closed"],
    closed: ["connecting"],
  };
  const EVENTS = [
    "open", "close", "reconnecting", "refused", "state", "request", "notification", "error",
  ];
  const OPTIONS = [
    "url", "uuid", "requestTimeout", "reconnect", "repeat", "WebSocket", "fetch",
  ];
  const FINAL_CLOSE_CODES = [1000, 3000, 3001]; // normal, online elsewhere, no longer authorized
  // Sent when the client abandons a socket. With 1000 or without a code the server would treat the
  // close as intended and give no grace period.
  const GIVEN_UP = 3002;
  const TOO_BIG = 1009;
  const PASSING_STATUSES = [408, 425, 426, 429]; // these 4xx may be gone at the next attempt
  const HANDSHAKE_TIMEOUT = 20000; // browsers may wait minutes for a network that vanished
  const PROBE_TIMEOUT = 10000;
  const STABLE_AFTER = 5000; // a server that accepts and drops at once must not reset the backoff
  const MAX_QUEUE = 1000;
  // Limits for remembered incoming requests. The server repeats a request only within its timeout,
  // by default 10 s, so 500 answers cover 50 requests a second. 1 Mi characters are also the
  // server's limit for data that waits for one peer. Few requests are in progress at a time,
  // except in a page that never replies.
  const MAX_ANSWERED = 500;
  const MAX_ANSWERED_LENGTH = 2 ** 20;
  const MAX_IN_PROGRESS = 10000;
  const MAX_RETRY_AFTER = 60 * 60 * 1000; // nobody waits longer in front of a page
  const MAX_TIMER = 2 ** 31 - 1; // with a longer delay, setTimeout fires at once
  const MAX_DOUBLINGS = 40; // of the backoff: 1 ms grows to more than MAX_TIMER, and 0 to no NaN
  const MAX_ID = Number.MAX_SAFE_INTEGER;
  const UUID_KEY = "protoo.uuid";

  /** The error of a request: a final response of 300..699, or local (408, 410, 487, 503). */
  class ProtooError extends Error {
    /**
     * @param {number} status
     * @param {string} reason
     * @param {object} [data] the data of the response
     * @param {{isLocal?: boolean, cause?: unknown}} [options] isLocal: there was no response
     */
    constructor(status, reason, data = {}, { isLocal = false, cause } = {}) {
      super(`${status} ${reason}`);
      Object.assign(this, { name: "ProtooError", status, reason, data, isLocal });
      if (cause !== undefined) this.cause = cause;
    }
  }

  const localError = (status, reason, { data, cause } = {}) =>
    new ProtooError(status, reason, data, { isLocal: true, cause });

  // ---- Wire format ---------------------------------------------------------------------------

  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  const isIntegerIn = (value, min, max) => Number.isInteger(value) && min <= value && value <= max;
  const isText = (value) => typeof value === "string" && value !== "";

  /** Throw a TypeError unless the application's `value` is right. */
  function expect(isRight, expected, value) {
    if (!isRight) throw new TypeError(`${expected}, got ${describe(value)}`);
  }

  function describe(value) {
    if (typeof value === "string") return `"${value}"`;
    try {
      return String(value);
    } catch {
      return Object.prototype.toString.call(value); // {"toString": 1} has no text of its own
    }
  }

  function serializeRequest(method, path, id, data) {
    expect(isText(method), "method must be a non-empty string", method);
    expect(isText(path) && path[0] === "/", 'path must start with "/"', path);
    expect(isObject(data ?? {}), "data must be an object", data);
    return JSON.stringify({ method, path, id, data: data ?? {} });
  }

  function serializeResponse(status, reason, id, data) {
    expect(typeof reason === "string", "reason must be a string", reason);
    expect(isObject(data ?? {}), "data must be an object", data);
    return JSON.stringify({ status, reason, id, data: data ?? {} });
  }

  /**
   * Read an untrusted message. A message with a status is a response. Any other message is a
   * request if it has an id, else a notification. Throws a ProtooError; its data.id is the id of
   * the request that must be answered, if there is one.
   */
  function parseMessage(text) {
    const received = typeof text === "string" ? text.slice(0, 200) : "(binary)";
    let answerTo;
    const check = (isRight, reason) => {
      const data = { received, id: answerTo };
      if (!isRight) throw localError(400, `unreadable message: ${reason}`, { data });
    };
    check(typeof text === "string", "binary");
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      check(false, "not JSON");
    }
    check(isObject(message), "not an object");
    const { status, reason = "", method, sender = null, id } = message;
    const data = message.data ?? {};
    if (status !== undefined) {
      check(isIntegerIn(status, 100, 699), "status must be an integer from 100 to 699");
      check(isIntegerIn(id, 0, MAX_ID), "id of a response must be an integer from 0 to 2^53-1");
      check(typeof reason === "string", "reason must be a string");
      check(isObject(data), "data must be an object");
      return { status, reason, id, data };
    }
    const isId = isIntegerIn(id, 1, MAX_ID);
    check(isId || id === undefined, "id of a request must be an integer from 1 to 2^53-1");
    answerTo = id;
    check(isText(method), "method must be a non-empty string");
    check(isObject(data), "data must be an object");
    const isPeer = isObject(sender) && isText(sender.username) && isText(sender.uuid);
    check(isPeer || sender === null, "sender must have a username and a uuid");
    return { method, data, sender, id };
  }

  // ---- Browser facilities --------------------------------------------------------------------

  function randomId() {
    const [high, low] = crypto.getRandomValues(new Uint32Array(2));
    return (high & 0x1fffff) * 2 ** 32 + low || 1;
  }

  function randomUuid() {
    // Pages on plain http: have no crypto.randomUUID().
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function withStorage(use) {
    try {
      return typeof sessionStorage === "undefined" ? null : use(sessionStorage);
    } catch {
      return null; // storage is blocked by the user, or full; then a reload creates a new device
    }
  }

  function takeUuid(storage) {
    const uuid = storage.getItem(UUID_KEY);
    storage.removeItem(UUID_KEY);
    return uuid;
  }

  // A browser that duplicates a tab copies its sessionStorage. So the uuid must not be stored there
  // while this page lives: the copied tab would replace this one on the server ("online
  // elsewhere").
  const tabUuid = withStorage(takeUuid) || randomUuid();
  const hasPage = typeof addEventListener === "function";
  if (hasPage) {
    addEventListener("pagehide", () => withStorage((it) => it.setItem(UUID_KEY, tabUuid)));
    addEventListener("pageshow", () => withStorage(takeUuid)); // from the back/forward cache
  }

  function resolveUrl(url, uuid) {
    expect(isText(url), "url must be a ws(s) URL or a path", url);
    const resolved = new URL(url, globalThis.location ? location.href : undefined);
    resolved.protocol = resolved.protocol.replace(/^http/, "ws");
    expect(/^wss?:$/.test(resolved.protocol), "url must be a ws(s) URL or a path", url);
    resolved.hash = "";
    resolved.searchParams.set("uuid", uuid);
    return resolved.href;
  }

  /** Find out by plain HTTP why a handshake failed; browsers hide the status of the handshake. */
  async function probe({ fetch, url }, signal) {
    const options = { cache: "no-store", credentials: "include", redirect: "manual", signal };
    // A handshake names the origin of the page, but a GET to that origin does not. The server must
    // know it, to tell the same as in the handshake. Pages may have forbidden the Referer.
    options.referrerPolicy = "origin";
    const response = await fetch(url.replace(/^ws/, "http"), options);
    const isPlain = /^text\/plain\b/i.test(response.headers.get("Content-Type"));
    const text = isPlain ? (await response.text()).trim().slice(0, 200) : "";
    const { status, statusText } = response;
    const isRefusal = isIntegerIn(status, 400, 499) && !PASSING_STATUSES.includes(status);
    const retryAfter = parseRetryAfter(response.headers.get("Retry-After"));
    return { status, reason: text || statusText || `HTTP ${status}`, isRefusal, retryAfter };
  }

  /** Read a Retry-After header, seconds or a date (RFC 9110, 10.2.3). Returns ms, 0 without one. */
  function parseRetryAfter(value) {
    const text = (value ?? "").trim();
    const delay = /^\d+$/.test(text) ? text * 1000 : Date.parse(text) - Date.now();
    return delay > 0 ? Math.min(delay, MAX_RETRY_AFTER) : 0; // a text that is neither gives NaN
  }

  // ---- Incoming requests ---------------------------------------------------------------------

  /** A request from the server, or from another peer (`sender`). It expects one final reply. */
  class IncomingRequest {
    #id;
    #answer;
    #ended = false;

    constructor({ id, method, data, sender }, answer) {
      this.#id = id;
      this.#answer = answer;
      Object.assign(this, { method, data, sender });
    }

    /** Whether the final reply was given. */
    get ended() {
      return this.#ended;
    }

    /** Send a provisional response (100..199), any number of times before reply(). */
    provisional(status, reason = "", data = {}) {
      expect(isIntegerIn(status, 100, 199), "status must be an integer from 100 to 199", status);
      this.#send(false, serializeResponse(status, reason, this.#id, data));
    }

    /** Send the final response (200..699), once. */
    reply(status, reason = "", data = {}) {
      expect(isIntegerIn(status, 200, 699), "status must be an integer from 200 to 699", status);
      this.#send(true, serializeResponse(status, reason, this.#id, data));
    }

    #send(isFinal, text) {
      if (this.#ended) throw new Error(`"${this.method}" request: the final reply was given`);
      this.#ended = isFinal;
      this.#answer(text, isFinal);
    }
  }

  // ---- Client --------------------------------------------------------------------------------

  /** A peer of the server: this user on this device. The client does nothing before connect(). */
  class Client {
    #options;
    #state = "idle";
    #timer; // the timer of the current state
    #socket = null;
    #probe = null; // AbortController, while a probe runs
    #attempts = 0;
    #opening = null; // {promise, resolve, reject} of connect()
    #listeners = new Map(EVENTS.map((event) => [event, new Map()])); // event -> fn -> isOnce
    #nextId = randomId();
    #transactions = new Map(); // id -> transaction that has not ended
    #queue = new Set(); // the transactions that wait for an open connection, in order
    // Two maps, so that many answered requests cannot push out those still in progress.
    #inProgress = new Map(); // id of an incoming request -> its last provisional response, or ""
    #answered = new Map(); // id of an incoming request -> its final response

    /** @param {object} [options] see protoo.d.ts */
    constructor(options = {}) {
      expect(isObject(options), "options must be an object", options);
      for (const name of Object.keys(options)) {
        expect(OPTIONS.includes(name), `option must be one of ${OPTIONS.join(", ")}`, name);
      }
      const {
        url = "/protoo",
        uuid = tabUuid,
        requestTimeout = 15000,
        reconnect = {},
        repeat = false,
        WebSocket = globalThis.WebSocket,
        fetch = globalThis.fetch,
      } = options;
      expect(isText(uuid), "uuid must be a non-empty string", uuid);
      expect(requestTimeout > 0, "requestTimeout must be milliseconds > 0", requestTimeout);
      expect(typeof repeat === "boolean", "repeat must be true or false", repeat);
      expect(typeof WebSocket === "function", "WebSocket must be a class", WebSocket);
      const { min = 500, max = 30000 } = reconnect;
      const isRange = min >= 0 && min <= max && max <= MAX_TIMER;
      expect(isRange, "reconnect must be false or {min, max} in ms", `${min}..${max}`);
      this.#options = { uuid, requestTimeout, repeat, WebSocket, fetch };
      this.#options.url = resolveUrl(url, uuid);
      this.#options.reconnect = reconnect && { min, max };
    }

    /** "idle", "connecting", "open", "waiting" (it will reconnect) or "closed" (it will not). */
    get state() {
      return this.#state;
    }

    /** The id of this device, unique among the devices of the user. */
    get uuid() {
      return this.#options.uuid;
    }

    /**
     * Connect. In the state "waiting", reconnect now. The promise resolves when the connection is
     * open, after any number of attempts. It rejects with the HTTP status if the server refuses,
     * and with 410 if the client is closed. Both cases also emit an event, so the promise may be
     * ignored.
     */
    connect() {
      if (this.#state === "open") return Promise.resolve();
      if (!this.#opening) {
        const opening = {};
        opening.promise = new Promise((...functions) => {
          [opening.resolve, opening.reject] = functions;
        });
        opening.promise.catch(() => {}); // no warning if ignored: "refused" and "close" report it
        this.#opening = opening;
      }
      const { promise } = this.#opening;
      if (this.#state === "idle" || this.#state === "closed") this.#attempts = 0;
      if (this.#state !== "connecting") this.#open();
      return promise;
    }

    /** Close for good. Pending requests are rejected with 410. connect() starts again. */
    close(code = 1000, reason = "") {
      if (this.#state === "closed") return;
      if (this.#socket) this.#socket.close(code, reason); // throws if code or reason is not allowed
      this.#finish(code, reason, localError(410, "client closed"));
    }

    /**
     * Send a request and wait for its final response.
     *
     * `timeout` is in ms, from this call to the final response. With `repeat`, the request is sent
     * again with the same id if the connection is lost before the response arrives. A server
     * without a grace period then handles the request twice. `repeat` defaults to the option of
     * the client. The promise resolves with a 2xx response. It rejects with a ProtooError for a
     * response of 300..699. Local errors are 408 timeout, 410 connection lost or client closed,
     * 487 aborted by `signal`, 503 queue full.
     *
     * @example const { data } = await client.request("message", "/users/bob", { text: "hi" });
     */
    async request(method, path, data = {}, options = {}) {
      const { onProvisional, signal, repeat = this.#options.repeat } = options;
      const { timeout = this.#options.requestTimeout } = options;
      expect(timeout > 0, "timeout must be milliseconds > 0", timeout);
      const id = this.#takeId();
      const text = serializeRequest(method, path, id, data);
      return new Promise((resolve, reject) => {
        this.#begin({ id, text, repeat, onProvisional, timeout, signal, resolve, reject });
      });
    }

    /**
     * Send a notification: a request without an answer. Without an open connection it waits, at
     * most requestTimeout. If it could not be sent, an "error" event reports that. Throws
     * a ProtooError: 410 when the client is closed, 503 when the queue is full.
     */
    notify(method, path, data = {}) {
      const text = serializeRequest(method, path, undefined, data);
      const reject = ({ status, reason }) => {
        const why = `notification "${method}" not sent: ${reason}`;
        this.#emitError(localError(status, why, { data: { method, path } }));
      };
      const timeout = this.#options.requestTimeout;
      this.#begin({ id: this.#takeId(), text, isNotification: true, timeout, reject });
    }

    /** Call `fn` at every `event`. Returns a function that removes the listener. */
    on(event, fn) {
      return this.#listen(event, fn, false);
    }

    /** Call `fn` at the next `event` only. Returns a function that removes the listener. */
    once(event, fn) {
      return this.#listen(event, fn, true);
    }

    /** Remove the listener `fn` of `event`. */
    off(event, fn) {
      this.#listenersOf(event).delete(fn);
    }

    // -- events --

    #listenersOf(event) {
      const listeners = this.#listeners.get(event);
      expect(listeners, `event must be one of ${EVENTS.join(", ")}`, event);
      return listeners;
    }

    #listen(event, fn, isOnce) {
      expect(typeof fn === "function", "listener must be a function", fn);
      this.#listenersOf(event).set(fn, isOnce);
      return () => this.off(event, fn);
    }

    #emit(event, payload, { ifUnheard = () => {}, ifFailed = () => {} } = {}) {
      queueMicrotask(() => {
        const listeners = this.#listeners.get(event);
        if (listeners.size === 0) ifUnheard();
        for (const [fn, isOnce] of [...listeners]) {
          if (!listeners.has(fn)) continue; // an earlier listener of this event has removed it
          if (isOnce) listeners.delete(fn);
          this.#call(fn, payload, `"${event}" listener`, ifFailed);
        }
      });
    }

    #emitError(error) {
      this.#emit("error", error, { ifUnheard: () => console.error("protoo:", error) });
    }

    /** Call a function of the application, and report it if it throws or its promise rejects. */
    #call(fn, argument, name, ifFailed = () => {}) {
      new Promise((resolve) => resolve(fn(argument))).catch((cause) => {
        console.error(`protoo: ${name} failed:`, cause);
        ifFailed();
        if (name === '"error" listener') return; // else its own failures would loop for ever
        this.#emit("error", localError(500, `${name} failed: ${cause}`, { cause }));
      });
    }

    // -- connection --

    #enter(state, delay, onTimer) {
      const previous = this.#state;
      if (!NEXT_STATES[previous].includes(state)) throw new Error(`${previous} to ${state}`);
      this.#state = state;
      this.#setTimer(delay, onTimer);
      if (this.#probe) this.#probe.abort();
      this.#probe = null;
      if (previous === "idle" || previous === "closed") this.#watchPage("addEventListener");
      if (state === "closed") this.#watchPage("removeEventListener");
      this.#emit("state", { state, previous });
    }

    #setTimer(delay, onTimer) {
      clearTimeout(this.#timer);
      this.#timer = onTimer && setTimeout(onTimer, delay);
    }

    #watchPage(addOrRemove) {
      if (!hasPage) return;
      globalThis[addOrRemove]("offline", this.#onOffline);
      for (const type of ["online", "pageshow"]) globalThis[addOrRemove](type, this.#onPageBack);
      if (globalThis.document) document[addOrRemove]("visibilitychange", this.#onPageBack);
    }

    #onPageBack = ({ type }) => {
      if (type === "visibilitychange" && document.visibilityState !== "visible") return;
      if (this.#state === "waiting") this.#open();
    };

    #onOffline = () => {
      const isConnected = this.#state === "connecting" || this.#state === "open";
      if (isConnected) this.#giveUp("the browser is offline");
    };

    #open() {
      let socket;
      try {
        socket = new this.#options.WebSocket(this.#options.url, "protoo");
      } catch (cause) {
        // For example, a ws: URL on an https: page. The next attempt would fail as well.
        this.#finish(1006, String(cause), localError(410, `cannot connect: ${cause}`, { cause }));
        return;
      }
      // Events of a socket after its close() are ignored: another socket may have replaced it.
      const ifCurrent = (fn) => (event) => this.#socket === socket && fn(event);
      socket.onopen = ifCurrent(() => this.#opened());
      socket.onmessage = ifCurrent(({ data }) => this.#receive(data));
      socket.onclose = ifCurrent(({ code, reason }) => {
        this.#socket = null;
        if (this.#state === "open") this.#lose(code, reason);
        else this.#explain();
      });
      socket.onerror = () => {}; // the event has no details, and "close" follows
      this.#socket = socket;
      this.#enter("connecting", HANDSHAKE_TIMEOUT, () => socket.close(GIVEN_UP));
    }

    #opened() {
      this.#enter("open", STABLE_AFTER, () => {
        this.#attempts = 0;
      });
      if (this.#opening) this.#opening.resolve();
      this.#opening = null;
      this.#emit("open", {}); // the listeners run after the flush, which may lose the connection
      this.#flush();
    }

    async #explain() {
      const controller = new AbortController();
      this.#probe = controller;
      this.#setTimer(PROBE_TIMEOUT, () => controller.abort());
      let answer = null;
      try {
        answer = await probe(this.#options, controller.signal);
      } catch {
        // There is no network, or the answer is of another origin and may not be read. The reason
        // stays unknown.
      }
      if (this.#probe !== controller) return; // close() was called in the meantime
      if (!answer) this.#lose(1006, "handshake failed");
      else if (answer.isRefusal) this.#refuse(answer);
      else this.#lose(1006, `handshake failed, HTTP ${answer.status}`, answer.retryAfter);
    }

    #refuse({ status, reason }) {
      this.#emit("refused", { status, reason });
      this.#finish(1006, `refused: ${status} ${reason}`, new ProtooError(status, reason));
    }

    /** Abandon the socket at once: its own "close" event may take minutes. */
    #giveUp(reason) {
      const socket = this.#socket; // null during a probe
      this.#socket = null;
      if (socket) socket.close(GIVEN_UP);
      this.#lose(1006, reason);
    }

    /** @param {number} retryAfter ms: the server has said not to come back earlier */
    #lose(code, reason, retryAfter = 0) {
      const error = localError(410, `connection lost (${reason ? `${code} ${reason}` : code})`);
      if (!this.#options.reconnect || FINAL_CLOSE_CODES.includes(code)) {
        this.#finish(code, reason, error);
        return;
      }
      for (const transaction of this.#transactions.values()) {
        const wasWaiting = this.#queue.delete(transaction); // keeps the requests in order
        // One of the sent requests was too big. Repeating it would end the next connection too.
        const isRepeated = transaction.repeat && code !== TOO_BIG;
        if (wasWaiting || isRepeated) this.#queue.add(transaction);
        else this.#end(transaction).reject(error);
      }
      const { min, max } = this.#options.reconnect;
      // Random also after a time that the server has set for all of its clients.
      const most = Math.min(max, min * 2 ** Math.min(this.#attempts, MAX_DOUBLINGS));
      const delay = Math.min(retryAfter + Math.round(Math.random() * most), MAX_TIMER);
      this.#attempts += 1;
      this.#enter("waiting", delay, () => this.#open());
      this.#emit("close", { code, reason, willReconnect: true, delay });
      this.#emit("reconnecting", { attempt: this.#attempts, delay });
    }

    #finish(code, reason, error) {
      this.#socket = null;
      const lost = error.isLocal ? error : localError(410, `connection refused (${error.message})`);
      for (const transaction of this.#transactions.values()) this.#end(transaction).reject(lost);
      this.#enter("closed");
      if (this.#opening) this.#opening.reject(error);
      this.#opening = null;
      this.#emit("close", { code, reason, willReconnect: false, delay: null });
    }

    // -- outgoing: transactions --

    #takeId() {
      const id = this.#nextId;
      this.#nextId = id < MAX_ID ? id + 1 : 1;
      return id;
    }

    #begin(transaction) {
      const { id, timeout, signal } = transaction;
      const fail = (status, reason, cause) =>
        this.#end(transaction).reject(localError(status, reason, { cause }));
      const onAbort = () => fail(487, "aborted", signal.reason);
      if (signal && signal.aborted) throw localError(487, "aborted", { cause: signal.reason });
      if (this.#state === "closed") throw localError(410, "client closed");
      if (this.#queue.size >= MAX_QUEUE) throw localError(503, `${MAX_QUEUE} are waiting already`);
      if (signal) signal.addEventListener("abort", onAbort);
      transaction.unlisten = () => signal && signal.removeEventListener("abort", onAbort);
      if (timeout <= MAX_TIMER) {
        transaction.timer = setTimeout(() => fail(408, `nothing within ${timeout} ms`), timeout);
      }
      this.#transactions.set(id, transaction);
      this.#queue.add(transaction);
      this.#flush();
    }

    #end(transaction) {
      clearTimeout(transaction.timer);
      transaction.unlisten();
      this.#queue.delete(transaction);
      this.#transactions.delete(transaction.id);
      return transaction;
    }

    #flush() {
      for (const transaction of this.#queue) {
        if (!this.#send(transaction.text)) return;
        this.#queue.delete(transaction);
        if (transaction.isNotification) this.#end(transaction);
      }
    }

    #send(text) {
      // A closing socket accepts messages and drops them.
      if (this.#state !== "open" || this.#socket.readyState !== 1) return false;
      try {
        this.#socket.send(text);
        return true;
      } catch (cause) {
        this.#giveUp(`cannot send: ${cause}`);
        return false;
      }
    }

    // -- incoming --

    #receive(text) {
      let message;
      try {
        message = parseMessage(text);
      } catch (error) {
        const { id } = error.data;
        if (id) this.#send(serializeResponse(400, error.reason, id));
        this.#emitError(error);
        return;
      }
      const { method, data, sender } = message;
      if (message.status !== undefined) this.#receiveResponse(message);
      else if (message.id !== undefined) this.#receiveRequest(message);
      else this.#emit("notification", { method, data, sender });
    }

    #receiveResponse({ id, status, reason, data }) {
      // Without a transaction the response is late: the request has timed out or was aborted.
      const transaction = this.#transactions.get(id);
      if (id === 0) {
        this.#emitError(new ProtooError(status, reason, data)); // our message was unreadable
      } else if (transaction && status < 200) {
        const { onProvisional } = transaction;
        if (onProvisional) this.#call(onProvisional, { status, reason, data }, "onProvisional");
      } else if (transaction && status < 300) {
        this.#end(transaction).resolve({ status, reason, data });
      } else if (transaction) {
        this.#end(transaction).reject(new ProtooError(status, reason, data));
      }
    }

    #receiveRequest(message) {
      const { id } = message;
      const latest = this.#answered.get(id) ?? this.#inProgress.get(id);
      if (latest !== undefined) {
        // After a reconnection the server repeats requests without a final response. Our latest
        // response may be lost, so it is sent again, also a provisional one (RFC 3261, 17.2.1).
        // If there is no response yet, the later one goes over the new connection.
        if (latest) this.#send(latest);
        return;
      }
      const inProgress = this.#inProgress.set(id, "");
      if (inProgress.size > MAX_IN_PROGRESS) inProgress.delete(inProgress.keys().next().value);
      const req = new IncomingRequest(message, (text, isFinal) => {
        if (isFinal) this.#remember(id, text);
        else inProgress.set(id, text);
        this.#send(text); // if it cannot be sent now, the server will repeat the request
      });
      const conclude = (status, reason) => () => req.ended || req.reply(status, reason);
      this.#emit("request", req, {
        ifUnheard: conclude(404, "no listener for requests"),
        ifFailed: conclude(500, "listener failed"),
      });
    }

    #remember(id, response) {
      this.#inProgress.delete(id);
      this.#answered.set(id, response);
      let length = 0;
      for (const text of this.#answered.values()) length += text.length;
      for (const [oldest, text] of this.#answered) {
        const isTooMuch = this.#answered.size > MAX_ANSWERED || length > MAX_ANSWERED_LENGTH;
        if (!isTooMuch || oldest === id) return;
        this.#answered.delete(oldest);
        length -= text.length;
      }
    }
  }

  globalThis.protoo = Object.freeze({ Client, ProtooError });
})();

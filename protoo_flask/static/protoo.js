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
 *   connecting  handshake, probe     the socket opens, and the server has      open
 *                                      confirmed the user (2)
 *                                    the handshake fails; the probe's HTTP     closed
 *                                      answer is a refusal
 *                                    the server names another user             closed
 *                                    the handshake fails otherwise             waiting (1)
 *                                    the browser goes offline                  waiting (1)
 *                                    the page is hidden for good, or cached    waiting (1)
 *   open        reset the attempts   the socket closes with 1000, 3000, 3001   closed
 *                                    the server names another user             closed
 *                                    the socket closes with another code       waiting (1)
 *                                    the browser goes offline; send() throws   waiting (1)
 *                                    the socket is dead: a ping gets no answer waiting (1)
 *                                    the page is hidden for good, or cached    waiting (1)
 *   waiting     backoff, or none     the timer fires; connect();               connecting
 *               without a page         the page is back (3)
 *   closed      -                    connect()                                 connecting
 *   (each)                           close()                                   closed
 *   (1) closed if the option `reconnect` is false
 *   (2) only when the user is known, by the option `username` or from an earlier connection
 *   (3) not before the time for which the server has asked (Retry-After, or a close reason)
 *
 * While open, a Watch looks for dead sockets. It has a timer of its own.
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
    "open", "close", "reconnecting", "deferred", "refused", "leave", "state", "request",
    "notification", "error",
  ];
  const OPTIONS = [
    "url", "uuid", "username", "requestTimeout", "reconnect", "repeat", "WebSocket", "fetch",
  ];
  const FINAL_CLOSE_CODES = [1000, 3000, 3001]; // normal, online elsewhere, no longer authorized
  // Going away, service restart, try again later. Their reason may tell when to come back.
  const BRIEF_CLOSE_CODES = [1001, 1012, 1013];
  // Sent when the client abandons a socket. With 1000 or without a code the server would treat the
  // close as intended and give no grace period.
  const GIVEN_UP = 3002;
  // Sent when the page is gone. It was closed, or it will be loaded again: not all browsers tell.
  // The server waits for it as long as a reload takes.
  const PAGE_GONE = 3003;
  const NAVIGATION_TIME = 10000; // ms; a longer one was probably a download, or was given up
  const TOO_BIG = 1009;
  const VERDICT = "Protoo-Handshake"; // the header that marks the answers of the server's route
  const UPGRADE_REQUIRED = 426; // a handshake is welcome; also said by old servers without the mark
  const ANY_REDIRECT = 302; // scripts learn that there is a redirect, but not which
  const OTHER_USER = 409;
  const HANDSHAKE_TIMEOUT = 20000; // browsers may wait minutes for a network that vanished
  const PROBE_TIMEOUT = 10000;
  const STABLE_AFTER = 5000; // a server that accepts and drops at once must not reset the backoff
  // Of a dead socket the browser learns after minutes, if at all. So a ping asks the server after a
  // sign of trouble, and the socket is given up if nothing comes. All in ms.
  const SILENCE = 4000; // nothing has come since a message was sent
  const LONG_SILENCE = 25000; // the same, when an earlier ping was answered
  const PATIENCE_AWAKE = 5000; // for the answer, after the computer, network or page has changed
  const PATIENCE = 6000; // for the answer after a silence: the server may be busy
  // A long request holds up the ping behind it, and the browser does not tell how much of it has
  // left the computer. A mobile link sends so many characters a second at least.
  const SLOW_LINK = 20000;
  const UPLOAD_PATIENCE = 60000;
  const MAX_IMPATIENCE = 8; // after vain reconnections, for slow links: so much more patience
  const LATE = 1000; // a timer that is so late was throttled, and the answer may be there already
  const MAX_QUEUE = 1000;
  // Limits for remembered incoming requests. The server repeats a request only within its timeout,
  // by default 10 s, so 500 answers cover 50 requests a second. 1 Mi characters are also the
  // server's limit for data that waits for one peer. Few requests are in progress at a time,
  // except in a page that never replies.
  const MAX_ANSWERED = 500;
  const MAX_ANSWERED_LENGTH = 2 ** 20;
  const MAX_IN_PROGRESS = 10000;
  const MAX_RETRY_AFTER = 60 * 60 * 1000; // nobody waits longer in front of a page
  const MAX_CLOSE_HINT = 60 * 1000; // a server that restarts is back by then
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

    /** ms after which a limit that has refused the request (429, 503) may let it pass; 0: unknown. */
    get retryAfter() {
      const { retryAfter } = this.data ?? {};
      const isKnown = [429, 503].includes(this.status) && retryAfter > 0;
      if (!isKnown || typeof retryAfter !== "number") return 0;
      return Math.min(Math.ceil(retryAfter * 1000), MAX_RETRY_AFTER);
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

  /** Whether a message tells this client who it is: see "The welcome" in docs/wire-protocol.md. */
  function isWelcome({ method, id, sender, data }) {
    return method === "welcome" && id === undefined && sender === null && isText(data.username);
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

  // The server has the scripts below its route, so their URL tells the URL of the route.
  let route = null;

  /** Take note of the URL of this script, or of the module that imports it. */
  function noteScript(script) {
    // The route is never at the root of a host.
    const found = /^(https?:\/\/[^/?#]+\/[^?#]+)\/protoo\.m?js(?:[?#]|$)/i.exec(script);
    if (found) route ??= found[1];
  }

  if (globalThis.document && document.currentScript) noteScript(document.currentScript.src);

  function resolveUrl(url, uuid, username) {
    expect(isText(url), "url must be a ws(s) URL or a path", url);
    const resolved = new URL(url, globalThis.location ? location.href : undefined);
    resolved.protocol = resolved.protocol.replace(/^http/, "ws");
    expect(/^wss?:$/.test(resolved.protocol), "url must be a ws(s) URL or a path", url);
    resolved.hash = "";
    const { searchParams } = resolved;
    searchParams.set("uuid", uuid);
    // The page may ask for the welcome itself; then it gets it as a notification, too.
    const asked = searchParams.get("welcome");
    const isWelcomed = asked !== "0" || username !== null;
    if (asked === null || (asked === "0" && isWelcomed)) searchParams.set("welcome", "1");
    return { url: resolved.href, isWelcomed, showsWelcome: asked !== null && asked !== "0" };
  }

  /** Find out by plain HTTP why a handshake failed; browsers hide the status of the handshake. */
  async function probe({ fetch, url }, signal) {
    const options = { cache: "no-store", credentials: "include", redirect: "manual", signal };
    // A handshake names the origin of the page, but a GET to that origin does not. The server must
    // know it, to tell the same as in the handshake. Pages may have forbidden the Referer.
    options.referrerPolicy = "origin";
    const response = await fetch(url.replace(/^ws/, "http"), options);
    const isRedirect = response.type === "opaqueredirect" || isIntegerIn(response.status, 300, 399);
    if (isRedirect) {
      const target = response.headers.get("Location"); // null in browsers
      const reason = target ? `redirected to ${target.slice(0, 200)}` : "redirected";
      return { status: response.status || ANY_REDIRECT, reason, isRefusal: true };
    }
    const isPlain = /^text\/plain\b/i.test(response.headers.get("Content-Type"));
    const text = isPlain ? (await response.text()).trim().slice(0, 200) : "";
    const { status, statusText } = response;
    // An answer without the mark comes from a proxy, while the server restarts.
    const verdict = response.headers.get(VERDICT);
    const { headers } = response;
    const retryAfter = parseRetryAfter(headers.get("Retry-After"), headers.get("Date"));
    return {
      status,
      reason: text || statusText || `HTTP ${status}`,
      isRefusal: verdict === "refused",
      isWelcome: verdict === "welcome" || status === UPGRADE_REQUIRED,
      retryAfter,
    };
  }

  /**
   * Read a Retry-After header, seconds or a date (RFC 9110, 10.2.3). A date is one of the clock
   * that has written the header Date; this computer's may be wrong. Returns ms, 0 without one.
   */
  function parseRetryAfter(value, date) {
    const text = (value ?? "").trim();
    const now = Date.parse(date ?? "") || Date.now(); // NaN without a readable date
    const delay = /^\d+$/.test(text) ? text * 1000 : Date.parse(text) - now;
    return delay > 0 ? Math.min(delay, MAX_RETRY_AFTER) : 0; // a text that is neither gives NaN
  }

  /**
   * Read the time after which a server that closes the connection wants this client back, from
   * a close reason like "shutting down; retry-after=2.35". Returns ms, 0 without one. See "Close
   * reasons with a hint for clients" in docs/wire-protocol.md.
   */
  function parseCloseHint(code, reason) {
    const found = /(?:^|;) ?retry-after=(\d+(?:\.\d+)?)(?:;|$)/.exec(reason);
    if (!found || !BRIEF_CLOSE_CODES.includes(code)) return 0;
    return Math.min(Math.round(found[1] * 1000), MAX_CLOSE_HINT);
  }

  // ---- Incoming requests ---------------------------------------------------------------------

  /** A request from the server, or from another peer (`sender`). It expects one final reply. */
  class IncomingRequest {
    #id;
    #answer;
    #complain;
    #ended = false;

    constructor({ id, method, data, sender }, answer, complain) {
      this.#id = id;
      this.#answer = answer;
      this.#complain = complain;
      Object.assign(this, { method, data, sender });
    }

    /** Whether the final reply was given. */
    get ended() {
      return this.#ended;
    }

    /**
     * Send a provisional response (100..199), any number of times before reply(). Returns false,
     * and sends nothing, after reply().
     */
    provisional(status, reason = "", data = {}) {
      expect(isIntegerIn(status, 100, 199), "status must be an integer from 100 to 199", status);
      return this.#send(false, serializeResponse(status, reason, this.#id, data));
    }

    /**
     * Send the final response (200..699). Returns whether it was the first one. A second one, of
     * another listener, is not sent; an "error" event reports it. It does not throw: the reply is
     * often given where nobody catches errors.
     */
    reply(status, reason = "", data = {}) {
      expect(isIntegerIn(status, 200, 699), "status must be an integer from 200 to 699", status);
      return this.#send(true, serializeResponse(status, reason, this.#id, data));
    }

    #send(isFinal, text) {
      if (this.#ended) {
        this.#complain(`"${this.method}" request: the final reply was given before`);
        return false;
      }
      this.#ended = isFinal;
      this.#answer(text, isFinal);
      return true;
    }
  }

  // ---- Dead sockets --------------------------------------------------------------------------

  /**
   * Looks for signs of life of one open socket.
   *
   *   mode       until                event                                        next mode
   *   ---------  -------------------  -------------------------------------------  ---------
   *   off        -                    a message is sent                            listening
   *   listening  SILENCE, or          something comes; all requests are answered   off
   *                LONG_SILENCE       the time is over; something has come         listening
   *                                   the time is over; nothing has come           asking
   *   asking     its patience         something comes; all requests are answered   off
   *                                   something comes otherwise                    listening
   *                                   the time is over: the socket is dead         off
   *   (off, listening)                doubt()                                      asking
   *
   * No timer runs in an idle page. Browsers throttle the timers of tabs in the background, so
   * a timer may be late, and nothing relies on a period.
   */
  class Watch {
    #world;
    #mode = "off";
    #timer;
    #delay = 0;
    #due = 0;
    #hasHeard = false;
    #buffered = 0;
    #wasLate = false;
    #impatience = 1;

    /**
     * @param {object} world functions: ask() sends a ping; isWaiting(): whether sent requests have
     *   no answer; length(): the characters of these; buffered(): bytes that the browser has not
     *   sent; die() is called at the end
     */
    constructor(world) {
      this.#world = world;
    }

    stop() {
      clearTimeout(this.#timer);
      this.#mode = "off";
    }

    noteSent() {
      const isListening = this.#mode === "listening" && this.#delay === SILENCE;
      if (!isListening && this.#mode !== "asking") this.#listen(SILENCE);
    }

    noteReceived() {
      this.#hasHeard = true;
    }

    /** Go on after a message that was received has been read: it may be the last answer. */
    noteRead() {
      if (!this.#hasHeard) return; // reading has opened the client, which has sent something
      if (this.#mode === "asking") this.#impatience = 1;
      if (!this.#world.isWaiting()) this.stop();
      else if (this.#mode === "asking") this.#listen(LONG_SILENCE);
    }

    /** Ask the server now, after a sign of trouble. */
    doubt(patience = PATIENCE_AWAKE) {
      if (this.#mode === "asking") return;
      const upload = Math.floor(this.#world.length() / SLOW_LINK) * 1000;
      this.#start("asking", patience * this.#impatience + Math.min(upload, UPLOAD_PATIENCE));
      this.#wasLate = false;
      this.#buffered = this.#world.buffered(); // before the ping, which leaves a dead socket, too
      this.#world.ask();
    }

    #listen(delay) {
      this.#hasHeard = false;
      this.#start("listening", delay);
    }

    #start(mode, delay) {
      clearTimeout(this.#timer);
      this.#mode = mode;
      this.#delay = delay;
      this.#due = performance.now() + delay;
      this.#timer = setTimeout(() => this.#end(), delay);
    }

    #end() {
      if (this.#mode === "asking") this.#judge();
      else if (this.#hasHeard) this.#listen(SILENCE);
      else this.doubt(PATIENCE);
    }

    #judge() {
      const buffered = this.#world.buffered();
      const isSending = buffered < this.#buffered; // a slow link, with the ping behind other data
      const isLate = performance.now() > this.#due + LATE && !this.#wasLate;
      this.#buffered = buffered;
      if (isLate) this.#wasLate = true;
      if (isLate) this.#start("asking", LATE);
      else if (isSending) this.#start("asking", this.#delay);
      else this.#die();
    }

    #die() {
      // A long message on a slow link is silence, too, and comes again over the next connection.
      this.#impatience = Math.min(this.#impatience * 2, MAX_IMPATIENCE);
      this.stop();
      this.#world.die();
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
    #heldUntil = 0; // while waiting: the time (Date.now()) before which the server wants no attempt
    #next = null; // {type, time} of the navigation that replaces this page by one of this site
    #username = null; // as the server has told, or the page
    #uuid = null; // as the server has told
    #isFirst = false; // whether the next message is the first one over this socket
    #listeners = new Map(EVENTS.map((event) => [event, []])); // event -> [{fn, isOnce}]
    #nextId = randomId();
    #transactions = new Map(); // id -> transaction that has not ended
    #queue = new Set(); // the transactions that wait for an open connection, in order
    #putOff = new Set(); // the transactions that a limit has refused, and that are tried again
    // Two maps, so that many answered requests cannot push out those still in progress.
    #inProgress = new Map(); // id of an incoming request -> its last provisional response, or ""
    #answered = new Map(); // id of an incoming request -> its final response
    #watch = new Watch({
      ask: () => this.#send(JSON.stringify({ method: "ping", id: this.#takeId() })),
      isWaiting: () => this.#transactions.size > this.#queue.size,
      length: () => {
        let length = 0;
        for (const it of this.#transactions.values()) {
          if (!this.#queue.has(it)) length += it.text.length;
        }
        return length;
      },
      buffered: () => (this.#socket ? this.#socket.bufferedAmount : 0),
      die: () => this.#state === "open" && this.#giveUp("no sign of life"),
    });

    /** @param {object} [options] see protoo.d.ts */
    constructor(options = {}) {
      expect(isObject(options), "options must be an object", options);
      for (const name of Object.keys(options)) {
        expect(OPTIONS.includes(name), `option must be one of ${OPTIONS.join(", ")}`, name);
      }
      const {
        url = route ?? "/protoo",
        uuid = tabUuid,
        username = null,
        requestTimeout = 15000,
        reconnect = {},
        repeat = false,
        WebSocket = globalThis.WebSocket,
        fetch = globalThis.fetch,
      } = options;
      expect(isText(uuid), "uuid must be a non-empty string", uuid);
      const isName = username === null || isText(username);
      expect(isName, "username must be a non-empty string, or null", username);
      expect(requestTimeout > 0, "requestTimeout must be milliseconds > 0", requestTimeout);
      expect(typeof repeat === "boolean", "repeat must be true or false", repeat);
      expect(typeof WebSocket === "function", "WebSocket must be a class", WebSocket);
      const { min = 500, max = 30000 } = reconnect;
      const isRange = min >= 0 && min <= max && max <= MAX_TIMER;
      expect(isRange, "reconnect must be false or {min, max} in ms", `${min}..${max}`);
      this.#options = { uuid, username, requestTimeout, repeat, WebSocket, fetch };
      Object.assign(this.#options, resolveUrl(url, uuid, username));
      this.#username = username;
      this.#options.reconnect = reconnect && { min, max };
    }

    /** "idle", "connecting", "open", "waiting" (it will reconnect) or "closed" (it will not). */
    get state() {
      return this.#state;
    }

    /** The id of this device, unique among the devices of the user. */
    get uuid() {
      return this.#uuid ?? this.#options.uuid;
    }

    /** The user of this client: the option, or the name that the server has told; null before. */
    get username() {
      return this.#username;
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
     * the client. With `retries`, a request that a limit has refused (429 or 503 with retryAfter) is
     * made again, so many times at most. The promise resolves with a 2xx response. It rejects with a ProtooError for a
     * response of 300..699. Local errors are 408 timeout, 410 connection lost or client closed,
     * 487 aborted by `signal`, 503 queue full.
     *
     * @example const { data } = await client.request("message", "/users/bob", { text: "hi" });
     */
    async request(method, path, data = {}, options = {}) {
      const { onProvisional, signal, repeat = this.#options.repeat } = options;
      const { timeout = this.#options.requestTimeout, retries = 0 } = options;
      expect(timeout > 0, "timeout must be milliseconds > 0", timeout);
      expect(isIntegerIn(retries, 0, MAX_ID), "retries must be an integer from 0", retries);
      const id = this.#takeId();
      const text = serializeRequest(method, path, id, data);
      return new Promise((resolve, reject) => {
        const handlers = { onProvisional, signal, resolve, reject };
        this.#begin({ id, text, repeat, timeout, retries, ...handlers });
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

    /**
     * Call `fn` at every `event`. Returns a function that removes this listener. A function that
     * is added twice is called twice, and is to be removed twice.
     */
    on(event, fn) {
      return this.#listen(event, fn, false);
    }

    /** Call `fn` at the next `event` only. Returns a function that removes the listener. */
    once(event, fn) {
      return this.#listen(event, fn, true);
    }

    /** Remove the listener `fn` of `event`; if it was added several times, the latest one. */
    off(event, fn) {
      const listeners = this.#listenersOf(event);
      this.#drop(listeners, listeners.filter((listener) => listener.fn === fn).pop());
    }

    // -- events --

    #listenersOf(event) {
      const listeners = this.#listeners.get(event);
      expect(listeners, `event must be one of ${EVENTS.join(", ")}`, event);
      return listeners;
    }

    #listen(event, fn, isOnce) {
      expect(typeof fn === "function", "listener must be a function", fn);
      const listeners = this.#listenersOf(event);
      const listener = { fn, isOnce };
      listeners.push(listener);
      return () => this.#drop(listeners, listener);
    }

    #drop(listeners, listener) {
      const index = listeners.indexOf(listener);
      if (index !== -1) listeners.splice(index, 1);
    }

    #emit(event, payload, { ifUnheard = () => {}, ifFailed = () => {} } = {}) {
      queueMicrotask(() => {
        const listeners = this.#listeners.get(event);
        if (listeners.length === 0) ifUnheard();
        for (const listener of [...listeners]) {
          // An earlier listener of this event may have removed it.
          if (!listeners.includes(listener)) continue;
          if (listener.isOnce) this.#drop(listeners, listener);
          this.#call(listener.fn, payload, `"${event}" listener`, ifFailed);
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
      this.#heldUntil = 0;
      this.#watch.stop();
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
      const { document, navigation, navigator = {} } = globalThis;
      const { connection } = navigator; // only in Chromium
      // "pageswap" tells what the user does, too, and only what happens. Browsers without it, as
      // Firefox, may have `navigation`, which tells what the page itself does.
      const hasSwaps = "onpageswap" in globalThis;
      for (const [target, listener, ...types] of [
        [globalThis, this.#onOffline, "offline"],
        [globalThis, this.#onPageBack, "online", "pageshow"],
        [document, this.#onPageBack, "visibilitychange", "resume"],
        [connection, this.#onNetworkChange, "change"],
        [globalThis, this.#onPageGone, "pagehide"],
        [document, this.#onPageGone, "freeze"],
        [globalThis, this.#onPageSwap, "pageswap"],
        [hasSwaps ? null : navigation, this.#onNavigate, "navigate"],
      ]) {
        if (target) for (const type of types) target[addOrRemove](type, listener);
      }
    }

    /** The page, the network or the computer is back: a sign that the socket may be dead. */
    #onPageBack = ({ type }) => {
      if (type === "visibilitychange" && document.visibilityState !== "visible") return;
      if (type === "pageshow") this.#next = null;
      if (this.#state === "open") this.#watch.doubt();
      if (this.#state === "connecting") this.#attempts = 0; // this one may be failing just now
      // Not performance.now(), which may stand still while the computer sleeps.
      if (this.#state === "waiting" && Date.now() >= this.#heldUntil) this.#open();
    };

    #onNetworkChange = () => {
      if (this.#state === "open") this.#watch.doubt();
    };

    #onOffline = () => {
      if (this.#isConnected) this.#giveUp("the browser is offline");
    };

    /**
     * The page goes into the back/forward cache, is frozen, or is gone. In the cache no script
     * runs, but the browser would keep the socket, and answer pings. The page would be online
     * and answer no request.
     */
    #onPageGone = ({ type, persisted = type === "freeze" }) => {
      if (!this.#isConnected) return;
      const { type: how = null, time = 0 } = this.#next ?? {};
      const isMovingOn = how !== null && performance.now() - time < NAVIGATION_TIME;
      this.#emit("leave", { persisted, isReload: isMovingOn && how === "reload" });
      // In a microtask behind the listeners, which may send something. It still runs in the page.
      queueMicrotask(() => {
        const code = persisted || isMovingOn ? GIVEN_UP : PAGE_GONE;
        if (this.#isConnected) this.#giveUp("the page is hidden", { code, isAway: true });
      });
    };

    /** Another page replaces this one; `activation` is null if it is one of another site. */
    #onPageSwap = ({ activation }) => this.#moveOn(activation && activation.navigationType);

    #onNavigate = ({ destination, navigationType = "push", downloadRequest = null }) => {
      if (destination.sameDocument || downloadRequest !== null) return;
      const isOfSite = new URL(destination.url).origin === location.origin;
      this.#moveOn(isOfSite ? navigationType : null);
    };

    #moveOn(type) {
      this.#next = type && { type, time: performance.now() };
    }

    get #isConnected() {
      return this.#state === "connecting" || this.#state === "open";
    }

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
      socket.onopen = ifCurrent(() => {
        // If the user is known, nothing is sent before the server has confirmed it: the browser may
        // have logged in as another user meanwhile.
        if (this.#username === null || !this.#options.isWelcomed) this.#opened();
      });
      socket.onmessage = ifCurrent(({ data }) => this.#receive(data));
      socket.onclose = ifCurrent(({ code, reason }) => {
        this.#socket = null;
        const retryAfter = parseCloseHint(code, reason);
        // A server may go away between its 101 and its welcome. The hint says all.
        if (this.#state === "open" || retryAfter > 0) this.#lose(code, reason, { retryAfter });
        else this.#explain();
      });
      socket.onerror = () => {}; // the event has no details, and "close" follows
      this.#socket = socket;
      this.#isFirst = true;
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
      else this.#defer(answer);
    }

    #refuse({ status, reason }) {
      this.#emit("refused", { status, reason });
      this.#finish(1006, `refused: ${status} ${reason}`, new ProtooError(status, reason));
    }

    #defer({ status, reason, isWelcome, retryAfter }) {
      if (!isWelcome) this.#emit("deferred", { status, reason, retryAfter });
      this.#lose(1006, `handshake failed, HTTP ${status}`, { retryAfter });
    }

    /** Abandon the socket at once: its own "close" event may take minutes. */
    #giveUp(reason, { code = GIVEN_UP, isAway = false } = {}) {
      const socket = this.#socket; // null during a probe
      this.#socket = null;
      if (socket) socket.close(code);
      this.#lose(1006, reason, { isAway });
    }

    /**
     * @param {object} [options]
     * @param {number} [options.retryAfter] ms: the server has said not to come back earlier
     * @param {boolean} [options.isAway] there is no page: nothing happens before it is back
     */
    #lose(code, reason, { retryAfter = 0, isAway = false } = {}) {
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
      if (isAway) {
        this.#enter("waiting");
        this.#emit("close", { code, reason, willReconnect: true, delay: 0 });
        return;
      }
      const { min, max } = this.#options.reconnect;
      // Random also after a time that the server has set for all of its clients.
      const most = Math.min(max, min * 2 ** Math.min(this.#attempts, MAX_DOUBLINGS));
      const delay = Math.min(retryAfter + Math.round(Math.random() * most), MAX_TIMER);
      this.#attempts += 1;
      this.#enter("waiting", delay, () => this.#open());
      if (retryAfter > 0) this.#heldUntil = Date.now() + retryAfter;
      this.#emit("close", { code, reason, willReconnect: true, delay });
      this.#emit("reconnecting", { attempt: this.#attempts, delay, retryAfter });
    }

    #finish(code, reason, error) {
      this.#socket = null;
      const isRefusal = !error.isLocal || error.status === OTHER_USER;
      const lost = isRefusal ? localError(410, `connection refused (${error.message})`) : error;
      const pending = [...this.#transactions.values(), ...this.#putOff];
      for (const transaction of pending) this.#end(transaction).reject(lost);
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
        transaction.timer = setTimeout(() => {
          if (this.#state === "open") this.#watch.doubt();
          fail(408, `nothing within ${timeout} ms`);
        }, timeout);
      }
      transaction.due = performance.now() + timeout;
      this.#transactions.set(id, transaction);
      this.#queue.add(transaction);
      this.#flush();
    }

    /** Whether a refused transaction is tried again, later and with another id. */
    #isPutOff(transaction, { retryAfter }) {
      // Random, or requests that were refused together would all but one be refused again.
      const delay = retryAfter * (1 + Math.random());
      const isInTime = performance.now() + delay < transaction.due;
      if (retryAfter === 0 || transaction.retries === 0 || !isInTime) return false;
      this.#transactions.delete(transaction.id);
      this.#putOff.add(transaction);
      transaction.retries -= 1;
      transaction.pause = setTimeout(() => {
        const id = this.#takeId(); // to the old one, the server has given its answer
        transaction.id = id;
        transaction.text = JSON.stringify({ ...JSON.parse(transaction.text), id });
        this.#putOff.delete(transaction);
        this.#transactions.set(id, transaction);
        this.#queue.add(transaction);
        this.#flush();
      }, delay);
      return true;
    }

    #end(transaction) {
      clearTimeout(transaction.timer);
      clearTimeout(transaction.pause);
      transaction.unlisten();
      this.#putOff.delete(transaction);
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
        this.#watch.noteSent();
        return true;
      } catch (cause) {
        this.#giveUp(`cannot send: ${cause}`);
        return false;
      }
    }

    // -- incoming --

    #receive(text) {
      this.#watch.noteReceived();
      this.#read(text);
      this.#watch.noteRead();
    }

    #read(text) {
      const isFirst = this.#isFirst;
      this.#isFirst = false;
      let message;
      try {
        message = parseMessage(text);
      } catch (error) {
        if (this.#state === "connecting") this.#opened();
        const { id } = error.data;
        if (id) this.#send(serializeResponse(400, error.reason, id));
        this.#emitError(error);
        return;
      }
      const { method, data, sender } = message;
      if (isFirst && this.#options.isWelcomed && isWelcome(message)) {
        if (!this.#meet(data)) return;
        if (!this.#options.showsWelcome) return;
      } else if (this.#state === "connecting") {
        this.#opened(); // this server does not welcome its clients
      }
      if (message.status !== undefined) this.#receiveResponse(message);
      else if (message.id !== undefined) this.#receiveRequest(message);
      else this.#emit("notification", { method, data, sender });
    }

    /** Take the welcome of the server. Returns false if it is for another user. */
    #meet({ username, uuid }) {
      if (this.#username !== null && this.#username !== username) {
        this.#refuseUser(username);
        return false;
      }
      this.#username = username;
      if (isText(uuid)) this.#uuid = uuid;
      if (this.#state === "connecting") this.#opened();
      return true;
    }

    /** The browser has logged in as another user: nothing of this one is for the other. */
    #refuseUser(username) {
      const reason = `the browser is logged in as "${username}", not as "${this.#username}"`;
      this.#inProgress = new Map();
      this.#answered = new Map();
      this.#uuid = null;
      // The page is told once. If it connects again, it means the new user, unless it has said
      // which one it is for.
      this.#username = this.#options.username;
      this.#socket.close(1000);
      this.#emit("refused", { status: OTHER_USER, reason, username });
      this.#finish(1006, `refused: ${OTHER_USER} ${reason}`, localError(OTHER_USER, reason));
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
        const error = new ProtooError(status, reason, data);
        if (!this.#isPutOff(transaction, error)) this.#end(transaction).reject(error);
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
      const answer = (text, isFinal) => {
        if (this.#inProgress !== inProgress) return; // it was a request to another user
        if (isFinal) this.#remember(id, text);
        else inProgress.set(id, text);
        this.#send(text); // if it cannot be sent now, the server will repeat the request
      };
      const complain = (reason) => this.#emitError(localError(409, reason));
      const req = new IncomingRequest(message, answer, complain);
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

  // For protoo.mjs, which knows its URL. A classic script cannot read import.meta.
  Client[Symbol.for("protoo.script")] = noteScript;
  globalThis.protoo = Object.freeze({ Client, ProtooError });
})();

/**
 * Types of the browser client of protoo_flask. They are for the module protoo.mjs, and for the
 * global `protoo` that the classic script protoo.js defines.
 */
export as namespace protoo;

/** The `data` of a message: a JSON object. */
export type Data = Record<string, any>;

/** "waiting": the client will reconnect by itself. "closed": it will not. */
export type State = "idle" | "connecting" | "open" | "waiting" | "closed";

export interface ClientOptions {
  /**
   * ws(s) URL, or a path on this site. Default: the route that has served the script, or "/protoo"
   * for a script of another name.
   */
  url?: string;
  /** The id of this device. Default: one per tab, which survives a reload. */
  uuid?: string;
  /**
   * The user that the page is for. Nothing is sent before the server has confirmed it; for another
   * user the client is "refused" with 409. Default null: the user of the first connection.
   */
  username?: string | null;
  /** ms. Default 15000. */
  requestTimeout?: number;
  /**
   * Delays in ms. Before the attempt n = 0, 1... the client waits a random time between 0 and
   * min(max, min * 2 ** n). false: never reconnect. Default {min: 500, max: 30000}.
   */
  reconnect?: false | { min?: number; max?: number };
  /** Default for requests without their own `repeat`. Use true if the server has a grace period. */
  repeat?: boolean;
  /** For tests, and for runtimes without WebSocket. */
  WebSocket?: new (url: string, protocol: string) => any;
  /** For tests. */
  fetch?: (url: string, options: RequestInit) => Promise<globalThis.Response>;
}

export interface Response<T = Data> {
  status: number;
  reason: string;
  data: T;
}

export interface RequestOptions {
  /** Called with every provisional response (100..199). */
  onProvisional?: (response: Response) => unknown;
  /** ms from the call to the final response, including the time in the queue. */
  timeout?: number;
  /** Aborting it rejects the promise with the status 487. */
  signal?: AbortSignal;
  /**
   * true: send the request again, with the same id, if the connection is lost before the final
   * response. false: reject it with 410 then. Default: the option of the client.
   */
  repeat?: boolean;
  /**
   * How many times a request is made again that a limit has refused, with 429 or 503 and
   * `retryAfter`: after that time, and a random one as long at most. Not if `timeout` is over by
   * then. Default 0.
   */
  retries?: number;
}

/** The peer that has sent a request. */
export interface Sender {
  username: string;
  uuid: string;
}

export interface Notification<T = Data> {
  readonly method: string;
  readonly data: T;
  /** null: the server itself is the sender. */
  readonly sender: Sender | null;
}

export interface IncomingRequest<T = Data> extends Notification<T> {
  /** Whether the final reply was given. */
  readonly ended: boolean;
  /**
   * Send the final response (200..699). Returns false if there was one before; then this one is
   * not sent, and an "error" event reports it.
   */
  reply(status: number, reason?: string, data?: object | null): boolean;
  /** Send a provisional response (100..199). Returns false after the final one. */
  provisional(status: number, reason?: string, data?: object | null): boolean;
}

export interface Events {
  open: {};
  /**
   * A connection or an attempt to connect has ended. delay (ms) is null without reconnection, and
   * 0 if the client comes back together with its page.
   */
  close:
    | { code: number; reason: string; willReconnect: true; delay: number }
    | { code: number; reason: string; willReconnect: false; delay: null };
  /**
   * The next attempt starts in `delay` ms. `attempt` counts the attempts in a row, from 1.
   * `retryAfter` ms of the delay are the server's wish, when it restarts or has too much to do;
   * 0: it has none.
   */
  reconnecting: { attempt: number; delay: number; retryAfter: number };
  /**
   * The server has answered the handshake with this HTTP status, and the client tries again, not
   * before retryAfter ms.
   */
  deferred: { status: number; reason: string; retryAfter: number };
  /**
   * The server refused the handshake with this HTTP status; 302 stands for any redirect. With 409
   * and a username, the browser is logged in as that other user.
   */
  refused: { status: number; reason: string; username?: string };
  /**
   * The page is hidden for good, or goes into the back/forward cache (persisted). Messages that
   * are sent in the listener, before its first await, still leave. isReload: the browser has told
   * that the page is loaded again; Firefox tells it of reloads by a script only.
   */
  leave: { persisted: boolean; isReload: boolean };
  state: { state: State; previous: State };
  request: IncomingRequest;
  notification: Notification;
  error: ProtooError;
}

export type Listener<E extends keyof Events> = (event: Events[E]) => unknown;

export class ProtooError extends Error {
  constructor(
    status: number,
    reason: string,
    data?: Data,
    options?: { isLocal?: boolean; cause?: unknown },
  );
  readonly name: "ProtooError";
  readonly status: number;
  readonly reason: string;
  /** The data of the response. */
  readonly data: Data;
  /** ms after which a limit that has refused the request (429, 503) may let it pass; 0: unknown. */
  readonly retryAfter: number;
  /** Whether the error comes from the client itself, and not from a response. */
  readonly isLocal: boolean;
  readonly cause?: unknown;
}

export class Client {
  constructor(options?: ClientOptions);
  readonly state: State;
  readonly uuid: string;
  /** The option, or as the server has told over the first connection; null before. */
  readonly username: string | null;
  /** Resolves when open; rejects when refused or closed. The promise may be ignored. */
  connect(): Promise<void>;
  /** Close for good. code: 1000 or 3000..4999. */
  close(code?: number, reason?: string): void;
  /** Resolves with a 2xx response; rejects with a ProtooError. */
  request<T = Data>(
    method: string,
    path: string,
    data?: object | null,
    options?: RequestOptions,
  ): Promise<Response<T>>;
  /** Send a notification: a request without an answer. */
  notify(method: string, path: string, data?: object | null): void;
  /** Returns a function that removes this listener. A function added twice is called twice. */
  on<E extends keyof Events>(event: E, fn: Listener<E>): () => void;
  once<E extends keyof Events>(event: E, fn: Listener<E>): () => void;
  /** Removes the listener that was added last with this function. */
  off<E extends keyof Events>(event: E, fn: Listener<E>): void;
}

/**
 * Types of the browser client of protoo_flask: of the module protoo.mjs, and of the global
 * `protoo` that the classic script protoo.js defines.
 */
export as namespace protoo;

/** What `data` is on the wire: a JSON object. */
export type Data = Record<string, any>;

/** "waiting": it will reconnect by itself; "closed": it will not. */
export type State = "idle" | "connecting" | "open" | "waiting" | "closed";

export interface ClientOptions {
  /** ws(s) URL, or a path on this site. Default "/protoo". */
  url?: string;
  /** The name of this device. Default: one per tab, which survives a reload. */
  uuid?: string;
  /** ms. Default 15000. */
  requestTimeout?: number;
  /**
   * ms, random between 0 and min(max, min * 2 ** n) before the attempt n = 0, 1...; false: never.
   * Default {min: 500, max: 30000}.
   */
  reconnect?: false | { min?: number; max?: number };
  /** Of requests that have no `repeat` of their own. true: the server has a grace period. */
  repeat?: boolean;
  /** For tests, and for runtimes that have none. */
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
  /** ms from the call to the final response, the time in the queue included. */
  timeout?: number;
  /** Aborting it rejects the promise with the status 487. */
  signal?: AbortSignal;
  /**
   * Send it again, with the same id, if the connection is lost before the final response; false:
   * it is rejected with 410 then. Default: that of the client.
   */
  repeat?: boolean;
}

/** The peer from which a request comes. */
export interface Sender {
  username: string;
  uuid: string;
}

export interface Notification<T = Data> {
  readonly method: string;
  readonly data: T;
  /** null: the server itself. */
  readonly sender: Sender | null;
}

export interface IncomingRequest<T = Data> extends Notification<T> {
  /** Whether the final reply was given. */
  readonly ended: boolean;
  /** Send the final response (200..699), once. */
  reply(status: number, reason?: string, data?: object | null): void;
  /** Send a provisional response (100..199). */
  provisional(status: number, reason?: string, data?: object | null): void;
}

export interface Events {
  open: {};
  /** A connection, or an attempt to connect, is over. delay (ms) is null without reconnection. */
  close:
    | { code: number; reason: string; willReconnect: true; delay: number }
    | { code: number; reason: string; willReconnect: false; delay: null };
  /** The attempt-th attempt in a row will be made in delay ms. */
  reconnecting: { attempt: number; delay: number };
  /** The server answered the handshake by this HTTP status. */
  refused: { status: number; reason: string };
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
  /** That of the response. */
  readonly data: Data;
  /** Whether the client itself says so, not a response. */
  readonly isLocal: boolean;
  readonly cause?: unknown;
}

export class Client {
  constructor(options?: ClientOptions);
  readonly state: State;
  readonly uuid: string;
  /** Resolves when open; rejects when refused or closed. May be ignored. */
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
  /** Send a request that wants no answer. */
  notify(method: string, path: string, data?: object | null): void;
  /** Returns a function that removes the listener. */
  on<E extends keyof Events>(event: E, fn: Listener<E>): () => void;
  once<E extends keyof Events>(event: E, fn: Listener<E>): () => void;
  off<E extends keyof Events>(event: E, fn: Listener<E>): void;
}

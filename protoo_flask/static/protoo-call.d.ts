/** Types of protoo-call.mjs: audio and video calls for the browser client of protoo_flask. */
import type { Client, Data, IncomingRequest, Sender } from "./protoo.js";

/**
 * "connecting", "progress" (it rings there): of a call that was made; "ringing", "answering": of
 * one that comes in.
 */
export type CallState = "connecting" | "progress" | "ringing" | "answering" | "open" | "closed";

export type Kind = "audio" | "video";

/** What to send at first, as for getUserMedia(). */
export interface Media {
  /** Default true. */
  audio?: boolean | MediaTrackConstraints;
  /** Default false. */
  video?: boolean | MediaTrackConstraints;
}

export interface StartOptions extends Media {
  /** For the callee: `call.info` there. */
  info?: object;
  /** ms that it may ring. Default 130000, longer than the server's PROTOO_SESSION_TIMEOUT. */
  timeout?: number;
}

/** What one side of a call is up to. */
export interface Status {
  held: boolean;
  muted: Record<Kind, boolean>;
  /** Whether its picture is a screen and not a camera's. */
  screen: boolean;
}

/** How a call has ended. */
export type Ending =
  /** By this page. status: that of reject(), else null. */
  | { cause: "hangup"; status: number | null; reason: string }
  /** By the other side or the server. status: 404 if the call was unknown there, else null. */
  | { cause: "end"; status: number | null; reason: string }
  /** Nobody has taken the call; 408: nobody has answered. */
  | { cause: "rejected"; status: number; reason: string }
  /** Here. reason: a sentence. status: that of the ProtooError if it is the connection. */
  | { cause: "failed"; status: number | null; reason: string };

export interface CallEvents {
  state: { state: CallState; previous: CallState };
  /** Another track is in one of the streams. */
  track: { track: MediaStreamTrack; stream: MediaStream };
  /** That of the RTCPeerConnection. */
  connection: { state: RTCPeerConnectionState };
  /** `call.local` has changed. */
  local: Status;
  /** `call.remote` has changed. */
  remote: Status;
  error: CallError;
  /** The last event. */
  close: Ending;
}

export interface CallsEvents {
  /** A call that comes in. */
  call: Call;
}

export interface CallsOptions {
  /** Where the server's session_handler is mounted. Default "/users". */
  mount?: string;
  /** A function is called for each RTCPeerConnection and each restart of ICE. Default []. */
  iceServers?: RTCIceServer[] | (() => RTCIceServer[] | Promise<RTCIceServer[]>);
  /** The rest of the configuration of each RTCPeerConnection. */
  rtcConfiguration?: RTCConfiguration;
  /** For tests. */
  RTCPeerConnection?: new () => any;
  /** For tests. */
  MediaStream?: new () => any;
  /** For tests. */
  mediaDevices?: any;
}

/** What went wrong, in a sentence for people. */
export class CallError extends Error {
  constructor(message: string, cause?: unknown);
  readonly name: "CallError";
  /** What was thrown, if anything was: a DOMException or a ProtooError. */
  readonly cause?: unknown;
}

export class Call {
  private constructor();
  readonly state: CallState;
  /** The path of the call on the server; null before the server has given it one. */
  readonly path: string | null;
  /** The other side; null in a call that was made until its first request comes. */
  readonly peer: Sender | null;
  /** The `info` that the caller has started an incoming call with. Untrusted. */
  readonly info: Data;
  /** Of an incoming call: what the caller wants to send. */
  readonly offered: Record<Kind, boolean>;
  readonly local: Status;
  /** As the other side says. */
  readonly remote: Status;
  /** The same object throughout the call; its tracks come and go. */
  readonly localStream: MediaStream;
  /** The same object throughout the call; its tracks come and go. */
  readonly remoteStream: MediaStream;
  /** Another one after a page was reloaded; null if there is none. */
  readonly peerConnection: RTCPeerConnection | null;
  /** Take an incoming call. Rejects with a CallError, and the call goes on ringing. */
  accept(media?: Media): Promise<void>;
  /** Refuse an incoming call: 603 "declined". Below 600 the user's other devices ring on. */
  reject(status?: number, reason?: string): void;
  /** End the call, whatever its state. */
  hangUp(reason?: string): void;
  hold(): void;
  unhold(): void;
  setMuted(kind: Kind, isMuted: boolean): void;
  /** Use another device, or add one to the call. Rejects with a CallError. */
  useDevice(kind: Kind, deviceId?: string): Promise<void>;
  /** options: those of getDisplayMedia(). Rejects with a CallError. */
  shareScreen(options?: object): Promise<void>;
  stopSharing(): void;
  /** Returns a function that removes the listener. */
  on<E extends keyof CallEvents>(event: E, fn: (payload: CallEvents[E]) => unknown): () => void;
  off<E extends keyof CallEvents>(event: E, fn: (payload: CallEvents[E]) => unknown): void;
}

export class Calls {
  constructor(client: Client, options?: CallsOptions);
  /** The calls that are not over. */
  readonly list: Call[];
  /** Call a user ("/users/bob") or a device ("/users/bob/b1"). */
  start(path: string, options?: StartOptions): Call;
  /** Take and answer a request that belongs to a call. Returns whether it did. */
  handle(req: IncomingRequest): boolean;
  /** Go on with the calls of this page before it was reloaded. Rejects with a ProtooError. */
  resume(media?: Media): Promise<Call[]>;
  /** Hang up all calls, and listen to the client no more. */
  close(): void;
  /** Returns a function that removes the listener. */
  on<E extends keyof CallsEvents>(event: E, fn: (payload: CallsEvents[E]) => unknown): () => void;
  off<E extends keyof CallsEvents>(event: E, fn: (payload: CallsEvents[E]) => unknown): void;
}

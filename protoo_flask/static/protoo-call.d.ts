/** Types of protoo-call.mjs: audio and video calls for the browser client of protoo_flask. */
import type { Client, Data, IncomingRequest, Sender } from "./protoo.js";

/**
 * "connecting" and "progress" (a device of the callee rings) are states of an outgoing call.
 * "ringing" and "answering" are states of an incoming call.
 */
export type CallState = "connecting" | "progress" | "ringing" | "answering" | "open" | "closed";

export type Kind = "audio" | "video";

/** The media to send at first, as for getUserMedia(). Other members are refused. */
export interface Media {
  /** Default true. */
  audio?: boolean | MediaTrackConstraints;
  /** Default false. */
  video?: boolean | MediaTrackConstraints;
  /**
   * The kinds without which the call fails. false: it goes on with the devices that can be opened,
   * and an "error" event tells which are missing. Default true: all.
   */
  required?: boolean | Kind[];
}

export interface MuteOptions {
  /** Close the device meanwhile, so that its light goes off. Default false. */
  release?: boolean;
}

export interface StartOptions extends Media {
  /** Data for the callee, where it is `call.info`. */
  info?: object;
  /** Ringing time in ms. Default 130000, longer than the server's PROTOO_SESSION_TIMEOUT. */
  timeout?: number;
}

/** The status of one side of a call. */
export interface Status {
  held: boolean;
  muted: Record<Kind, boolean>;
  /** Whether its picture shows a screen instead of the camera. */
  screen: boolean;
}

/** The status of the other side, as it reports it. */
export interface RemoteStatus extends Status {
  /** Whether it sends sound. Then `remoteStream` has a track of this kind. */
  audio: boolean;
  /** Whether it sends a picture. Then `remoteStream` has a track of this kind. */
  video: boolean;
}

/** How a call has ended. */
export type Ending =
  /** This page has ended the call. status: the status of reject(), else null. */
  | { cause: "hangup"; status: number | null; reason: string }
  /** The other side or the server has ended it. status: 404 if the call was unknown, else null. */
  | { cause: "end"; status: number | null; reason: string }
  /** No device has accepted the call. status: 408 if nobody has answered. */
  | { cause: "rejected"; status: number; reason: string }
  /** An error here. reason: a sentence. status: of the ProtooError if the connection failed. */
  | { cause: "failed"; status: number | null; reason: string };

export interface CallEvents {
  state: { state: CallState; previous: CallState };
  /** A track was added to one of the streams. */
  track: { track: MediaStreamTrack; stream: MediaStream };
  /** The connection state of the RTCPeerConnection. */
  connection: { state: RTCPeerConnectionState };
  /** `call.local` has changed. */
  local: Status;
  /** `call.remote` has changed. */
  remote: RemoteStatus;
  error: CallError;
  /** The last event. */
  close: Ending;
}

export interface CallsEvents {
  /** An incoming call. */
  call: Call;
}

export interface CallsOptions {
  /** The path at which the server's session_handler is mounted. Default "/users". */
  mount?: string;
  /**
   * A function is called for each RTCPeerConnection and each restart of ICE. It has 10 s. Default
   * [], or those of rtcConfiguration.
   */
  iceServers?: RTCIceServer[] | (() => RTCIceServer[] | Promise<RTCIceServer[]>);
  /** Other configuration of each RTCPeerConnection. */
  rtcConfiguration?: RTCConfiguration;
  /** ms for each step, from start() or accept() until the media are connected. Default 30000. */
  setupTimeout?: number;
  /**
   * ms in which a page that was left must be back; five times as much if its browser has told that
   * it is loaded again. Default 2000.
   */
  leaveTimeout?: number;
  /** For tests. */
  RTCPeerConnection?: new (configuration?: RTCConfiguration) => any;
  /** For tests. */
  MediaStream?: new () => any;
  /** For tests. */
  mediaDevices?: any;
}

/** An error whose message is a sentence for users. */
export class CallError extends Error {
  constructor(message: string, cause?: unknown, missing?: Kind[]);
  readonly name: "CallError";
  /** The original error, if any: a DOMException or a ProtooError. */
  readonly cause?: unknown;
  /** The kinds of media that could not be opened, if that is the problem. */
  readonly missing?: Kind[];
}

export class Call {
  private constructor();
  readonly state: CallState;
  /** The path of the call on the server; null until the server has assigned one. */
  readonly path: string | null;
  /** The other side; null in an outgoing call until the first request of the other side. */
  readonly peer: Sender | null;
  /** The `info` that the caller of an incoming call has sent. Untrusted. */
  readonly info: Data;
  /** The media that the caller of an incoming call wants to send. */
  readonly offered: Record<Kind, boolean>;
  readonly local: Status;
  readonly remote: RemoteStatus;
  /** The same object throughout the call. Its tracks may change. */
  readonly localStream: MediaStream;
  /** The same object throughout the call. Its tracks may change. */
  readonly remoteStream: MediaStream;
  /** A reload of either page replaces it. null if there is none. */
  readonly peerConnection: RTCPeerConnection | null;
  /** Accept an incoming call. Rejects with a CallError; the call then continues to ring. */
  accept(media?: Media): Promise<void>;
  /** Refuse an incoming call. Default 603 "declined"; below 600 other devices continue to ring. */
  reject(status?: number, reason?: string): void;
  /** End the call in any state. */
  hangUp(reason?: string): void;
  hold(): void;
  unhold(): void;
  setMuted(kind: Kind, isMuted: boolean, options?: MuteOptions): void;
  /** Use another device, or add one to the call; constraints stay. Rejects with a CallError. */
  useDevice(kind: Kind, deviceId?: string): Promise<void>;
  /** options: the options of getDisplayMedia(). Rejects with a CallError. */
  shareScreen(options?: object): Promise<void>;
  stopSharing(): void;
  /**
   * Show `stream`, by default `remoteStream`, in an element. Resolves with false, after an "error"
   * event, if the browser plays nothing before the user has clicked.
   */
  play(element: HTMLMediaElement, stream?: MediaStream): Promise<boolean>;
  /** Returns a function that removes the listener. */
  on<E extends keyof CallEvents>(event: E, fn: (payload: CallEvents[E]) => unknown): () => void;
  off<E extends keyof CallEvents>(event: E, fn: (payload: CallEvents[E]) => unknown): void;
}

export class Calls {
  constructor(client: Client, options?: CallsOptions);
  /** The calls that have not ended. */
  readonly list: Call[];
  /** Call a user ("/users/bob") or a device ("/users/bob/b1"). */
  start(path: string, options?: StartOptions): Call;
  /** Handle and answer a request if it belongs to a call. Returns whether it does. */
  handle(req: IncomingRequest): boolean;
  /** Continue the calls that this page had before a reload. Rejects with a ProtooError. */
  resume(media?: Media): Promise<Call[]>;
  /** Hang up all calls, and stop listening to the client. */
  close(): void;
  /** Returns a function that removes the listener. */
  on<E extends keyof CallsEvents>(event: E, fn: (payload: CallsEvents[E]) => unknown): () => void;
  off<E extends keyof CallsEvents>(event: E, fn: (payload: CallsEvents[E]) => unknown): void;
}

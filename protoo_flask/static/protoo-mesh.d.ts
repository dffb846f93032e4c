/** Types of protoo-mesh.mjs: meetings for the browser client of protoo_flask. */
import type { Client, IncomingRequest, Notification, Sender } from "./protoo.js";
import { CallError } from "./protoo-call.js";
import type { CallsOptions, Kind, Media, MuteOptions } from "./protoo-call.js";

export { CallError };

export type MeshState = "out" | "joining" | "in";

export interface JoinOptions extends Media {
  /** Data of the request that joins, for the listeners of the room on the server. */
  data?: object;
}

export type MeshOptions = Omit<CallsOptions, "mount">;

/** The status of this page. */
export interface MeshStatus {
  muted: Record<Kind, boolean>;
  /** Whether its picture shows a screen instead of the camera. */
  screen: boolean;
}

/** The status of another member, as it reports it; and whether it sends sound and a picture. */
export interface MemberStatus extends MeshStatus, Record<Kind, boolean> {}

/** How the meeting has ended for this page. */
export type MeshEnding =
  /** leave() */
  | { cause: "left"; status: null; reason: string }
  /** The server has removed this page, or has closed the room. */
  | { cause: "end"; status: null; reason: string }
  /** After a reconnection, the room has not let this page in again. */
  | { cause: "rejected"; status: number; reason: string }
  /** The client is closed for good. */
  | { cause: "failed"; status: number; reason: string };

export interface MeshEvents {
  state: { state: MeshState; previous: MeshState };
  join: Member;
  leave: Member;
  /** `remote`, `stream` or `connectionState` of a member have changed. */
  change: Member;
  /** `mesh.local` or the tracks of `localStream` have changed. */
  local: MeshStatus;
  error: CallError;
  /** The last event of a meeting. */
  close: MeshEnding;
}

export class Member {
  private constructor();
  readonly peer: Sender;
  readonly remote: MemberStatus;
  /** The same object throughout the meeting. Its tracks may change. */
  readonly stream: MediaStream;
  readonly connectionState: RTCPeerConnectionState;
  /** A reload of either page replaces it. null if there is none. */
  readonly peerConnection: RTCPeerConnection | null;
}

export class Mesh {
  constructor(client: Client, options?: MeshOptions);
  readonly state: MeshState;
  /** The path of the room, as the server writes it; null outside of a room. */
  readonly path: string | null;
  /** The other members. */
  readonly members: Member[];
  readonly local: MeshStatus;
  /** The same object in all meetings. Its tracks may change. */
  readonly localStream: MediaStream;
  /** Join a room. Rejects with a CallError (devices) or a ProtooError (the room, the server). */
  join(path: string, options?: JoinOptions): Promise<void>;
  /** Leave the room, or stop joining it. */
  leave(reason?: string): void;
  /** Handle and answer a request if it is about the meeting. Returns whether it is. */
  handle(req: IncomingRequest): boolean;
  /** Handle a notification if it is about the members. Returns whether it is. */
  takeNotification(notification: Notification): boolean;
  setMuted(kind: Kind, isMuted: boolean, options?: MuteOptions): void;
  /** Use another device, or add one; constraints stay. Rejects with a CallError. */
  useDevice(kind: Kind, deviceId?: string): Promise<void>;
  /** options: the options of getDisplayMedia(). Rejects with a CallError. */
  shareScreen(options?: object): Promise<void>;
  stopSharing(): void;
  /** Leave the room, and stop listening to the client. */
  close(): void;
  /** Returns a function that removes the listener. */
  on<E extends keyof MeshEvents>(event: E, fn: (payload: MeshEvents[E]) => unknown): () => void;
  off<E extends keyof MeshEvents>(event: E, fn: (payload: MeshEvents[E]) => unknown): void;
}

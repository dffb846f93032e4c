/*
 * Uses of the types in an application. Only compiled, never run:
 *
 *   npx -p typescript tsc --noEmit --strict --lib ES2022,DOM tests/js/calls-types-usage.ts
 */
import { Client } from "../../protoo_flask/static/protoo.js";
import { Call, CallError, Calls } from "../../protoo_flask/static/protoo-call.js";
import { Member, Mesh } from "../../protoo_flask/static/protoo-mesh.js";

const client = new Client();
const calls = new Calls(client, {
  mount: "/users",
  iceServers: async () => [{ urls: "stun:stun.example.org" }],
  rtcConfiguration: { iceTransportPolicy: "relay" },
});
client.on("request", (req) => calls.handle(req) || req.reply(404));

const stop: () => void = calls.on("call", async (call) => {
  call.on("close", (ending) => {
    if (ending.cause === "rejected") ending.status.toFixed();
  });
  call.on("remote", ({ held, muted, screen, video }) => held || muted.audio || screen || video);
  call.on("error", ({ missing }) => missing?.includes("video"));
  call.on("track", ({ track, stream }) => stream === call.remoteStream && track.kind);
  try {
    await call.accept({ audio: true, video: { width: 640 } });
  } catch (error) {
    if (error instanceof CallError) call.reject(486, error.message);
  }
});
stop();

const call: Call = calls.start("/users/bob", { video: true, info: { topic: "tea" }, timeout: 60000 });
call.setMuted("video", true, { release: true });
const plays: Promise<boolean> = call.play(document.querySelector("video")!);
calls.start("/users/bob", { video: true, required: ["audio"] });
const shared: Promise<void> = call.shareScreen({ video: true });
const stats: Promise<RTCStatsReport> | undefined = call.peerConnection?.getStats();
const resumed: Promise<Call[]> = calls.resume({ audio: true });

// @ts-expect-error: no such kind
call.setMuted("smell", true);
// @ts-expect-error: no such event
call.on("closed", () => {});
// @ts-expect-error: calls are made by Calls
new Call();
// @ts-expect-error: read only
call.state = "open";

const mesh = new Mesh(client, { iceServers: [] });
mesh.on("change", (member: Member) => member.remote.video && member.stream.getTracks());
const joined: Promise<void> = mesh.join("/rooms/tea", { video: true, data: { code: 7 } });
client.on("notification", (it) => mesh.takeNotification(it) || console.log(it.method));
// @ts-expect-error: members are made by Mesh
new Member();

export { joined, plays, resumed, shared, stats };

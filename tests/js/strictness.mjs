/*
 * What an RTCPeerConnection and getUserMedia() refuse, and with which errors. Runs in a browser and
 * with the fakes of media.mjs: tests/browser/test_strict_fakes.py compares the results.
 */
export async function probe({ RTCPeerConnection, mediaDevices, certificate }) {
  const found = {};
  const attempt = async (name, act) => {
    try {
      found[name] = (await act()) ?? "done";
    } catch (error) {
      found[name] = error.name;
    }
  };
  const make = (configuration) => new RTCPeerConnection(configuration);
  const set = (first, second) => () => make(first).setConfiguration(second);
  const turn = { urls: "turn:x.example", username: "u", credential: "c" };
  const fixed = { bundlePolicy: "max-bundle", certificates: [certificate] };
  await attempt("a bundlePolicy later", set({}, { bundlePolicy: "max-bundle" }));
  await attempt("the bundlePolicy left out", set({ bundlePolicy: "max-bundle" }, {}));
  await attempt("the default bundlePolicy later", set({}, { bundlePolicy: "balanced" }));
  await attempt("certificates later", set({}, { certificates: [certificate] }));
  await attempt("certificates left out", set({ certificates: [certificate] }, {}));
  await attempt("all again", set(fixed, { ...fixed, iceServers: [turn] }));
  await attempt("a policy later", set({}, { iceTransportPolicy: "relay" }));
  await attempt("an unknown policy", () => void make({ iceTransportPolicy: "relays" }));
  await attempt("an unknown member", () => void make({ relay: true }));
  await attempt("the policy left out", () => {
    const pc = make({ iceTransportPolicy: "relay" });
    pc.setConfiguration({ iceServers: [] });
    return pc.getConfiguration().iceTransportPolicy;
  });
  await attempt("a pool after an offer", async () => {
    const pc = make();
    pc.addTransceiver("audio");
    await pc.setLocalDescription();
    pc.setConfiguration({ iceCandidatePoolSize: 3 });
  });
  for (const [name, iceServers] of [
    ["an http URL", [{ urls: "http://x.example" }]],
    ["TURN without credentials", [{ urls: "turn:x.example" }]],
    ["servers that are no list", { urls: "stun:x.example" }],
    ["servers that are null", null],
    ["servers that are undefined", undefined],
  ]) {
    await attempt(name, set({}, { iceServers }));
  }

  const closed = make();
  closed.addTransceiver("audio");
  const [transceiver] = closed.getTransceivers();
  closed.close();
  const stream = await mediaDevices.getUserMedia({ audio: true, video: true });
  const [audio, video] = ["audio", "video"].map((kind) =>
    stream.getTracks().find((track) => track.kind === kind),
  );
  for (const [name, act] of [
    ["setConfiguration", () => closed.setConfiguration({})],
    ["addTransceiver", () => void closed.addTransceiver("audio")],
    ["addTrack", () => void closed.addTrack(audio, stream)],
    ["setLocalDescription", () => closed.setLocalDescription()],
    ["setRemoteDescription", () => closed.setRemoteDescription({ type: "offer", sdp: "v=0" })],
    ["addIceCandidate", () => closed.addIceCandidate({ candidate: "x", sdpMid: "0" })],
    ["restartIce", () => closed.restartIce()],
    ["replaceTrack", () => transceiver.sender.replaceTrack(null)],
    ["getTransceivers", () => closed.getTransceivers().length],
    ["direction", () => transceiver.direction],
    ["direction =", () => void (transceiver.direction = "sendrecv")],
  ]) {
    await attempt(`after close(): ${name}`, act);
  }

  await attempt("a track twice", () => {
    const pc = make();
    pc.addTrack(audio, stream);
    pc.addTrack(audio, stream);
  });
  await attempt("a track of another kind", async () => {
    const pc = make();
    pc.addTransceiver("audio");
    await pc.getTransceivers()[0].sender.replaceTrack(video);
  });
  await attempt("a track for a transceiver that only receives", () => {
    const pc = make();
    pc.addTransceiver("audio", { direction: "recvonly" });
    pc.addTrack(audio, stream);
    return pc.getTransceivers().map(({ direction }) => direction).join();
  });
  await attempt("an unknown kind", () => void make().addTransceiver("smell"));
  for (const [name, ...description] of [
    ["no description"],
    ["null", null],
    ["an unknown type", { type: "x" }],
    ["an offer without sdp", { type: "offer" }],
  ]) {
    await attempt(`${name} as description`, () => make().setRemoteDescription(...description));
  }
  await attempt("an answer without an offer", async () => {
    const pc = make();
    pc.addTransceiver("audio");
    await pc.setLocalDescription();
    await make().setRemoteDescription({ type: "answer", sdp: pc.localDescription.sdp });
  });
  const candidate = "candidate:1 1 udp 1 192.0.2.1 9 typ host";
  await attempt("a candidate before a description", () =>
    make().addIceCandidate({ candidate, sdpMid: "0" }),
  );
  await attempt("a candidate without its media", () => make().addIceCandidate({ candidate }));
  await attempt("no media", () => mediaDevices.getUserMedia({ audio: false, video: false }));
  for (const exact of ["nowhere"]) {
    await attempt(`the device ${exact}`, () =>
      mediaDevices.getUserMedia({ video: { deviceId: { exact } } }),
    );
  }
  for (const track of stream.getTracks()) track.stop();
  return found;
}

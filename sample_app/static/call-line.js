/** How the chat tells of a call that is over. */

import { duration } from "./format.js";

const OUTCOMES = {
  busy: "Busy",
  canceled: "Canceled",
  declined: "Declined",
  failed: "Failed",
  unanswered: "No answer",
};

/** "Video call, 3:12", "Audio call · No answer", and for the other side "Missed audio call" */
export function callTitle({ sender, call }, me) {
  const kind = call.video ? "Video call" : "Audio call";
  if (call.outcome === "answered") return `${kind}, ${duration(call.duration)}`;
  if (sender !== me && call.missed) return `Missed ${kind.toLowerCase()}`;
  return `${kind} · ${OUTCOMES[call.outcome] ?? call.outcome}`;
}

export function isMissed({ sender, call }, me) {
  return sender !== me && call.missed;
}

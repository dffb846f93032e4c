/** The line in the chat about a call that has ended. */

import { element, svgIcon } from "./elements.js";
import { duration } from "./format.js";

const OUTCOMES = new Map([
  ["busy", "Busy"],
  ["canceled", "Canceled"],
  ["declined", "Declined"],
  ["failed", "Failed"],
  ["unanswered", "No answer"],
]);

/** "Video call, 3:12", "Audio call · No answer", and for the callee "Missed audio call" */
export function callTitle({ sender, call }, me) {
  const kind = call.video ? "Video call" : "Audio call";
  if (call.outcome === "answered") return `${kind}, ${duration(call.duration)}`;
  if (isMissed({ sender, call }, me)) return `Missed ${kind.toLowerCase()}`;
  return `${kind} · ${OUTCOMES.get(call.outcome) ?? call.outcome}`;
}

function isMissed({ sender, call }, me) {
  return sender !== me && call.missed;
}

/** `onCall(username, withVideo)` is called when the user returns a missed call. */
export function createCallLine(message, me, onCall) {
  const own = message.sender === me ? " own" : "";
  const row = element("li", `message call-line${own}`, { "data-testid": "message" });
  row.dataset.missed = isMissed(message, me);
  const bubble = element("div", "bubble");
  const icon = svgIcon("icon");
  icon.setAttribute("viewBox", "0 0 24 24");
  icon.setAttribute("aria-hidden", "true");
  icon.firstChild.setAttribute("href", message.call.video ? "#icon-video" : "#icon-phone");
  const text = element("p", "text");
  text.textContent = callTitle(message, me);
  const foot = element("span", "foot");
  foot.append(element("time", "when"));
  bubble.append(icon, text, foot);
  row.append(bubble);
  if (isMissed(message, me)) {
    const back = element("button", "link-button", { "data-testid": "call-back" });
    back.textContent = "Call back";
    back.addEventListener("click", () => onCall(message.sender, message.call.video));
    bubble.append(back);
  }
  return row;
}

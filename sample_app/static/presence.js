/**
 * Texts about presence. A state comes from the server: {username, online, devices, status, note,
 * since}, and `last_seen` of the list of contacts. Before the server has sent it, a state has only
 * the username.
 */

import { pastTime } from "./format.js";

/** The statuses to choose from. A client may publish others; they are shown like the first one. */
export const STATUSES = ["online", "away", "busy"];

/** "online", "away", "busy" or "offline"; "unknown" before the server has sent the state. */
export function presenceOf({ online, status }) {
  if (online === undefined) return "unknown";
  if (!online) return "offline";
  return STATUSES.includes(status) ? status : STATUSES[0];
}

/** "online on 2 devices", "away · back at 3 pm", "last seen yesterday 14:32" */
export function describe(state) {
  const presence = presenceOf(state);
  if (presence === "unknown") return "";
  if (presence === "offline") {
    const seen = state.since ?? state.last_seen; // after a restart, only the database knows
    return seen ? `last seen ${pastTime(seen)}` : "offline";
  }
  const many = presence === "online" && state.devices > 1;
  const where = many ? ` on ${state.devices} devices` : "";
  return presence + where + (state.note ? ` · ${state.note}` : "");
}

/**
 * Sentences for users about requests that have failed. The `reason` of an error is written for
 * developers, and may come from another client; its `status` is enough to tell what to do.
 */

const SENTENCES = new Map([
  [400, "The server does not accept this."],
  [401, "You have been logged out."],
  [403, "You are not allowed to do this."],
  [404, "The other side is not there any more."],
  [408, "The server does not answer."],
  [410, "The other side has gone offline."],
  [413, "This is too long."],
  [429, "That was too much at once. Please wait a moment."],
  [503, "The server is too busy now."],
]);

/** `special` is {status: sentence}, for statuses that mean more in this place. */
export function explain({ status, isLocal }, special = {}) {
  if (isLocal) return status === 408 ? SENTENCES.get(408) : "There is no connection to the server.";
  if (Object.hasOwn(special, status)) return special[status];
  return SENTENCES.get(status) ?? `The server has a problem (${Number(status) || "unknown"}).`;
}

/* Checks of values from the application and from the network. Used by the modules of calls. */

const MAX_REASON = 200; // characters
// A page that is known to be loaded again may take so many times longer than one that was left.
const RELOAD_FACTOR = 5;
export const MAX_TIMER = 2 ** 31 - 1; // ms; with a longer delay, setTimeout fires at once

export const isObject = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Write a value into an error message; {"toString": 1} has no text of its own. */
export function describe(value) {
  if (typeof value === "string") return `"${value}"`;
  try {
    return isObject(value) ? Object.prototype.toString.call(value) : String(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}

/** Throw a TypeError unless the application's `value` is right. */
export function expect(isRight, expected, value) {
  if (!isRight) throw new TypeError(`${expected}, got ${describe(value)}`);
}

/** Throw a TypeError unless `options` is an object with these members only. */
export function expectOptions(options, names, what) {
  expect(isObject(options), `${what} must be an object`, options);
  for (const name of Object.keys(options)) {
    expect(names.includes(name), `${what} may have ${names.join(", ")}`, name);
  }
}

/** How long, in ms, to wait for a page whose last message has this `data`. */
export const returnTime = (leaveTimeout, { isReload }) =>
  isReload === true ? leaveTimeout * RELOAD_FACTOR : leaveTimeout;

export const isTime = (value) => typeof value === "number" && value > 0;
export const isPath = (value) => typeof value === "string" && value[0] === "/";

/** Whether two peers, {username, uuid}, are the same. */
export const isSame = (one, other) => one.username === other.username && one.uuid === other.uuid;

/** The untrusted reason of an `end` as a text. An object has no String() that can be relied on. */
export function readReason(value) {
  if (typeof value === "number") return String(value);
  return typeof value === "string" ? value.slice(0, MAX_REASON) : "";
}

/**
 * A path as the router of the server compares it. Each page may write the mount in its own way: in
 * other case, percent-encoded, with a slash at the end.
 */
export function canonicalPath(path) {
  const decode = (segment) => {
    try {
      return decodeURIComponent(segment);
    } catch {
      return segment;
    }
  };
  return path.split("/").filter(Boolean).map(decode).join("/").toLowerCase();
}

/** Makes the web addresses in a text of another user clickable, without ever parsing HTML. */

import { element } from "./elements.js";

const ADDRESS = /\bhttps?:\/\/[^\s<>"]+/gi;
const MAX_LINKS = 50; // of one message; a text of nothing but links would fill the page with them
const PAIRS = { ")": "(", "]": "[", "}": "{" };

/** The address without the punctuation of the sentence around it: "(see https://x.org/a_(b))." */
function trimEnd(address) {
  let end = address.length;
  for (; end > 0; end--) {
    const last = address[end - 1];
    if (/[.,;:!?'’”…*_~]/.test(last)) continue;
    const start = PAIRS[last];
    const rest = address.slice(0, end);
    if (!start || rest.split(last).length <= rest.split(start).length) break;
  }
  return address.slice(0, end);
}

/** The URL of an address, or null. A name before "@" would look like the host: no link for it. */
function urlOf(address) {
  try {
    const url = new URL(address);
    const isWeb = ["http:", "https:"].includes(url.protocol);
    return isWeb && !url.username && !url.password ? url : null;
  } catch {
    return null;
  }
}

function createLink(address, url) {
  // "noopener": the other page cannot change this one. "noreferrer": nor learn where it is.
  const link = element("a", "link", { target: "_blank", rel: "noopener noreferrer nofollow" });
  link.href = url.href;
  link.textContent = address;
  return link;
}

/** Show `text` in `node`, with links. */
export function showText(node, text) {
  const parts = [];
  let shown = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const address = trimEnd(found);
    const url = urlOf(address);
    if (!url) continue;
    if (parts.length >= 2 * MAX_LINKS) break;
    parts.push(text.slice(shown, index), createLink(address, url));
    shown = index + address.length;
  }
  node.replaceChildren(...parts, text.slice(shown));
}

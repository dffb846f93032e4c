/** Helpers to create and update elements of the page. */

import { hue, initials } from "./format.js";

export function element(tag, className, attributes = {}) {
  const node = Object.assign(document.createElement(tag), { className });
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

/**
 * Make the children of `parent` show `items`, in order. The nodes of remaining items are reused, so
 * that focus, selection and scroll position survive.
 */
export function showList(parent, items, keyOf, create, update) {
  const old = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let node = old.get(key);
    old.delete(key);
    if (!node) {
      node = create(item);
      node.dataset.key = key;
    }
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const node of old.values()) node.remove();
}

/** Show the initials of the displayed name, in a colour of the user. */
export function showAvatar(node, username, name = username) {
  node.textContent = initials(name);
  node.style.setProperty("--hue", hue(username));
}

export function svgIcon(className) {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("class", className);
  svg.append(document.createElementNS(namespace, "use"));
  return svg;
}

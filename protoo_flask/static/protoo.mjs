/* The browser client of protoo_flask as an ES module; see protoo.js. */
import "./protoo.js";

export const { Client, ProtooError } = globalThis.protoo;

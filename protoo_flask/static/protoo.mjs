/* The browser client of protoo_flask as an ES module. The code is in protoo.js. */
import "./protoo.js";

export const { Client, ProtooError } = globalThis.protoo;

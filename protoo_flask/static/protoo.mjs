/* The browser client of protoo_flask as an ES module. The code is in protoo.js. */
import "./protoo.js";

export const { Client, ProtooError } = globalThis.protoo;

Client[Symbol.for("protoo.script")](import.meta.url); // the server's route is beside this file

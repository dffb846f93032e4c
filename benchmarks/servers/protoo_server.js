// protoo-server 4: the same requests, relays and broadcasts as the site of this project.
//
//     node --expose-gc benchmarks/servers/protoo_server.js PORT
"use strict";

const http = require("http");
const protoo = require("protoo-server");

const httpServer = http.createServer((request, response) => {
  if (request.url === "/collect" && global.gc) global.gc();
  response.end("done");
});
const server = new protoo.WebSocketServer(httpServer, {
  maxReceivedFrameSize: 65536,
  maxReceivedMessageSize: 65536,
  fragmentOutgoingMessages: false,
});
const room = new protoo.Room();
const ITEM = /^\/item\/([^/]+?)\/?$/i;
let processed = 0;
let lastLine = "";

// The work of a router: protoo 4 has only methods, and leaves the rest to the app.
function handle(peer, request, accept, reject) {
  processed += 1;
  lastLine = `${request.method} ${request.data.path} from ${peer.id}`;
  switch (request.method) {
    case "get": {
      const found = ITEM.exec(request.data.path);
      if (!found) return reject(404, "not found");
      return accept({ id: decodeURIComponent(found[1]) });
    }
    case "message": {
      if (!room.hasPeer(request.data.to)) return reject(404, "peer not found");
      return room
        .getPeer(request.data.to)
        .request("message", { type: request.data.type, text: request.data.text, from: peer.id })
        .then(accept, (error) => reject(error.code || 500, error.message));
    }
    case "put":
      for (const other of room.peers) {
        if (other !== peer) {
          other.notify("said", { type: request.data.type, text: request.data.text });
        }
      }
      return accept();
    default:
      return reject(405, "method not allowed");
  }
}

server.on("connectionrequest", (info, accept, reject) => {
  const id = new URL(info.request.url, "http://localhost").searchParams.get("username");
  if (!id || room.hasPeer(id)) return reject(403, "username is missing or taken");
  const peer = room.createPeer(id, accept());
  peer.on("request", (request, accept, reject) => handle(peer, request, accept, reject));
});

httpServer.listen(Number(process.argv[2]), "127.0.0.1", 2048);

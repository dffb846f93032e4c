// Socket.IO: the acknowledgement of an event has the requested item.
//
//     node --expose-gc benchmarks/servers/socketio.js PORT
"use strict";

const http = require("http");
const { Server } = require("socket.io");

const httpServer = http.createServer((request, response) => {
  if (request.url === "/collect" && global.gc) global.gc();
  response.end("done");
});
const io = new Server(httpServer, { serveClient: false });

io.on("connection", (socket) => {
  socket.on("item", (data, acknowledge) => {
    acknowledge({ id: data.path.slice(data.path.lastIndexOf("/") + 1) });
  });
});

httpServer.listen(Number(process.argv[2]), "127.0.0.1", 2048);

// The ordinary target: Node's own HTTP server as most people run it, with a count.
//   GET /  13 bytes    GET /?size=N  N bytes    GET /count  requests so far, itself not counted
const http = require("node:http");

const bodies = new Map();
const body = (size) => {
  if (!bodies.has(size)) bodies.set(size, Buffer.alloc(size, "Hello, World!"));
  return bodies.get(size);
};
let requests = 0;
const server = http.createServer((request, response) => {
  if (request.url === "/count") {
    response.end(JSON.stringify({ requests }));
    return;
  }
  requests += 1;
  const size = request.url.startsWith("/?size=") ? Number(request.url.slice(7)) : 13;
  response.end(body(size));
});
server.keepAliveTimeout = 0; // idle connections stay: a client at a low rate keeps its own
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(JSON.stringify({ listening: `127.0.0.1:${server.address().port}`, pid: process.pid }));
});

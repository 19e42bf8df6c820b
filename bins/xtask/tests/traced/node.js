// node's own servers and clients: `serve` says the port of its server; `ask` logs each request as client.py does.
const fs = require("fs"), http = require("http"), https = require("https");
const [what, how, ...rest] = process.argv.slice(2);
const library = how === "tls" ? https : http;
if (what === "serve") {
  const options = how === "tls" ? { key: fs.readFileSync(`${rest[0]}/key`), cert: fs.readFileSync(`${rest[0]}/certificate`) } : {};
  const server = library.createServer(options, (request, response) => {
    request.resume().on("end", () => response.end("order\n"));
  });
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
  process.stdin.resume().on("end", () => process.exit(0));
} else {
  const [port, count] = rest;
  // Its clock of the day shows milliseconds, and its numbers are no exact nanoseconds: a little earlier and a little later.
  const agent = new library.Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
  const ask = (number) => {
    if (number === Number(count)) return agent.destroy();
    const path = `/orders/${process.pid}/${number}`, began = Date.now();
    library.get({ host: "127.0.0.1", port, path, agent }, (response) => {
      response.resume().on("end", () => {
        console.log(JSON.stringify({
          pid: process.pid, began_ns: (began - 1) * 1e6, ended_ns: (Date.now() + 2) * 1e6,
          protocol: "http1", request_type: "GET", resource: path, status_code: String(response.statusCode),
        }));
        ask(number + 1);
      });
    });
  };
  ask(0);
}

// Dubbo frames over a connection between two ends in this process; hessian.js writes the bodies.
const net = require('net');
const {
  REQUEST, TWO_WAY, EVENT, OK, VALUE, NOTHING, VALUE_WITH_ATTACHMENTS, frame, ask, ok, fails, throws, pass, write,
} = require('./dubbo_frames.js');

const [port, path] = [Number(process.argv[2]), process.argv[3]];
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const log = [];

const ORDERS = 'com.shop.OrderService';
const order = { $class: 'com.shop.Order', $: { id: 17, customer: 'Ann', lines: ['tea', 'cake'], total: 4.5 } };
// Sent one after the other: the next when the one before is answered. A list is sent at once and answered backwards.
const script = [
  ask(1, ORDERS, 'find', ok(1, VALUE, order), { types: 'I', values: [17] }),
  ask(2, ORDERS, 'place', ok(2, VALUE_WITH_ATTACHMENTS, 'placed', { region: 'north' }), {
    types: 'Lcom/shop/Order;Ljava/util/Map;', values: [order, { gift: true, note: 'für Ann' }],
    attachments: { traceparent: `00-${TRACE}-00f067aa0ba902b7-01` }, trace_id: TRACE,
  }),
  ask(3, ORDERS, 'remove', ok(3, NOTHING), { types: 'J', values: [{ $class: 'java.lang.Long', $: 17 }] }),
  ask(4, ORDERS, 'find', throws(4, 'java.lang.IllegalArgumentException', 'no such order'), { types: 'I', values: [0] }),
  ask(5, ORDERS, 'find', fails(5, 31, 'server side timeout'), { types: 'I', values: [1] }),
  ask(6, 'com.shop.NoService', 'find', fails(6, 60, 'service not found')),
  ask(7, ORDERS, 'find', fails(7, 40, 'bad request')),
  ask(8, ORDERS, 'find', fails(8, 70, 'it failed'), { values: ['x'.repeat(3000)], types: 'Ljava/lang/String;' }),
  ask(9, ORDERS, 'find', fails(9, 100, 'thread pool is exhausted')),
  ask(10, ORDERS, 'touch', null, { twoWay: false, kind: 'one_way' }),
  [1, 2, 3, 4].map((n) => ask(10 + n, ORDERS, 'find', ok(10 + n, VALUE, 'x'.repeat(n * 900)), { types: 'I', values: [n] })),
  { heartbeat: 20 },
  ask(21, ORDERS, 'find', ok(21, VALUE, null), { types: 'I', values: [2] }),
  // The other end asks.
  ask(1, 'com.shop.Callback', 'changed', ok(1, NOTHING), { server: true, types: 'Ljava/lang/String;', values: ['17'] }),
  ask(2, 'com.shop.Callback', 'changed', fails(2, 80, 'client error'), { server: true }),
  ask(3, 'com.shop.Callback', 'gone', null, { server: true, twoWay: false, kind: 'one_way' }),
  // Nobody answers before the connection ends.
  ask(22, ORDERS, 'wait', null, { types: 'I', values: [3], status: 'unanswered' }),
];

async function main() {
  const accepted = new Promise((resolve) => {
    const server = net.createServer((socket) => { server.close(); resolve(socket); }).listen(port, '127.0.0.1');
  });
  const client = net.connect(port, '127.0.0.1');
  const server = await accepted;
  [client, server].forEach((socket) => socket.setNoDelay(true));
  for (const step of script) {
    if (step.heartbeat) {
      await pass(client, server, frame(REQUEST | TWO_WAY | EVENT, 0, step.heartbeat, null));
      await pass(server, client, frame(EVENT, OK, step.heartbeat, null));
      continue;
    }
    const calls = [step].flat();
    const byServer = calls[0].entry.server;
    const [from, to] = byServer ? [server, client] : [client, server];
    for (const { entry } of calls) {
      delete entry.server;
      if (byServer) entry.attributes = { initiator: 'server' };
      log.push(entry);
    }
    await pass(from, to, Buffer.concat(calls.map((call) => call.request)));
    for (const { entry, answer } of calls.reverse()) {
      if (!answer) continue;
      const { bytes, ...seen } = answer;
      await pass(to, from, bytes);
      Object.assign(entry, seen);
    }
  }
  client.end();
  server.end();
  write(log, path);
}

main();

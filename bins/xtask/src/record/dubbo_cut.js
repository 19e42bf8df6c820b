// Dubbo over connections that are not seen whole.
//
// joined: the capture begins between two calls, and before the answer to one
// pipelined: 30 requests at once
// huge: an argument and a result of 80 kB
// slow: an answer after 300 ms
// cut off: the client is killed in the middle of a request, the server's end is torn down before it answers
const { spawnSync } = require('child_process');
const net = require('net');
const readline = require('readline');
const { VALUE, ask, ok, pass, write } = require('./dubbo_frames.js');

const [port, path] = [Number(process.argv[2]), process.argv[3]];
const ORDERS = 'com.shop.OrderService';
const log = [];

function find(id, answer, more = {}) {
  const call = ask(id, ORDERS, 'find', answer, { types: 'I', values: [id], ...more });
  return { ...call, entry: { ...call.entry, request_bytes: call.request.length } };
}

// Another process, ended as by `kill -9` when it has sent this.
function dies(bytes) {
  const script = `
    const socket = require('net').connect(${port}, '127.0.0.1', () =>
      socket.write(Buffer.from('${bytes.toString('hex')}', 'hex'), () => process.kill(process.pid, 'SIGKILL')));`;
  spawnSync(process.execPath, ['-e', script]);
}

// A connection to a server in this process.
async function connection(server) {
  const accepted = new Promise((resolve) => server.once('connection', resolve));
  const client = net.connect(port, '127.0.0.1');
  const ends = [client, await accepted];
  ends.forEach((socket) => socket.setNoDelay(true));
  return ends;
}

async function talk([client, server], calls, wait = 0) {
  await pass(client, server, Buffer.concat(calls.map((call) => call.request)));
  await new Promise((resolve) => setTimeout(resolve, wait));
  for (const { answer, entry } of calls) {
    const { bytes, ...seen } = answer;
    await pass(server, client, bytes);
    log.push(Object.assign(entry, seen, { response_bytes: bytes.length }));
  }
}

async function main() {
  const server = net.createServer().listen(port, '127.0.0.1');
  const late = await connection(server);
  await talk(late, [find(1, ok(1, VALUE, 'before'))]);
  log.length = 0;
  const begun = find(2, ok(2, VALUE, 'begun'));
  await pass(late[0], late[1], begun.request);
  console.log('ready');
  await new Promise((resolve) => readline.createInterface({ input: process.stdin }).once('line', resolve));
  await pass(late[1], late[0], begun.answer.bytes);
  log.push({ operation: null, request_id: '2', kind: 'response_only', code: '20', response_bytes: begun.answer.bytes.length });
  await talk(late, [find(3, ok(3, VALUE, 'after'))]);
  late.forEach((socket) => socket.end());
  const one = await connection(server);
  await talk(one, Array.from({ length: 30 }, (_, number) => find(10 + number, ok(10 + number, VALUE, 'x'))));
  await talk(one, [find(50, ok(50, VALUE, 'y'.repeat(80000)), { types: 'Ljava/lang/String;', values: ['z'.repeat(80000)] })]);
  const slow = find(51, ok(51, VALUE, 'slow'));
  slow.entry.at_least_ns = 290000000;
  await talk(one, [slow], 300);
  one.forEach((socket) => socket.end());
  const cut = find(60, null, { types: 'Ljava/lang/String;', values: ['k'.repeat(80000)] });
  delete cut.entry.request_bytes;
  const taken = new Promise((resolve) => server.once('connection', resolve));
  dies(cut.request.subarray(0, 30000));
  (await taken).on('error', () => {}).resume();
  log.push({ ...cut.entry, status: 'unanswered' });
  const last = await connection(server);
  const never = find(61, null);
  await pass(last[0], last[1], never.request);
  log.push({ ...never.entry, status: 'unanswered' });
  last[0].on('error', () => {});
  last[1].resetAndDestroy();
  write(log, path);
  process.exit(0);
}

main();

// Dubbo frames, their bodies written by hessian.js, and what the client's log says of them.
const fs = require('fs');
const { EncoderV2 } = require('hessian.js');

const [REQUEST, TWO_WAY, EVENT, HESSIAN] = [0x80, 0x40, 0x20, 2];
const OK = 20;
// Of an answer: what follows, with attachments behind it from the fourth on.
const [EXCEPTION, VALUE, NOTHING, VALUE_WITH_ATTACHMENTS] = [0, 1, 2, 4];
function frame(flags, status, id, ...values) {
  const encoder = new EncoderV2();
  values.forEach((value) => encoder.write(value));
  const body = encoder.get();
  const head = Buffer.alloc(16);
  head.writeUInt16BE(0xdabb, 0);
  head[2] = flags | HESSIAN;
  head[3] = status;
  head.writeBigUInt64BE(BigInt(id), 4);
  head.writeUInt32BE(body.length, 12);
  return Buffer.concat([head, body]);
}

const thrown = (name, message) => ({ $class: name, $: { detailMessage: message, stackTrace: [], suppressedExceptions: [] } });

// A request, what the log says of it, and the answer that the other end will give.
function ask(id, service, method, answer, { types = '', values = [], attachments = {}, twoWay = true, ...known } = {}) {
  const all = { path: service, interface: service, version: '1.0.0', ...attachments };
  const request = frame(REQUEST | (twoWay ? TWO_WAY : 0), 0, id, '2.0.2', service, '1.0.0', method, types, ...values, all);
  return { request, answer, entry: { operation: method, resource: service, request_id: String(id), ...known } };
}

const ok = (id, ...values) => ({ bytes: frame(0, OK, id, ...values), status: 'ok', code: '20' });
const fails = (id, status, text) => ({ bytes: frame(0, status, id, text), status: 'error', code: String(status), message: text });
const throws = (id, name, message) => ({
  bytes: frame(0, OK, id, EXCEPTION, thrown(name, message)), status: 'error', code: '20', message: `${name}: ${message}`,
});

// Resolves when that many bytes have come.
function hear(socket, length) {
  return new Promise((resolve) => {
    let count = 0;
    const take = () => {
      // Nothing more is sent before this is heard.
      for (let part = socket.read(); part; part = socket.read()) count += part.length;
      if (count >= length) {
        socket.off('readable', take);
        resolve();
      }
    };
    socket.on('readable', take);
    take();
  });
}

async function pass(from, to, bytes) {
  from.write(bytes);
  await hear(to, bytes.length);
}

function write(log, path) {
  fs.writeFileSync(path, log.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
}

module.exports = { REQUEST, TWO_WAY, EVENT, OK, VALUE, NOTHING, VALUE_WITH_ATTACHMENTS, frame, ask, ok, fails, throws, hear, pass, write };

// WebSocket client: follows the steps on standard input. Steps and answers: see support/peers/ws.rs.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const {once} = require('events');
const {parseArgs} = require('util');
const WebSocket = require('ws');

const {values, positionals} = parseArgs({
  allowPositionals: true,
  options: {
    ca: {type: 'string'},
    subprotocols: {type: 'string'},
    header: {type: 'string', multiple: true},
  },
});
const say = (answer) => console.log(JSON.stringify(answer));
const steps = JSON.parse(fs.readFileSync(0, 'utf8'));

const headers = {};
for (const header of values.header || []) {
  const colon = header.indexOf(':');
  headers[header.slice(0, colon)] = header.slice(colon + 1);
}
const socket = new WebSocket(
  positionals[0],
  (values.subprotocols || '').split(',').filter(Boolean),
  {headers, ca: values.ca && fs.readFileSync(values.ca), maxPayload: 64 << 20},
);

const inbox = [];
let arrived = () => {};
let closed = null;
socket.on('message', (message, binary) => { inbox.push([message, binary]); arrived(); });
socket.on('close', (code, reason) => { closed = [code, reason.toString()]; arrived(); });
socket.on('error', (error) => { say({error: `${error.code || error.name}: ${error.message}`}); process.exit(0); });

async function next(ready) {
  while (!ready()) await new Promise((resolve) => { arrived = resolve; });
}

const follow = {
  send: (text) => socket.send(text),
  send_bytes: (count) => socket.send(Buffer.from({length: count}, (_, index) => index * 31 % 251)),
  send_fragments: (parts) => parts.forEach((part, index) =>
    socket.send(part, {fin: index === parts.length - 1, compress: false})),
  recv: async () => {
    await next(() => inbox.length > 0 || closed);
    if (inbox.length === 0) { say({closed}); process.exit(0); }
    const [message, binary] = inbox.shift();
    say(binary
      ? {bytes: message.length, sha256: crypto.createHash('sha256').update(message).digest('hex')}
      : {text: message.toString()});
  },
  ping: async (payload) => { socket.ping(payload); await once(socket, 'pong'); say({pong: true}); },
  close: async ([code, reason]) => { socket.close(code, reason); await next(() => closed); say({closed}); },
  wait_closed: async () => { await next(() => closed); say({closed}); },
};

async function main() {
  await once(socket, 'open');
  say({open: socket.protocol || null});
  for (const step of steps) {
    const [[name, value]] = Object.entries(step);
    await follow[name](value);
  }
  if (!closed) { socket.close(); await next(() => closed); }
}

main();

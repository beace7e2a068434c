// WebSocket server on a free port of 127.0.0.1. Paths and log lines: see support/peers/ws.rs.
'use strict';

const fs = require('fs');
const {parseArgs} = require('util');
const {WebSocketServer} = require('ws');

const {values} = parseArgs({
  options: {subprotocols: {type: 'string'}, cert: {type: 'string'}, key: {type: 'string'}},
});
const known = (values.subprotocols || '').split(',').filter(Boolean);
const http = values.cert
  ? require('https').createServer({cert: fs.readFileSync(values.cert), key: fs.readFileSync(values.key)})
  : require('http').createServer();

const behaviours = {
  '/headers': (socket, request) => socket.send(JSON.stringify(request.headers)),
  '/close': (socket) => socket.close(4001, 'because'),
  '/drop': (socket) => socket._socket.resetAndDestroy(),
  '/slow': (socket) => socket.pause(),
  '/big': (socket) => {
    for (let index = 0; index < 256; index += 1) {
      socket.send(Buffer.alloc(65536, index), {binary: true, compress: false, fin: index === 255});
    }
  },
  '/ping': (socket) => {
    socket.on('pong', () => socket.send('pong'));
    socket.ping('p');
  },
};

const server = new WebSocketServer({
  server: http,
  perMessageDeflate: true,
  maxPayload: 64 << 20,
  handleProtocols: (offered) => known.find((name) => offered.has(name)) || false,
});

server.on('connection', (socket, request) => {
  socket.on('error', () => {});
  socket.on('close', (code, reason) => console.log('closed', code, reason.toString()));
  socket.on('message', (message, binary) => socket.send(message, {binary}));
  const behaviour = behaviours[request.url.split('?')[0]];
  if (behaviour) behaviour(socket, request);
});

http.listen(0, '127.0.0.1', () => console.log('listening on', http.address().port));

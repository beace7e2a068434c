// The broker aedes, of MQTT 3.1.1, on a free port of 127.0.0.1, which it prints.
'use strict';

const net = require('net');

// It is a module of the other kind, which `import` finds by its file.
import(require.resolve('aedes')).then(async ({Aedes}) => {
  const broker = await Aedes.createBroker();
  broker.on('subscribe', (filters, client) => {
    for (const {topic, qos} of filters) console.log(`${client.id} subscribes to ${topic} ${qos}.`);
  });
  const server = net.createServer(broker.handle);
  server.listen(0, '127.0.0.1', () => console.log(`listening on port ${server.address().port}.`));
});

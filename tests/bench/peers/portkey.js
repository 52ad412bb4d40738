// Portkey's gateway, on loopback alone: it would listen on all addresses.
//
//   portkey.js --port=N --headless

import { Server } from 'node:net';

const { listen } = Server.prototype;

Server.prototype.listen = function (port, ...rest) {
  return listen.call(this, port, '127.0.0.1', ...rest.filter((one) => typeof one === 'function'));
};

await import('../node_modules/@portkey-ai/gateway/build/start-server.js');

// Socket.IO as its documentation has it: one room per user, one `emit` to a list of rooms, WebSocket only, no auth; with
// connection state recovery where clients come back, and where the adapter between its processes keeps a history.

import { createServer } from 'node:http';
import { createAdapter as createPubSubAdapter } from '@socket.io/redis-adapter';
import { createAdapter as createStreamsAdapter } from '@socket.io/redis-streams-adapter';
import { createClient } from 'redis';
import { Server } from 'socket.io';

const RECOVERY = { connectionStateRecovery: { maxDisconnectionDuration: 120_000, skipMiddlewares: true } };

const ADAPTERS = {
  async redis(url) {
    const publisher = await connect(url);
    return createPubSubAdapter(publisher, await connect(url));
  },

  async 'redis-streams'(url) {
    return createStreamsAdapter(await connect(url));
  },
};

function connect(url) {
  const client = createClient({ url });
  client.on('error', (error) => {
    throw error;
  });
  return client.connect();
}

export async function start({ quiet, recovers, between, brokerUrl }) {
  const server = createServer();
  const io = new Server(server, {
    transports: ['websocket'],
    ...(quiet ? { pingInterval: 3_600_000 } : {}),
    ...(recovers || between === 'redis-streams' ? RECOVERY : {}),
    ...(between ? { adapter: await ADAPTERS[between](brokerUrl) } : {}),
  });
  io.on('connection', (socket) => socket.join(socket.handshake.auth.userId));

  return {
    server,
    publish(userIds, event) {
      io.to(userIds).emit('event.new', event);
    },
  };
}

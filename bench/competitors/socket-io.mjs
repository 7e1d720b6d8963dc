// Socket.IO as its documentation has it: one room per user, one `emit` to a list of rooms, WebSocket only, no auth; with
// connection state recovery where clients come back.

import { createServer } from 'node:http';
import { Server } from 'socket.io';

const RECOVERY = { connectionStateRecovery: { maxDisconnectionDuration: 120_000, skipMiddlewares: true } };

export function start({ quiet, recovers }) {
  const server = createServer();
  const io = new Server(server, {
    transports: ['websocket'],
    ...(quiet ? { pingInterval: 3_600_000 } : {}),
    ...(recovers ? RECOVERY : {}),
  });
  io.on('connection', (socket) => socket.join(socket.handshake.auth.userId));

  return {
    server,
    publish(userIds, event) {
      io.to(userIds).emit('event.new', event);
    },
  };
}

// The bare loop: one WebSocket per user from `ws`, no auth, no history, no counters. What the platform costs by itself.

import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const PATH = /^\/box-users\/([^/?]+)\/ws$/;

export function start() {
  const sockets = new Map();
  const wss = new WebSocketServer({ noServer: true });
  const server = createServer();

  server.on('upgrade', (req, socket, head) => {
    const userId = PATH.exec(req.url)?.[1];
    if (userId === undefined) return socket.destroy();
    wss.handleUpgrade(req, socket, head, (ws) => {
      sockets.set(userId, ws);
      ws.on('error', () => ws.terminate());
      ws.on('close', () => sockets.delete(userId));
    });
  });

  return {
    server,
    publish(userIds, event) {
      const text = JSON.stringify({ type: 'event.new', object: event });
      for (const userId of userIds) sockets.get(userId)?.send(text);
    },
  };
}

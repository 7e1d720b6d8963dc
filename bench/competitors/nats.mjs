// The floor of several processes: each subscribes to the subjects of its users on a core NATS server and writes what
// arrives to their WebSockets from `ws`. No auth, no history, no counters, and what is missed is lost.

import { createServer } from 'node:http';
import { connect } from '@nats-io/transport-node';
import { WebSocketServer } from 'ws';

const PATH = /^\/box-users\/([^/?]+)\/ws$/;

export async function start({ brokerUrl }) {
  const connection = await connect({ servers: brokerUrl });
  const wss = new WebSocketServer({ noServer: true });
  const server = createServer();

  server.on('upgrade', async (req, socket, head) => {
    const userId = PATH.exec(req.url)?.[1];
    if (userId === undefined) return socket.destroy();
    let ws = null;
    const callback = (_error, message) => ws?.send(message.data, { binary: false });
    const subscription = connection.subscribe(`users.${userId}`, { callback });
    await connection.flush();
    wss.handleUpgrade(req, socket, head, (opened) => {
      ws = opened;
      ws.on('error', () => ws.terminate());
      ws.on('close', () => subscription.unsubscribe());
    });
  });

  return {
    server,
    publish(userIds, event) {
      const text = JSON.stringify({ type: 'event.new', object: event });
      for (const userId of userIds) connection.publish(`users.${userId}`, text);
    },
  };
}

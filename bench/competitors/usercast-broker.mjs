// usercast in a process without clients, as a worker has it: what it publishes, and its broker's subscriptions.

import { createUsercast } from '../../dist/src/index.js';
import { redisBroker } from './usercast.mjs';

export async function start(url) {
  const broker = await redisBroker(url);
  const usercast = createUsercast({ broker });

  return {
    publish: (userIds, event) => usercast.publishEvent(userIds, event),

    subscribe(userIds, onMessage) {
      const listener = { publication: onMessage, whisper() {}, mark() {} };
      return Promise.all(userIds.map((userId) => broker.subscribe(userId, listener)));
    },

    /** Resolves when the broker's status is this one. */
    async reached(status) {
      if (broker.status === status) return;
      await new Promise((resolve) => {
        const stop = broker.onStatus((now) => {
          if (now !== status) return;
          stop();
          resolve();
        });
      });
    },
  };
}

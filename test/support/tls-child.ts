// A process that was started with other trusted authorities: those are read at its start alone.

import { natsBroker } from '../../adapters/nats/index.ts';
import { redisBroker } from '../../adapters/redis/index.ts';
import type { Broker } from '../../src/index.ts';
import { answerCommands } from './child-commands.ts';

async function statusOf(broker: Broker): Promise<string> {
  try {
    await broker.read('ann', null, 0);
    return broker.status;
  } finally {
    await broker.close();
  }
}

answerCommands({
  redis: (url: string) => statusOf(redisBroker({ url })),
  nats: (servers: string) => statusOf(natsBroker({ servers })),
});

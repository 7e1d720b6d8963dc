// The conformance suite over natsBroker, on a real server.

import { setTimeout as passed } from 'node:timers/promises';
import { brokerSuite } from 'usercast/testing';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { natsBroker } from '../../../adapters/nats/index.ts';
import { type NatsServer, startNats } from '../../support/servers/nats.ts';

const DEDUPLICATION_MS = 3_000;

let server: NatsServer;

beforeAll(async () => {
  server = await startNats();
});
afterAll(() => server.close());

const open = () => natsBroker({ servers: server.url, deduplicationMs: DEDUPLICATION_MS, deadlineMs: 10_000 });

brokerSuite(
  { describe, it },
  {
    name: 'natsBroker',
    create: open,
    capabilities: {
      historyMessages: 100,
      // The server stores what two connections bring in one order, and may republish it in another.
      overtaking: true,
      peer: open,
      reopen: open,
      clock: { deduplicationMs: DEDUPLICATION_MS, advance: (ms) => passed(ms) },
    },
  },
);

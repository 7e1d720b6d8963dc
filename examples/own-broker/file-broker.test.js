// @ts-check
// The suite that every broker has to pass, run by Node's own test runner, and one walk through the whole with faults.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { createUsercast } from 'usercast';
import { brokerSuite, faultyBroker } from 'usercast/testing';
import { fileBroker } from './file-broker.js';

const newPath = () => join(tmpdir(), `usercast-own-broker-${randomUUID()}.json`);

brokerSuite(
  { describe, it },
  {
    name: 'fileBroker',
    create: () => fileBroker({ path: newPath() }),
    cleanUp: ({ path }) => rmSync(path, { force: true }),
    capabilities: {
      counters: true,
      dense: true,
      historyMessages: 100,
      reopen: ({ path }) => fileBroker({ path }),
    },
  },
);

it('counts an event once, also when the answer to publishing it gets lost', async () => {
  const path = newPath();
  const broker = faultyBroker(fileBroker({ path }), { loseAnswer: 1 });
  const usercast = createUsercast({ broker });
  const event = {
    id: 'event-1',
    type: 'msg.text',
    box_id: 'box',
    server_event_created_at: '2026-01-01T00:00:00Z',
    sender: { id: 'bob' },
    content: { encrypted: 'c2VjcmV0' },
  };
  await assert.rejects(() => usercast.publishEvent('ann', event), { code: 'publish_failed' });
  broker.calm();
  const { duplicates } = await usercast.publishEvent('ann', event);
  assert.deepEqual([duplicates, await usercast.counts('ann')], [1, { box: 1 }]);
  await usercast.close();
  await broker.close();
  rmSync(path);
});

// What all processes on the same keys must agree on, stored once.

import { UsercastError } from '../../src/index.ts';
import type { RedisLink } from './redis-link.ts';

const FORMAT = 1;

/** @throws UsercastError `broker_unavailable` when the keys were laid out otherwise; it says what to change. */
export async function checkLayout(link: RedisLink, prefix: string, partitions: number): Promise<void> {
  const key = `{${prefix}}:layout`;
  const ours = `format ${FORMAT}, partitions ${partitions}`;
  let stored = await link.command(key, 'GET', key);
  if (stored === null) {
    await link.command(key, 'SET', key, ours, 'NX');
    stored = await link.command(key, 'GET', key);
  }
  if (stored === ours) return;
  throw new UsercastError(
    'broker_unavailable',
    `the keys with prefix ${JSON.stringify(prefix)} in Redis were laid out with ${JSON.stringify(stored)}, and this process has ` +
      `${JSON.stringify(ours)}: give every process the same partitions, or another prefix`,
  );
}

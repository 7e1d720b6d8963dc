// The part of the broker suite about ids: whatever characters they have, no user gets or moves what is another's.

import assert from 'node:assert/strict';
import { AWKWARD_IDS, type BrokerBench, type BrokerTest, isProven, messageTo } from './broker-bench.ts';
import { eventually, type TestRunner } from './runner.ts';

/** Some of this run alone, and some that are nothing but the awkward characters. */
function userIdsOf({ run }: BrokerBench): string[] {
  const short = AWKWARD_IDS.filter((id) => id.length < 200);
  const ids = [
    run,
    ...short.flatMap((id) => [id, `${run}${id}`, `${run}.${id}`, `${run}:${id}`, `${id}${run}`]),
    run.toUpperCase(),
    `${run} `,
    run.padEnd(256, 'x'),
    run.padEnd(255, 'x'),
    run.padEnd(256, '💬').slice(0, 256),
  ];
  return [...new Set(ids)];
}

export function testIsolation({ describe }: TestRunner, test: BrokerTest): void {
  describe('users', () => {
    test('get what is theirs and nothing else, whatever their ids are', async (bench) => {
      const { broker, run } = bench;
      const users = await Promise.all(
        userIdsOf(bench).map(async (userId) => ({
          userId,
          from: await bench.top(userId),
          recorder: (await bench.listen(userId)).recorder,
        })),
      );
      // Other runs may publish to the ids that are not of this run alone.
      const ours = (payloads: readonly string[]) => payloads.filter((payload) => payload.includes(run));
      for (const [i, { userId }] of users.entries()) await bench.say(userId, `${run} ${i}`);
      for (const [i, { userId, from, recorder }] of users.entries()) {
        const about = JSON.stringify(userId);
        await eventually(() => assert.deepEqual(ours(recorder.payloads), [`${run} ${i}`], about));
        const { entries } = await broker.read(userId, from, 100);
        assert.deepEqual(ours(entries.map(({ payload }) => payload)), [`${run} ${i}`], about);
      }
      const [first, ...others] = await broker.tops(users.map(({ userId }) => userId));
      for (const [userId] of others) {
        const slice = await broker.read(userId, first![1], 100);
        assert.ok(!isProven(first![1], slice), `a position of ${JSON.stringify(first![0])} is one of ${userId}`);
      }
    });

    test('are whispered to, marked, forgotten and online one by one, whatever their ids are', async (bench) => {
      const { broker, run } = bench;
      const [marked, ...others] = ['*', '.>', '', ' ', '{}'].map((end) => `${run}${end}`) as [string, ...string[]];
      const { recorder } = await bench.listen(marked);
      const recorders = await Promise.all(others.map(async (userId) => (await bench.listen(userId)).recorder));
      const all = [marked, ...others];
      await eventually(async () => assert.deepEqual(await broker.online(all), new Set(all)));
      await bench.say(marked, 'p');
      for (const userId of others) await bench.say(userId, 'kept');
      await broker.whisper([marked], 'psst');
      await broker.mark(marked, {});
      await broker.forget(marked);
      await eventually(() => assert.deepEqual([recorder.whispers, recorder.marks.length], [['psst'], 1]));
      for (const [i, other] of recorders.entries()) {
        await eventually(() => assert.deepEqual(other.payloads, ['kept']));
        assert.deepEqual([other.whispers, other.marks], [[], []]);
        assert.equal((await bench.top(others[i]!)).tag, other.publications[0]!.tag);
      }
    });

    test('are known by any message id', async (bench) => {
      for (const id of AWKWARD_IDS) {
        const { broker, ann, bob } = bench;
        assert.equal((await broker.publish(messageTo([ann], id, { id }))).duplicates, 0);
        assert.equal((await broker.publish(messageTo([ann, bob], id, { id }))).duplicates, 1);
      }
    });

    test('and ids that run together are still two', async ({ broker, run }) => {
      await broker.publish(messageTo([`${run} a`], 'p', { id: 'b' }));
      for (const [userId, id] of [
        [run, ' ab'],
        [run, 'ab'],
        [`${run} `, 'ab'],
        [`${run}  a`, 'b'],
      ] as const) {
        assert.equal((await broker.publish(messageTo([userId], 'p', { id }))).duplicates, 0, `${userId} and ${id}`);
      }
    });
  });
}

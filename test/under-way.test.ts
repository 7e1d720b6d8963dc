// What is waited for, and what is not.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { UnderWay } from '../src/under-way.ts';

function call(): { readonly work: Promise<string>; end(): void; fail(): void } {
  let settle: [(answer: string) => void, (cause: Error) => void] | null = null;
  const work = new Promise<string>((resolve, reject) => {
    settle = [resolve, reject];
  });
  return { work, end: () => settle![0]('done'), fail: () => settle![1](new Error('failed')) };
}

/** Whether it has been waited for long enough, asked later. */
function watch(waiting: Promise<void>): () => Promise<boolean> {
  let isOver = false;
  void waiting.then(() => {
    isOver = true;
  });
  return async () => {
    await nextTurn();
    return isOver;
  };
}

it('a user has settled when the calls for the user that were under way are over, however they ended', async () => {
  const underWay = new UnderWay();
  const [first, second, other, later] = [call(), call(), call(), call()];
  const tracked = underWay.track(['ann', 'bob'], first.work);
  const failed = expect(underWay.track(['ann'], second.work)).rejects.toThrow('failed');
  void underWay.track(['bob'], other.work);
  const hasSettled = watch(underWay.settled('ann'));
  void underWay.track(['ann'], later.work);
  first.end();
  expect([await tracked, await hasSettled()]).toEqual(['done', false]);
  second.fail();
  await failed;
  expect(await hasSettled()).toBe(true);
  expect(await watch(underWay.settled('ann'))()).toBe(false);
  expect(await watch(underWay.settled('zoe'))()).toBe(true);
});

it('it is idle when no call is under way, of whomever', async () => {
  const underWay = new UnderWay();
  expect(await watch(underWay.idle())()).toBe(true);
  const [first, second] = [call(), call()];
  void underWay.track([], first.work);
  void underWay.track(['ann'], second.work);
  const isIdle = watch(underWay.idle());
  first.end();
  expect(await isIdle()).toBe(false);
  second.end();
  expect(await isIdle()).toBe(true);
});

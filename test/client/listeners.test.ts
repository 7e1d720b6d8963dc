import { describe, expect, it } from 'vitest';
import { Listeners } from '../../src/client/listeners.ts';

const fail = (cause: unknown) => {
  throw cause;
};

describe('listeners', () => {
  it('are called in the order in which they came, the same one as often as it was added', () => {
    const listeners = new Listeners<[number]>();
    const calls: string[] = [];
    const twice = (n: number) => calls.push(`twice ${n}`);
    listeners.add(twice);
    listeners.add((n) => calls.push(`once ${n}`));
    const remove = listeners.add(twice);
    listeners.call(fail, 1);
    expect(calls).toEqual(['twice 1', 'once 1', 'twice 1']);
    remove();
    remove();
    listeners.call(fail, 2);
    expect(calls.slice(3)).toEqual(['twice 2', 'once 2']);
  });

  it('are not called once another has removed them, nor before the next call when one has added them', () => {
    const listeners = new Listeners<[]>();
    const calls: string[] = [];
    listeners.add(() => {
      removeSecond();
      listeners.add(() => calls.push('added'));
    });
    const removeSecond = listeners.add(() => calls.push('removed'));
    listeners.call(fail);
    expect(calls).toEqual([]);
    listeners.call(fail);
    expect(calls).toEqual(['added']);
  });

  it('do not keep each other from being called', async () => {
    const listeners = new Listeners<[]>();
    const calls: string[] = [];
    const causes: unknown[] = [];
    listeners.add(() => fail('thrown'));
    listeners.add(() => Promise.reject('rejected'));
    listeners.add(() => calls.push('called'));
    listeners.call((cause) => causes.push(cause));
    await Promise.resolve();
    expect(calls).toEqual(['called']);
    expect(causes).toEqual(['thrown', 'rejected']);
  });
});

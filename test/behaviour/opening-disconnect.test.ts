// A disconnect that is stored, by another process, while a session is still being opened.

import { createUsercast, memoryBroker } from 'usercast';
import { afterEach, describe, expect, it } from 'vitest';
import { cleanUp, connectV1, listen, testVerifier } from '../support/fixture.ts';

afterEach(cleanUp);

/** Resolves `reached` when something waits at it, and lets it pass with `open`. */
function gate() {
  let [arrive, open] = [() => {}, () => {}];
  const reached = new Promise<void>((resolve) => {
    arrive = resolve;
  });
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  const wait = (): Promise<void> => {
    arrive();
    return passed;
  };
  return { wait, reached, open };
}

describe('a session that is being opened while its user is disconnected elsewhere', () => {
  it.each(['verifying', 'subscribing'])('does not open, when it was %s', async (stage) => {
    const shared = memoryBroker();
    const { wait, reached, open } = gate();
    const here = await listen({
      verifier: {
        verify: async (token, context) => {
          if (stage === 'verifying') await wait();
          return testVerifier.verify(token, context);
        },
      },
      broker: {
        ...Object.fromEntries(
          (['publish', 'read', 'tops', 'whisper', 'online', 'mark', 'forget', 'onStatus', 'close'] as const).map(
            (name) => [name, (shared[name] as (...args: unknown[]) => unknown).bind(shared)],
          ),
        ),
        counters: shared.counters,
        status: 'ready',
        subscribe: async (...args: Parameters<typeof shared.subscribe>) => {
          if (stage === 'subscribing') await wait();
          return shared.subscribe(...args);
        },
      } as typeof shared,
    });
    const opening = connectV1(here, { userId: 'ada' });
    await reached;
    await createUsercast({ broker: shared }).disconnect('ada', { reason: 'out' });
    open();
    const client = await opening;
    expect(await client.closed).toMatchObject({ code: 4403 });
  });

  it('opens when its handshake began after the disconnect', async () => {
    const shared = memoryBroker();
    await createUsercast({ broker: shared }).disconnect('ada');
    const client = await connectV1(await listen({ broker: shared }), { userId: 'ada' });
    expect(await client.next()).toMatchObject({ type: 'session.ready' });
  });
});

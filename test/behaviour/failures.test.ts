import { type CounterStore, memoryCounters, type TokenVerifier, UsercastError, type UsercastEvents } from 'usercast';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cleanUp, connectClient, listen, Refused, testVerifier, textEvent } from '../support/fixture.ts';
import { type BrokerCall, Gate, ScriptedBroker } from '../support/scripted-broker.ts';

afterEach(cleanUp);

const limits = { deadlineMs: 200 };
const never = () => new Promise<never>(() => {});
const away = () => {
  throw new Error('away');
};

async function refusal(connecting: Promise<unknown>): Promise<Refused> {
  const outcome = await connecting.catch((cause: unknown) => cause);
  expect(outcome).toBeInstanceOf(Refused);
  return outcome as Refused;
}

let broker: ScriptedBroker;

beforeEach(() => {
  broker = new ScriptedBroker();
});

/** Makes one kind of call fail. */
function fail(call: BrokerCall, how: () => unknown): void {
  broker.before = (asked) => (asked === call ? how() : undefined);
}

function mend(): void {
  broker.before = () => {};
}

describe('a verifier', () => {
  it.each([
    ['hangs', { verify: never }, 503, ['verify']],
    [
      'cannot tell',
      {
        verify: async () => {
          throw new UsercastError('verifier_unavailable', 'no keys');
        },
      },
      503,
      ['verify'],
    ],
    ['throws at once', { verify: away }, 401, []],
    ['rejects', { verify: async () => away() }, 401, []],
    ['returns no identity', { verify: async () => ({ userId: 7 }) }, 503, ['verify']],
  ])('that %s refuses the handshake and harms nobody', async (_how, verifier, status, stages) => {
    const site = await listen({ verifier: verifier as unknown as TokenVerifier, limits });
    expect((await refusal(connectClient(site, { userId: 'ada' }))).status).toBe(status);
    expect(site.events('error').map(({ stage }) => stage)).toEqual(stages);
    expect(site.usercast.stats()).toMatchObject({ sessions: 0, refused: 1, errors: stages.length });
  });

  it('that throws when it should forget stops no disconnect', async () => {
    const site = await listen({ verifier: { ...testVerifier, forget: away } });
    const client = await connectClient(site, { userId: 'ada' });
    await site.usercast.disconnect('ada');
    expect((await client.closed).code).toBe(4403);
    expect(await site.event('error')).toMatchObject({ stage: 'verify', cause: { message: 'away' } });
  });
});

describe('a rule of who may connect', () => {
  it.each([
    ['hangs', never],
    ['throws', away],
    ['rejects', async () => away()],
  ])('that %s refuses the handshake with 503', async (_how, authorize) => {
    const site = await listen({ authorize, limits });
    expect((await refusal(connectClient(site, { userId: 'ada' }))).status).toBe(503);
    expect(await site.event('error')).toMatchObject({ stage: 'authorize' });
  });
});

describe('a broker', () => {
  it.each([
    ['subscribe', 'hangs', never],
    ['subscribe', 'rejects', away],
    ['read', 'hangs', never],
    ['read', 'rejects', away],
  ] as const)('whose %s %s refuses handshakes with 503 for as long, and no longer', async (call, _how, how) => {
    const site = await listen({ broker, limits });
    fail(call, how);
    const refused = await refusal(connectClient(site, { userId: 'ada' }));
    expect(refused).toMatchObject({ status: 503, problem: { title: 'broker unavailable' } });
    expect(await site.event('error')).toMatchObject({ stage: 'subscribe' });
    expect(site.usercast.stats()).toMatchObject({ sessions: 0, users: 0 });
    mend();
    const client = await connectClient(site, { userId: 'ada' });
    await site.usercast.notify('ada', 'n', { n: 1 });
    expect((await client.next()).object).toEqual({ n: 1 });
  });

  it.each([
    ['hangs', never, 'deadline'],
    ['rejects', away, undefined],
  ])('that %s when asked to publish is told to the caller and as an event', async (_how, how, code) => {
    const site = await listen({ broker, limits });
    const client = await connectClient(site, { userId: 'ada' });
    fail('publish', how);
    const publishing = site.usercast.publishEvent(['ada', 'grace'], textEvent());
    await expect(publishing).rejects.toMatchObject({ code: 'publish_failed', failedUserIds: ['ada', 'grace'] });
    expect(site.events('error')).toMatchObject([{ stage: 'publish', cause: code ? { code } : { message: 'away' } }]);
    mend();
    await site.usercast.notify('ada', 'n', { n: 1 });
    expect((await client.next()).object).toEqual({ n: 1 });
  });

  it.each([
    ['counts', 'count', (usercast) => usercast.counts('ada')],
    ['online', 'read', (usercast) => usercast.online('ada')],
    ['read', 'read', (usercast) => usercast.cursor('ada')],
    ['mark', 'publish', (usercast) => usercast.disconnect('ada')],
    ['forget', 'publish', (usercast) => usercast.forget('ada')],
  ] as const satisfies readonly (readonly [
    BrokerCall,
    string,
    (usercast: Awaited<ReturnType<typeof listen>>['usercast']) => Promise<unknown>,
  ])[])('that fails at %s is told to the caller and as an event', async (call, stage, ask) => {
    const site = await listen({ broker, limits });
    fail(call, away);
    await expect(ask(site.usercast)).rejects.toMatchObject({ code: 'broker_unavailable', cause: { message: 'away' } });
    fail(call, never);
    await expect(ask(site.usercast)).rejects.toMatchObject({ code: 'deadline' });
    expect(site.events('error').map((event) => event.stage)).toEqual([stage, stage]);
    mend();
    await ask(site.usercast);
  });

  it('that does not take an ack is told to the client, whose session stays', async () => {
    const site = await listen({ broker, limits });
    const client = await connectClient(site, { userId: 'ada' });
    fail('publish', away);
    client.send('ack', { sender_id: 'ada', box_id: 'box' });
    expect(await client.next()).toMatchObject({ type: 'error', object: { code: 'unavailable' } });
    mend();
    client.send('ack', { sender_id: 'ada', box_id: 'box' });
    expect(await client.next()).toMatchObject({ type: 'ack' });
    expect(site.events('error')).toMatchObject([{ stage: 'publish', cause: { message: 'away' } }]);
  });

  it('that loses, doubles and mixes up what it sends is not noticed by clients', async () => {
    const site = await listen({ broker, limits });
    const tabs = [await connectClient(site, { userId: 'ada' }), await connectClient(site, { userId: 'ada' })];
    let n = 0;
    broker.route = (publication, { entries }) => {
      n++;
      if (n % 5 === 1) return [];
      if (n % 5 === 2) return [publication, publication];
      if (n % 5 === 3) return [publication, entries[0]!];
      return [publication];
    };
    for (let i = 1; i <= 40; i++) await site.usercast.notify('ada', 'n', { n: i });
    broker.route = (publication) => [publication];
    await site.usercast.notify('ada', 'n', { n: 41 });
    for (const tab of tabs) {
      await expect.poll(() => tab.messages.length).toBe(41);
      expect(tab.all('n')).toEqual(Array.from({ length: 41 }, (_, i) => i + 1));
    }
    expect(broker.calls.subscribe).toBe(1);
  });

  it('whose reads fail in the middle of a session has it caught up when they work again', async () => {
    const site = await listen({ broker, limits });
    const client = await connectClient(site, { userId: 'ada' });
    fail('read', away);
    broker.route = () => [];
    await site.usercast.notify('ada', 'n', { n: 1 });
    broker.route = (publication) => [publication];
    await site.usercast.notify('ada', 'n', { n: 2 });
    expect(await site.event('error')).toMatchObject({ stage: 'read' });
    expect(client.messages).toEqual([]);
    mend();
    await expect.poll(() => client.all('n')).toEqual([1, 2]);
  });

  it('whose reads fail stays with a user who leaves and comes back', async () => {
    const site = await listen({ broker, limits });
    const first = await connectClient(site, { userId: 'ada' });
    fail('read', away);
    broker.route = () => [];
    await site.usercast.notify('ada', 'n', { n: 1 });
    broker.route = (publication) => [publication];
    await site.usercast.notify('ada', 'n', { n: 2 });
    await site.event('error');
    first.ws.close();
    await expect.poll(() => site.usercast.stats().sessions).toBe(0);
    mend();
    const second = await connectClient(site, { userId: 'ada' });
    await site.usercast.notify('ada', 'n', { n: 3 });
    await expect.poll(() => second.all('n').at(-1)).toBe(3);
  });

  it('that came back with an older or another stream has its clients reload, with 4410', async () => {
    const site = await listen({ broker, limits });
    for (const comesBack of ['older', 'new'] as const) {
      const client = await connectClient(site, { userId: 'ada' });
      for (let n = 1; n <= 3; n++) await site.usercast.notify('ada', 'n', { n });
      await expect.poll(() => client.messages.length).toBe(3);
      const stream = broker.stream('ada');
      if (comesBack === 'older') stream.rollBack(stream.entries.length - 2);
      else stream.renew();
      await site.usercast.notify('ada', 'n', { n: 'after' });
      expect(await client.closed).toEqual({ code: 4410, reason: 'messages lost' });
      expect(client.all('n')).toEqual([1, 2, 3]);
    }
    expect(site.events('reset').map(({ reason }) => reason)).toEqual(['rollback', 'epoch']);
  });

  it('that hangs holds up no end', async () => {
    const site = await listen({ broker, limits: { deadlineMs: 60_000, handshakeTimeoutMs: 60_000 } });
    const gate = new Gate();
    broker.before = gate.pass;
    const connecting = refusal(connectClient(site, { userId: 'ada' }));
    await gate.reached;
    await site.usercast.close();
    gate.open();
    expect((await connecting).status).toBe(503);
    await expect.poll(() => site.usercast.stats().sessions).toBe(0);
    expect(broker.stream('ada').listeners).toEqual([]);
  });
});

describe('a counter store', () => {
  class FailingCounters {
    how: (() => unknown) | null = null;
    readonly #inner = memoryCounters();
    readonly #ask = async <T>(work: () => Promise<T>): Promise<T> => {
      await this.how?.();
      return work();
    };
    increment: CounterStore['increment'] = (counted) => this.#ask(() => this.#inner.increment(counted));
    reset: CounterStore['reset'] = (...given) => this.#ask(() => this.#inner.reset(...given));
    counts: CounterStore['counts'] = (...given) => this.#ask(() => this.#inner.counts(...given));
    forget: CounterStore['forget'] = (userId) => this.#ask(() => this.#inner.forget(userId));
    close: CounterStore['close'] = () => this.#inner.close();
  }

  it.each([
    ['hangs', never],
    ['rejects', away],
  ])('that %s is told, and publishing again counts once', async (_how, how) => {
    const counters = new FailingCounters();
    const site = await listen({ counters, limits });
    const client = await connectClient(site, { userId: 'ada' });
    const event = textEvent();
    counters.how = how;
    await expect(site.usercast.publishEvent('ada', event)).rejects.toMatchObject({ code: 'publish_failed' });
    await expect(site.usercast.counts('ada')).rejects.toBeInstanceOf(UsercastError);
    expect(site.events('error').map(({ stage }) => stage)).toEqual(['count', 'count']);
    counters.how = null;
    for (let i = 0; i < 2; i++) await site.usercast.publishEvent('ada', event);
    expect(await site.usercast.counts('ada')).toEqual({ 'box-1': 1 });
    await site.usercast.notify('ada', 'last', {});
    await expect.poll(() => client.messages.length).toBe(2);
    expect(client.messages[1]).toContain('last');
  });
});

describe('a listener of the host', () => {
  const names: (keyof UsercastEvents)[] = ['connect', 'disconnect', 'ack', 'publish', 'refuse'];

  it.each([
    ['throws', away],
    ['rejects', async () => away()],
  ])('that %s harms nobody: others are called, and it is told as an error', async (_how, listener) => {
    const site = await listen();
    const heard = new Set<string>();
    for (const name of names) {
      site.usercast.on(name, listener);
      site.usercast.on(name, () => heard.add(name));
    }
    await refusal(connectClient(site, { userId: 'ada', token: 'wrong' }));
    const client = await connectClient(site, { userId: 'ada' });
    client.send('ack', { sender_id: 'ada', box_id: 'box' });
    await client.next();
    await site.usercast.notify('ada', 'n', { n: 1 });
    expect((await client.next()).object).toEqual({ n: 1 });
    client.ws.close();
    await expect.poll(() => [...heard].sort()).toEqual([...names].sort());
    await expect.poll(() => site.events('error').length).toBe(names.length);
    for (const { stage, cause } of site.events('error')) {
      expect({ stage, message: (cause as Error).message }).toEqual({ stage: 'listener', message: 'away' });
    }
  });

  it.each([
    ['throws', away],
    ['rejects', async () => away()],
  ])('of errors that %s itself is only counted', async (_how, listener) => {
    const site = await listen({ broker, limits });
    site.usercast.on('error', listener);
    fail('publish', away);
    await expect(site.usercast.notify('ada', 'n', {})).rejects.toMatchObject({ code: 'publish_failed' });
    await expect.poll(() => site.usercast.stats().errors).toBe(2);
    expect(site.events('error')).toHaveLength(1);
  });
});

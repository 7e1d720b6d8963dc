import { memoryBroker } from 'usercast';
import { afterEach, describe, expect, it } from 'vitest';
import { cleanUp, connectClient, listen, type Site, tokenFor } from '../support/fixture.ts';
import { openStream, poll } from '../support/http-clients.ts';
import { eventually } from '../support/raw-client.ts';
import { seededRandom } from '../support/seed.ts';

afterEach(cleanUp);

const SWITCHES = 300;
const INSTANCES = 3;

interface Message {
  readonly type: string;
  readonly object: Record<string, unknown>;
  readonly cursor?: string;
  readonly id?: string;
}

/** What a client has, whatever it is connected by. */
class Follower {
  readonly seen: number[] = [];
  readonly faults: string[] = [];
  cursor: string;
  readonly token = tokenFor('ada');

  constructor(cursor: string) {
    this.cursor = cursor;
  }

  take({ type, object, cursor, id }: Message): void {
    if (type === 'n') this.seen.push(object.n as number);
    else if (type !== 'session.ready') this.faults.push(type);
    else if (object.resumed !== true) this.faults.push(`not resumed: ${object.reset}`);
    this.cursor = cursor ?? id ?? this.cursor;
  }
}

/** Stays until the client has seen `count` messages, then goes without a word. */
type Visit = (site: Site, follower: Follower, count: number) => Promise<void>;

const VISITS: Readonly<Record<string, Visit>> = {
  async websocket(site, follower, count) {
    const { token, cursor } = follower;
    const client = await connectClient(site, { userId: 'ada', token, protocols: ['usercast.v1'], cursor });
    let taken = 0;
    await eventually('the messages', () => {
      while (taken < client.messages.length) follower.take(JSON.parse(client.messages[taken++]!));
      return follower.seen.length >= count;
    });
    client.ws.terminate();
  },

  async sse(site, follower, count) {
    const { token, cursor } = follower;
    const stream = await openStream(site, { userId: 'ada', token, headers: { 'last-event-id': cursor } });
    let taken = 0;
    await eventually('the messages', () => {
      while (taken < stream.messages.length) follower.take(stream.messages[taken++]!);
      return follower.seen.length >= count;
    });
    stream.leave();
  },

  async poll(site, follower, count) {
    do {
      const { token, cursor, seen } = follower;
      const wait = seen.length < count ? 2 : 0;
      const { body } = await poll(site, { userId: 'ada', token, query: { cursor, limit: 3, wait } });
      for (const message of body.messages) follower.take(message);
      if (body.reset !== undefined) follower.faults.push(body.reset);
      if (body.cursor !== follower.cursor) follower.faults.push('the cursor is not that of the last message');
    } while (follower.seen.length < count);
  },
};

describe('a client that changes its transport and its server', () => {
  it(`sees each message once and in order, over ${SWITCHES} changes`, { timeout: 180_000 }, async () => {
    const broker = memoryBroker();
    const sites = await Promise.all(
      Array.from({ length: INSTANCES }, () => listen({ broker, limits: { maxConnectionsPerUser: 0 } })),
    );
    const random = seededRandom(1);
    const anyOf = <T>(things: readonly T[]): T => things[Math.floor(random() * things.length)]!;
    const follower = new Follower(await sites[0]!.usercast.cursor('ada'));
    let published = 0;
    const publish = async (count: number) => {
      for (let i = 0; i < count; i++) await anyOf(sites).usercast.notify('ada', 'n', { n: ++published });
    };
    const visits = Object.values(VISITS);
    for (let i = 0; i < SWITCHES; i++) {
      await publish(Math.floor(random() * 4));
      const during = Math.floor(random() * 4);
      const visit = anyOf(visits)(anyOf(sites), follower, published + during);
      await Promise.all([visit, publish(during)]);
    }
    expect(follower.faults).toEqual([]);
    expect(follower.seen).toEqual(Array.from({ length: published }, (_, i) => i + 1));
    expect(published).toBeGreaterThan(SWITCHES);
    for (const site of sites) {
      await eventually('nothing is left', () => site.usercast.stats().sessions === 0);
      expect(site.events('reset')).toEqual([]);
    }
  });

  it('is told the same cursor and the same counts on each', async () => {
    const site = await listen();
    const { cursor: from } = (await poll(site, { userId: 'ada' })).body;
    await site.usercast.notify('ada', 'n', { n: 1 });
    const polled = (await poll(site, { userId: 'ada', query: { cursor: from } })).body;
    const stream = await openStream(site, { userId: 'ada', query: { cursor: from } });
    const ready = await stream.next();
    const streamed = await stream.next();
    const socket = await connectClient(site, { userId: 'ada', protocols: ['usercast.v1'], cursor: from });
    const socketReady = await socket.next();
    const framed = JSON.parse(await socket.nextText());
    expect([polled.messages[0]!.cursor, streamed.id, framed.cursor]).toEqual(new Array(3).fill(polled.cursor));
    expect(ready.object).toEqual({ ...socketReady.object, session_id: ready.object.session_id });
    expect(ready.id).toBe(from);
  });
});

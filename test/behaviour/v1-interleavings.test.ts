// From replay to live, in thousands of orders: publishes, acks, live messages, reads and their answers, sessions that come,
// go and stop reading, each step picked at random, and repeated with the run's seed.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Hold } from '../../src/broker/hold.ts';
import { ackPayload, encodeMessage } from '../../src/protocol/codec.ts';
import { decodeCursor, encodeCursor, type Position, TAG_LENGTH } from '../../src/protocol/cursor.ts';
import { randomName } from '../../src/random.ts';
import type { Session } from '../../src/session/session.ts';
import { UserSessions } from '../../src/session/user-sessions.ts';
import { FakeTransport } from '../support/fake-transport.ts';
import { HubFixture } from '../support/hub-fixture.ts';
import { seededRandom } from '../support/seed.ts';
import { SteppedBroker } from '../support/stepped-broker.ts';
import { V1Reader } from '../support/v1-reader.ts';

const RUNS = 1_500;
const STEPS = 70;
const CLIENTS = 3;
const MORE_THAN_A_PAGE = 130;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance', 'Date'] });
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** A client that comes back with its cursor. */
class Client {
  /** Of this life, which ends with the connection. */
  reader = new V1Reader();
  session: Session | null = null;
  cursor: string | null = null;
  isAway = true;
  #pipe = new FakeTransport({ isV1: true });
  #taken = 0;
  #lives = 0;
  readonly #fixture: HubFixture<SteppedBroker>;

  constructor(fixture: HubFixture<SteppedBroker>) {
    this.#fixture = fixture;
  }

  get isOpening(): boolean {
    return !this.isAway && this.session === null;
  }

  get isStuck(): boolean {
    return this.#pipe.isStuck;
  }

  async come(): Promise<void> {
    const life = ++this.#lives;
    this.isAway = false;
    this.reader = new V1Reader();
    this.#pipe = new FakeTransport({ isV1: true });
    this.#taken = 0;
    const presented = this.cursor;
    const cursor = presented === null ? null : (decodeCursor(presented) as Position);
    const session = await this.#fixture.open('ada', { isTold: true, cursor }).catch(() => null);
    if (session === null) return;
    if (life !== this.#lives) session.closed(1006, '');
    else {
      this.session = session;
      session.start(this.#pipe);
    }
  }

  leave(): void {
    this.take();
    this.session?.closed(1006, '');
    this.session = null;
    this.isAway = true;
    this.#lives++;
  }

  turnTap(): void {
    this.#pipe.isStuck = !this.#pipe.isStuck;
    if (!this.#pipe.isStuck && this.session) this.#pipe.drain(this.session);
  }

  /** Reads what was sent. @throws Error where the protocol is broken */
  take(): void {
    const { written } = this.#pipe;
    while (this.#taken < written.length) this.reader.take(written[this.#taken++]!);
    this.cursor = this.reader.cursor ?? this.cursor;
  }
}

/** Checks, while it reads, that every message is the very next one after the cursor, or comes after a reset. */
class Checked extends Client {
  readonly #log: readonly string[];
  #checked = 0;
  #at: string | null = null;

  constructor(fixture: HubFixture<SteppedBroker>, log: readonly string[]) {
    super(fixture);
    this.#log = log;
  }

  override async come(): Promise<void> {
    this.#checked = 0;
    this.#at = null;
    await super.come();
  }

  override take(): void {
    const presented = this.cursor;
    super.take();
    const { ready, stored, resets } = this.reader;
    if (!ready) return;
    if (this.#at === null) {
      if (ready.resumed && ready.cursor !== presented) throw new Error('resumed from another cursor');
      if (!ready.resumed && (ready.reset === undefined) !== (presented === null)) throw new Error('reset without need');
    }
    this.#at ??= ready.cursor;
    for (const { cursor } of stored.slice(this.#checked)) {
      if (cursor !== this.#next(this.#at)) {
        const reset = resets.find((one) => this.#next(one.cursor) === cursor);
        if (!reset) throw new Error(`after ${offsetOf(this.#at)} came ${offsetOf(cursor!)}`);
      }
      this.#at = cursor!;
    }
    this.#checked = stored.length;
  }

  #next(cursor: string): string | undefined {
    return this.#log[offsetOf(cursor)];
  }
}

const offsetOf = (cursor: string): number => (decodeCursor(cursor) as Position).offset;

interface Outcome {
  readonly resets: number;
  readonly resumed: number;
  readonly slow: number;
}

/** @throws Error where a client was sent something else than it was promised */
async function run(salt: number, historyMessages: number): Promise<Outcome> {
  const random = seededRandom(salt);
  const broker = new SteppedBroker({ history: { messages: historyMessages } });
  const fixture = new HubFixture({ maxBufferedBytes: 700 }, broker);
  const log: string[] = [];
  const clients = Array.from({ length: CLIENTS }, () => new Checked(fixture, log));
  const boxes = ['a', 'b'];
  let resumed = 0;

  async function publish(): Promise<void> {
    const boxId = boxes[Math.floor(random() * boxes.length)]!;
    const kind = random();
    const payload =
      kind < 0.2
        ? ackPayload('ada', boxId)
        : encodeMessage('event.new', { box_id: boxId, text: 'x'.repeat(random() * 200) });
    const counting = kind < 0.2 ? { ack: { boxId } } : kind < 0.8 ? { unread: { boxId } } : {};
    const deliveries = [{ payload, userIds: ['ada'], ...counting }];
    const { appended } = await broker.publish({ tag: randomName(TAG_LENGTH), deliveries });
    log.push(encodeCursor(appended[0] as Position));
  }

  async function act(): Promise<void> {
    const client = clients[Math.floor(random() * CLIENTS)]!;
    const what = random();
    if (what < 0.4) broker.step(random);
    else if (what < 0.7) await publish();
    else if (what < 0.85) {
      if (client.isAway) void client.come();
      else if (random() < 0.4) client.leave();
    } else if (what < 0.92) client.turnTap();
    else if (what < 0.93) {
      for (let i = 0; i < MORE_THAN_A_PAGE; i++) await publish();
    } else await broker.whisper(['ada'], encodeMessage('volatile', {}));
    for (let i = Math.floor(random() * 4); i > 0; i--) await null;
    if (random() < 0.5) await nextTurn();
    for (const one of clients) one.take();
  }

  for (let i = 0; i < STEPS; i++) await act();
  for (const client of clients) if (client.isAway) void client.come();
  const isSettled = () => broker.isQuiet && clients.every(({ session }) => session?.state === 'live');
  for (let i = 0; i < 5_000 && !isSettled(); i++) {
    for (const client of clients) {
      if (client.isStuck) client.turnTap();
      else if (client.session?.state === 'lagging') {
        client.turnTap();
        client.turnTap();
      }
    }
    broker.step(random);
    await nextTurn();
    if (broker.isQuiet) await vi.advanceTimersByTimeAsync(500);
  }
  await nextTurn();
  for (const client of clients) {
    client.take();
    if (client.session?.state !== 'live') throw new Error(`ends up ${client.session?.state}`);
    if (client.cursor !== (log.at(-1) ?? client.reader.ready!.head)) throw new Error('does not reach the top');
    expect(client.reader.counts).toEqual(await broker.counts('ada'));
    if (client.reader.ready!.resumed) resumed++;
    client.leave();
  }
  await fixture.hub.close();
  await broker.close();
  return { resets: fixture.stats.resets, resumed, slow: fixture.stats.slow };
}

it('brings every message once and in order while the history holds it, with the right counts', {
  timeout: 240_000,
}, async () => {
  const total = { resets: 0, resumed: 0, slow: 0 };
  for (let salt = 0; salt < RUNS; salt++) {
    const outcome = await run(salt, 10_000).catch((cause: unknown) => {
      throw new Error(`interleaving ${salt}`, { cause });
    });
    total.resets += outcome.resets;
    total.resumed += outcome.resumed;
    total.slow += outcome.slow;
  }
  expect(total.resets).toBe(0);
  expect(total.resumed).toBeGreaterThan(RUNS / 2);
  expect(total.slow).toBeGreaterThan(RUNS / 10);
});

it('tells of every message that the history did not hold, and nobody misses one unknowing', {
  timeout: 240_000,
}, async () => {
  let resets = 0;
  for (let salt = RUNS; salt < 2 * RUNS; salt++) {
    const outcome = await run(salt, 4).catch((cause: unknown) => {
      throw new Error(`interleaving ${salt}`, { cause });
    });
    resets += outcome.resets;
  }
  expect(resets).toBeGreaterThan(RUNS / 10);
});

it('is noticed when sessions neither hold what arrives while they read nor look where they join', async () => {
  vi.spyOn(Hold.prototype, 'add').mockImplementation(() => {});
  vi.spyOn(UserSessions.prototype, 'isAt').mockReturnValue(true);
  const faults: string[] = [];
  for (let salt = 0; salt < 60; salt++) await run(salt, 10_000).catch(({ message }: Error) => faults.push(message));
  expect(faults.filter((fault) => /^after \d+ came \d+$/.test(fault)).length).toBeGreaterThan(5);
});

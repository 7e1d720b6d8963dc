// Random messages, retries, reads and losses, held against a plain model of what each user's stream must be.

import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RedisBroker, redisBroker } from '../../../adapters/redis/index.ts';
import { partitionOf, partitionPrefix } from '../../../adapters/redis/keys.ts';
import type { BrokerMessage, Position, Publication } from '../../../src/index.ts';
import { assertAppended, isProven, newTag, place } from '../../../src/testing/broker-bench.ts';
import { Recorder } from '../../../src/testing/index.ts';
import { eventually } from '../../support/raw-client.ts';
import { seededRandom } from '../../support/seed.ts';
import { type RedisServer, startRedis } from '../../support/servers/redis.ts';

const FEW = ['ann', 'b\n{b}', 'c"c\\ 1', '💬', '["e"]', '\u0001', 'x'.repeat(256)];
const ALL = [...FEW, ...Array.from({ length: 450 }, (_, i) => `${i}`)];
const PAYLOADS = ['', ' ', '\n', '1 2', '{"a":"\\n"}', '💬\n\n9', '-'.repeat(40)];
/** Of messages to all: kept once for many. */
const SHARED = [' '.repeat(40), '💬\n\n9'.repeat(20), '1 2'.repeat(1_000)];
const STEPS = 1_200;
const HISTORY = 8;
const KEPT_AT_MOST = HISTORY + HISTORY / 8;

let redis: RedisServer;
const opened: RedisBroker[] = [];
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await Promise.all(opened.map((broker) => broker.close()));
  await redis.close();
});

type Entry = Omit<Publication, 'previousTag'>;

class ModelUser {
  /** Oldest first; the place where the stream began as well, once it was seen. */
  chain: Position[] = [];
  readonly entries = new Map<string, Entry>();
  readonly told: (Entry & { previousTag?: string })[] = [];
  /** Of streams that are no more. */
  readonly gone: Position[] = [];
  /** What is before this place of the chain is lost. */
  from = 0;
  generation = 0;
  counts: Record<string, number> = {};

  begin(generation: number): void {
    this.gone.push(...this.chain.slice(-3));
    Object.assign(this, { chain: [], from: 0, generation });
  }
}

/** What is known of a message's id; the tag is null when several calls have written it. */
class ModelRecord {
  tag: string | null;
  readonly generation: number;
  readonly got = new Map<string, { readonly position: Position; readonly generation: number }>();

  constructor(tag: string, generation: number) {
    this.tag = tag;
    this.generation = generation;
  }
}

it.each([1, 3])('every stream is what was appended to it, over %i partitions', async (partitions) => {
  const random = seededRandom(partitions);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const prefix = `model ${partitions}`;
  const options = { url: redis.url, prefix, partitions, deadlineMs: 15_000, history: { messages: HISTORY } };
  const brokers = [redisBroker(options), redisBroker(options)];
  opened.push(...brokers);
  const parts = Array.from({ length: partitions }, () => ({ generation: 0, records: new Map<string, ModelRecord>() }));
  const users = new Map(ALL.map((userId) => [userId, new ModelUser()]));
  const of = (userId: string) => [parts[partitionOf(userId, partitions)]!, users.get(userId)!] as const;
  const recorders = new Map(FEW.map((userId) => [userId, new Recorder()]));
  await Promise.all(FEW.map((userId, i) => brokers[i % 2]!.subscribe(userId, recorders.get(userId)!)));
  const messages: BrokerMessage[] = [];
  /** The tags of messages whose shared payloads were lost, and may have been stored again since. */
  const lostPayloads = new Set<string>();

  const newMessage = (): BrokerMessage => {
    const recipients = random() < 0.1 ? ALL : FEW.filter(() => random() < 0.4);
    const sorted: string[][] = [[], [], []];
    for (const userId of pick([recipients, recipients.toReversed()])) pick(sorted).push(userId);
    const box = { boxId: pick(['box', 'b 2']) };
    const forms = [{}, { unread: box }, { ack: box }].map((form, i) => ({
      ...form,
      payload: pick(recipients === ALL ? SHARED : PAYLOADS),
      userIds: sorted[i]!,
    }));
    const id = pick([undefined, `${messages.length}`, pick(messages)?.id]);
    const deliveries = forms.filter(({ userIds }) => userIds.length > 0);
    return { tag: newTag(), deliveries, ...(id !== undefined && { id }) };
  };

  const publish = async (message: BrokerMessage): Promise<void> => {
    const { appended, duplicates } = await pick(brokers).publish(message);
    const positions = assertAppended(appended);
    const id = message.id ?? `call:${message.tag}`;
    for (const [part] of message.deliveries.flatMap(({ userIds }) => userIds.map(of))) {
      const record = part.records.get(id);
      if (record && (record.tag !== message.tag || record.generation !== part.generation)) record.tag = null;
    }
    let known = 0;
    for (const { payload, unread, ack, userIds } of message.deliveries) {
      for (const userId of userIds) {
        const [part, user] = of(userId);
        const position = positions.shift()!;
        const record = part.records.get(id) ?? new ModelRecord(message.tag, part.generation);
        part.records.set(id, record);
        const before = record.got.get(userId);
        if (before?.generation === part.generation) {
          expect(position).toEqual(before.position);
          // The call itself, made again, is answered as it was.
          if (record.tag === null) known++;
          continue;
        }
        if (user.generation !== part.generation) user.begin(part.generation);
        const last = user.chain.at(-1);
        if (last) expect([position.epoch, position.offset > last.offset]).toEqual([last.epoch, true]);
        const entry = { ...position, tag: message.tag, payload, unread: unread !== undefined && !before };
        user.told.push({ ...entry, ...(last && { previousTag: last.tag }) });
        user.entries.set(message.tag, entry);
        user.chain.push(position);
        record.got.set(userId, { position, generation: part.generation });
        if (unread && !before) user.counts[unread.boxId] = (user.counts[unread.boxId] ?? 0) + 1;
        if (ack && !before) delete user.counts[ack.boxId];
      }
    }
    expect(duplicates).toBe(known);
  };

  const look = async (userId: string): Promise<void> => {
    const [part, user] = of(userId);
    if (user.generation !== part.generation) user.begin(part.generation);
    const { top, counts } = await pick(brokers).read(userId, null, 0);
    expect(counts).toEqual(user.counts);
    if (user.chain.length === 0) user.chain.push(place(top));
    expect(place(top)).toEqual(user.chain.at(-1));
    const position = pick([...user.chain.slice(-KEPT_AT_MOST - 3), ...user.gone.slice(-2)]);
    const limit = pick([0, 1, 3, HISTORY, 100]);
    const slice = await pick(brokers).read(userId, position, limit);
    const index = user.chain.indexOf(position);
    const newer = user.chain.length - 1 - index;
    const run = user.chain.slice(index, index + 1 + limit);
    const mayLack = run.slice(1).some(({ tag }) => lostPayloads.has(tag));
    const isWithin = (most: number) => index >= user.from && newer <= most && (limit > 0 || newer === 0);
    if (!isProven(position, slice)) expect(isWithin(HISTORY) && !mayLack).toBe(false);
    else {
      expect(isWithin(KEPT_AT_MOST)).toBe(true);
      const entries = run.slice(1).map(({ tag }, i) => ({ ...user.entries.get(tag), previousTag: run[i]!.tag }));
      expect(slice.entries).toEqual(entries);
    }
  };

  const losePayloads = async (): Promise<void> => {
    const message = messages.findLast(({ deliveries }) => deliveries.some(({ payload }) => SHARED.includes(payload)));
    if (!message) return;
    const names = await redis.cli('KEYS', `*:p:${message.tag}*`);
    if (names !== '') await redis.cli('DEL', ...names.split('\n'));
    lostPayloads.add(message.tag);
  };

  const lose = async (userId: string): Promise<void> => {
    const [part, user] = of(userId);
    const id = pick(messages)?.id ?? '';
    const lost = pick([`u:${userId}`, `s:${userId}`, `d:${id}`, 'g', 'all', 'payloads']);
    if (lost === 'payloads') return losePayloads();
    if (lost === 'all') await pick(brokers).forget(userId);
    else await redis.cli('DEL', partitionPrefix(prefix, partitionOf(userId, partitions)) + lost);
    if (lost === 'g') part.generation++;
    else if (lost[0] === 'd') part.records.delete(id);
    else if (lost[0] === 's') user.from = Math.max(user.chain.length - 1, 0);
    else {
      user.begin(part.generation);
      user.counts = {};
    }
  };

  for (let step = 0; step < STEPS; step++) {
    const chance = random();
    if (chance < 0.4) await publish(messages[messages.push(newMessage()) - 1]!);
    else if (chance < 0.5 && messages.length > 0) await publish(pick(messages.slice(-20)));
    else if (chance < 0.96) await look(pick([pick(ALL), ...FEW]));
    else await lose(pick(FEW));
  }
  for (const [userId, { publications }] of recorders) {
    const { told } = users.get(userId)!;
    await eventually(`all of ${JSON.stringify(userId)}`, () => publications.length >= told.length);
    expect(publications).toMatchObject(told);
  }
});

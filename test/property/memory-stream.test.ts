import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Publication, StreamSlice } from '../../src/broker/broker.ts';
import { disproof } from '../../src/broker/contiguity.ts';
import { memoryBroker } from '../../src/broker/memory-broker.ts';
import { ORIGIN_TAG, type Position } from '../../src/protocol/cursor.ts';
import { messageTo } from '../../src/testing/broker-bench.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'setInterval', 'clearInterval'] });
});
afterEach(() => {
  vi.useRealTimers();
});

type Step =
  | { readonly do: 'publish'; readonly to: string; readonly length: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'forget'; readonly userId: string };

const userId = fc.constantFrom('ann', 'bob', 'carol', 'dave');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({ do: fc.constant('publish' as const), to: userId, length: fc.constantFrom(1, 9_000) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(10, 500, 40_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('forget' as const), userId }) },
);
const bounds = fc.record({
  messages: fc.constantFrom(1, 2, 5, 100),
  ageMs: fc.constantFrom(300, 1_000, 300_000),
  maxUsers: fc.constantFrom(2, 10),
});
const limit = fc.constantFrom(1, 3, 1_000);

/** A place that a client may have seen, and the stream that it was seen in. */
interface Seen {
  readonly userId: string;
  readonly position: Position;
  readonly stream: Publication[];
}

/** The stream's own account of what came after a position; null: the position is not in it. */
function laterThan({ position, stream }: Seen): Publication[] | null {
  if (position.offset === 0) return stream;
  const index = stream.findIndex(({ offset, tag }) => offset === position.offset && tag === position.tag);
  return index < 0 ? null : stream.slice(index + 1);
}

function isSame(a: Position, b: Position): boolean {
  return a.epoch === b.epoch && a.offset === b.offset && a.tag === b.tag;
}

describe('whatever was published, trimmed, evicted and forgotten', () => {
  it('a read after any position gives all that came after it, up to the limit, or is disproved', async () => {
    let proven = 0;
    let disproved = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), bounds, limit, async (steps, options, most) => {
        const { maxUsers, ...history } = options;
        const broker = memoryBroker({ history, maxUsers, maxBytes: 65_536, deduplicationMs: 1_000 });
        const seen: Seen[] = [];
        const streams = new Map<string, Publication[]>();
        const streamOf = async (user: string): Promise<Publication[]> => {
          const { top } = await broker.read(user, null, 0);
          const stream = streams.get(top.epoch) ?? [];
          if (!streams.has(top.epoch)) {
            expect(top).toMatchObject({ offset: 0, tag: ORIGIN_TAG });
            streams.set(top.epoch, stream);
            seen.push({ userId: user, position: top, stream });
          }
          return stream;
        };
        for (const taken of steps) {
          if (taken.do === 'wait') vi.advanceTimersByTime(taken.ms);
          else if (taken.do === 'forget') await broker.forget(taken.userId);
          else {
            const stream = await streamOf(taken.to);
            const payload = 'x'.repeat(taken.length);
            const [position] = (await broker.publish(messageTo([taken.to], payload))).appended as Position[];
            stream.push({ ...position!, previousTag: stream.at(-1)?.tag ?? ORIGIN_TAG, payload, unread: false });
            seen.push({ userId: taken.to, position: position!, stream });
          }
          expect(broker.stats().users).toBeLessThanOrEqual(maxUsers);
          expect(broker.stats().bytes).toBeLessThan(65_536 + 10_000);
        }
        for (const place of seen) {
          const slice: StreamSlice = await broker.read(place.userId, place.position, most);
          const reason = disproof(place.position, slice);
          if (reason === null) {
            proven++;
            expect(slice.entries).toEqual(laterThan(place)!.slice(0, most));
            if (slice.entries.length < most) {
              expect(isSame(slice.top, place.stream.at(-1) ?? place.position)).toBe(true);
            }
          } else {
            disproved++;
            const isOver = slice.top.epoch !== place.position.epoch;
            expect(reason).toBe(isOver ? 'epoch' : 'trimmed');
            // Only what is really missing is disproved.
            if (!isOver) expect(slice.entries.length).toBeLessThan(laterThan(place)!.length);
          }
          for (const wrong of [
            { ...place.position, tag: 'wrongtag' },
            { ...place.position, offset: place.position.offset + 1 },
            { ...place.position, offset: 2 ** 40 },
            { ...place.position, epoch: 'never-an-epoch--' },
          ]) {
            expect(disproof(wrong, await broker.read(place.userId, wrong, most))).not.toBeNull();
          }
        }
        await broker.close();
      }),
      { numRuns: 60 },
    );
    expect(proven).toBeGreaterThan(100);
    expect(disproved).toBeGreaterThan(100);
  });

  it('reads in pages join to what one read gives', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 90 }), fc.integer({ min: 1, max: 40 }), async (messages, page) => {
        const broker = memoryBroker();
        const start = (await broker.read('ann', null, 0)).top;
        for (let i = 0; i < messages; i++) await broker.publish(messageTo(['ann'], `p${i}`));
        const pages: Publication[] = [];
        for (;;) {
          const from: Position = pages.at(-1) ?? start;
          const slice = await broker.read('ann', from, page);
          expect(disproof(from, slice)).toBeNull();
          pages.push(...slice.entries);
          if (slice.entries.length < page) break;
        }
        expect(pages).toEqual((await broker.read('ann', start, 1_000)).entries);
        expect(pages.map(({ payload }) => payload)).toEqual(Array.from({ length: messages }, (_, i) => `p${i}`));
        await broker.close();
      }),
      { numRuns: 50 },
    );
  });
});

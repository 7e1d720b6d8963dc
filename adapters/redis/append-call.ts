// One call of `APPEND`: what it is given, and what it answers.

import { type BrokerMessage, type Position, UsercastError } from '../../src/index.ts';
import type { Batch } from './batches.ts';
import type { Part } from './part.ts';
import type { ResolvedRedisBrokerOptions } from './redis-options.ts';
import { EPOCH, TAG } from './replies.ts';

/** A call without an id is remembered so long at least, for the retries of the connection. */
const RETRY_MS = 60_000;

/** A key of its own takes as much memory as this many recipients' copies, or characters of one. */
const SHARED_BY = 10;
const SHARED_FROM = 40;

/** How often the life of a used stream is renewed, in ms. */
export function renewMs({ history }: ResolvedRedisBrokerOptions): number {
  return Math.ceil(history.ageMs / 4);
}

/** Says in which turn of `renewMs` it is. */
export function stampOf(options: ResolvedRedisBrokerOptions): string {
  return Math.floor(Date.now() / renewMs(options))
    .toString(36)
    .padStart(7, '0')
    .slice(-7);
}

export interface AppendCall {
  readonly keys: readonly string[];
  readonly args: () => readonly string[];
}

export function appendCall(
  { id, tag }: BrokerMessage,
  batch: Batch,
  part: Part,
  options: ResolvedRedisBrokerOptions,
): AppendCall {
  const { history, positionMs, deadlineMs, deduplicationMs } = options;
  const isCommon = part.isCommon(batch.places.length);
  const keys: string[] = [...part.keys, part.record(id ?? `call:${tag}`)];
  const args: string[] = [
    tag,
    String(batch.number),
    stampOf(options),
    String(history.messages),
    String(history.ageMs + renewMs(options)),
    String(positionMs + renewMs(options)),
    String(id === undefined ? Math.max(RETRY_MS, deadlineMs) : deduplicationMs),
    isCommon ? part.commonChannel : '',
    part.channelPrefix,
  ];
  for (const { index, payload, unread, ack, userIds } of batch.deliveries) {
    const box = unread ?? ack;
    const change = unread ? '+' : ack ? '-' : '';
    const isShared = userIds.length >= SHARED_BY && payload.length >= SHARED_FROM;
    const name = isShared ? part.payloadName(index) : '';
    if (isShared) keys.push(part.payload(tag, name));
    args.push(payload, name, unread ? '1' : '0', box?.boxId ?? '', change);
    args.push(String(userIds.length), JSON.stringify(userIds));
    for (const userId of userIds) keys.push(part.user(userId), part.stream(userId));
  }
  return { keys, args: () => [...part.args, ...args] };
}

/** As `APPEND` returns it. */
export type AppendReply = readonly [
  written: number,
  generation: string,
  offset: string,
  items: string,
  errors: readonly string[],
];

/** Writes each recipient's outcome into its place; returns how many had the message already. */
export function takeAppended(
  [, epoch, storedOffset, items, errors]: AppendReply,
  tag: string,
  places: readonly number[],
  appended: (Position | Error)[],
): number {
  const position = { epoch, offset: Number(storedOffset), tag };
  for (const place of places) appended[place] = position;
  if (items === '') return 0;
  let duplicates = 0;
  let failed = 0;
  for (const [i, item] of items.split(' ').entries()) {
    const place = places[i]!;
    if (item === '!') {
      appended[place] = new UsercastError('broker_unavailable', `Redis refused to append: ${errors[failed++]}`);
    } else if (item[0] === '=') {
      duplicates++;
      const tagAt = 1 + EPOCH;
      const offset = Number(item.slice(tagAt + TAG));
      appended[place] = { epoch: item.slice(1, tagAt), offset, tag: item.slice(tagAt, tagAt + TAG) };
    }
  }
  return duplicates;
}

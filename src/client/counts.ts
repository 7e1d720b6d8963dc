// A client's unread counts, by the one rule: those of the server as of a place in the stream; after it, in stream order,
// one more for each message that is marked unread, and none for each `ack`.

import { ACK } from '../protocol/event-types.ts';
import type { Envelope } from './transports/transport.ts';

/** Unread events by box; a box without any is left out. */
export type UnreadCounts = Readonly<Record<string, number>>;

/** The counts after a message. The same object where the message changes nothing. */
export function countMessage(counts: UnreadCounts, { type, object, unread }: Envelope): UnreadCounts {
  const box = object.box_id as string;
  // A box may have the name of something that every object inherits.
  const count = Object.hasOwn(counts, box) ? counts[box]! : 0;
  if (unread) return { ...counts, [box]: count + 1 };
  if (type !== ACK || count === 0) return counts;
  const { [box]: _, ...others } = counts;
  return others;
}

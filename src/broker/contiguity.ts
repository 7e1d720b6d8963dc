// Decides what is contiguous: the one rule for replay, repair and live messages, on every transport.

import type { Position } from '../protocol/cursor.ts';
import type { ResetReason } from '../protocol/session-messages.ts';
import type { Publication, StreamSlice } from './broker.ts';

/** Is this publication the very next one after the position? */
export function follows(position: Position, publication: Publication): boolean {
  return (
    publication.previousTag === position.tag &&
    publication.offset > position.offset &&
    publication.epoch === position.epoch
  );
}

/** `null` when the slice proves that its entries are all that came after the position; else why it does not. */
export function disproof(position: Position, slice: StreamSlice): ResetReason | null {
  const { top, entries } = slice;
  if (position.epoch !== top.epoch) return 'epoch';
  if (entries.length === 0) {
    if (position.offset === top.offset && position.tag === top.tag) return null;
    return position.offset < top.offset ? 'trimmed' : 'rollback';
  }
  let at = position;
  for (const entry of entries) {
    if (!follows(at, entry)) return entry.offset > at.offset + 1 ? 'trimmed' : 'rollback';
    at = entry;
  }
  return null;
}

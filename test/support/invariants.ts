// What must hold for every client, whatever happened on the way: order, none twice, nothing lost silently, counts that are
// right. A witness writes down what one client saw; the checker compares it with what was published.

import { decodeCursor, type Position } from '../../src/protocol/cursor.ts';

type Seen =
  | { readonly kind: 'start' | 'reset'; readonly atMs: number; readonly cursor: string }
  | { readonly kind: 'message'; readonly id: string; readonly cursor: string };

/** What was accepted for a user: publishing it has resolved. */
export interface Accepted {
  readonly userId: string;
  readonly id: string;
  readonly boxId: string;
  /** When publishing it began. */
  readonly fromMs: number;
  /** When publishing it had resolved. */
  readonly doneMs?: number;
}

interface Message {
  readonly type: string;
  readonly object: Readonly<Record<string, unknown>>;
  readonly cursor?: string;
  readonly unread?: boolean;
}

/** One client across all of its connections. */
export class Witness {
  readonly userId: string;
  /** What the client would come back with. */
  cursor: string | null = null;
  /** By the rule of the protocol; null: it has not been told, or they went with a reset that told none. */
  counts: Map<string, number> | null = null;
  resets = 0;
  /** Why, one for each reset. */
  readonly resetReasons: string[] = [];
  readonly log: Seen[] = [];
  /** What it saw to be wrong by itself. */
  readonly faults: string[] = [];
  /** When the last reset came. */
  lastResetMs = 0;
  readonly #ids = new Set<string>();
  #countsAsOf: Position | null = null;

  constructor(userId: string) {
    this.userId = userId;
  }

  /** A message as it came; `cursor` where it did not stand in the message itself. */
  take(message: Message, cursor = message.cursor): void {
    const { type, object } = message;
    if (type === 'session.ready') this.#ready(object);
    else if (type === 'session.reset') {
      this.reset(String(object.cursor), object.counts as Record<string, number>, String(object.reason));
    } else if (!type.startsWith('session.') && type !== 'error') this.#stored(message, String(cursor));
  }

  /** Whether a message came, ever. */
  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** The first cursor that it was told, before any message. */
  start(cursor: string): void {
    this.cursor ??= cursor;
    if (this.log.length === 0) this.log.push({ kind: 'start', atMs: performance.now(), cursor });
  }

  /** The counts as of a cursor, from where it starts if it has not yet. */
  told(counts: Record<string, number>, cursor: string): void {
    this.start(cursor);
    this.#count(counts, cursor);
  }

  reset(cursor: string, counts: Record<string, number> | null, reason = 'unknown'): void {
    this.resets++;
    this.resetReasons.push(reason);
    this.cursor = cursor;
    this.lastResetMs = performance.now();
    this.log.push({ kind: 'reset', atMs: this.lastResetMs, cursor });
    this.#count(counts, cursor);
  }

  #ready(object: Message['object']): void {
    const { cursor, head, counts, reset } = object as { cursor: string; head: string; reset?: string } & {
      counts: Record<string, number>;
    };
    if (reset !== undefined) this.reset(cursor, counts, reset);
    else this.start(cursor);
    if (cursor !== this.cursor) this.faults.push(`resumed at ${cursor}, asked for ${this.cursor}`);
    this.#count(counts, head);
  }

  #stored({ type, object, unread = false }: Message, cursor: string): void {
    this.cursor = cursor;
    const id = type === 'ack' ? `ack at ${cursor}` : String(object.id);
    this.#ids.add(id);
    this.log.push({ kind: 'message', id, cursor });
    const { epoch, offset } = positionOf(cursor);
    if (!this.counts || this.#countsAsOf?.epoch !== epoch || offset <= this.#countsAsOf.offset) return;
    const boxId = String(object.box_id);
    if (type === 'ack') this.counts.delete(boxId);
    else if (unread) this.counts.set(boxId, (this.counts.get(boxId) ?? 0) + 1);
  }

  #count(counts: Record<string, number> | null, cursor: string): void {
    this.counts = counts && new Map(Object.entries(counts));
    this.#countsAsOf = positionOf(cursor);
  }
}

/** The position that a cursor names. @throws Error for what is none */
export function positionOf(cursor: string): Position {
  const position = decodeCursor(cursor);
  if (typeof position === 'string') throw new Error(`the cursor ${cursor} is ${position}`);
  return position;
}

/** What a run left behind, to be checked when it is quiet. */
export interface Evidence {
  readonly accepted: readonly Accepted[];
  readonly witnesses: readonly Witness[];
  /** Where each user's stream ends. */
  readonly tops: ReadonlyMap<string, Position>;
  /** Each user's counts, as the broker has them. */
  readonly counts: ReadonlyMap<string, Readonly<Record<string, number>>>;
  /** Offsets of a stream grow by one. Default true; false: they only grow. */
  readonly dense?: boolean;
  /** Two servers may have taken messages of one epoch: who went past those of one of them has to be reset in the end. Default false. */
  readonly mayBeSplit?: boolean;
  /** Clients end with the counts that are kept. Default true; false: about these, as where another store counts for several processes. */
  readonly exactCounts?: boolean;
}

/** What does not hold, one line each. */
export function violationsOf(evidence: Evidence): string[] {
  const { accepted, witnesses, tops, counts, dense = true, exactCounts = true, mayBeSplit = false } = evidence;
  const violations: string[] = dense ? [] : passedOver(accepted, witnesses, mayBeSplit);
  const seen = new Map<string, string>();
  for (const [number, witness] of witnesses.entries()) {
    const { userId, log } = witness;
    const tell = (what: string): void => void violations.push(`${userId}, client ${number}: ${what}`);
    violations.push(
      ...[...witness.faults, ...orderOf(witness, dense)].map((what) => `${userId}, client ${number}: ${what}`),
    );
    for (const one of log) {
      if (one.kind !== 'message') continue;
      const same = seen.get(`${userId} ${one.cursor}`) ?? one.id;
      if (same !== one.id) tell(`saw ${one.id} where another client saw ${same}`);
      seen.set(`${userId} ${one.cursor}`, one.id);
    }
    const startMs = log[0]?.kind === 'message' ? 0 : (log[0]?.atMs ?? Number.POSITIVE_INFINITY);
    for (const { id, fromMs } of accepted.filter((one) => one.userId === userId)) {
      if (fromMs > Math.max(startMs, witness.lastResetMs) && !witness.has(id)) tell(`${id} was lost silently`);
    }
    const top = tops.get(userId);
    const end = witness.cursor === null ? null : positionOf(witness.cursor);
    if (top && (end?.offset !== top.offset || end.tag !== top.tag || end.epoch !== top.epoch)) {
      const where = end?.epoch === top.epoch ? '' : ' of another epoch';
      tell(`ended at offset ${end?.offset} and not at the top, ${top.offset}${where}`);
    }
    const kept = sorted(Object.entries(counts.get(userId) ?? {}));
    if (exactCounts && witness.counts && sorted([...witness.counts]) !== kept) {
      tell(`counts ${sorted([...witness.counts])}, and the broker ${kept}`);
    }
  }
  return violations;
}

const sorted = (counts: [string, number][]): string => JSON.stringify(counts.sort());

/**
 * Where offsets may leave room: what one client saw at a place that another went past without it, in the same epoch and
 * without a reset. Only what was accepted counts: an entry that a broker lost again may be seen by some.
 */
function passedOver(accepted: readonly Accepted[], witnesses: readonly Witness[], mayBeSplit: boolean): string[] {
  const wanted = new Set(accepted.map(({ userId, id }) => `${userId} ${id}`));
  const places = new Map<string, Map<number, string>>();
  for (const { userId, log } of witnesses) {
    for (const one of log) {
      if (one.kind !== 'message' || !wanted.has(`${userId} ${one.id}`)) continue;
      const { epoch, offset } = positionOf(one.cursor);
      const stream = `${userId} ${epoch}`;
      if (!places.has(stream)) places.set(stream, new Map());
      places.get(stream)!.set(offset, one.id);
    }
  }
  return witnesses.flatMap((witness, number) => {
    const { userId, log } = witness;
    let missed: string[] = [];
    let last: Position | null = null;
    for (const one of log) {
      if (mayBeSplit && one.kind === 'reset') missed = [];
      const position = positionOf(one.cursor);
      const isNext = one.kind === 'message' && last?.epoch === position.epoch;
      for (const [offset, id] of isNext ? (places.get(`${userId} ${position.epoch}`) ?? []) : []) {
        if (last!.offset < offset && offset < position.offset && !witness.has(id)) {
          missed.push(`${userId}, client ${number}: went past ${id} at offset ${offset}`);
        }
      }
      last = position;
    }
    return missed;
  });
}

/** Between two resets: one epoch, each next offset, no id twice. */
function orderOf({ log }: Witness, dense: boolean): string[] {
  const violations: string[] = [];
  let last: Position | null = null;
  let ids = new Set<string>();
  for (const one of log) {
    const position = positionOf(one.cursor);
    if (one.kind !== 'message') ids = new Set();
    else if (!last) violations.push(`${one.id} came before a cursor did`);
    else {
      if (position.epoch !== last.epoch) violations.push(`${one.id} is of another epoch, without a reset`);
      else if (dense ? position.offset !== last.offset + 1 : position.offset <= last.offset) {
        violations.push(`${one.id} at offset ${position.offset} came after ${last.offset}`);
      }
      if (ids.has(one.id)) violations.push(`${one.id} came twice`);
      ids.add(one.id);
    }
    last = position;
  }
  return violations;
}

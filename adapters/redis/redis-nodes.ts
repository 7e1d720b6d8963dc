// The servers of a link: the one there is, or the primaries of a cluster and who has which slot.

import { setTimer, type Timer, withDeadline } from '../../src/timers.ts';
import type { ChannelGroup } from './channel-group.ts';
import type { RedisConnection } from './redis-connection.ts';
import { RedisRefusal, unconnected } from './redis-errors.ts';
import type { RedisAddress, RedisDriver, RedisWire } from './redis-wire.ts';
import { SLOTS, type SlotRange, slotRanges } from './slots.ts';

/** One server. */
export interface RedisNode {
  /** Null: the one there is. */
  readonly address: RedisAddress | null;
  readonly commands: RedisConnection;
  /** Null on a link without subscriptions. */
  readonly group: ChannelGroup | null;
}

/** What the servers ask of the link, and tell it. */
export interface NodeHooks {
  create(address: RedisAddress | null): RedisNode;
  /** Slots have changed hands, or are known for the first time. */
  changed(): void;
  /** All nodes are connected to; asked while they are not. */
  isWhole(): boolean;
  /** No node lets itself be asked, until something is changed. */
  refused(): void;
}

const ASK_WITHIN_MS = 1_000;
const FIRST_PAUSE_MS = 30;
const PAUSE_MS = 300;
/** Nodes that are asked in turn, before the seeds are. */
const ASKED = 3;

const nameOf = ({ host, port }: RedisAddress): string => `${host}:${port}`;

/** The servers of a link, each with its connections. */
export class RedisNodes {
  /** By address. */
  readonly all = new Map<string, RedisNode>();
  /** Why the cluster's nodes are not known yet. */
  lastError: Error | null = null;
  readonly #driver: RedisDriver;
  readonly #connectMs: number;
  readonly #hooks: NodeHooks;
  #single: RedisNode | null = null;
  #slots: (RedisNode | null)[] = [];
  #timer: Timer | null = null;
  #isAsking = false;
  /** Something was heard since the last answer was asked for. */
  #isOutdated = false;
  #isClosed = false;

  constructor(driver: RedisDriver, connectMs: number, hooks: NodeHooks) {
    this.#driver = driver;
    this.#connectMs = connectMs;
    this.#hooks = hooks;
  }

  /** Why the cluster's nodes are not known, where waiting will not mend it. */
  get refusal(): RedisRefusal | null {
    return this.#slots.length === 0 && this.lastError instanceof RedisRefusal ? this.lastError : null;
  }

  start(): void {
    if (this.#driver.isCluster) {
      void this.#refresh();
    } else {
      this.#single = this.#hooks.create(null);
      this.all.set('', this.#single);
      this.#hooks.changed();
    }
  }

  of(slot: number): RedisNode | null {
    return this.#single ?? this.#slots[slot] ?? null;
  }

  /** The node at an address that another one named; with an empty host it is at that one's. */
  at(address: RedisAddress, from: RedisAddress | null): RedisNode {
    return this.#at(this.#reached(address, from));
  }

  moved(slot: number, address: RedisAddress, from: RedisAddress | null): void {
    const node = this.at(address, from);
    if (this.#slots[slot] !== node) {
      this.#slots[slot] = node;
      this.#hooks.changed();
    }
    this.outdated();
  }

  /** Asks soon who has which slots, and again until all is well. */
  outdated(pauseMs = FIRST_PAUSE_MS): void {
    this.#isOutdated = true;
    if (this.#timer || this.#isAsking || this.#isClosed || !this.#driver.isCluster) return;
    this.#timer = setTimer(() => void this.#refresh(), pauseMs * (0.5 + Math.random()));
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer) clearTimeout(this.#timer);
    for (const node of this.all.values()) closeNode(node);
  }

  async #refresh(): Promise<void> {
    this.#timer = null;
    this.#isAsking = true;
    this.#isOutdated = false;
    try {
      const owners = await this.#owners();
      if (!this.#isClosed) this.#apply(owners);
    } catch (cause) {
      this.lastError = unconnected(cause);
      if (this.refusal) this.#hooks.refused();
    }
    this.#isAsking = false;
    const isCovered = this.#slots.length === SLOTS && !this.#slots.includes(null);
    if (this.#isOutdated || !isCovered || !this.#hooks.isWhole()) this.outdated(PAUSE_MS);
  }

  async #owners(): Promise<readonly (SlotRange & { readonly address: RedisAddress })[]> {
    const up = [...this.all.values()].flatMap(({ address, commands: { wire } }) => (wire ? [{ address, wire }] : []));
    for (let i = up.length - 1; i > 0; i--) {
      const j = Math.floor(Math.random() * (i + 1));
      [up[i], up[j]] = [up[j]!, up[i]!];
    }
    for (const { address, wire } of up.slice(0, ASKED)) {
      try {
        return await this.#ask(wire, address);
      } catch (cause) {
        this.lastError = unconnected(cause);
      }
    }
    for (const seed of await this.#driver.seeds(this.#connectMs)) {
      const wire = this.#driver.open(seed, this.#connectMs, { down() {}, message() {}, moved() {} });
      try {
        await withDeadline(wire.connected, this.#connectMs, 'redis');
        return await this.#ask(wire, seed);
      } catch (cause) {
        this.lastError = unconnected(cause);
      } finally {
        wire.destroy();
      }
    }
    throw this.lastError ?? new Error('no node of the cluster answers');
  }

  async #ask(wire: RedisWire, from: RedisAddress | null): Promise<readonly (SlotRange & { address: RedisAddress })[]> {
    const ranges = slotRanges(await withDeadline(wire.send(['CLUSTER', 'SLOTS']), ASK_WITHIN_MS, 'redis'));
    if (ranges.length === 0) throw new Error('the cluster has no slots');
    return ranges.map((range) => ({ ...range, address: this.#reached(range, from) }));
  }

  #apply(owners: readonly (SlotRange & { readonly address: RedisAddress })[]): void {
    const slots: (RedisNode | null)[] = new Array(SLOTS).fill(null);
    const used = new Set<RedisNode>();
    for (const { first, last, address } of owners) {
      const node = this.#at(address);
      used.add(node);
      slots.fill(node, first, last + 1);
    }
    this.#slots = slots;
    this.#hooks.changed();
    for (const [name, node] of this.all) {
      if (used.has(node)) continue;
      this.all.delete(name);
      closeNode(node);
    }
    this.#hooks.changed();
  }

  #reached({ host, port }: RedisAddress, from: RedisAddress | null): RedisAddress {
    return host === '' ? { host: from?.host ?? '127.0.0.1', port } : this.#driver.reachedAt({ host, port });
  }

  #at(address: RedisAddress): RedisNode {
    const name = nameOf(address);
    const known = this.all.get(name);
    if (known) return known;
    const node = this.#hooks.create(address);
    this.all.set(name, node);
    return node;
  }
}

function closeNode({ commands, group }: RedisNode): void {
  commands.close();
  group?.connection.close();
  group?.down();
}

// Many `usercast.v1` clients in a process of their own, with no more than a frame scanner each. Every one keeps account
// of what came: in order, none twice, nothing missing that no reset told of.

import { connect, type Socket } from 'node:net';
import { createHistogram } from 'node:perf_hooks';
import { answerCommands } from './child-commands.ts';
import { eventually, upgradeText } from './raw-client.ts';

export interface ReadersOptions {
  readonly port: number;
  readonly userIds: readonly string[];
}

/** What one reader has got so far. */
export interface Account {
  /** The number of the last message. */
  readonly last: number;
  /** The number of the last message of the flood. */
  readonly lastFlood: number;
  readonly resets: number;
  /** Messages that were not next, without a reset before them. */
  readonly faults: number;
  readonly closed: boolean;
}

const TEXT = 1;
const OPENS_WITHIN_MS = 10_000;
const HEAD_LENGTH = 90;

const latency = createHistogram();
const readers = new Map<string, Reader>();

const nowMicros = (): number => Number(process.hrtime.bigint() / 1_000n);

class Reader {
  isOpen = false;
  readonly socket: Socket;
  #last = 0;
  #lastFlood = 0;
  #resets = 0;
  #faults = 0;
  #closed = false;
  #wasReset = false;
  /** Whether its messages' delay is of interest. */
  #isTimed = true;
  #rest: Buffer = Buffer.alloc(0);
  #isUpgraded = false;

  constructor(port: number, userId: string) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('data', (chunk: Buffer) => this.#read(chunk));
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.#closed = true;
    });
    const headers = { Authorization: `Bearer ${userId}`, 'Sec-WebSocket-Protocol': 'usercast.v1' };
    this.socket.write(upgradeText(`/box-users/${userId}/ws`, { headers }));
  }

  get account(): Account {
    return {
      last: this.#last,
      lastFlood: this.#lastFlood,
      resets: this.#resets,
      faults: this.#faults,
      closed: this.#closed,
    };
  }

  stall(): void {
    this.socket.pause();
    this.#isTimed = false;
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    let at = 0;
    if (!this.#isUpgraded) {
      const end = bytes.indexOf('\r\n\r\n');
      this.#isUpgraded = end !== -1;
      at = this.#isUpgraded ? end + 4 : 0;
    }
    if (this.#isUpgraded) at = this.#scan(bytes, at);
    this.#rest = bytes.subarray(at);
  }

  /** Returns where the first frame begins that is not whole. */
  #scan(bytes: Buffer, from: number): number {
    let at = from;
    while (bytes.length - at >= 4) {
      const short = bytes[at + 1]!;
      const start = at + (short < 126 ? 2 : 4);
      const end = start + (short < 126 ? short : bytes.readUInt16BE(at + 2));
      if (end > bytes.length) break;
      if ((bytes[at]! & 0x0f) === TEXT)
        this.#message(bytes.toString('latin1', start, Math.min(end, start + HEAD_LENGTH)));
      at = end;
    }
    return at;
  }

  #message(head: string): void {
    const [, type, number, at] = /^\{"type":"([\w.]+)","object":\{(?:"[nf]":(\d+),)?(?:"at":(\d+))?/.exec(head)!;
    if (type === 'n') {
      if (this.#isTimed) latency.record(Math.max(1, nowMicros() - Number(at)));
      this.#last = this.#next(this.#last, Number(number));
    } else if (type === 'flood') this.#lastFlood = this.#next(this.#lastFlood, Number(number));
    else if (type === 'session.ready') this.isOpen = true;
    else if (type === 'session.reset') {
      this.#resets++;
      this.#wasReset = true;
    }
  }

  #next(last: number, number: number): number {
    if (number !== last + 1 && !(this.#wasReset && number > last)) this.#faults++;
    this.#wasReset = false;
    return number;
  }
}

answerCommands({
  async open({ port, userIds }: ReadersOptions): Promise<void> {
    for (const userId of userIds) readers.set(userId, new Reader(port, userId));
    await eventually('all are open', () => [...readers.values()].every((reader) => reader.isOpen), OPENS_WITHIN_MS);
  },

  stall(userIds: readonly string[]): void {
    for (const userId of userIds) readers.get(userId)!.stall();
  },

  readAgain(userIds: readonly string[]): void {
    for (const userId of userIds) readers.get(userId)!.socket.resume();
  },

  forgetLatency: (): void => latency.reset(),

  /** Milliseconds from when a message was due to when it had come, for those who never stalled. */
  p99Ms: (): number => latency.percentile(99) / 1_000,

  accounts: (userIds: readonly string[]): Account[] => userIds.map((userId) => readers.get(userId)!.account),
});

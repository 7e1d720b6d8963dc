// The other end: the process that holds a competitor's clients and tells the run what arrived.

import { Arrivals } from './clients/arrivals.mjs';
import { Client } from './clients/client.mjs';
import { SocketIoClient } from './clients/socket-io-client.mjs';
import { V1Client } from './clients/v1-client.mjs';
import { answerCommands } from './commands.mjs';

const WIRES = { plain: Client, v1: V1Client, 'socket-io': SocketIoClient };

const arrivals = new Arrivals();
let clients = [];
let expected = null;

answerCommands({
  /** `isDrawn`: not every message is for everyone. */
  expect({ before, after, isDrawn = false }) {
    expected = { before: Buffer.from(before), after: Buffer.from(after), isDrawn };
  },

  /** Opens a connection for each of `list`, so many at a time. */
  async open({ list, concurrency, wire, port }) {
    const added = list.map((who) => new WIRES[wire]({ ...who, port, expected, arrivals }));
    clients.push(...added);
    const waiting = added.values();
    const openEach = async () => {
      for (const client of waiting) await client.open();
    };
    await arrivals.during(() => Promise.all(Array.from({ length: concurrency }, openEach)));
  },

  async leave() {
    await Promise.all(clients.map((client) => client.leave()));
    clients = [];
    arrivals.messages = 0;
  },

  async drop() {
    await Promise.all(clients.map((client) => client.drop()));
  },

  /**
   * All who were dropped come back, at once. Resolves when every one is open and has every message up to this number:
   * `{ wallMs, bytes }`, the bytes being those that came.
   */
  async comeBack(lastNumber) {
    const startMs = performance.now();
    const bytesBefore = arrivals.bytes;
    await arrivals.during(() => Promise.all(clients.map((client) => client.open())));
    await arrivals.until(lastNumber * clients.length);
    return { wallMs: performance.now() - startMs, bytes: arrivals.bytes - bytesBefore };
  },

  /** Resolves when every client has every message up to this number. */
  receive(lastNumber) {
    return arrivals.until(lastNumber * clients.length);
  },

  /** Resolves when so many messages have arrived since the start. */
  receiveInAll(count) {
    return arrivals.until(count);
  },
});

// One competitor under measurement: its server process, and the process that holds its clients.

import { Child } from './commands.mjs';
import { expectedBytes } from './workload.mjs';

export const CONCURRENT_HANDSHAKES = 50;

/**
 * The competitors: the label of each in the report, its file in `competitors/`, what its clients speak, and through what
 * its processes reach each other, where there are several.
 */
export const COMPETITORS = {
  usercast: { label: 'usercast', server: 'usercast', wire: 'plain' },
  'usercast-v1': { label: 'usercast, `usercast.v1`', server: 'usercast', wire: 'v1' },
  ws: { label: 'bare `ws`', server: 'ws', wire: 'plain' },
  'socket-io': { label: 'Socket.IO', server: 'socket-io', wire: 'socket-io' },
  'usercast-redis': { label: 'usercast, Redis', server: 'usercast', wire: 'plain', between: 'redis' },
  'socket-io-redis': { label: 'Socket.IO, Redis adapter', server: 'socket-io', wire: 'socket-io', between: 'redis' },
  'socket-io-streams': {
    label: 'Socket.IO, Redis Streams adapter',
    server: 'socket-io',
    wire: 'socket-io',
    between: 'redis-streams',
  },
  nats: { label: 'core NATS', server: 'nats', wire: 'plain', between: 'nats' },
  'bare-script': { label: 'bare script' },
};

/** Those that stand beside each other where no client comes back. */
export const PLAIN_COMPETITORS = ['usercast', 'ws', 'socket-io'];

export class Pair {
  name;
  #competitor;
  #server;
  #clients;
  #port;

  constructor(name, execArgv = []) {
    this.name = name;
    this.#competitor = COMPETITORS[name];
    this.#server = new Child('./server.mjs', { name: `${name} server`, execArgv });
    this.#clients = new Child('./clients.mjs', { name: `${name} clients` });
  }

  /**
   * `users` are who is published to. `quiet` puts heartbeats so far apart that none falls into a measurement. `keys`
   * are the verifier's; only usercast checks tokens. `recovers`: clients come back to what they missed, where the
   * competitor can do that; `historyMessages`: how much usercast keeps of it for each user.
   */
  async start({ users = [], quiet = false, keys, recovers = false, historyMessages }) {
    const { server, wire } = this.#competitor;
    await this.#clients.ask('expect', expectedBytes(wire));
    const options = { quiet, keys, recovers, historyMessages };
    this.#port = await this.#server.ask('start', { name: server, users, ...options });
  }

  /** Opens a connection for each user; without tokens where the competitor asks for none. */
  open(users, tokens) {
    const { server, wire } = this.#competitor;
    const isSecured = server === 'usercast';
    return this.#clients.ask('open', {
      port: this.#port,
      wire,
      concurrency: CONCURRENT_HANDSHAKES,
      list: users.map((user, i) => (isSecured ? { user, token: tokens[i] } : { user })),
    });
  }

  /** Closes all connections; resolves when the server is through with them. */
  async leave() {
    await this.#clients.ask('leave');
    await this.#server.ask('deserted');
  }

  /** Cuts all connections; resolves when the server is through with them. */
  async drop() {
    await this.#clients.ask('drop');
    await this.#server.ask('deserted');
  }

  /**
   * All who were dropped come back at once and get what they missed. Resolves when they have it: `{ wallMs, bytes }`, the
   * bytes being those that came.
   */
  comeBack(lastNumber) {
    return this.#clients.ask('comeBack', lastNumber);
  }

  /** User and system time of the server process so far, in microseconds. */
  cpu() {
    return this.#server.ask('cpu');
  }

  growYoungGeneration() {
    return this.#server.ask('growYoungGeneration');
  }

  /** Bytes in memory after garbage collection: `{ rss, heapUsed }`. */
  memory() {
    return this.#server.ask('memory');
  }

  /** Publishes `size` messages in one turn; returns the number of the last. */
  publish(size) {
    return this.#server.ask('burst', size);
  }

  /** Publishes `size` messages in one turn and waits until every client has them; returns the number of the last. */
  async burst(size) {
    const lastNumber = await this.publish(size);
    await this.#clients.ask('receive', lastNumber);
    return lastNumber;
  }

  /** What `work` resolves with, and beside it the delay of the server's event loop meanwhile: `{ p99, max }` in milliseconds. */
  async withDelay(work) {
    await this.#server.ask('startDelay');
    const value = await work();
    return { value, delay: await this.#server.ask('stopDelay') };
  }

  startProfile() {
    return this.#server.ask('startProfile');
  }

  stopProfile(file) {
    return this.#server.ask('stopProfile', file);
  }

  async end() {
    await Promise.all([this.#server.end(), this.#clients.end()]);
  }
}

/** Runs `work` with a fresh pair, and ends it whatever happens. */
export async function withPair(name, execArgv, work) {
  const pair = new Pair(name, execArgv);
  try {
    return await work(pair);
  } finally {
    await pair.end();
  }
}

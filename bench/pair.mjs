// One competitor under measurement: its server process, and the process that holds its clients.

import { Child } from './commands.mjs';
import { expectedBytes } from './workload.mjs';

const CONCURRENT_HANDSHAKES = 50;

/** The competitors, and the label of each in the report. */
export const COMPETITORS = { usercast: 'usercast', ws: 'bare `ws`', 'socket-io': 'Socket.IO' };

export class Pair {
  name;
  #server;
  #clients;
  #port;

  constructor(name, execArgv = []) {
    this.name = name;
    this.#server = new Child('./server.mjs', { name: `${name} server`, execArgv });
    this.#clients = new Child('./clients.mjs', { name: `${name} clients` });
  }

  /**
   * `users` are who is published to. `quiet` puts heartbeats so far apart that none falls into a measurement. `keys`
   * are the verifier's; only usercast checks tokens.
   */
  async start({ users = [], quiet = false, keys }) {
    await this.#clients.ask('expect', expectedBytes(this.name));
    this.#port = await this.#server.ask('start', { name: this.name, users, quiet, keys });
  }

  /** Opens a connection for each user; without tokens where the competitor asks for none. */
  open(users, tokens) {
    const isSecured = this.name === 'usercast';
    return this.#clients.ask('open', {
      port: this.#port,
      socketIo: this.name === 'socket-io',
      concurrency: CONCURRENT_HANDSHAKES,
      list: users.map((user, i) => (isSecured ? { user, token: tokens[i] } : { user })),
    });
  }

  /** Closes all connections; resolves when the server is through with them. */
  async leave() {
    await this.#clients.ask('leave');
    await this.#server.ask('deserted');
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

  /** Publishes `size` messages in one turn and waits until every client has them. */
  async burst(size) {
    const lastNumber = await this.#server.ask('burst', size);
    await this.#clients.ask('receive', lastNumber);
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

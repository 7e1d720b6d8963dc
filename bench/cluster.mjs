// One competitor in several processes: two servers that reach each other through a real broker's server, and the
// process that holds the clients of both.

import { Child } from './commands.mjs';
import { COMPETITORS, CONCURRENT_HANDSHAKES } from './pair.mjs';
import { expectedBytes } from './workload.mjs';

const SERVERS = 2;

/** More than a history holds, for each user. */
const HISTORY_BURSTS = 12;
const HISTORY_BURST = 10;

export class Cluster {
  name;
  #competitor;
  #engine;
  #servers;
  #clients;
  #sent = 0;

  constructor(name, engine) {
    this.name = name;
    this.#competitor = COMPETITORS[name];
    this.#engine = engine;
    this.#servers = Array.from({ length: SERVERS }, (_, i) => new Child('./server.mjs', { name: `${name} ${i + 1}` }));
    this.#clients = new Child('./clients.mjs', { name: `${name} clients` });
  }

  /** Fills the histories, where each user has one, then opens a connection for each user, to one server after the other in turn. */
  async start({ users, tokens, keys }) {
    const { server, wire, between } = this.#competitor;
    const ports = [];
    for (const child of this.#servers) {
      const options = { quiet: true, keys, between, brokerUrl: this.#engine.url };
      ports.push(await child.ask('start', { name: server, users, ...options }));
    }
    if (server === 'usercast') {
      for (let i = 0; i < HISTORY_BURSTS; i++) await this.#publisher.ask('burst', HISTORY_BURST);
    }
    await this.#clients.ask('expect', { ...expectedBytes(wire), isDrawn: true });
    const list = users.map((user, i) => (server === 'usercast' ? { user, token: tokens[i] } : { user }));
    for (const [server, port] of ports.entries()) {
      await this.#clients.ask('open', {
        port,
        wire,
        concurrency: CONCURRENT_HANDSHAKES,
        list: list.filter((_, i) => i % SERVERS === server),
      });
    }
  }

  get #publisher() {
    return this.#servers[0];
  }

  /** User and system time of both servers and of the broker's, in microseconds: `{ total, engine }`. */
  async cpu() {
    const engine = await this.#engine.cpu();
    const servers = await Promise.all(this.#servers.map((server) => server.ask('cpu')));
    return { engine, total: servers.reduce((sum, micros) => sum + micros, engine) };
  }

  /**
   * The first server publishes `count` messages to `size` users each, so many a second or in one turn. Resolves when the
   * last has arrived.
   */
  async publish({ count, size, perSecond = null }) {
    await this.#publisher.ask('publishDrawn', { count, size, perSecond });
    this.#sent += count * size;
    await this.#clients.ask('receiveInAll', this.#sent);
  }

  async startProfile() {
    for (const server of this.#servers) await server.ask('startProfile');
  }

  /** Writes a file for each server, the publishing one first; returns their names. */
  async stopProfile(file) {
    const files = this.#servers.map((_, i) => file.replace(/(\.\w+)$/, `-${i + 1}$1`));
    for (const [i, server] of this.#servers.entries()) await server.ask('stopProfile', files[i]);
    return files;
  }

  async end() {
    await Promise.all([...this.#servers, this.#clients].map((child) => child.end()));
  }
}

// The servers that processes reach each other through: real ones on free ports, with their files in a folder of their own.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { connect } from '@nats-io/transport-node';
import { createClient } from 'redis';
import { find, program } from '../test/support/needs.mjs';

const STARTS_WITHIN_MS = 10_000;
const POLL_MS = 50;

/** What each is started with. Redis writes nothing to the disk, and NATS what JetStream is asked to keep. */
const ARGS = {
  redis: (port, folder) => ['--port', port, '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no'],
  nats: (port, folder) => ['--port', port, '--addr', '127.0.0.1', '--jetstream', '--store_dir', folder],
};

/** The version that a server says it has, or null where there is none. */
export function versionOf(name) {
  if (!find(`${name}-server`)) return null;
  const { path, env } = program(`${name}-server`);
  return /\d+\.\d+\.\d+/.exec(execFileSync(path, ['--version'], { encoding: 'utf8', env }))[0];
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

class Engine {
  url;
  #name;
  #folder;
  #process;
  #ended;

  constructor(name) {
    this.#name = name;
  }

  async start() {
    const { path, env } = program(`${this.#name}-server`);
    const port = await freePort();
    this.#folder = await mkdtemp(join(tmpdir(), `usercast-bench-${this.#name}-`));
    this.#process = spawn(path, ARGS[this.#name](port, this.#folder).map(String), { stdio: 'ignore', env });
    this.#ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.url = `${this.#name}://127.0.0.1:${port}`;
    const lateMs = performance.now() + STARTS_WITHIN_MS;
    while (!(await this.isUp())) {
      if (performance.now() > lateMs) throw new Error(`${path} is not up after ${STARTS_WITHIN_MS} ms`);
      await setTimeout(POLL_MS);
    }
  }

  get pid() {
    return this.#process.pid;
  }

  async end() {
    this.#process?.kill('SIGKILL');
    await this.#ended;
    if (this.#folder) await rm(this.#folder, { recursive: true, force: true });
  }
}

export class RedisEngine extends Engine {
  #client;

  constructor() {
    super('redis');
  }

  async isUp() {
    const client = createClient({ url: this.url, socket: { reconnectStrategy: false } });
    client.on('error', () => {});
    this.#client = await client.connect().catch(() => null);
    return this.#client !== null;
  }

  /** User and system time so far, in microseconds, as the kernel tells Redis (`getrusage`). */
  async cpu() {
    const info = await this.#client.info('cpu');
    const seconds = (name) => Number(new RegExp(`^used_cpu_${name}:([\\d.]+)`, 'm').exec(info)[1]);
    return (seconds('user') + seconds('sys')) * 1e6;
  }

  /** Cuts every connection that is subscribed to something. */
  cutSubscribers() {
    return this.#client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub']);
  }

  async end() {
    this.#client?.destroy();
    await super.end();
  }
}

export class NatsEngine extends Engine {
  constructor() {
    super('nats');
  }

  async isUp() {
    const connection = await connect({ servers: this.url, reconnect: false }).catch(() => null);
    await connection?.close();
    return connection !== null;
  }

  /** Time on a processor so far, in microseconds: the scheduler's own sum, since `stat` counts in steps of 10 ms. */
  async cpu() {
    const threads = await readdir(`/proc/${this.pid}/task`);
    const read = (thread) => readFile(`/proc/${this.pid}/task/${thread}/schedstat`, 'utf8');
    const nanos = (await Promise.all(threads.map(read))).map((text) => Number(text.split(' ', 1)[0]));
    return nanos.reduce((sum, value) => sum + value, 0) / 1e3;
  }
}

/** One of each: `{ redis, nats }`. */
export async function startEngines() {
  const engines = { redis: new RedisEngine(), nats: new NatsEngine() };
  try {
    for (const engine of Object.values(engines)) await engine.start();
    return engines;
  } catch (error) {
    await endEngines(engines);
    throw error;
  }
}

export const endEngines = (engines) => Promise.all(Object.values(engines).map((engine) => engine.end()));

// NATS servers with JetStream on this machine, each with its file store in a folder of its own.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { type Place, RealServer, say, startInPlace } from './real-server.ts';

export interface NatsOptions {
  /** Default: a new one, deleted on `close`. */
  readonly dir?: string;
  /** More of the configuration file, such as `max_payload: 8MB`. */
  readonly config?: string;
  /** Default: a free one. */
  readonly port?: number;
}

export class NatsServer extends RealServer {
  readonly #config: string;

  constructor(place: Place, config = '') {
    super(place);
    this.#config = config;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Where JetStream keeps its files. */
  get storeDir(): string {
    return this.dataDir;
  }

  override async start(): Promise<void> {
    await writeFile(this.#file, this.#text());
    await super.start();
  }

  protected command() {
    return { name: 'nats-server', args: ['--config', this.#file] } as const;
  }

  /** It listens to clients once it has read its store. */
  protected async isReady(): Promise<boolean> {
    return (await say(this.port, 'CONNECT {"verbose":false}\r\nPING\r\n', /\r\nPONG\r\n/)) !== null;
  }

  get #file(): string {
    return join(this.dir, 'nats.conf');
  }

  #text(): string {
    const jetStream = `store_dir: "${this.storeDir}", max_memory_store: 64MB, max_file_store: 1GB`;
    return [
      `server_name: "n${this.port}"`,
      `listen: "127.0.0.1:${this.port}"`,
      `jetstream { ${jetStream} }`,
      this.#config,
    ].join('\n');
  }
}

/** Resolves when it answers. */
export function startNats(options: NatsOptions = {}): Promise<NatsServer> {
  return startInPlace({ ...options, pick: () => freePort() }, (place) => new NatsServer(place, options.config));
}

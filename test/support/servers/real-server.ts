// A server process that a test starts, hurts and starts again: always on the same port and folder.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type NEEDS, program } from '../needs.mjs';
import { eventually } from '../raw-client.ts';
import { guard } from './guard.ts';

const READY_WITHIN_MS = 30_000;
const ENDS_WITHIN_MS = 20_000;
const ANSWER_WITHIN_MS = 1_000;
const STOPS_WITHIN_MS = 5_000;
const KEPT_OUTPUT = 20_000;
const START_ATTEMPTS = 5;

function hasStopped(pid: number): boolean {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    return threads.every((thread) => /\) T /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')));
  } catch {
    return true;
  }
}

/** Another process was faster. */
class PortTaken extends Error {}

/** Where a server lives. */
export interface Place {
  readonly port: number;
  /** Holds `data`, the copies of it, and what the server is configured with. */
  readonly dir: string;
  /** Whether `close` deletes `dir`. */
  readonly isOurs: boolean;
}

export abstract class RealServer {
  readonly port: number;
  readonly dir: string;
  readonly #isOurs: boolean;
  #process: ChildProcess | null = null;
  #output = '';

  constructor({ port, dir, isOurs }: Place) {
    this.port = port;
    this.dir = dir;
    this.#isOurs = isOurs;
  }

  /** The program and its arguments. */
  protected abstract command(): { readonly name: keyof typeof NEEDS; readonly args: readonly string[] };

  /** Whether it serves. */
  protected abstract isReady(): Promise<boolean>;

  get dataDir(): string {
    return join(this.dir, 'data');
  }

  /** Of the present process, or of the last one. */
  get pid(): number {
    return this.#process!.pid!;
  }

  get isRunning(): boolean {
    return this.#process !== null && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** What it has printed lately. */
  get output(): string {
    return this.#output;
  }

  /** Resolves when it is ready. @throws Error with its output when it ends, or is not ready in 15 s. */
  async start(): Promise<void> {
    await mkdir(this.dataDir, { recursive: true });
    const { name, args } = this.command();
    const { path, env } = program(name);
    const child = spawn(path, args, { cwd: this.dir, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    guard(child);
    this.#output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-KEPT_OUTPUT);
      });
    }
    const isUp = async (): Promise<boolean> => !this.isRunning || (await this.isReady());
    await eventually(`${name} is ready`, isUp, READY_WITHIN_MS).catch((error: Error) => this.#give(error));
    if (this.isRunning) return;
    if (/address already in use/i.test(this.#output)) throw new PortTaken(`port ${this.port} is taken`);
    this.#give(new Error(`${name} ended as it started`));
  }

  /** kill -9; resolves when it has ended. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  /** Asks it to end in order; resolves when it has ended. */
  async stop(): Promise<void> {
    this.thaw();
    await this.#end('SIGTERM');
  }

  /** The process stands still, its connections stay. Where the system tells, every thread of it has stopped then. */
  freeze(): void {
    this.#process?.kill('SIGSTOP');
    const endMs = performance.now() + STOPS_WITHIN_MS;
    while (!hasStopped(this.pid) && performance.now() < endMs);
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Starts it again on its port and folder, with what its disk has; ends it first where it runs. */
  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  /** Keeps its data files as they are now, as from one moment. */
  async saveCopy(name: string): Promise<void> {
    this.freeze();
    await cp(this.dataDir, this.#copy(name), { recursive: true, force: true });
    this.thaw();
  }

  /** Puts the data files back as they were; the server must have ended. */
  async restoreCopy(name: string): Promise<void> {
    if (this.isRunning) throw new Error('kill or stop the server before its files are exchanged');
    await this.eraseData();
    await cp(this.#copy(name), this.dataDir, { recursive: true });
  }

  /** Its disk is lost; the server must have ended. */
  async eraseData(): Promise<void> {
    if (this.isRunning) throw new Error('kill or stop the server before its files are erased');
    await rm(this.dataDir, { recursive: true, force: true });
  }

  /** Ends it at once and deletes its folder. */
  async close(): Promise<void> {
    await this.kill();
    if (this.#isOurs) await rm(this.dir, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #copy(name: string): string {
    return join(this.dir, 'copies', name);
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (!this.isRunning) return;
    const child = this.#process!;
    const exited = once(child, 'exit', { signal: AbortSignal.timeout(ENDS_WITHIN_MS) });
    child.kill(signal);
    await exited;
  }

  #give(error: Error): never {
    throw new Error(`${error.message}; it printed:\n${this.#output}`);
  }
}

/**
 * Starts a server in a folder of its own, deleted with it, unless `dir` names one; on a port that `pick` finds, again
 * with another when somebody else took that.
 */
export async function startInPlace<S extends RealServer>(
  { dir, port, pick }: { readonly dir?: string; readonly port?: number; readonly pick: () => Promise<number> },
  create: (place: Place) => S | Promise<S>,
): Promise<S> {
  if (dir !== undefined && !existsSync(dir)) await mkdir(dir, { recursive: true });
  const own = dir ?? (await mkdtemp(join(tmpdir(), 'usercast-server-')));
  for (let attempt = 1; ; attempt++) {
    const server = await create({ port: port ?? (await pick()), dir: own, isOurs: dir === undefined });
    try {
      await server.start();
      return server;
    } catch (error) {
      if (error instanceof PortTaken && port === undefined && attempt < START_ATTEMPTS) continue;
      await server.close();
      throw error;
    }
  }
}

/** What a TCP server says to `text`, as far as `until` matches it; null when it does not. */
export function say(port: number, text: string, until: RegExp): Promise<string | null> {
  return new Promise((resolve) => {
    let heard = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    const end = (answer: string | null): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(ANSWER_WITHIN_MS, () => end(null));
    socket.on('error', () => end(null));
    socket.on('close', () => end(null));
    socket.setEncoding('utf8').on('data', (piece: string) => {
      heard += piece;
      if (until.test(heard)) end(heard);
    });
  });
}

// A process of its own for a part of a test, written in TypeScript like the rest: bundled, forked, and asked over IPC, one
// command at a time.

import { type ChildProcess, fork } from 'node:child_process';
import { rmSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Answer } from './child-commands.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

let started = 0;

export class Child {
  readonly #file: string;
  readonly #process: ChildProcess;
  readonly #ended: Promise<never>;

  private constructor(file: string) {
    this.#file = file;
    this.#process = fork(file);
    this.#ended = new Promise((_resolve, reject) => {
      this.#process.on('exit', (code, signal) => reject(new Error(`${basename(file)} ended (${signal ?? code})`)));
    });
    this.#ended.catch(() => {});
  }

  /** `source`: a file of `test/support` that calls `answerCommands`. */
  static async start(source: string): Promise<Child> {
    const outfile = `${ROOT}.cache/children/${process.pid}-${++started}-${source.replace(/\.ts$/, '.mjs')}`;
    await build({
      absWorkingDir: ROOT,
      entryPoints: [`test/support/${source}`],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      packages: 'external',
    });
    return new Child(outfile);
  }

  /** @throws Error when the handler did, or when the child has ended. */
  ask<T>(command: string, input?: unknown): Promise<T> {
    const answer = new Promise<T>((resolve, reject) => {
      this.#process.once('message', (message) => {
        const answered = message as Answer;
        if ('error' in answered) reject(new Error(answered.error));
        else resolve(answered.value as T);
      });
    });
    this.#process.send({ command, input });
    return Promise.race([answer, this.#ended]);
  }

  end(): void {
    this.#process.kill('SIGKILL');
    rmSync(this.#file, { force: true });
  }
}

// A process of its own for a part of a test, written in TypeScript like the rest: bundled, forked, and asked over IPC.

import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import type { Answer, Command } from './child-commands.ts';
import { guard } from './servers/guard.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

let started = 0;

/** A change to a source file, for one child alone. */
export interface SourceEdit {
  /** From the root of the project. */
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly from: string;
  readonly to: string;
}

interface Question {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** Makes one file of a file of `test/support` and all that it imports; returns its path. Whoever runs it deletes it. */
export async function bundle(source: string, edits: readonly SourceEdit[] = []): Promise<string> {
  const name = basename(source).replace(/\.ts$/, '.mjs');
  const outfile = `${ROOT}.cache/children/${process.pid}-${++started}-${name}`;
  await build({
    absWorkingDir: ROOT,
    entryPoints: [`test/support/${source}`],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    plugins: edits.length > 0 ? [editing(edits)] : [],
  });
  return outfile;
}

export class Child {
  /** Resolves when it has ended, to how: an exit code or a signal. */
  readonly ended: Promise<number | NodeJS.Signals>;
  readonly #file: string;
  readonly #process: ChildProcess;
  readonly #questions = new Map<number, Question>();
  #asked = 0;

  private constructor(file: string) {
    this.#file = file;
    this.#process = fork(file);
    guard(this.#process);
    this.#process.on('message', (message) => this.#answered(message as Answer));
    this.ended = new Promise((resolve) => {
      this.#process.on('exit', (code, signal) => {
        rmSync(this.#file, { force: true });
        resolve(signal ?? code ?? 0);
        for (const { reject } of this.#questions.values()) reject(this.#gone(signal ?? code));
        this.#questions.clear();
      });
    });
  }

  /** `source`: a file of `test/support` that calls `answerCommands`. */
  static async start(source: string, edits: readonly SourceEdit[] = []): Promise<Child> {
    return new Child(await bundle(source, edits));
  }

  get pid(): number {
    return this.#process.pid!;
  }

  /** Several may be under way. @throws Error when the handler did, or when the child has ended. */
  ask<T>(command: string, input?: unknown): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const { exitCode, signalCode } = this.#process;
      if (exitCode !== null || signalCode !== null) {
        reject(this.#gone(signalCode ?? exitCode));
        return;
      }
      const id = ++this.#asked;
      this.#questions.set(id, { resolve: (value) => resolve(value as T), reject });
      // When it cannot be sent, the child is ending.
      this.#process.send({ id, command, input } satisfies Command, () => {});
    });
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  end(): void {
    this.#process.kill('SIGKILL');
    rmSync(this.#file, { force: true });
  }

  #answered(answer: Answer): void {
    const question = this.#questions.get(answer.id);
    this.#questions.delete(answer.id);
    if ('error' in answer) question?.reject(new Error(answer.error));
    else question?.resolve(answer.value);
  }

  #gone(how: unknown): Error {
    return new Error(`${basename(this.#file)} ended (${how})`);
  }
}

function editing(edits: readonly SourceEdit[]): Plugin {
  const escaped = edits.map(({ file }) => file.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return {
    name: 'source-edits',
    setup({ onLoad }) {
      onLoad({ filter: new RegExp(`/(?:${escaped.join('|')})$`) }, ({ path }) => {
        let contents = readFileSync(path, 'utf8');
        for (const { file, from, to } of edits.filter((edit) => path === ROOT + edit.file)) {
          if (contents.split(from).length !== 2) throw new Error(`${file} does not have once: ${from}`);
          contents = contents.replace(from, () => to);
        }
        return { contents, loader: 'ts' };
      });
    },
  };
}

// Request and answer over the channel between the run and its child processes: one command at a time per child.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ANSWER_WITHIN_MS = 60_000;

/** In the child: answers each command with what its handler returns. */
export function answerCommands(handlers) {
  process.on('message', async ({ command, input }) => {
    try {
      process.send({ value: await handlers[command](input) });
    } catch (error) {
      process.send({ error: error.stack });
    }
  });
  process.on('disconnect', () => process.exit());
}

/** In the run: a child process that answers commands. */
export class Child {
  #process;
  #name;
  #pending = null;

  constructor(file, { name, execArgv = [] }) {
    this.#name = name;
    this.#process = fork(fileURLToPath(new URL(file, import.meta.url)), { execArgv });
    this.#process.on('message', ({ error, value }) => {
      if (error) this.#settle(new Error(`${name}: ${error}`));
      else this.#settle(null, value);
    });
    this.#process.on('exit', (code, signal) => this.#settle(new Error(`${name} ended (${signal ?? code})`)));
  }

  ask(command, input) {
    if (this.#pending) throw new Error(`${this.#name} is busy`);
    return new Promise((resolve, reject) => {
      const late = () => this.#settle(new Error(`${this.#name}: no answer to "${command}" in ${ANSWER_WITHIN_MS} ms`));
      this.#pending = { resolve, reject, timer: setTimeout(late, ANSWER_WITHIN_MS) };
      this.#process.send({ command, input }, (error) => error && this.#settle(error));
    });
  }

  async end() {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await ended;
  }

  #settle(error, value) {
    if (!this.#pending) return;
    const { resolve, reject, timer } = this.#pending;
    this.#pending = null;
    clearTimeout(timer);
    if (error) reject(error);
    else resolve(value);
  }
}

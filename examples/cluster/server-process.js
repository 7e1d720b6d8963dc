// A server process as the starter sees it: started, watched, ended, and started again some seconds after its end.

import { fork } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { fileURLToPath } from 'node:url';

const file = fileURLToPath(new URL('process.js', import.meta.url));
const backAfterMs = 3_000;
/** What the proxy gave to a process before that one drains is answered within so long, but for long polls: these wait for news. */
const lastAnswersMs = 2_000;
const lookAgainMs = 50;
const stopWithinMs = 10_000;

/** Emits `change` with a sentence about what happened, or without when only numbers moved. */
export class ServerProcess extends EventEmitter {
  number;
  /** `starting`, `up`, `draining` or `down`. */
  state = 'down';
  /** Where it listens, on loopback. */
  port = 0;
  /** How many requests the proxy has given to it. */
  requests = 0;
  /** Those of them that wait for the head of an answer. */
  unanswered = new Set();
  #env;
  #answer;
  #child = null;
  #sessions = new Map();
  #isFinal = false;

  /** `answer(query)` is the database's. */
  constructor(number, { env, answer }) {
    super();
    this.number = number;
    this.#env = env;
    this.#answer = answer;
  }

  /** One row of the process table. */
  get row() {
    const { number, state, port, requests } = this;
    return { number, state, pid: this.#child?.pid ?? null, port, requests, sessions: [...this.#sessions.values()] };
  }

  /** Resolves when it listens; rejects when it ends before that. `env` is for this start only. */
  start(env = {}) {
    const child = fork(file, {
      env: { ...process.env, ...this.#env, ...env, PORT: '0' },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child = child;
    this.#change('starting');
    child.on('message', (message) => this.#take(child, message));
    return new Promise((resolve, reject) => {
      this.once('up', resolve);
      child.on('exit', (code, signal) => {
        reject(new Error(`process ${this.number} ended with ${signal ?? code}`));
        this.#ended(signal ?? `code ${code}`);
      });
    });
  }

  /** SIGKILL: it ends in the middle of whatever it does. */
  kill() {
    this.#child?.kill('SIGKILL');
  }

  /** No new requests, then SIGTERM: it sends its sessions elsewhere, and ends. */
  drain() {
    const child = this.#child;
    if (this.state !== 'up') return;
    this.#change('draining', 'drains: its sessions go elsewhere');
    const latest = performance.now() + lastAnswersMs;
    const end = () => {
      if (this.unanswered.size > 0 && performance.now() < latest) setTimeout(end, lookAgainMs);
      else child.kill('SIGTERM');
    };
    end();
  }

  /** Drains it for good, or kills it when that takes too long; resolves when it has ended. */
  async stop() {
    this.#isFinal = true;
    if (!this.#child) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    if (this.state === 'starting') this.kill();
    this.drain();
    setTimeout(() => this.kill(), stopWithinMs).unref();
    await ended;
  }

  #take(child, { question, query, port, connected, disconnected }) {
    if (question) {
      // A process that is killed gets no answer, and that is no error.
      child.send({ question, answer: this.#answer(query) }, () => {});
    } else if (port) {
      this.port = port;
      this.#change('up', `is up, pid ${child.pid}`);
      this.emit('up');
    } else if (connected) {
      const { sessionId, userId, transport } = connected;
      this.#sessions.set(sessionId, { id: sessionId, userId, transport });
      this.emit('change');
    } else if (disconnected) {
      this.#sessions.delete(disconnected);
      this.emit('change');
    }
  }

  #ended(how) {
    this.#child = null;
    this.#sessions.clear();
    this.#change('down', `ended (${how})`);
    if (this.#isFinal) return;
    setTimeout(() => {
      if (!this.#isFinal) this.start().catch((error) => console.error(error.message));
    }, backAfterMs).unref();
  }

  #change(state, news) {
    this.state = state;
    this.emit('change', news && `process ${this.number} ${news}`);
  }
}

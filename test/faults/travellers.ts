// Clients of a scene that are away while the harm is done, and come back with the cursors that they left with.

import { Agent } from 'node:http';
import { testToken } from '../../src/testing/index.ts';
import type { Scene } from '../support/cluster/scene.ts';
import { violationsOf } from '../support/invariants.ts';
import { eventually } from '../support/raw-client.ts';
import { SoakClient } from '../support/soak-client.ts';

const WITHIN_MS = 30_000;

/** What they have seen in the end. */
export interface Tale {
  readonly violations: readonly string[];
  readonly resets: number;
}

/** A client of each user that leaves, and comes back when the harm is done. */
export class Travellers {
  readonly clients: readonly SoakClient[];
  readonly #scene: Scene;
  readonly #agent = new Agent();
  #leaving = new AbortController();
  #staying: Promise<unknown> = Promise.resolve();

  constructor(scene: Scene) {
    this.#scene = scene;
    const { random } = scene;
    this.clients = scene.userIds.map(
      (userId) => new SoakClient({ userId, token: testToken({ userId }), random, agent: this.#agent }),
    );
  }

  /** Resolves when all have a cursor, or have been told that theirs is of no use. */
  async arrive(): Promise<void> {
    this.#leaving = new AbortController();
    const { signal } = this.#leaving;
    const before = this.clients.map(({ connections }) => connections.websocket);
    this.#staying = Promise.all(
      this.clients.map(async (client) => {
        while (!signal.aborted && this.#scene.serving.length > 0) {
          await client.connect(this.#scene.anyServer.port, 'websocket', signal);
        }
      }),
    );
    const areThere = () => this.clients.every(({ connections }, i) => connections.websocket > before[i]!);
    await eventually('the travellers are connected', areThere, WITHIN_MS);
  }

  async leave(): Promise<void> {
    this.#leaving.abort();
    await this.#staying;
    this.#agent.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.leave();
  }

  get resets(): number {
    return this.clients.reduce((sum, { witness }) => sum + witness.resets, 0);
  }

  /** What is wrong with what they have seen, once they have all that was published until now. */
  async violations(withinMs = WITHIN_MS): Promise<string[]> {
    const { publisher, dense } = this.#scene;
    const nowMs = performance.now();
    const ids = await Promise.all(this.clients.map(({ witness }) => publisher.publish([witness.userId], 'kept')));
    const witnesses = this.clients.map(({ witness }) => witness);
    const areUp = () => witnesses.every((one, i) => one.has(ids[i]!) || one.lastResetMs > nowMs);
    await eventually('the travellers are caught up', areUp, withinMs);
    const accepted = publisher.accepted.filter(({ doneMs = nowMs }) => doneMs < nowMs);
    return violationsOf({ accepted, witnesses, tops: new Map(), counts: new Map(), dense, exactCounts: false });
  }

  async tale(withinMs?: number): Promise<Tale> {
    return { violations: await this.violations(withinMs), resets: this.resets };
  }
}

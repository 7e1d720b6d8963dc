// The signs of life of a link without subscriptions: each server is asked for one, since nothing else would find out that a
// connection is half-dead.

import { MISSES, ProbeTurns } from './probe-turns.ts';
import type { RedisConnection } from './redis-connection.ts';
import type { RedisWire } from './redis-wire.ts';

/** What became of the pings on one wire. */
class Course {
  readonly wire: RedisWire;
  isAnswered = true;
  misses = 0;

  constructor(wire: RedisWire) {
    this.wire = wire;
  }
}

/** Pings the connections in turns, and makes those anew that do not answer. */
export class RedisPings {
  readonly #connections: () => Iterable<RedisConnection>;
  readonly #turns: ProbeTurns;
  #courses = new Map<RedisConnection, Course>();

  constructor(probeMs: number, connections: () => Iterable<RedisConnection>) {
    this.#connections = connections;
    this.#turns = new ProbeTurns(probeMs, (stoodStill) => this.#turn(stoodStill));
  }

  close(): void {
    this.#turns.close();
  }

  #turn(stoodStill: boolean): void {
    const before = this.#courses;
    this.#courses = new Map();
    for (const connection of this.#connections()) {
      const { wire } = connection;
      if (!wire) continue;
      const known = before.get(connection);
      const course = known?.wire === wire && !stoodStill ? known : new Course(wire);
      course.misses = course.isAnswered ? 0 : course.misses + 1;
      if (course.misses >= MISSES) {
        connection.renew(new Error('a ping had no answer'));
        continue;
      }
      this.#courses.set(connection, course);
      course.isAnswered = false;
      const answered = (): void => {
        course.isAnswered = true;
      };
      // Refused is answered as well, and a wire that was lost is not looked at again.
      wire.send(['PING']).then(answered, answered);
    }
  }
}

// The probes of a link: sent over the commands, to be heard on the subscription, which is asked for a sign of life as well.
// A connection that is half-dead, or leads to a server that nobody else uses any more, looks alive and is found out here
// alone.

import { UsercastError } from '../../src/index.ts';
import { MISSES, ProbeTurns } from './probe-turns.ts';
import type { RedisProbe } from './redis-link.ts';

class Course {
  isSent = false;
  isAnswered = false;
  isHeard = false;
  isEchoed = false;
  turn = 0;
  unanswered = 0;
  unheard = 0;

  begin(): number {
    this.isSent = true;
    this.isAnswered = this.isHeard = this.isEchoed = false;
    return ++this.turn;
  }

  forget(): void {
    this.isSent = false;
    this.unanswered = this.unheard = 0;
  }
}

/** What the probes need of the link. */
export interface ProbeHooks {
  probes(): readonly RedisProbe[];
  isOn(channel: string): boolean;
  subscribe(channel: string): Promise<void>;
  unsubscribe(channel: string): void;
  /** Resolves when the subscription's connection answers. */
  echo(channel: string): Promise<unknown>;
  /** No answer: the connections to the server that has the channel are to be made anew. */
  silent(channel: string): void;
  /** Answered and not heard, or without an echo: its subscription is to be made anew. */
  deaf(channel: string): void;
}

/** Sends the probes of a link in turns, and judges what became of the last ones. */
export class RedisProbes {
  readonly #hooks: ProbeHooks;
  readonly #turns: ProbeTurns;
  readonly #courses = new Map<string, Course>();

  constructor(probeMs: number, hooks: ProbeHooks) {
    this.#hooks = hooks;
    this.#turns = new ProbeTurns(probeMs, (stoodStill) => this.#turn(stoodStill));
  }

  /** True when the channel is a probe's: its messages are nobody else's. */
  heard(channel: string): boolean {
    const course = this.#courses.get(channel);
    if (!course) return false;
    course.isHeard = true;
    return true;
  }

  close(): void {
    this.#turns.close();
  }

  #turn(stoodStill: boolean): void {
    const probes = this.#hooks.probes();
    const channels = new Set(probes.map(({ channel }) => channel));
    for (const channel of this.#courses.keys()) {
      if (channels.has(channel)) continue;
      this.#courses.delete(channel);
      this.#hooks.unsubscribe(channel);
    }
    for (const probe of probes) {
      let course = this.#courses.get(probe.channel);
      if (!course) {
        course = new Course();
        this.#courses.set(probe.channel, course);
      }
      if (!this.#hooks.isOn(probe.channel)) {
        course.forget();
        this.#hooks.subscribe(probe.channel).catch(() => {});
        continue;
      }
      if (stoodStill) course.forget();
      this.#judge(probe.channel, course);
      this.#send(probe, course);
    }
  }

  #judge(channel: string, course: Course): void {
    if (!course.isSent) return;
    course.unanswered = course.isAnswered ? 0 : course.unanswered + 1;
    course.unheard = course.isHeard && course.isEchoed ? 0 : course.unheard + 1;
    if (course.unanswered >= MISSES) {
      course.forget();
      this.#hooks.silent(channel);
    } else if (course.unheard >= MISSES) {
      course.forget();
      this.#hooks.deaf(channel);
    }
  }

  #send(probe: RedisProbe, course: Course): void {
    const turn = course.begin();
    this.#hooks.echo(probe.channel).then(
      () => {
        if (course.turn === turn) course.isEchoed = true;
      },
      () => {},
    );
    probe.send().then(
      () => {
        course.unanswered = 0;
        if (course.turn === turn) course.isAnswered = true;
      },
      (error: unknown) => {
        // Refused, or the connection is lost and made again: nothing was to be heard.
        const isSilence = error instanceof UsercastError && error.code === 'deadline';
        if (!isSilence && course.turn === turn) course.isSent = false;
      },
    );
  }
}

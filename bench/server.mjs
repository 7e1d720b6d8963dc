// The process that is measured: one competitor on one port, told by the run what to do and asked what it cost.

import { writeFile } from 'node:fs/promises';
import { Session } from 'node:inspector/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { answerCommands } from './commands.mjs';
import { Draw, textEvent } from './workload.mjs';

const PROFILE_INTERVAL_US = 100;
const POLL_MS = 50;
const DELAY_RESOLUTION_MS = 1;
/** Clients that come back at once wait for the server and not for the kernel's next try. */
const BACKLOG = 4_096;
/** Enough of both that V8 sees a young generation of 16 MiB fill and survive, several times. */
const YOUNG_OBJECTS = 4_000_000;
const YOUNG_SURVIVORS = 150_000;

let competitor;
let profiler;
let delay;
let recipients = [];
let draw;
let nextNumber = 1;

const cpuMicros = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

answerCommands({
  async start({ name, users, ...options }) {
    recipients = users;
    draw = new Draw(users);
    const { start } = await import(`./competitors/${name}.mjs`);
    competitor = await start(options);
    await new Promise((resolve) => competitor.server.listen({ port: 0, host: '127.0.0.1', backlog: BACKLOG }, resolve));
    return competitor.server.address().port;
  },

  cpu: cpuMicros,

  async deserted() {
    const countConnections = promisify(competitor.server.getConnections.bind(competitor.server));
    while ((await countConnections()) > 0) await setTimeout(POLL_MS);
    await setTimeout(POLL_MS);
  },

  /** Starts `size` publishes in one turn of the event loop; returns the number of the last event. */
  async burst(size) {
    const published = [];
    for (let i = 0; i < size; i++) published.push(competitor.publish(recipients, textEvent(nextNumber++)));
    await Promise.all(published);
    return nextNumber - 1;
  },

  /**
   * Publishes so many messages to `size` recipients each, drawn anew, at this rate or (null) in one turn; resolves when
   * the competitor has taken the last.
   */
  async publishDrawn({ count, size, perSecond }) {
    const published = [];
    const startMs = performance.now();
    for (let i = 0; i < count; i++) {
      const earlyMs = perSecond === null ? 0 : startMs + (i * 1_000) / perSecond - performance.now();
      if (earlyMs > 0) await setTimeout(earlyMs);
      published.push(competitor.publish(draw.next(size), textEvent(nextNumber++)));
    }
    await Promise.all(published);
  },

  /**
   * Brings V8's young generation to its full size, as a server that has worked for a while has it: it belongs to the
   * process, and grown during the measurement it would be counted as some connections'.
   */
  growYoungGeneration() {
    let survivors = [];
    for (let i = 0; i < YOUNG_OBJECTS; i++) {
      survivors.push({ i });
      if (survivors.length === YOUNG_SURVIVORS) survivors = [];
    }
  },

  /** What is in memory when everything that can be freed is freed. */
  async memory() {
    for (let i = 0; i < 4; i++) {
      globalThis.gc();
      await setTimeout(100);
    }
    const { rss, heapUsed } = process.memoryUsage();
    return { rss, heapUsed };
  },

  startDelay() {
    delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
    delay.enable();
  },

  /** Milliseconds between turns of the event loop since `startDelay`: `{ p99, max }`. */
  stopDelay() {
    delay.disable();
    return { p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 };
  },

  async startProfile() {
    profiler = new Session();
    profiler.connect();
    await profiler.post('Profiler.enable');
    await profiler.post('Profiler.setSamplingInterval', { interval: PROFILE_INTERVAL_US });
    await profiler.post('Profiler.start');
  },

  async stopProfile(file) {
    const { profile } = await profiler.post('Profiler.stop');
    profiler.disconnect();
    await writeFile(file, JSON.stringify(profile));
  },
});

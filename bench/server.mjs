// The process that is measured: one competitor on one port, told by the run what to do and asked what it cost.

import { writeFile } from 'node:fs/promises';
import { Session } from 'node:inspector/promises';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { answerCommands } from './commands.mjs';
import { textEvent } from './workload.mjs';

const PROFILE_INTERVAL_US = 100;
const POLL_MS = 50;
/** Enough of both that V8 sees a young generation of 16 MiB fill and survive, several times. */
const YOUNG_OBJECTS = 4_000_000;
const YOUNG_SURVIVORS = 150_000;

let competitor;
let profiler;
let recipients = [];
let nextNumber = 1;

const cpuMicros = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

answerCommands({
  async start({ name, users, ...options }) {
    recipients = users;
    const { start } = await import(`./competitors/${name}.mjs`);
    competitor = start(options);
    await new Promise((resolve) => competitor.server.listen(0, '127.0.0.1', resolve));
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

// A process that publishes through Redis or is subscribed there, without clients of its own, told by the run what to do.

import { answerCommands } from './commands.mjs';
import { textEvent } from './workload.mjs';

/** Publishes under way at a time, as several requests of a host would have. */
const LANES = 4;

let competitor;
let nextNumber = 1;
let arrived = 0;
let whenArrived = null;
let isBack;

const nowMs = () => performance.timeOrigin + performance.now();

function onMessage() {
  if (++arrived === whenArrived?.count) whenArrived.resolve();
}

answerCommands({
  async start({ name, url }) {
    const { start } = await import(`./competitors/${name}.mjs`);
    competitor = await start(url);
  },

  subscribe: (userIds) => competitor.subscribe(userIds, onMessage).then(() => {}),

  /** Publishes to all of the users, `size` of them at a time, and that `times` over. */
  async publish({ userIds, size, times }) {
    const parts = [];
    for (let at = 0; at < userIds.length; at += size) parts.push(userIds.slice(at, at + size));
    const calls = Array.from({ length: times }, () => parts)
      .flat()
      .values();
    const publishEach = async () => {
      for (const part of calls) await competitor.publish(part, textEvent(nextNumber++));
    };
    await Promise.all(Array.from({ length: LANES }, publishEach));
  },

  /** To be asked before the connections are cut. */
  watch() {
    isBack = competitor
      .reached('lost')
      .then(() => competitor.reached('ready'))
      .then(nowMs);
  },

  /** When the broker was ready again, in milliseconds since the epoch. */
  back: () => isBack,

  /** When so many messages had arrived since it was last asked, in milliseconds since the epoch. */
  async arrived(count) {
    if (arrived < count) {
      await new Promise((resolve) => {
        whenArrived = { count, resolve };
      });
    }
    arrived -= count;
    return nowMs();
  },
});

// What usercast asks of Redis itself: the server's own CPU time per recipient beside that of a script that does the
// least, and how soon all is well again after every subscribed connection was cut.

import { Child } from '../commands.mjs';

export const APPENDED = [50, 100, 1_000];

/** More than a history holds. */
const HISTORY = 110;
const FILES = { 'usercast-redis': 'usercast-broker', 'bare-script': 'bare-script' };

async function startUser(name, url) {
  const child = new Child('./broker-user.mjs', { name: `${name} without clients` });
  await child.ask('start', { name: FILES[name], url });
  return child;
}

/** Microseconds of Redis per recipient, rounds of one and the other in turn. Half of the users have a subscriber. */
export async function* measureAppends({ users, rounds, times }, { redis }) {
  const children = [];
  const competitors = [];
  try {
    for (const name of Object.keys(FILES)) {
      const [publisher, subscriber] = [await startUser(name, redis.url), await startUser(name, redis.url)];
      children.push(publisher, subscriber);
      await subscriber.ask(
        'subscribe',
        users.filter((_, i) => i % 2 === 0),
      );
      await publisher.ask('publish', { userIds: users, size: 1_000, times: HISTORY });
      competitors.push({ name, publisher });
    }
    for (let round = 0; round < rounds; round++) {
      for (const size of APPENDED) {
        for (const { name, publisher } of competitors) {
          const before = await redis.cpu();
          await publisher.ask('publish', { userIds: users, size, times });
          const micros = (await redis.cpu()) - before;
          yield { row: `append-${size}`, name, value: micros / (users.length * times) };
        }
      }
      competitors.push(competitors.shift());
    }
  } finally {
    await Promise.all(children.map((child) => child.end()));
  }
}

/** Milliseconds from the cut of all subscribed connections until the broker is ready, and until a message to each user came. */
export async function* measureResubscribing({ users, rounds }, { redis }) {
  const name = 'usercast-redis';
  const [publisher, subscriber] = [await startUser(name, redis.url), await startUser(name, redis.url)];
  try {
    await subscriber.ask('subscribe', users);
    for (let round = 0; round < rounds; round++) {
      await Promise.all([publisher.ask('watch'), subscriber.ask('watch')]);
      const cutMs = performance.timeOrigin + performance.now();
      await redis.cutSubscribers();
      const [readyMs] = await Promise.all([subscriber.ask('back'), publisher.ask('back')]);
      yield { row: 'resubscribe-ready', name, value: readyMs - cutMs };
      await publisher.ask('publish', { userIds: users, size: 1_000, times: 1 });
      yield { row: 'resubscribe-arrived', name, value: (await subscriber.ask('arrived', users.length)) - cutMs };
    }
  } finally {
    await Promise.all([publisher.end(), subscriber.end()]);
  }
}

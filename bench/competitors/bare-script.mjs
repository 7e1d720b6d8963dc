// The least that keeping a message costs Redis: a script that appends, sets the expiry and publishes, for 50 users a
// call. No counts, no deduplication, nothing that could prove to a reader that no message is missing.

import { createClient } from 'redis';

const USERS_A_CALL = 50;
const HISTORY_MESSAGES = 100;
const HISTORY_MS = 300_000;

const SCRIPT = `
for i, key in ipairs(KEYS) do
  redis.call('XADD', key, 'MAXLEN', '=', ARGV[2], '*', 'd', ARGV[1])
  redis.call('PEXPIRE', key, ARGV[3])
  redis.call('PUBLISH', ARGV[3 + i], ARGV[1])
end
return #KEYS
`;

const channelOf = (userId) => `bare:live:${userId}`;

async function connect(url) {
  const client = createClient({ url });
  client.on('error', (error) => {
    throw error;
  });
  return client.connect();
}

export async function start(url) {
  const commands = await connect(url);
  const subscriber = await connect(url);
  const digest = await commands.scriptLoad(SCRIPT);

  return {
    publish(userIds, event) {
      const payload = JSON.stringify({ type: 'event.new', object: event });
      const calls = [];
      for (let at = 0; at < userIds.length; at += USERS_A_CALL) {
        const users = userIds.slice(at, at + USERS_A_CALL);
        const keys = users.map((userId) => `bare:{0}:${userId}`);
        const values = [payload, String(HISTORY_MESSAGES), String(HISTORY_MS), ...users.map(channelOf)];
        calls.push(commands.evalSha(digest, { keys, arguments: values }));
      }
      return Promise.all(calls);
    },

    subscribe(userIds, onMessage) {
      return subscriber.subscribe(userIds.map(channelOf), onMessage);
    },
  };
}

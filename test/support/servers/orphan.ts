// A process that starts a server and is killed before it ends it.

import { answerCommands } from '../child-commands.ts';
import { startRedis } from './redis.ts';

answerCommands({
  start: async () => {
    const { pid, dir } = await startRedis();
    return { pid, dir };
  },
});

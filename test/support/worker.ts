// A script that publishes one event to the Redis that it is given, says what became of it, and has nothing else to do.

import { redisBroker } from '../../adapters/redis/index.ts';
import { createUsercast } from '../../src/index.ts';
import { textEvent } from './box-events.ts';

const usercast = createUsercast({ broker: redisBroker({ url: process.argv[2]!, deadlineMs: 500 }) });
usercast.publishEvent('ada', textEvent('event')).then(
  () => console.log('published'),
  ({ code }: { code: string }) => console.log(code),
);

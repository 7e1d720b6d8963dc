// Starts a server on PORT, prints its address, and ends in order when asked to: requests first, then sessions, then the
// server.

import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';

const answerWithinMs = 5_000;
const drainWithinMs = 2_000;

export function run(server, usercast) {
  const port = Number(process.env.PORT ?? 3000);
  server.on('error', (error) => {
    console.error(error.code === 'EADDRINUSE' ? `port ${port} is taken: try PORT=0 npm start` : error.message);
    process.exitCode = 1;
  });
  server.listen(port, () => console.log(`usercast demo: http://localhost:${server.address().port}`));

  const answering = new Set();
  server.on('request', ({ url }, response) => {
    if (!url.startsWith('/api/')) return;
    answering.add(response);
    response.once('close', () => answering.delete(response));
  });

  const answered = async () => {
    for (const response of answering) await once(response, 'close');
  };

  const stop = async () => {
    server.close();
    // What is being answered may still publish, which a usercast that has drained refuses.
    await Promise.race([answered(), wait(answerWithinMs, undefined, { ref: false })]);
    await usercast.drain({ withinMs: drainWithinMs });
    // Browsers keep spare connections that never ask for anything: closing would wait for them.
    setTimeout(() => server.closeAllConnections(), 500).unref();
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

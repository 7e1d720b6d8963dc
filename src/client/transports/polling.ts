// The transport over long polls, for where nothing else gets through. It tells the messages of a session that the server
// would tell on an open pipe: `session.ready`, `session.reset`.

import type { Timer } from '../platform.ts';
import { type Ending, endingOf } from '../target.ts';
import type { Envelope, OpenTransport } from './transport.ts';

const WAIT_S = 25;
/** An answer without messages that comes sooner is not asked for again at once. */
const EMPTY_MS = 1_000;

interface Counts {
  readonly counts: Readonly<Record<string, number>>;
  readonly cursor: string;
}

interface Page {
  readonly messages: readonly Envelope[];
  readonly cursor: string;
  readonly reset?: string;
}

/** Starts to poll. */
export const openPolling: OpenTransport = (target, token, cursor, sink) => {
  const abort = new AbortController();
  let timer: Timer | undefined;
  let ending: Ending = { code: 1006, reason: 'no answer' };

  async function get(url: string): Promise<unknown> {
    const response = await target.request(url, token, abort.signal);
    if (response.status !== 200) {
      ending = await endingOf(response, token);
      throw ending;
    }
    const body = await response.json();
    sink.alive();
    return body;
  }

  const getCounts = () => get(target.url('counts')) as Promise<Counts>;

  async function poll(): Promise<never> {
    let top = await getCounts();
    let at = cursor ?? top.cursor;
    // The first poll is answered at once: it proves the cursor.
    for (let waitS = 0; ; waitS = WAIT_S) {
      const askedAt = performance.now();
      const { messages, reset, ...page } = (await get(target.url('messages', at, `&wait=${waitS}`))) as Page;
      // What the application loads after a reset is newer than these counts, so nothing between them is missed.
      if (reset) top = await getCounts();
      if (waitS === 0) {
        const { cursor: head, counts } = top;
        const resumed = cursor !== undefined && !reset;
        sink.message({
          type: 'session.ready',
          object: { resumed, reset, cursor: reset ? head : at, head, counts, ping_ms: WAIT_S * 1_000 },
        });
      } else if (reset) sink.message({ type: 'session.reset', object: { reason: reset, ...top } });
      for (const message of messages) sink.message(message);
      at = reset ? top.cursor : page.cursor;
      if (waitS > 0 && messages.length === 0 && performance.now() - askedAt < EMPTY_MS) {
        await new Promise<void>((resolve) => {
          timer = setTimeout(resolve, EMPTY_MS);
        });
      }
    }
  }

  poll().catch(() => sink.closed(ending));
  return {
    send: null,
    close() {
      abort.abort();
      clearTimeout(timer);
    },
  };
};

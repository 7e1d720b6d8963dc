// The transport over server-sent events. It reads them with `fetch`: the platform's own reader cannot set a header, and
// gives up for good on an error status.

import { EVENT_STREAM_TYPE, EventStreamParser } from '../../protocol/event-stream.ts';
import { type Ending, endingOf } from '../target.ts';
import type { Envelope, OpenTransport } from './transport.ts';

const LOST: Ending = { code: 1006, reason: 'the stream ended' };

/** Opens an event stream. */
export const openEventStream: OpenTransport = (target, token, cursor, sink) => {
  const abort = new AbortController();

  async function read(): Promise<Ending> {
    const response = await target.request(target.url('sse', cursor), token, abort.signal, {
      Accept: EVENT_STREAM_TYPE,
    });
    if (response.status !== 200) return endingOf(response, token);
    const reader = response.body?.getReader();
    if (!reader || !response.headers.get('content-type')?.startsWith(EVENT_STREAM_TYPE)) return LOST;
    const parser = new EventStreamParser();
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return LOST;
      sink.alive();
      const events = parser.push(decoder.decode(value, { stream: true }));
      if (parser.retryMs !== null) sink.retry(parser.retryMs);
      for (const { data, id } of events) sink.message({ ...(JSON.parse(data) as Envelope), cursor: id });
    }
  }

  read().then(
    (ending) => sink.closed(ending),
    () => sink.closed(LOST),
  );
  return { send: null, close: () => abort.abort() };
};

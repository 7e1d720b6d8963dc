// Server-sent events on the wire: what the server's transport writes, and the incremental parser that the client reads
// with.

/** The media type of an event stream. */
export const EVENT_STREAM_TYPE = 'text/event-stream';

/** A line that says nothing: keeps intermediaries from taking the stream for dead. */
export const COMMENT = ':\n\n';

const LINE_END = /\r\n|\r|\n/g;
const DIGITS = /^[0-9]+$/;

/**
 * The text of an event without a name.
 * @param id the event's id; it holds no line end and no NUL. Without one the last id stands.
 * @see WHATWG HTML section 9.2.5
 */
export function encodeEvent(data: string, id?: string): string {
  return `${id === undefined ? '' : `id: ${id}\n`}data: ${data.replace(LINE_END, '\ndata: ')}\n\n`;
}

/** The text that tells a client how long to wait before it comes back. */
export function encodeRetry(delayMs: number): string {
  return `retry: ${delayMs}\n\n`;
}

/** An event as it was dispatched. */
export interface StreamEvent {
  /** Its name; `message` where it has none. */
  readonly type: string;
  readonly data: string;
  /** The `id:` of this event itself; absent where an earlier one stands. */
  readonly id?: string;
}

/**
 * Reads an event stream piece by piece, wherever the pieces were cut. It takes text: bytes are decoded before, with
 * `new TextDecoder('utf-8', { ignoreBOM: true })`, since the one byte order mark that may come first is taken off here.
 * @see WHATWG HTML section 9.2.6
 */
export class EventStreamParser {
  /** The last `id:` of a complete event; what a client resumes with. */
  lastEventId = '';
  /** The last `retry:`, in milliseconds; null before the first one. */
  retryMs: number | null = null;
  #started = false;
  #afterCarriageReturn = false;
  #line = '';
  #type = '';
  #data = '';
  #id: string | null = null;

  /** The events that this piece completes, in order. An event that the stream's end cuts off never comes. */
  push(piece: string): StreamEvent[] {
    const events: StreamEvent[] = [];
    if (piece === '') return events;
    let from = 0;
    if (!this.#started && piece.startsWith('\uFEFF')) from = 1;
    if (this.#afterCarriageReturn && piece.startsWith('\n')) from = 1;
    this.#started = true;
    for (const { 0: end, index } of piece.matchAll(LINE_END)) {
      if (index < from) continue;
      const line = this.#line + piece.slice(from, index);
      this.#line = '';
      from = index + end.length;
      if (line !== '') this.#field(line);
      else this.#dispatch(events);
    }
    this.#line += piece.slice(from);
    this.#afterCarriageReturn = piece.endsWith('\r');
    return events;
  }

  #field(line: string): void {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1));
    if (name === 'data') this.#data += `${value}\n`;
    else if (name === 'event') this.#type = value;
    else if (name === 'id' && !value.includes('\0')) this.#id = value;
    else if (name === 'retry' && DIGITS.test(value)) this.retryMs = Number(value);
  }

  #dispatch(events: StreamEvent[]): void {
    const id = this.#id;
    if (id !== null) this.lastEventId = id;
    if (this.#data !== '') {
      events.push({ type: this.#type || 'message', data: this.#data.slice(0, -1), ...(id !== null && { id }) });
    }
    this.#type = '';
    this.#data = '';
    this.#id = null;
  }
}

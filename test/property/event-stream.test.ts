import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventStreamParser, encodeEvent } from '../../src/protocol/event-stream.ts';

/** Bits of streams, well-formed and not. */
const bit = fc.oneof(
  fc.constantFrom('\n', '\r', '\r\n', '\n\n', '\r\r', ':', ' ', '\0', '\uFEFF', 'é', '😀'),
  fc.constantFrom('data', 'data: x', 'data:y', 'id: 1', 'id', 'event: e', 'retry: 10', 'retry: x', ': comment'),
  fc.string({ maxLength: 4 }),
);
const stream = fc.array(bit, { maxLength: 40 }).map((bits) => bits.join(''));
const cuts = fc.array(fc.nat(), { maxLength: 30 });

function pieces<T extends string | Uint8Array>(whole: T, at: readonly number[]): T[] {
  const places = [0, ...at.map((cut) => cut % (whole.length + 1)).sort((a, b) => a - b), whole.length];
  return places.slice(1).map((end, index) => whole.slice(places[index], end) as T);
}

function read(texts: readonly string[]) {
  const parser = new EventStreamParser();
  const events = texts.flatMap((text) => parser.push(text));
  return { events, lastEventId: parser.lastEventId, retryMs: parser.retryMs };
}

/** The grammar of the specification in the simplest way: the whole text, line by line. */
function readWhole(text: string) {
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);
  lines.pop();
  const events = [];
  let [data, type, lastEventId] = ['', '', ''];
  let id: string | undefined;
  let retryMs: number | null = null;
  for (const line of lines) {
    if (line === '') {
      lastEventId = id ?? lastEventId;
      if (data) events.push({ type: type || 'message', data: data.slice(0, -1), ...(id !== undefined && { id }) });
      [data, type, id] = ['', '', undefined];
      continue;
    }
    const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/su.exec(line) ?? [];
    if (name === 'data') data += `${value}\n`;
    if (name === 'event') type = value;
    if (name === 'id' && !value.includes('\0')) id = value;
    if (name === 'retry' && /^\d+$/.test(value)) retryMs = Number(value);
  }
  return { events, lastEventId, retryMs };
}

describe('any event stream', () => {
  it('is read as the specification says, however it is cut', () => {
    fc.assert(
      fc.property(stream, cuts, (text, at) => {
        expect(read(pieces(text, at))).toEqual(readWhole(text));
      }),
      { numRuns: 500 },
    );
  });

  it('is read alike when it is cut between any two bytes', () => {
    fc.assert(
      fc.property(stream, cuts, (text, at) => {
        const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
        const bytes = new TextEncoder().encode(text);
        const texts = pieces(bytes, at).map((piece) => decoder.decode(piece, { stream: true }));
        expect(read([...texts, decoder.decode()])).toEqual(
          readWhole(new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)),
        );
      }),
    );
  });
});

describe('any events', () => {
  it('come back from their encoding', () => {
    const event = fc.record({ data: fc.string(), id: fc.option(fc.string({ minLength: 1, unit: 'grapheme-ascii' })) });
    fc.assert(
      fc.property(fc.array(event), cuts, (given, at) => {
        const text = given.map(({ data, id }) => encodeEvent(data, id ?? undefined)).join('');
        const expected = given.map(({ data, id }) => ({
          type: 'message',
          data: data.replace(/\r\n|\r/g, '\n'),
          ...(id !== null && { id }),
        }));
        expect(read(pieces(text, at)).events).toEqual(expected);
      }),
    );
  });
});

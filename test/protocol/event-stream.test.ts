import { describe, expect, it } from 'vitest';
import { COMMENT, EventStreamParser, encodeEvent, encodeRetry } from '../../src/protocol/event-stream.ts';

const parse = (...pieces: string[]) => {
  const parser = new EventStreamParser();
  return { events: pieces.flatMap((piece) => parser.push(piece)), parser };
};
const dataOf = (...pieces: string[]) => parse(...pieces).events.map(({ data }) => data);

describe('an event that was encoded', () => {
  it('is parsed to the same', () => {
    expect(encodeEvent('{"a":1}', 'c1')).toBe('id: c1\ndata: {"a":1}\n\n');
    expect(parse(encodeEvent('{"a":1}', 'c1')).events).toEqual([{ type: 'message', data: '{"a":1}', id: 'c1' }]);
    expect(parse(encodeEvent('x')).events).toEqual([{ type: 'message', data: 'x' }]);
  });

  it('keeps its lines', () => {
    expect(dataOf(encodeEvent('a\nb\r\nc\rd'))).toEqual(['a\nb\nc\nd']);
    expect(dataOf(encodeEvent(''))).toEqual(['']);
    expect(dataOf(encodeEvent(' indented'))).toEqual([' indented']);
  });

  it('stands apart from comments and retry times', () => {
    const { events, parser } = parse(COMMENT + encodeRetry(1_500) + COMMENT + encodeEvent('x') + COMMENT);
    expect(events).toEqual([{ type: 'message', data: 'x' }]);
    expect(parser.retryMs).toBe(1_500);
  });
});

describe('the parser', () => {
  it.each([
    ['LF', '\n'],
    ['CR', '\r'],
    ['CRLF', '\r\n'],
  ])('ends lines with %s', (_name, end) => {
    expect(dataOf(['data: a', 'data: b', '', 'data: c', '', ''].join(end))).toEqual(['a\nb', 'c']);
  });

  it('takes CR and LF in two pieces for one line end', () => {
    expect(dataOf('data: a\r', '\n\r', '\ndata: b\r', '\n\r', '\n')).toEqual(['a', 'b']);
    expect(dataOf('data: a\r', '\rdata: b\n', '\n')).toEqual(['a', 'b']);
    expect(dataOf('data: a\r', '', '\n\r\n')).toEqual(['a']);
  });

  it('takes off one byte order mark, at the very start', () => {
    expect(dataOf('\uFEFFdata: a\n\n')).toEqual(['a']);
    expect(dataOf('', '\uFEFF', 'data: a\n\n')).toEqual(['a']);
    expect(dataOf('\uFEFF\uFEFFdata: a\n\n')).toEqual([]);
    expect(dataOf('data: a\n\n\uFEFFdata: b\n\n')).toEqual(['a']);
  });

  it('reads the examples of the specification', () => {
    expect(dataOf('data: YHOO\ndata: +2\ndata: 10\n\n')).toEqual(['YHOO\n+2\n10']);
    const stream = ': test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n';
    expect(parse(stream).events).toEqual([
      { type: 'message', data: 'first event', id: '1' },
      { type: 'message', data: 'second event', id: '' },
    ]);
    expect(dataOf('data\n\ndata\ndata\n\ndata:')).toEqual(['', '\n']);
    expect(dataOf('data:test\n\ndata: test\n\n')).toEqual(['test', 'test']);
  });

  it('takes off one space and no more', () => {
    expect(dataOf('data:  two\n\n')).toEqual([' two']);
    expect(dataOf('data:\tx\n\n')).toEqual(['\tx']);
  });

  it('names events', () => {
    expect(parse('event: add\ndata: 1\n\ndata: 2\n\n').events.map(({ type }) => type)).toEqual(['add', 'message']);
    expect(parse('event: add\n\ndata: 2\n\n').events.map(({ type }) => type)).toEqual(['message']);
  });

  it('dispatches nothing without data, and keeps the id all the same', () => {
    const { events, parser } = parse('id: 7\n\n');
    expect(events).toEqual([]);
    expect(parser.lastEventId).toBe('7');
  });

  it('keeps the last id of complete events only', () => {
    const { parser } = parse('id: 1\ndata: a\n\nid: 2\ndata: b\n');
    expect(parser.lastEventId).toBe('1');
  });

  it('ignores an id with a NUL', () => {
    const { events, parser } = parse('id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n');
    expect(events[1]).toEqual({ type: 'message', data: 'b' });
    expect(parser.lastEventId).toBe('1');
  });

  it('ignores a retry time that is no number in digits', () => {
    for (const retry of ['1.5', '-1', '1e3', ' 1', 'soon', '']) {
      expect(parse(`retry: ${retry}\n\n`).parser.retryMs).toBe(null);
    }
    expect(parse('retry:250\n').parser.retryMs).toBe(250);
  });

  it('ignores unknown fields, and names that differ in case', () => {
    expect(dataOf('Data: no\ndata : no\nfoo: no\nbar\ndata: yes\n\n')).toEqual(['yes']);
  });

  it('never gives an event that was cut off', () => {
    expect(dataOf('data: a\n\ndata: b\n')).toEqual(['a']);
    expect(dataOf('data: a\n\ndata: b')).toEqual(['a']);
  });
});

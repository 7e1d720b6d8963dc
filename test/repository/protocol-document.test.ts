// PROTOCOL.md is normative: its tables and the code say the same, in both directions.

import { describe, expect, it } from 'vitest';
import { resolveOptions } from '../../src/options.ts';
import { CLIENT_ERRORS, encodeMessage, withCursor } from '../../src/protocol/codec.ts';
import { ORIGIN_TAG } from '../../src/protocol/cursor.ts';
import { REFRESH } from '../../src/protocol/event-types.ts';
import { EVENT_TYPES } from '../../src/protocol/events.ts';
import { MAX_ID_LENGTH, RESERVED_TYPES } from '../../src/protocol/messages.ts';
import { REFUSALS } from '../../src/protocol/refusals.ts';
import {
  closingPayload,
  expiryPayload,
  PING_PAYLOAD,
  PONG_PAYLOAD,
  type ResetReason,
  readyPayload,
  resetPayload,
} from '../../src/protocol/session-messages.ts';
import { filesUnder, read } from './source.ts';

const document = read('PROTOCOL.md');

/** The rows of the one table whose header has these columns. */
function tableWith(...columns: string[]): string[][] {
  const header = `| ${columns.join(' | ')} |\n`;
  const parts = document.split(header);
  expect(parts, `tables with the columns ${columns.join(', ')}`).toHaveLength(2);
  const lines = parts[1]!.split('\n');
  const end = lines.findIndex((line) => !line.startsWith('|'));
  return lines.slice(1, end).map((line) =>
    line
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim().replaceAll('\\|', '|')),
  );
}

const name = (cell: string | undefined): string => /^`([^`]+)`$/.exec(cell ?? '')?.[1] ?? `no name: ${cell}`;
const orDash = (value: string | number | null | undefined): string => (value ? String(value) : '-');

describe('PROTOCOL.md and the code agree on', () => {
  it('the box events: type, content, referrer and what counts', () => {
    const rows = tableWith('type', '`content`', '`referrer_id`', 'unread');
    expect(rows.map(([type, content, referrer, unread]) => [name(type), content, referrer !== '-', unread])).toEqual(
      Object.entries(EVENT_TYPES).map(([type, row]) => [
        type,
        orDash(row.content),
        row.referrer,
        row.unread ? 'yes' : 'no',
      ]),
    );
  });

  it('the reserved types', () => {
    expect(tableWith('reserved').map(([type]) => name(type))).toEqual(RESERVED_TYPES);
  });

  it('the codes of errors', () => {
    const rows = tableWith('code', 'what was wrong').map(([code, meaning]) => [name(code), meaning]);
    expect(rows).toEqual(Object.entries(CLIENT_ERRORS));
  });

  it('the refusals: status, close code, reason, pause and what the client does', () => {
    const rows = tableWith('refusal', 'status', 'close', 'reason', 'Retry-After', 'the client');
    expect(rows.map(([code, ...cells]) => [name(code), ...cells])).toEqual(
      Object.entries(REFUSALS).map(([code, row]) => [
        code,
        orDash(row.status),
        String(row.close),
        row.reason,
        orDash('retryAfter' in row ? row.retryAfter : null),
        row.client,
      ]),
    );
  });

  it('the close codes, and what the client does after each', () => {
    const rows = tableWith('close', 'when', 'the client').map(([close, , client]) => [Number(close), client]);
    // 1000 is the client's own, and the WebSocket library answers bad UTF-8.
    const closes = new Map<number, string>([
      [1000, 'stop'],
      [1007, 'stop'],
    ]);
    for (const { close, client } of Object.values(REFUSALS)) closes.set(close, client);
    expect(rows).toEqual([...closes].sort(([a], [b]) => a - b));
  });

  it('the messages that the protocol names itself', () => {
    const types = tableWith('type', 'direction', 'object').map(([type]) => type);
    const session = '`session.*`';
    expect(types).toEqual(['`event.new`', '`box.delete`', '`file.saved`', 'any other', '`ack`', '`error`', session]);
    expect(tableWith('type', 'object').map(([type]) => name(type))).toEqual(['box.delete', 'file.saved']);
  });

  it('the messages about a session: type and fields', () => {
    const position = { epoch: 'e'.repeat(16), offset: 1, tag: ORIGIN_TAG };
    const start = { sessionId: 's', resumed: false, position, head: position, counts: {}, pingMs: 1, expiresAt: 0 };
    const sent = [
      readyPayload({ ...start, reset: 'epoch' }),
      resetPayload('epoch', position, {}),
      expiryPayload('session.expiring', 0),
      expiryPayload('session.refreshed', 0),
      closingPayload(1012, '', 0),
      PING_PAYLOAD,
      PONG_PAYLOAD,
      encodeMessage(REFRESH, { access_token: 't' }),
    ].map((text) => JSON.parse(text));
    const rows = tableWith('message', 'direction', 'object');
    const fields = ([type, , object = '']: string[]) => [name(type), object.match(/[a-z_]+/g) ?? []];
    expect(rows.map(fields)).toEqual(sent.map(({ type, object }) => [type, Object.keys(object)]));
    const named = filesUnder('src', /\.ts$/).flatMap((file) => read(file).match(/(?<=')session\.[a-z]+(?=')/g) ?? []);
    expect(new Set(rows.map(([type]) => name(type)))).toEqual(new Set(named));
    expect(tableWith('ready', 'value').map(([field]) => name(field))).toEqual(Object.keys(sent[0].object));
    const added = [...withCursor('{}', '', true).matchAll(/"(\w+)":/g)].map((match) => match[1]);
    expect(tableWith('key', 'value').map(([key]) => name(key))).toEqual(added);
  });

  it('the reasons of a reset', () => {
    const reasons = { trimmed: 1, epoch: 1, rollback: 1, too_many: 1, lagging: 1 } satisfies Record<ResetReason, 1>;
    expect(tableWith('reset', 'when').map(([reason]) => name(reason))).toEqual(Object.keys(reasons));
  });

  it('the default limits', () => {
    const { limits, heartbeat, path } = resolveOptions({});
    const numbers = (cell = '') => cell.match(/\d+(?: \d{3})*/g)?.map((digits) => Number(digits.replaceAll(' ', '')));
    expect(tableWith('limit', 'default', 'beyond it').map(([, value]) => numbers(value))).toEqual([
      [limits.maxMessageBytes],
      [limits.messagesPerSecond, limits.messagesPerSecond * 4],
      [limits.maxPublishBytes],
      [limits.maxBufferedBytes],
      [limits.maxConnections],
      [limits.maxConnectionsPerUser],
      [limits.handshakeTimeoutMs / 1000],
    ]);
    expect(document).toContain(`every ${heartbeat.intervalMs / 1000} seconds by default`);
    expect(document).toContain(`the default is \`${path}\``);
  });

  it('the length of an id', () => {
    expect(document).toContain(`a non-empty string of at most ${MAX_ID_LENGTH} characters`);
  });
});

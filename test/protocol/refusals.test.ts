import { describe, expect, it } from 'vitest';
import { REFUSALS, Refusal, type RefusalCode } from '../../src/protocol/refusals.ts';

const rows = Object.entries(REFUSALS);

describe('the table of refusals', () => {
  it.each(rows)('%s has a reason that fits into a close frame', (_code, { reason }) => {
    expect(reason).toMatch(/^[\x20-\x7e]{1,123}$/);
  });

  it.each(rows)('%s has a close code that an endpoint may send', (_code, { close }) => {
    expect([1001, 1008, 1009, 1011, 1012, 1013].includes(close) || (close >= 4000 && close < 5000)).toBe(true);
  });

  it.each(rows)('%s has a Retry-After exactly when its status is 429 or 503', (_code, row) => {
    expect('retryAfter' in row).toBe(row.status === 429 || row.status === 503);
  });

  it('tells clients one thing per close code', () => {
    const actions = new Map<number, Set<string>>();
    for (const [, { close, client }] of rows) actions.set(close, (actions.get(close) ?? new Set()).add(client));
    expect([...actions].filter(([, clients]) => clients.size > 1)).toEqual([]);
  });
});

describe('a refusal', () => {
  it('carries its row, and the reason unless it says more', () => {
    expect(new Refusal('token_expired')).toMatchObject({ code: 'token_expired', message: 'token expired' });
    const refusal = new Refusal('malformed_body', 'object.box_id: is missing');
    expect(refusal.message).toBe('object.box_id: is missing');
    expect(refusal.row).toBe(REFUSALS['malformed_body' satisfies RefusalCode]);
    expect(refusal).toBeInstanceOf(Error);
  });
});

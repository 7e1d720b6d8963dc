import { describe, expect, it } from 'vitest';
import { actionAfter, type CloseAction } from '../../src/client/close-codes.ts';
import { type ClientAction, REFUSALS } from '../../src/protocol/refusals.ts';

const ACTIONS: Record<ClientAction, CloseAction> = {
  stop: 'stop',
  reconnect: null,
  'renew the token, then reconnect': 'renew',
  'reconnect, then reload': 'reload',
};

describe("the client's table of close codes", () => {
  it.each(Object.entries(REFUSALS))('does after %s what the server wants', (_name, { close, client }) => {
    expect(actionAfter(close)).toBe(ACTIONS[client]);
  });

  it('takes codes that nobody planned for as drops below 4000, and as final from there up', () => {
    expect([1002, 1005, 1006, 3000, 3999].map(actionAfter)).toEqual([null, null, null, null, null]);
    expect([4000, 4402, 4999].map(actionAfter)).toEqual(['stop', 'stop', 'stop']);
  });
});

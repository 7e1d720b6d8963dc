import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type AuthenticateContext, createAuthenticator } from '../../src/auth/authenticate.ts';
import type { Identity, VerifyContext } from '../../src/auth/token-verifier.ts';
import { UsercastError } from '../../src/errors.ts';
import type { Authorize } from '../../src/options.ts';
import { Refusal } from '../../src/protocol/refusals.ts';

const TOKEN = 'a-token.of-some-length.and-three-parts';
const DEADLINE_MS = 1_000;
const isOwner: Authorize = (identity, userId) => identity.userId === userId;

function contextOf(signal = new AbortController().signal): AuthenticateContext {
  return { userId: 'ann', transport: 'websocket', address: '::1', signal, origin: undefined, host: 'us.example' };
}

/** Authenticates once; what came of it, and which errors were reported. */
async function attempt(
  verify: unknown,
  { authorize = isOwner as unknown, token = TOKEN as string | undefined, context = contextOf() } = {},
) {
  const reported: { stage: string; cause: unknown }[] = [];
  const authenticate = createAuthenticator({
    verifier: { verify: verify as (token: string, context: VerifyContext) => Promise<Identity> },
    authorize: authorize as Authorize,
    deadlineMs: DEADLINE_MS,
    onError: (stage, cause) => reported.push({ stage, cause }),
  });
  const result = await authenticate(token, context).catch((cause: unknown) => cause);
  return { result, reported };
}

function refusal(code: string) {
  return expect.toSatisfy((value) => value instanceof Refusal && value.code === code, `a refusal ${code}`);
}

const ann: Identity = { userId: 'ann' };

describe('authenticate', () => {
  it('resolves to the identity of a good token', async () => {
    const identity = { userId: 'ann', expiresAt: Date.now() + 1_000, tokenId: 'one', claims: { role: 'admin' } };
    const verify = vi.fn(async () => identity);
    expect(await attempt(verify)).toEqual({ result: identity, reported: [] });
    expect(verify).toHaveBeenCalledWith(
      TOKEN,
      expect.objectContaining({ userId: 'ann', transport: 'websocket', address: '::1' }),
    );
  });

  it('takes an identity that is returned without a promise', async () => {
    expect((await attempt(() => ann)).result).toBe(ann);
  });

  it.each([[undefined], ['']])('refuses a missing token without asking the verifier: %j', async (token) => {
    const verify = vi.fn(async () => ann);
    const authenticate = createAuthenticator({
      verifier: { verify },
      authorize: isOwner,
      deadlineMs: 1,
      onError: () => {},
    });
    await expect(authenticate(token, contextOf())).rejects.toEqual(refusal('token_missing'));
    expect(verify).not.toHaveBeenCalled();
  });

  it.each<[string, unknown]>([
    ['throws', () => Promise.reject(new Error('bad signature'))],
    [
      'throws at once',
      () => {
        throw new Error('bad signature');
      },
    ],
    ['throws what is no error', () => Promise.reject('no')],
    ['throws nothing', () => Promise.reject(undefined)],
    ['throws an error of another code', () => Promise.reject(new UsercastError('closed', 'closed'))],
    ['finds null', async () => null],
    ['finds undefined', async () => undefined],
  ])('refuses a token, and reports no fault, when the verifier %s', async (_how, verify) => {
    const { result, reported } = await attempt(verify);
    expect(result).toEqual(refusal('token_invalid'));
    expect((result as Refusal).message).toBe('the token is not valid here: get a new one');
    expect(reported).toEqual([]);
  });

  it('tells the client which check failed', async () => {
    const why = new UsercastError('token_invalid', 'the token is meant for another service (aud)');
    const { result, reported } = await attempt(() => Promise.reject(why));
    expect(result).toEqual(refusal('token_invalid'));
    expect((result as Refusal).message).toBe(why.message);
    expect(reported).toEqual([]);
  });

  it.each(['x'.repeat(101), 'not for Zoë', 'two\nlines', '', `no ${TOKEN}`])(
    'does not tell the client what would not fit or holds the token: %j',
    async (message) => {
      const { result } = await attempt(() => Promise.reject(new UsercastError('token_invalid', message)));
      expect((result as Refusal).message).toBe('the token is not valid here: get a new one');
    },
  );

  it('tells an ended token apart, whoever finds out', async () => {
    const thrown = await attempt(() => Promise.reject(new UsercastError('token_expired', 'the token has expired')));
    const found = await attempt(async () => ({ userId: 'ann', expiresAt: Date.now() }));
    for (const { result, reported } of [thrown, found]) {
      expect(result).toEqual(refusal('token_expired'));
      expect(reported).toEqual([]);
    }
  });

  it.each(['verifier_unavailable', 'deadline'] as const)('keeps the token from blame on %s', async (code) => {
    const cause = new UsercastError(code, 'no keys from https://idp.example/');
    const { result, reported } = await attempt(() => Promise.reject(cause));
    expect(result).toEqual(refusal('verifier_unavailable'));
    expect(reported).toEqual([{ stage: 'verify', cause }]);
  });

  it.each<[string, unknown, string]>([
    ['text', 'ann', 'a string, and not an identity'],
    ['true', true, 'a boolean, and not an identity'],
    ['no userId', {}, 'a userId of type undefined, and not a string'],
    ['a number as userId', { userId: 7 }, 'a userId of type number, and not a string'],
    ['an empty userId', { userId: '' }, 'a userId of 0 characters, and not 1 to 256'],
    ['a long userId', { userId: 'x'.repeat(257) }, 'a userId of 257 characters, and not 1 to 256'],
    [
      'text as expiresAt',
      { ...ann, expiresAt: '2030' },
      'an expiresAt of type string that is not a time in epoch milliseconds',
    ],
    [
      'a date as expiresAt',
      { ...ann, expiresAt: new Date() },
      'an expiresAt of type object that is not a time in epoch milliseconds',
    ],
    [
      'NaN as expiresAt',
      { ...ann, expiresAt: Number.NaN },
      'an expiresAt of type number that is not a time in epoch milliseconds',
    ],
    [
      'an endless expiresAt',
      { ...ann, expiresAt: 1e300 },
      'an expiresAt of type number that is not a time in epoch milliseconds',
    ],
    ['a number as tokenId', { ...ann, tokenId: 7 }, 'a tokenId of type number, and not a string'],
  ])('is an error of the host when the verifier returns %s', async (_what, value, fault) => {
    const { result, reported } = await attempt(async () => value);
    expect(result).toEqual(refusal('internal_error'));
    expect(reported).toEqual([{ stage: 'verify', cause: new TypeError(`the token verifier returned ${fault}`) }]);
  });

  it('refuses a user who may not open the stream', async () => {
    const { result, reported } = await attempt(async () => ({ userId: 'bob' }));
    expect(result).toEqual(refusal('wrong_user'));
    expect(reported).toEqual([]);
  });

  it('asks the rule with the identity, the user id and the request', async () => {
    const context = contextOf();
    const authorize = vi.fn(async () => true);
    expect((await attempt(async () => ann, { authorize, context })).result).toBe(ann);
    expect(authorize).toHaveBeenCalledWith(ann, 'ann', context);
    expect((await attempt(async () => ann, { authorize: async () => false })).result).toEqual(refusal('wrong_user'));
  });

  it('is an error of the host when the rule throws, rejects or answers neither true nor false', async () => {
    const fault = new Error('no database');
    const throwing = () => {
      throw fault;
    };
    for (const authorize of [throwing, async () => throwing()]) {
      const { result, reported } = await attempt(async () => ann, { authorize });
      expect(result).toEqual(refusal('internal_error'));
      expect(reported).toEqual([{ stage: 'authorize', cause: fault }]);
    }
    for (const answer of [undefined, 1, 'yes']) {
      const { result, reported } = await attempt(async () => ann, { authorize: () => answer });
      expect(result).toEqual(refusal('internal_error'));
      const cause = new TypeError(`authorize returned a value of type ${typeof answer}, and not true or false`);
      expect(reported).toEqual([{ stage: 'authorize', cause }]);
    }
  });

  it('lets no token out of what it reports', async () => {
    const leak = new UsercastError('verifier_unavailable', 'no answer', {
      cause: new Error(`GET https://idp.example/introspect?token=${TOKEN} failed`),
    });
    const verify = await attempt(() => Promise.reject(leak));
    const authorize = await attempt(async () => ann, {
      authorize: () => Promise.reject(new Error(`unknown ${TOKEN}`)),
    });
    expect(verify.reported[0]?.cause).toMatchObject({
      code: 'verifier_unavailable',
      message: 'no answer',
      cause: { message: 'GET https://idp.example/introspect?token=[token] failed' },
    });
    expect(authorize.reported[0]?.cause).toMatchObject({ message: 'unknown [token]' });
    for (const { result } of [verify, authorize]) expect(String((result as Refusal).stack)).not.toContain(TOKEN);
  });

  it('refuses without a report when the client left and the verifier gave up', async () => {
    const client = new AbortController();
    const verify = (_token: string, { signal }: VerifyContext) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
        client.abort();
      });
    const { result, reported } = await attempt(verify, { context: contextOf(client.signal) });
    expect(result).toEqual(refusal('verifier_unavailable'));
    expect(reported).toEqual([]);
  });
});

describe('a deadline', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('ends a verifier that hangs, and tells it', async () => {
    const signals: AbortSignal[] = [];
    const attempted = attempt((_token: string, { signal }: VerifyContext) => {
      signals.push(signal);
      return new Promise(() => {});
    });
    await vi.advanceTimersByTimeAsync(DEADLINE_MS);
    const { result, reported } = await attempted;
    expect(result).toEqual(refusal('verifier_unavailable'));
    expect(reported).toEqual([{ stage: 'verify', cause: expect.objectContaining({ code: 'deadline' }) }]);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
  });

  it('is known to a verifier that asks for the signal afterwards', async () => {
    let late: VerifyContext | undefined;
    const attempted = attempt((_token: string, context: VerifyContext) => {
      late = context;
      return new Promise(() => {});
    });
    await vi.advanceTimersByTimeAsync(DEADLINE_MS);
    await attempted;
    expect(late?.signal.aborted).toBe(true);
    expect(late?.signal).toBe(late?.signal);
  });

  it('ends a rule that hangs', async () => {
    const attempted = attempt(async () => ann, { authorize: () => new Promise(() => {}) });
    await vi.advanceTimersByTimeAsync(DEADLINE_MS);
    const { result, reported } = await attempted;
    expect(result).toEqual(refusal('internal_error'));
    expect(reported).toEqual([{ stage: 'authorize', cause: expect.objectContaining({ code: 'deadline' }) }]);
  });

  it('leaves no timer behind when it was kept', async () => {
    await attempt(async () => ann, { authorize: async () => true });
    expect(vi.getTimerCount()).toBe(0);
  });
});

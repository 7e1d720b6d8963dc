import { inspect } from 'node:util';
import { type TokenVerifier, UsercastError } from 'usercast';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  cleanUp,
  connectClient,
  listen,
  Refused,
  shortTokenFor,
  testVerifier,
  textEvent,
  tokenFor,
} from '../support/fixture.ts';
import { RawClient, upgradeText } from '../support/raw-client.ts';
import { ScriptedBroker } from '../support/scripted-broker.ts';

afterEach(async () => {
  vi.restoreAllMocks();
  await cleanUp();
});

const base64url = (text: string) => Buffer.from(text).toString('base64url');
const away = () => {
  throw new Error('away');
};

describe('a token', () => {
  it('shows up in no event, error, stat, log line, refusal or close reason', async () => {
    const output: string[] = [];
    for (const stream of [process.stdout, process.stderr]) {
      vi.spyOn(stream, 'write').mockImplementation((chunk) => output.push(String(chunk)) > 0);
    }
    for (const method of ['log', 'info', 'warn', 'error', 'debug'] as const) {
      vi.spyOn(console, method).mockImplementation((...values) => void output.push(inspect(values)));
    }
    const tokens: string[] = [];
    const issue = (userId: string, identity = {}) => {
      tokens.push(tokenFor(userId, identity));
      return tokens.at(-1)!;
    };
    const seen: unknown[] = [];
    let refuse: ((token: string) => unknown) | null = null;
    const verifier: TokenVerifier = {
      async verify(token, context) {
        seen.push(context);
        if (refuse) throw refuse(token);
        return testVerifier.verify(token, context);
      },
    };
    const broker = new ScriptedBroker();
    const site = await listen({ broker, verifier, limits: { deadlineMs: 200, maxConnectionsPerUser: 3 } });
    const tryToConnect = async (...given: Parameters<typeof connectClient>) => {
      const outcome = await connectClient(...given).catch((cause: unknown) => cause);
      if (outcome instanceof Refused) seen.push(outcome.status, outcome.headers, outcome.problem);
      else if (!(outcome instanceof Error)) return outcome as Awaited<ReturnType<typeof connectClient>>;
      return null;
    };

    // Every place that a token comes in by, and a life of a session.
    const one = await connectClient(site, { userId: 'ada', token: issue('ada') });
    const inProtocol = issue('ada', { expiresAt: Date.now() + 60_000, tokenId: 'an-id' });
    const two = await connectClient(site, {
      userId: 'ada',
      headers: { Authorization: '' },
      protocols: ['usercast.plain', `usercast.bearer.${base64url(inProtocol)}`],
      token: '',
    });
    const inQuery = new RawClient(site.port).send(
      upgradeText(`/box-users/ada/ws?access_token=${encodeURIComponent(issue('ada'))}`),
    );
    seen.push(await inQuery.response());
    await tryToConnect(site, { userId: 'ada', token: issue('ada') });
    await site.usercast.publishEvent('ada', textEvent());
    one.send('ack', { sender_id: 'ada', box_id: 'box' });
    one.ws.send('nonsense');
    await expect.poll(() => one.messages.length).toBe(3);

    // Every way to be refused.
    await tryToConnect(site, { userId: 'grace', token: issue('ada') });
    await tryToConnect(site, { userId: 'grace', token: issue('grace', { expiresAt: 1 }) });
    await tryToConnect(site, {
      userId: 'grace',
      token: issue('grace'),
      headers: { Origin: 'https://elsewhere.example' },
    });
    for (const reason of [
      (token: string) => new Error(`bad: ${token}`),
      (token: string) => new UsercastError('token_invalid', `bad: ${token}`),
      (token: string) => new UsercastError('verifier_unavailable', `no: ${token}`, { cause: { request: { token } } }),
      (token: string) => ({ token }),
      (token: string) => token,
    ]) {
      refuse = reason;
      await tryToConnect(site, { userId: 'grace', token: issue('grace') });
    }
    refuse = null;
    broker.before = away;
    await tryToConnect(site, { userId: 'grace', token: issue('grace') });
    const calls = [site.usercast.notify('ada', 'n', {}), site.usercast.counts('ada'), site.usercast.disconnect('ada')];
    seen.push(await Promise.allSettled(calls));
    broker.before = () => {};

    // Every way to end.
    tokens.push(shortTokenFor('linus', 300));
    const short = await connectClient(site, { userId: 'linus', token: tokens.at(-1)! });
    seen.push(await short.closed);
    broker.stream('ada').renew();
    await site.usercast.notify('ada', 'n', {});
    seen.push(await one.closed, await two.closed);
    inQuery.socket.destroy();
    const last = await connectClient(site, { userId: 'ada', token: issue('ada') });
    await site.usercast.drain();
    seen.push(await last.closed);
    seen.push(site.told, site.usercast.stats(), site.usercast.health(), site.usercast, one.messages, two.messages);
    vi.restoreAllMocks();

    expect(new Set(site.told.map(({ name }) => name))).toEqual(
      new Set(['connect', 'disconnect', 'ack', 'publish', 'reset', 'refuse', 'error']),
    );
    expect(site.events('refuse').length).toBeGreaterThanOrEqual(10);
    const everything = inspect([...seen, ...output], {
      depth: Number.POSITIVE_INFINITY,
      showHidden: true,
      getters: true,
      maxArrayLength: null,
      maxStringLength: null,
    });
    expect(tokens.length).toBeGreaterThan(12);
    for (const token of tokens) {
      // The last part alone would be enough to tell that it leaked.
      const secret = token.split('.').at(-1)!;
      for (const form of [token, base64url(token), encodeURIComponent(token), secret]) {
        expect(everything.includes(form) ? `${form} in ${excerpt(everything, form)}` : 'nowhere').toBe('nowhere');
      }
    }
  });
});

function excerpt(text: string, part: string): string {
  const at = text.indexOf(part);
  return text.slice(Math.max(0, at - 300), at + 100);
}

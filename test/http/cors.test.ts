import { createServer, type Server, type ServerResponse } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { Refusal } from '../../src/protocol/refusals.ts';
import { type FakeOptions, fakeDoor, tokenFor } from '../support/fake-engine.ts';
import { listen, shut } from '../support/raw-client.ts';

const APP = 'https://app.example';
const authorization = `Bearer ${tokenFor('ada')}`;

let server: Server;

async function serve(options: FakeOptions, before: (res: ServerResponse) => void = () => {}) {
  const { engine, door } = fakeDoor(options);
  server = createServer((req, res) => {
    before(res);
    if (!door.handleRequest(req, res)) res.end('the host');
  });
  const port = await listen(server);
  const ask = (endpoint: string, headers: Record<string, string>, method = 'GET') =>
    fetch(`http://127.0.0.1:${port}/box-users/ada/${endpoint}`, { method, headers });
  const preflight = (endpoint: string, origin: string, method: string, names?: string) =>
    ask(
      endpoint,
      {
        origin,
        'access-control-request-method': method,
        ...(names === undefined ? {} : { 'access-control-request-headers': names }),
      },
      'OPTIONS',
    );
  return { engine, ask, preflight };
}

afterEach(() => shut(server));

const corsHeaders = ({ headers }: Response): string[] =>
  [...headers].filter(([name]) => name.startsWith('access-control-')).map(([name, value]) => `${name}: ${value}`);

const READABLE = [
  `access-control-allow-origin: ${APP}`,
  'access-control-expose-headers: Retry-After, WWW-Authenticate',
];

describe('with cors, a page of an allowed origin', () => {
  it.each([
    ['a list', [APP]],
    ['all', '*'],
    ['a rule', (origin: string) => origin === APP],
  ] as const)('may read what it asks for, by %s', async (_how, allowedOrigins) => {
    const { ask } = await serve({ cors: true, allowedOrigins });
    for (const endpoint of ['counts', 'messages']) {
      const response = await ask(endpoint, { origin: APP, authorization });
      expect(response.status).toBe(200);
      expect(corsHeaders(response)).toEqual(READABLE);
      expect(response.headers.get('vary')).toBe('Origin');
    }
    const stream = await ask('sse', { origin: APP, authorization });
    expect([stream.status, corsHeaders(stream)]).toEqual([200, READABLE]);
    await stream.body!.cancel();
  });

  it('may read refusals too', async () => {
    const { ask, engine } = await serve({ cors: true, allowedOrigins: [APP] });
    const statuses: number[] = [];
    const read = async (response: Response) => {
      statuses.push(response.status);
      expect(corsHeaders(response)).toEqual(READABLE);
    };
    await read(await ask('counts', { origin: APP }));
    await read(await ask('sse?cursor=.', { origin: APP, authorization }));
    await read(await ask('ws', { origin: APP, authorization }));
    await read(await ask('ack', { origin: APP, authorization }, 'GET'));
    engine.step = () => {
      throw new Refusal('broker_unavailable');
    };
    await read(await ask('sse', { origin: APP, authorization }));
    engine.isDraining = true;
    await read(await ask('messages', { origin: APP, authorization }));
    expect(statuses).toEqual([401, 400, 426, 405, 503, 503]);
  });

  it.each([
    ['sse', 'GET', 'authorization,last-event-id'],
    ['messages', 'GET', 'authorization'],
    ['counts', 'GET', 'authorization,traceparent'],
    ['ack', 'POST', 'authorization,content-type'],
  ])('gets a yes to its preflight for %s, without a token', async (endpoint, method, names) => {
    const { preflight, engine } = await serve({ cors: true, allowedOrigins: [APP] });
    engine.isDraining = true;
    const response = await preflight(endpoint, APP, method, names);
    expect([response.status, await response.text()]).toEqual([204, '']);
    expect(corsHeaders(response).sort()).toEqual(
      [
        `access-control-allow-headers: ${names}`,
        `access-control-allow-methods: ${method}`,
        'access-control-max-age: 7200',
        ...READABLE,
      ].sort(),
    );
    expect(response.headers.get('vary')).toBe('Origin, Access-Control-Request-Headers');
    expect(engine.refusals).toEqual([]);
  });

  it('is told which headers it may send when it asks for none', async () => {
    const { preflight } = await serve({ cors: true, allowedOrigins: '*' });
    const response = await preflight('sse', APP, 'GET');
    expect(response.headers.get('access-control-allow-headers')).toBe('Authorization, Content-Type, Last-Event-ID');
  });

  it('gets beside what the host says of caches', async () => {
    const { ask } = await serve({ cors: true, allowedOrigins: [APP] }, (res) => {
      res.setHeader('Vary', 'Accept-Encoding');
      res.setHeader('Access-Control-Allow-Origin', 'https://another.example');
    });
    const response = await ask('counts', { origin: APP, authorization });
    expect(response.headers.get('vary')).toBe('Accept-Encoding, Origin');
    expect(response.headers.get('access-control-allow-origin')).toBe(APP);
  });
});

describe('with cors, a page of any other origin', () => {
  it.each([
    ['the own host alone', null],
    ['a list', [APP]],
    ['a rule', () => false],
  ])('is refused and may not even read that, by %s', async (_how, allowedOrigins) => {
    const { ask, preflight, engine } = await serve({ cors: true, allowedOrigins });
    for (const origin of ['https://evil.test', `${APP}.evil.test`, 'null']) {
      for (const response of [
        await ask('counts', { origin, authorization }),
        await ask('sse', { origin, authorization }),
        await preflight('counts', origin, 'GET', 'authorization'),
      ]) {
        expect([response.status, corsHeaders(response)]).toEqual([403, []]);
        expect(response.headers.get('vary')).toBe('Origin');
      }
    }
    expect(new Set(engine.refusals.map(({ code }) => code))).toEqual(new Set(['origin_not_allowed']));
    expect(engine.opened).toEqual([]);
  });

  it('is refused where the rule throws', async () => {
    const rule = () => {
      throw new Error('the inside');
    };
    const { ask, engine } = await serve({ cors: true, allowedOrigins: rule });
    const response = await ask('counts', { origin: APP, authorization });
    expect([response.status, corsHeaders(response)]).toEqual([503, []]);
    expect(engine.failures).toEqual([{ stage: 'authorize', cause: new Error('the inside') }]);
  });
});

describe('with cors', () => {
  it('a request that no page sent is answered as ever, for caches to know', async () => {
    const { ask } = await serve({ cors: true, allowedOrigins: [APP] });
    const response = await ask('counts', { authorization });
    expect([response.status, corsHeaders(response), response.headers.get('vary')]).toEqual([200, [], 'Origin']);
  });

  it.each([{}, { origin: APP }, { 'access-control-request-method': 'GET' }] as Record<string, string>[])(
    'an OPTIONS with %o is no preflight',
    async (headers) => {
      const { ask } = await serve({ cors: true, allowedOrigins: [APP] });
      expect((await ask('counts', headers, 'OPTIONS')).status).toBe(405);
    },
  );
});

describe('without cors', () => {
  it('no answer says anything of origins, and a preflight is refused', async () => {
    const { ask, preflight } = await serve({ allowedOrigins: [APP] });
    const response = await ask('counts', { origin: APP, authorization });
    expect([response.status, corsHeaders(response), response.headers.get('vary')]).toEqual([200, [], null]);
    const refused = await preflight('counts', APP, 'GET', 'authorization');
    expect([refused.status, corsHeaders(refused)]).toEqual([405, []]);
    expect((await ask('counts', { origin: 'https://evil.test', authorization })).status).toBe(403);
  });
});

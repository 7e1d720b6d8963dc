// TLS, credentials and permissions: what NATS will not have is said at once, with what to change, and without what was secret.

import { readFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import { connect } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  type NatsBrokerOptions,
  type NatsCounterOptions,
  natsBroker,
  natsCounters,
} from '../../../adapters/nats/index.ts';
import { type Broker, createUsercast, memoryCounters } from '../../../src/index.ts';
import { Child } from '../../support/child.ts';
import { type Certificates, makeCertificates } from '../../support/servers/certificates.ts';
import { freePort } from '../../support/servers/free-port.ts';
import { NatsServer, startNats } from '../../support/servers/nats.ts';
import { say as ask, type Place, startInPlace } from '../../support/servers/real-server.ts';
import { listen, newName, payloadsOf, say } from './nats-scene.ts';

/** It talks to nobody before TLS, and says so. */
class TlsNatsServer extends NatsServer {
  constructor(place: Place, { cert, key, ca }: Certificates, verify = false) {
    const asking = verify ? `, ca_file: "${ca}", verify: true` : '';
    super(place, `tls { cert_file: "${cert}", key_file: "${key}"${asking} }`);
  }

  protected override async isReady(): Promise<boolean> {
    return (await ask(this.port, '', /^INFO /)) !== null;
  }
}

const SECRET = 's3cret-password';
/** Longer than a test may take: nothing of this waits for it. */
const DEADLINE_MS = 60_000;
const EVENT_MS = 300;
/** All that the README says to allow. */
const ALLOWED = 'publish: ["$JS.API.>", "$KV.>", "usercast.>"], subscribe: ["_INBOX.>", "usercast.>"]';

let certificates: Certificates;
let secured: TlsNatsServer;
let strict: TlsNatsServer;
let open: NatsServer;
const ends: (() => unknown)[] = [];

beforeAll(async () => {
  certificates = await makeCertificates();
  const pick = () => freePort();
  const user = (name: string, permissions: string) =>
    `{ user: ${name}, password: right, permissions: { ${permissions} } }`;
  const users = [
    '{ user: all, password: right }',
    user('app', ALLOWED),
    user('uncreative', 'publish: { deny: ["$JS.API.STREAM.CREATE.>"] }'),
    user('mute', 'publish: { deny: ["usercast.s.>"] }'),
    user('deaf', 'subscribe: { deny: ["usercast.live.>"] }'),
    user('unanswered', 'subscribe: { deny: ["_INBOX.>"] }'),
    user('prefixed', 'subscribe: { allow: ["_INBOX_app.>", "usercast.>"] }'),
  ];
  [secured, strict, open] = await Promise.all([
    startInPlace({ pick }, (place) => new TlsNatsServer(place, certificates)),
    startInPlace({ pick }, (place) => new TlsNatsServer(place, certificates, true)),
    // How the test's own set-up looks whether the server is up.
    startNats({ config: `authorization { users: [${users.join(', ')}] }\nno_auth_user: all` }),
  ]);
}, 40_000);
afterAll(async () => {
  await Promise.all([secured.close(), strict.close(), open.close()]);
  await certificates[Symbol.asyncDispose]();
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

function broker(options: NatsBrokerOptions): Broker {
  const made = natsBroker({ deadlineMs: DEADLINE_MS, ...options });
  ends.push(() => made.close());
  return made;
}

function counters(options: NatsCounterOptions) {
  const made = natsCounters({ deadlineMs: DEADLINE_MS, ...options });
  ends.push(() => made.close());
  return made;
}

const as = (user: string, password = 'right') => `nats://${user}:${password}@127.0.0.1:${open.port}`;
const ignoring = { publication() {}, whisper() {}, mark() {} };

/** Every call says the same; the counters too, where they cannot connect either. */
async function refusal(place: NatsBrokerOptions, withCounters = true): Promise<string> {
  const made = broker(place);
  const calls = [
    made.read('ann', null, 0),
    made.subscribe('ann', ignoring),
    ...(withCounters ? [counters(place).counts('ann')] : []),
  ];
  const errors = await Promise.all(calls.map((call) => call.catch((cause: unknown) => cause as Error)));
  const { message } = errors[0] as Error;
  for (const error of errors) {
    expect(error).toMatchObject({ code: 'broker_unavailable', message });
    expect(inspect(error, { depth: null, showHidden: true })).not.toContain(SECRET);
  }
  await expect(made.mark('ann', {})).rejects.toThrow(message);
  return message;
}

describe('TLS with NATS', () => {
  const unknown = /^the certificate of NATS was refused: .*certificate.*; name its CA in NODE_EXTRA_CA_CERTS, or pass/;

  it('by the connection of the host goes by its options', async () => {
    const [ca, cert, key] = await Promise.all(
      [certificates.ca, certificates.cert, certificates.key].map((file) => readFile(file, 'utf8')),
    );
    for (const { port } of [secured, strict]) {
      const connection = await connect({ servers: `localhost:${port}`, tls: { ca: ca!, cert: cert!, key: key! } });
      ends.push(() => connection.close());
      await say(broker({ connection }), newName(), 'p');
    }
  });

  it('by servers takes a certificate whose authority is named in NODE_EXTRA_CA_CERTS', async () => {
    vi.stubEnv('NODE_EXTRA_CA_CERTS', certificates.ca);
    const child = await Child.start('tls-child.ts').finally(() => vi.unstubAllEnvs());
    try {
      for (const scheme of ['nats', 'tls']) {
        expect(await child.ask('nats', `${scheme}://localhost:${secured.port}`)).toBe('ready');
      }
    } finally {
      child.end();
      await child.ended;
    }
  });

  it('that comes about with nobody who vouches for the certificate is refused at once', async () => {
    expect(await refusal({ servers: `nats://localhost:${secured.port}` })).toMatch(unknown);
    expect(await refusal({ servers: `tls://localhost:${secured.port}` })).toMatch(unknown);
  });

  it('that was asked for is not done without, so that no password is sent in the clear', async () => {
    const servers = `tls://all:${SECRET}@127.0.0.1:${open.port}`;
    expect(await refusal({ servers })).toMatch(/^TLS with NATS failed: server does not support 'tls'; give nats:\/\//);
  });

  it('that fails is told in the error event of a process that publishes nothing', async () => {
    const made = broker({ servers: `tls://localhost:${secured.port}` });
    const usercast = createUsercast({ broker: made, counters: memoryCounters(), limits: { deadlineMs: EVENT_MS } });
    ends.push(() => usercast.close());
    const told = await new Promise((resolve) => usercast.on('error', resolve));
    expect(told).toMatchObject({
      stage: 'connection',
      cause: { message: expect.stringMatching(/never connected to .*: the certificate of NATS was refused/) },
    });
  });
});

describe('NATS that refuses', () => {
  it.each([
    ['a wrong password', () => as('all', SECRET)],
    ['a user that is not there', () => as('nobody', SECRET)],
    ['a token', () => `nats://${SECRET}@127.0.0.1:${open.port}`],
  ])('%s is quoted at once, with what to change', async (_, servers) => {
    expect(await refusal({ servers: servers() })).toBe(
      'NATS refused us: Authorization Violation; change the user, password or token in servers, or pass your own connection',
    );
  });

  it('to let us make a stream is quoted at once', async () => {
    const name = newName('stream');
    expect(await refusal({ servers: as('uncreative'), stream: name, prefix: name }, false)).toBe(
      `NATS does not let us publish to $JS.API.STREAM.CREATE.${name}; allow it in the permissions of the user`,
    );
  });

  it('to let us hear answers is quoted at once', async () => {
    expect(await refusal({ servers: as('unanswered') })).toMatch(/does not let us subscribe to _INBOX\.>; allow it/);
  });

  it('to let us publish entries is quoted by who publishes', async () => {
    await say(broker({ servers: as('all') }), newName(), 'p');
    const user = newName();
    const error = await say(broker({ servers: as('mute') }), user, 'p').catch((cause: unknown) => cause);
    expect(error).toMatchObject({
      code: 'broker_unavailable',
      message: expect.stringMatching(/^NATS does not let us publish to usercast\.s\..*; allow it in the permissions/),
    });
  });

  it('to let us listen is an outage, for messages would be missed without a word', async () => {
    const made = broker({ servers: as('deaf') });
    await made.read('ann', null, 0);
    const quoted = /does not let us subscribe to usercast\.live\..*; allow it in the permissions of the user/;
    await expect(made.subscribe('ann', ignoring)).rejects.toThrow(quoted);
    expect(made.status).toBe('lost');
    await expect(made.subscribe('bob', ignoring)).rejects.toThrow(quoted);
    await expect(made.read('ann', null, 0)).rejects.toThrow(quoted);
    expect(made.outage?.message).toMatch(quoted);
  });
});

describe('NATS is content', () => {
  it('with the permissions that the README names', async () => {
    const made = broker({ servers: as('app') });
    const [user, other] = [newName(), newName()];
    const recorder = await listen(made, user);
    await say(made, user, 'a', 'b');
    await made.whisper([user], 'w');
    await made.mark(user, {});
    await vi.waitFor(() => expect(recorder.payloads).toEqual(['a', 'b']));
    expect([...(await made.online([user, other]))]).toEqual([user]);
    const start = (await made.read(other, null, 0)).top;
    await say(made, other, 'c');
    expect(payloadsOf(await made.read(other, start, 10))).toEqual(['c']);
    await made.forget(other);
    const store = counters({ servers: as('app') });
    const position = { epoch: 'e'.repeat(16), offset: 1, tag: 't'.repeat(8) };
    await store.increment([{ userId: user, boxId: 'box', id: newName('id'), position }]);
    expect(await store.counts(user)).toEqual({ box: 1 });
  });

  it('with a connection that may hear answers under its own prefix alone', async () => {
    const servers = `127.0.0.1:${open.port}`;
    const connection = await connect({ servers, user: 'prefixed', pass: 'right', inboxPrefix: '_INBOX_app' });
    ends.push(() => connection.close());
    await say(broker({ connection }), newName(), 'p');
  });
});
